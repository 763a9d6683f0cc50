"""The palette: all commands that are available now, found while the user types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Self

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input

from tui_forward.tui.keys.palette import PaletteCommand, find_commands
from tui_forward.tui.screens.dialogs import Dialog
from tui_forward.tui.stylesheets import stylesheet
from tui_forward.tui.textual_internals.screens import KeptScreen
from tui_forward.tui.widgets.palette_body import PaletteBody


class PaletteScreen(Dialog[PaletteCommand | None], KeptScreen[PaletteCommand | None]):
    """Search line over the commands in their groups; its result is the one to run, or None."""

    CSS_PATH = stylesheet("palette.tcss")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Close", id="palette.close", tooltip="Close the palette"),
        Binding("up", "move(-1)", "Up", show=False, id="palette.up", tooltip="Previous command"),
        Binding("down", "move(1)", "Down", show=False, id="palette.down", tooltip="Next command"),
        Binding("pageup", "move(-10)", "Page up", show=False, id="palette.page-up",
                tooltip="Ten commands up"),
        Binding("pagedown", "move(10)", "Page down", show=False, id="palette.page-down",
                tooltip="Ten commands down"),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self._commands: tuple[PaletteCommand, ...] = ()
        self._this = ""
        self._input = Input(placeholder="type to search", max_length=253, compact=True, id="search")
        self._body = PaletteBody()

    def fill(self, commands: Sequence[PaletteCommand], this: str = "") -> Self:
        """Set the commands, and the title of their first group; return the screen."""
        self._commands = tuple(commands)
        self._this = this
        self._input.value = ""
        self._show("")
        return self

    def compose(self) -> ComposeResult:
        """Show the search line over the commands."""
        with Vertical() as box:
            box.border_title = "Commands"
            box.border_subtitle = "↑↓ Move · enter Run · esc Close"
            yield self._input
            yield self._body

    def on_input_changed(self, event: Input.Changed) -> None:
        """Show what matches."""
        self._show(event.value)

    def _show(self, query: str) -> None:
        self._body.show(find_commands(self._commands, query, self._this), query)

    def on_input_submitted(self) -> None:
        """Run the command under the cursor."""
        if self._body.current is not None:
            self.dismiss(self._body.current)

    def on_palette_body_chosen(self, event: PaletteBody.Chosen) -> None:
        """Run the clicked command."""
        self.dismiss(event.command)

    def action_move(self, by: int) -> None:
        """Move the cursor; the search line keeps the focus."""
        self._body.move(by)

    def action_cancel(self) -> None:
        """Run nothing."""
        self.dismiss(None)
