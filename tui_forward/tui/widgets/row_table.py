"""Table for thousands of live rows: only visible lines are computed, only changed lines drawn.

The cursor belongs to a row key, not to a position: it stays on its row when other rows come
and go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType

from tui_forward.tui.viewmodel.cell_layout import Column
from tui_forward.tui.widgets import row_messages
from tui_forward.tui.widgets.cursor_rules import CursorRules
from tui_forward.tui.widgets.row_view import RowView

_RIGHT_BUTTON = 3


class RowTable(RowView, can_focus=True):
    """Table of rows by key, with a cursor and marks.

    Watch `cursor` (`watch(table, "cursor", …)`) to draw in the same frame what depends on it.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False, id="table.up", tooltip="Previous row"),
        Binding("down,j", "move(1)", "Down", show=False, id="table.down", tooltip="Next row"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="table.page-up",
                tooltip="One page up"),
        Binding("pagedown", "page(1)", "Page down", show=False, id="table.page-down",
                tooltip="One page down"),
        Binding("home,g", "move_to(0)", "First", show=False, id="table.first", tooltip="First row"),
        Binding("end,G", "move_to(-1)", "Last", show=False, id="table.last", tooltip="Last row"),
        Binding("enter", "choose", "Choose", show=False, id="table.choose",
                tooltip="Open the row under the cursor"),
    ]  # fmt: skip

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        empty: str = "",
        header: bool = True,
        id: str | None = None,  # noqa: A002 - Textual's name for it
    ) -> None:
        super().__init__(columns, empty=empty, header=header, id=id)
        self.cursor_rules = CursorRules()

    # Selection -------------------------------------------------------------------------------

    @property
    def selected_keys(self) -> tuple[str, ...]:
        """Keys of the marked rows in order, or of the cursor's row if none is marked."""
        return self.selection.selected(self.cursor)

    def toggle_mark(self, by: int = 1) -> None:
        """Mark or unmark the row under the cursor and move by a number of rows."""
        if self.cursor is not None:
            self.selection.marked ^= {self.cursor}
            self.action_move(by)
            self.refresh()

    def toggle_all_marks(self) -> None:
        """Mark all shown rows, or none if all are marked."""
        self.selection.toggle_all()
        self.refresh()

    def unmark(self) -> bool:
        """Clear all marks and return whether there were any."""
        had_marks = bool(self.selection.marked)
        self.selection.marked.clear()
        if had_marks:
            self.refresh()
        return had_marks

    # Cursor ----------------------------------------------------------------------------------

    def place_cursor(self, position: int, line: int) -> None:
        """See `RowView`."""
        selection, rules = self.selection, self.cursor_rules
        offset = line - self.scroll_offset.y
        if not rules.has_input and self.keys:
            self.cursor = rules.first(selection)
            self.scroll_to(y=0, animate=False, force=True)
            self.reveal()
        elif (new_position := selection.position(self.cursor)) is not None:
            # The row under the cursor keeps its line on the screen.
            new_line = self._lines.first(new_position)
            if new_line != line:
                self.scroll_to(y=max(0, new_line - offset), animate=False, force=True)
        else:
            self.cursor = selection.clamped(position) if self.keys else None
        self._go_to_followed()

    def restart(self) -> None:
        """Remove all rows; the next ones are shown as in a new table."""
        self.cursor_rules = CursorRules()
        self.show((), self._row_of)

    def follow(self, key: str) -> None:
        """Move the cursor to a row, now or when it appears."""
        self.cursor_rules.follow(key)
        self._go_to_followed()

    def _go_to_followed(self) -> None:
        key = self.cursor_rules.take_followed(self.selection)
        if key is not None:
            self.cursor = key

    def action_move(self, by: int) -> None:
        """Move the cursor by a number of rows."""
        self.cursor_rules.has_input = True
        if self.keys:
            position = self.selection.position(self.cursor) or 0
            self.cursor = self.selection.clamped(position + by)

    def action_page(self, by: int) -> None:
        """Move the cursor by a number of pages."""
        self.action_move(by * max(1, self.size.height - 2))

    def action_move_to(self, position: int) -> None:
        """Move the cursor to a position; negative ones count from the end."""
        self.cursor_rules.has_input = True
        if self.keys:
            self.cursor = self.keys[position]

    def action_choose(self) -> None:
        """Choose the row under the cursor."""
        if self.cursor is not None:
            self.post_message(row_messages.Chosen(self, self.cursor))
        else:
            self.post_message(row_messages.NothingToChoose(self))

    # Input -----------------------------------------------------------------------------------

    def on_key(self) -> None:
        """Record that the table got input; a key returns to the cursor, which the wheel leaves."""
        self.cursor_rules.has_input = True
        self.reveal()

    def on_click(self, event: events.Click) -> None:
        """Move the cursor; choose on a double click; ask for a menu on the right button."""
        self.cursor_rules.has_input = True
        offset = event.get_content_offset(self)
        if offset is None:
            return
        if offset.y < self._header_height:
            column = self._columns.key_at(offset.x)
            self.post_message(row_messages.HeaderClicked(self, column))
            return
        key = self._key_at(offset.y)
        if key is not None:
            self.cursor = key
            if event.button == _RIGHT_BUTTON:
                self.post_message(row_messages.ContextMenuRequested(self, key))
                return
            self.post_message(row_messages.Clicked(self, key))
            if event.chain >= 2:
                self.action_choose()
