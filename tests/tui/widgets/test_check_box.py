"""The mark of a checkbox, where no colors tell its state."""

from __future__ import annotations

from textual.app import App, ComposeResult

from tui_forward.tui.plain_text import plain
from tui_forward.tui.widgets.check_box import CheckBox


class BoxApp(App[None]):
    def compose(self) -> ComposeResult:
        yield CheckBox(plain("off"), compact=True, id="off")
        yield CheckBox(plain("on"), value=True, compact=True, id="on")


async def test_mark_is_shown_only_while_it_is_checked() -> None:
    app = BoxApp()
    async with app.run_test() as pilot:
        off, on = app.query_one("#off", CheckBox), app.query_one("#on", CheckBox)

        def marks() -> tuple[bool, bool]:
            return "X" in off.render_line(0).text, "X" in on.render_line(0).text

        assert marks() == (False, True)
        await pilot.click("#off")
        await pilot.click("#on")
        await pilot.pause()
        assert marks() == (True, False)
