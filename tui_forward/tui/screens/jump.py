"""`:` finds forwards, objects and commands while the user types."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Self

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Input

from tui_forward.tui.plain_text import PlainText
from tui_forward.tui.stylesheets import stylesheet
from tui_forward.tui.textual_internals.screens import KeptScreen, OverlayScreen
from tui_forward.tui.viewmodel.cell_layout import Column, longest_cell
from tui_forward.tui.viewmodel.jump import JumpOption, JumpSources, jump_options
from tui_forward.tui.viewmodel.rows import Cell, Row
from tui_forward.tui.widgets import row_messages
from tui_forward.tui.widgets.row_table import RowTable

_KEYS = "enter Go  tab Complete  ↑↓ Choose  esc Close"


class JumpScreen(OverlayScreen[JumpOption | None], KeptScreen[JumpOption | None]):
    """Input in the place of the keys, with a list above; its result is what to go to."""

    CSS_PATH = stylesheet("jump.tcss")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Close", id="jump.close", tooltip="Close without a choice"),
        Binding("tab", "complete", "Complete", id="jump.complete", priority=True,
                tooltip="Complete the name under the cursor"),
        Binding("up", "move(-1)", "Up", show=False, id="jump.up", tooltip="Previous line"),
        Binding("down", "move(1)", "Down", show=False, id="jump.down", tooltip="Next line"),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self._sources: Callable[[], JumpSources] = JumpSources
        self._options: dict[str, JumpOption] = {}
        self._table = RowTable(
            (
                Column("", 8), Column("", 20, is_name=True, max_width=60),
                Column("", 8, max_width=32, drop=2), Column("", 8, max_width=40, drop=1),
            ),
            empty="No match", header=False, id="jump-options",
        )  # fmt: skip
        self._table.can_focus = False
        self._input = Input(
            placeholder="a name, a port, or a command", compact=True, max_length=253,
            id="jump-input",
        )  # fmt: skip

    def fill(self, sources: Callable[[], JumpSources]) -> Self:
        """Set where names come from, and offer the commands; return the screen."""
        self._sources = sources
        self._input.value = ""
        self._show("")
        return self

    def compose(self) -> ComposeResult:
        """Show the list above the input line and its keys."""
        with Vertical(id="jump"):
            yield self._table
            with Horizontal(id="jump-line"):
                yield PlainText(":", id="jump-label")
                yield self._input
            yield PlainText(_KEYS, id="jump-keys")

    def _show(self, text: str) -> None:
        found = jump_options(text, self._sources())
        self._options = {f"{one.kind} {one.name} {one.value}": one for one in found}
        rows = {key: _row(one) for key, one in self._options.items()}
        longest = [longest_cell([row.cells[at].text for row in rows.values()]) for at in range(4)]
        self._table.show(tuple(rows), lambda key: rows[key], longest=longest)
        self._table.cursor = next(iter(rows), None)
        self._table.styles.height = max(1, len(rows)) + 1

    def refresh_options(self) -> None:
        """Show what the text may mean now that there are more names."""
        if self.is_active:
            self._show(self._input.value)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Find while the user types."""
        self._show(event.value.lstrip(":"))

    def on_input_submitted(self) -> None:
        """Go to the line under the cursor."""
        self._go(self._table.cursor)

    def on_row_table_clicked(self, event: row_messages.Clicked) -> None:
        """Go to the clicked line."""
        self._go(event.key)

    def action_move(self, by: int) -> None:
        """Move the cursor of the list; the input line keeps the focus."""
        self._table.action_move(by)

    def action_complete(self) -> None:
        """Complete the text with the line under the cursor."""
        option = self._options.get(self._table.cursor or "")
        if option is not None:
            self._input.value = option.completion
            self._input.cursor_position = len(option.completion)

    def action_cancel(self) -> None:
        """Close without a choice."""
        self.dismiss(None)

    def _go(self, key: str | None) -> None:
        option = self._options.get(key or "")
        if option is not None and self.is_current:
            self.dismiss(option)


def _row(option: JumpOption) -> Row:
    name = f"{option.mark} {option.name}" if option.mark else option.name
    return Row(
        (Cell(option.kind, "dim"), Cell(name), Cell(option.place, "dim"), Cell(option.detail))
    )
