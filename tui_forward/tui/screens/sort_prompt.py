"""The columns to sort by, in the place of a line of keys; the next key chooses one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Final

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.strip import Strip
from textual.widget import Widget

from tui_forward.tui.stylesheets import stylesheet
from tui_forward.tui.textual_internals.screens import OverlayScreen
from tui_forward.tui.viewmodel.sorting import SortColumn

_PROMPT: Final = "sort by"
_GAP: Final = 2


class _SortLine(Widget):
    """Draws the letters and the columns that fit."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"keybar--key", "keybar--words"}

    def __init__(self, columns: Sequence[SortColumn]) -> None:
        super().__init__(id="sort-line")
        self._columns = columns

    def _places(self) -> Iterator[tuple[int, int, SortColumn]]:
        """Yield the first cell, the end, and the column of each hint that fits."""
        x = len(_PROMPT) + _GAP
        for column in self._columns:
            end = x + 2 + cell_len(column.name)
            if end <= self.size.width:
                yield x, end, column
            x = end + _GAP

    def render_line(self, y: int) -> Strip:
        """Draw the line."""
        width, base = self.size.width, self.rich_style
        if y:
            return Strip.blank(width, base)
        strong = base + self.get_component_rich_style("keybar--key", partial=True)
        plain = base + self.get_component_rich_style("keybar--words", partial=True)
        segments = [Segment(_PROMPT, plain)]
        for _, _, column in self._places():
            segments += [
                Segment(" " * _GAP, base), Segment(column.letter, strong),
                Segment(f" {column.name}", plain),
            ]  # fmt: skip
        return Strip(segments).adjust_cell_length(width, base)

    def column_at(self, x: int) -> SortColumn | None:
        """Return the column of the hint at a cell."""
        return next((column for start, end, column in self._places() if start <= x < end), None)


class SortPrompt(OverlayScreen[str]):
    """Asks for a column; its result is the column's key, empty if none was chosen.

    Args:
        columns: The columns to choose from; those that are not visible last.
    """

    CSS_PATH = stylesheet("sort_prompt.tcss")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", id="sort.cancel", tooltip="Keep the order"),
    ]

    def __init__(self, columns: Sequence[SortColumn]) -> None:
        super().__init__()
        self._columns = columns
        self._line = _SortLine(columns)

    def compose(self) -> ComposeResult:
        """Show the line."""
        yield self._line

    def on_key(self, event: events.Key) -> None:
        """Choose the column of a letter; any other character keeps the order."""
        if event.is_printable:
            event.stop()
            letter = event.character
            self._answer(next((one.key for one in self._columns if one.letter == letter), ""))

    def on_click(self, event: events.Click) -> None:
        """Choose the clicked column; a click elsewhere keeps the order."""
        offset = event.get_content_offset(self._line)
        column = self._line.column_at(offset.x) if offset is not None else None
        self._answer(column.key if column is not None else "")

    def action_cancel(self) -> None:
        """Keep the order."""
        self._answer("")

    def _answer(self, key: str) -> None:
        if self.is_current:
            self.dismiss(key)
