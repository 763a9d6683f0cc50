from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from tests.cli.fake_session import until
from tui_forward.tui.stylesheets import stylesheet
from tui_forward.tui.themes import ThemedApp
from tui_forward.tui.widgets.key_bar import KeyBar, KeyHint, fit_keys

COPY = KeyHint("y", "y", "Copy")
STOP = KeyHint("x", "x", "Stop")
HELP = KeyHint("question_mark", "?", "Help", kept=True)


def test_state_is_kept_if_it_cannot_be_written() -> None:
    keys = (COPY, STOP, HELP)
    assert fit_keys(keys, 100) == keys
    assert fit_keys(keys, 6 + 2 + 6) == (COPY, HELP)
    assert fit_keys(keys, 6) == (HELP,)
    assert fit_keys(keys, 3) == ()


class KeyApp(ThemedApp[None]):
    CSS_PATH = stylesheet("app.tcss")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "note('copied')", "Copy", tooltip="To the clipboard"),
        Binding("z", "note('hidden')", "Never", show=False),
        Binding("x", "stop", "Stop"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[str] = []
        self.may_stop = False

    def compose(self) -> ComposeResult:
        yield KeyBar()

    def action_note(self, text: str) -> None:
        self.notes.append(text)

    def action_stop(self) -> None:
        self.notes.append("stopped")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return self.may_stop if action == "stop" else True

    def line(self) -> str:
        return "".join(s.text for s in self.screen._compositor.render_strips()[0]).strip()


async def test_only_available_keys_are_shown_and_clickable() -> None:
    app = KeyApp()
    async with app.run_test(size=(40, 3)) as pilot:
        await until(lambda: app.line().startswith("y Copy"))
        assert "Stop" not in app.line()
        assert "Never" not in app.line()
        await pilot.click(KeyBar, offset=(2, 0))
        await until(lambda: app.notes == ["copied"])
        app.may_stop = True
        app.refresh_bindings()
        await until(lambda: "x Stop" in app.line())
        await pilot.click(KeyBar, offset=(app.line().index("x Stop") + 1, 0))
        await until(lambda: app.notes == ["copied", "stopped"])
        await pilot.hover(KeyBar, offset=(2, 0))
        await until(lambda: app.query_one(KeyBar).tooltip == "To the clipboard")
