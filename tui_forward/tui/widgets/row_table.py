"""Table for thousands of live rows: only visible lines are computed, only changed lines drawn.

The cursor belongs to a row key, not to a position: it stays on its row when other rows come
and go.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message
from textual.reactive import reactive
from textual.strip import Strip

from tui_forward.common.formatting import pluralize
from tui_forward.common.printable import blank_unprintable
from tui_forward.tui.viewmodel.cell_layout import Column, NaturalWidths
from tui_forward.tui.viewmodel.rows import Row
from tui_forward.tui.widgets.line_cache_view import RULE_LINE, LineCacheView
from tui_forward.tui.widgets.row_lines import RowLines
from tui_forward.tui.widgets.row_renderer import NO_ROW, DrawnLine, RowRenderer
from tui_forward.tui.widgets.row_selection import RowSelection

_RIGHT_BUTTON = 3
_TITLE_START = 2  # column of a title in its rule


class RowTable(LineCacheView, can_focus=True):
    """Table of rows by key, with a cursor and marks.

    Watch `cursor` (`watch(table, "cursor", …)`) to draw in the same frame what depends on it.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "rowtable--rule", "rowtable--rule-focus", "rowtable--title", "rowtable--title-focus",
        "rowtable--header", "rowtable--cursor", "rowtable--cursor-away", "rowtable--ok",
        "rowtable--warn", "rowtable--bad", "rowtable--dim", "rowtable--strong", "rowtable--match",
        "rowtable--broken",
        "rowtable--protected", "rowtable--down", "rowtable--down-strong", "rowtable--up",
        "rowtable--up-strong", "rowtable--traffic", "rowtable--key",
    }  # fmt: skip
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

    cursor: reactive[str | None] = reactive(None, repaint=False)

    @dataclass(eq=False)
    class _TableMessage(Message):
        """Message of a table, which `on` can select."""

        table: RowTable

        @property
        def control(self) -> RowTable:
            """The table."""
            return self.table

    @dataclass(eq=False)
    class _RowMessage(_TableMessage):
        key: str

    @dataclass(eq=False)
    class HeaderClicked(_TableMessage):
        """A column title was clicked; `column` is its key, empty for one without."""

        column: str

    class NothingToChoose(_TableMessage):
        """Enter was pressed in an empty table."""

    @dataclass(eq=False)
    class TitleClicked(_TableMessage):
        """The title was clicked, `x` cells from its start."""

        x: int

    @dataclass(eq=False)
    class TitleDragged(_TableMessage):
        """The title was dragged by some lines, down if positive."""

        by: int

    class Clicked(_RowMessage):
        """A row was clicked once."""

    class ContextMenuRequested(_RowMessage):
        """A row was clicked with the right button."""

    class Chosen(_RowMessage):
        """A row was chosen with Enter or a double click."""

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        empty: str = "",
        header: bool = True,
        id: str | None = None,  # noqa: A002 - Textual's name for it
    ) -> None:
        super().__init__(id=id)
        self._columns = tuple(columns)
        self._renderer = RowRenderer(self, columns)
        self._selection = RowSelection()
        self._lines = RowLines()
        self._tall: Collection[str] = ()  # keys of rows with a second line
        self._natural = NaturalWidths()
        self._sorted_by = ("", False)  # key of the column with the arrow, and whether it is down
        self._empty = empty
        self._title = ""
        self._title_notes: tuple[str, ...] = ()
        # Whether the title has the position of the cursor, and the number of all rows if some
        # are filtered out.
        self.shows_position = False
        self.total: int | None = None
        self.problems: Collection[str] = ()  # keys of rows that the title counts when scrolled out
        self._follows: str | None = None
        self._drag_from: int | None = None  # line of the screen that a title is dragged from
        self._was_dragged = False
        self._header_height = int(header)
        self._row_of: Callable[[str], Row] = lambda _key: NO_ROW
        # Until the first input, the cursor stays on the first row when rows appear above it.
        self._has_input = False
        self._pending_cursor: str | None = None

    @property
    def pending_cursor(self) -> str | None:
        """Row that gets the cursor when it appears, unless the table got input before that."""
        return None if self._has_input else self._pending_cursor

    @pending_cursor.setter
    def pending_cursor(self, key: str | None) -> None:
        self._pending_cursor = key

    @property
    def title(self) -> str:
        """Text in the rule above the table."""
        return self._title

    @title.setter
    def title(self, text: str) -> None:
        if text != self._title:
            self._title = text
            self.refresh_line(RULE_LINE)

    @property
    def title_notes(self) -> tuple[str, ...]:
        """Texts at the right of the rule, before the position."""
        return self._title_notes

    @title_notes.setter
    def title_notes(self, notes: tuple[str, ...]) -> None:
        if notes != self._title_notes:
            self._title_notes = notes
            self.refresh_line(RULE_LINE)

    @property
    def has_head(self) -> bool:
        """Whether the column titles are shown."""
        return bool(self._header_height)

    @has_head.setter
    def has_head(self, has_head: bool) -> None:
        if has_head != self.has_head:
            self._header_height = int(has_head)
            self.set_content_height(self._lines.total + self._header_height)
            self.refresh()
            self.reveal()

    def follow(self, key: str) -> None:
        """Move the cursor to a row, now or when it appears."""
        self._follows = key
        if self._selection.position(key) is not None:
            self._go_to_followed()

    def _go_to_followed(self) -> None:
        self._has_input = True
        self.cursor, self._follows = self._follows, None

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns in order."""
        return self._columns

    @columns.setter
    def columns(self, columns: tuple[Column, ...]) -> None:
        if columns != self._columns:
            self._columns = columns
            self._natural.reset()
            self._lay_out(())

    def show_sort(self, column: str, *, descending: bool) -> None:
        """Show an arrow in the title of a column, or none for an empty key."""
        if (column, descending) != self._sorted_by:
            self._sorted_by = (column, descending)
            self._lay_out(self._renderer.longest)
            self.refresh_line(0)

    def _lay_out(self, longest: tuple[int, ...]) -> None:
        """Set columns and lengths of cells, and draw again if a column moves."""
        key, descending = self._sorted_by
        arrow = "▼" if descending else "▲"
        columns = tuple(
            replace(column, title=column.title + arrow) if key and column.key == key else column
            for column in self._columns
        )
        if self._renderer.set_columns(columns, longest):
            self.refresh()

    def column_width(self, position: int) -> int:
        """Return the width of a column in cells; 0 while it is dropped."""
        return self._renderer.layout.widths[position]

    @property
    def content_lines(self) -> int:
        """The number of lines of all rows, without title and head."""
        return self._lines.total

    @property
    def empty(self) -> str:
        """Text of an empty table, wrapped to its width."""
        return self._empty

    @empty.setter
    def empty(self, text: str) -> None:
        if text != self._empty:
            self._empty = text
            if not self.keys:
                self.refresh()

    @property
    def keys(self) -> Sequence[str]:
        """The keys of all rows in order."""
        return self._selection.keys

    @property
    def marked(self) -> set[str]:
        """Keys of the marked rows."""
        return self._selection.marked

    def exists(self, key: str) -> bool:  # noqa: ARG002 - of subclasses that hide rows
        """Return whether a row that is not shown exists, so that it stays marked."""
        return False

    @property
    def selection_text(self) -> str:
        """Return `3 selected (1 hidden)`; empty without marks."""
        if not self.marked:
            return ""
        hidden = self._selection.hidden_marks
        return f"{len(self.marked)} selected{f' ({hidden} hidden)' if hidden else ''}"

    @property
    def selected_keys(self) -> tuple[str, ...]:
        """Keys of the marked rows in order, or of the cursor's row if none is marked."""
        return self._selection.selected(self.cursor)

    def toggle_mark(self, by: int = 1) -> None:
        """Mark or unmark the row under the cursor and move by a number of rows."""
        if self.cursor is not None:
            self._selection.marked ^= {self.cursor}
            self.action_move(by)
            self.refresh()

    def toggle_all_marks(self) -> None:
        """Mark all shown rows, or none if all are marked."""
        shown = set(self.keys)
        self._selection.marked = set() if shown <= self.marked else self.marked | shown
        self.refresh()

    def unmark(self) -> bool:
        """Clear all marks and return whether there were any."""
        had_marks = bool(self.marked)
        self.marked.clear()
        if had_marks:
            self.refresh()
        return had_marks

    @property
    def row_lines(self) -> int:
        """The number of lines for rows; 0 before the table has a size."""
        return max(0, self.size.height - self._header_height)

    def show(
        self, keys: Sequence[str], row_of: Callable[[str], Row], *,
        longest: Sequence[int] = (), tall: Collection[str] = (),
    ) -> None:  # fmt: skip
        """Replace all rows.

        Args:
            keys: Keys of the rows in order.
            row_of: Returns a row; called for visible rows only.
            longest: Length of the longest cell of each column, of all rows; see `fit`.
            tall: Keys of rows that have a second line.
        """
        self._row_of = row_of
        keys, before = tuple(keys), self._selection.keys
        if longest:
            self._lay_out(self._natural.update(keys, longest))
        if keys != before or tall != self._tall:
            self._replace_keys(keys, tall)
            self.refresh_line(RULE_LINE)  # the position
            if self._follows is not None and self._selection.position(self._follows) is not None:
                self._go_to_followed()
            if not keys or not before:
                self.refresh()
                return
        for line, drawn in self.drawn_lines():
            key = self._key_at(line)
            if (
                key != drawn.key
                or (self._is_second(line) != drawn.is_second)
                or (key is not None and row_of(key) != drawn.row)
            ):
                self.refresh_line(line)

    def _replace_keys(self, keys: tuple[str, ...], tall: Collection[str]) -> None:
        selection, lines = self._selection, self._lines
        old_position = selection.position(self.cursor) or 0
        old_line = lines.first(old_position) if selection.keys else 0
        offset = old_line - self.scroll_offset.y
        selection.replace(keys, self.exists)
        self._tall = tall
        lines.replace(keys, tall)
        self.set_content_height(lines.total + self._header_height)
        if not self._has_input and keys:
            is_there = selection.position(self._pending_cursor) is not None
            self.cursor = self._pending_cursor if is_there else keys[0]
            self.scroll_to(y=0, animate=False, force=True)
            self.reveal()
        elif (position := selection.position(self.cursor)) is not None:
            # The row under the cursor keeps its line on the screen.
            line = lines.first(position)
            if line != old_line:
                self.scroll_to(y=max(0, line - offset), animate=False, force=True)
        else:
            self.cursor = selection.clamped(old_position) if keys else None

    def reveal(self) -> None:
        """Scroll until the cursor is visible."""
        position = self._selection.position(self.cursor)
        page = self.size.height - self._header_height
        if position is None or page < 1:
            return
        top = self.scroll_offset.y
        first, last = self._lines.first(position), self._lines.last(position)
        if first < top or last - first >= page:
            self.scroll_to(y=first, animate=False, force=True)
        elif last >= top + page:
            self.scroll_to(y=last - page + 1, animate=False, force=True)

    def action_move(self, by: int) -> None:
        """Move the cursor by a number of rows."""
        self._has_input = True
        if self.keys:
            self.cursor = self._selection.clamped((self._selection.position(self.cursor) or 0) + by)

    def action_page(self, by: int) -> None:
        """Move the cursor by a number of pages."""
        self.action_move(by * max(1, self.size.height - 2))

    def action_move_to(self, position: int) -> None:
        """Move the cursor to a position; negative ones count from the end."""
        self._has_input = True
        if self.keys:
            self.cursor = self.keys[position]

    def action_choose(self) -> None:
        """Choose the row under the cursor."""
        if self.cursor is not None:
            self.post_message(self.Chosen(self, self.cursor))
        else:
            self.post_message(self.NothingToChoose(self))

    def on_key(self) -> None:
        """Record that the table got input."""
        self._has_input = True

    def on_click(self, event: events.Click) -> None:
        """Move the cursor; choose on a double click; ask for a menu on the right button."""
        self._has_input = True
        offset = event.get_content_offset(self)
        if offset is None:
            if event.y == 0 and not self._was_dragged and self.title:
                self.post_message(self.TitleClicked(self, max(0, event.x - _TITLE_START)))
            return
        if offset.y < self._header_height:
            position = self._renderer.layout.position_at(offset.x)
            column = self._columns[position].key if position is not None else ""
            self.post_message(self.HeaderClicked(self, column))
            return
        key = self._key_at(offset.y)
        if key is not None:
            self.cursor = key
            if event.button == _RIGHT_BUTTON:
                self.post_message(self.ContextMenuRequested(self, key))
                return
            self.post_message(self.Clicked(self, key))
            if event.chain >= 2:
                self.action_choose()

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Start to drag the title."""
        self._was_dragged = False
        if event.y == 0 and self.title and event.get_content_offset(self) is None:
            self._drag_from = event.screen_y
            self.capture_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Drag the title."""
        if self._drag_from is None or event.screen_y == self._drag_from:
            return
        by, self._drag_from = event.screen_y - self._drag_from, event.screen_y
        self._was_dragged = True
        self.post_message(self.TitleDragged(self, by))

    def on_mouse_up(self) -> None:
        """Stop dragging."""
        if self._drag_from is not None:
            self._drag_from = None
            self.release_mouse()

    def watch_cursor(self, old: str | None, new: str | None) -> None:
        """Redraw the two lines and scroll to the new one."""
        for key in (old, new):
            self._refresh_row(key)
        if self.shows_position:
            self.refresh_line(RULE_LINE)
        self.reveal()

    def watch_has_focus(self, _has_focus: bool) -> None:
        """Redraw the rule and the cursor's line only; Textual's watcher draws the whole table."""
        self.refresh_line(RULE_LINE)
        self._refresh_row(self.cursor)

    def on_resize(self) -> None:
        """Lay out the columns for the new width."""
        self.clear_lines()
        self._natural.reset()
        self.virtual_size = Size(self.size.width, self._lines.total + self._header_height)
        self.reveal()

    def notify_style_update(self) -> None:
        """Read styles again after a change of theme."""
        self._renderer.clear_styles()
        super().notify_style_update()

    def draw_rule(self) -> Strip:
        """Return the rule with the title."""
        notes = [note for note in self._title_notes if note and self.keys]
        if self.shows_position:
            notes = [*self._hidden_problems(), *notes, self._position_text()]
        return self._renderer.rule(self._title, notes)

    def _position_text(self) -> str:
        """Return `4/14`, or `2/3 of 14` if rows are filtered out."""
        position, count = self._selection.position(self.cursor), len(self.keys)
        text = f"{position + 1}/{count}" if position is not None and count else f"{count}"
        return f"{text} of {self.total}" if self.total is not None else text

    def _hidden_problems(self) -> list[str]:
        """Return how many rows with a problem are scrolled out, above and below."""
        if not self.problems:
            return []
        top = self.scroll_offset.y
        end = top + max(0, self.size.height - self._header_height)
        first, last = self._lines.row_at(top)[0], self._lines.row_at(end)[0]
        notes = []
        for mark, keys, where in (
            ("▲", self.keys[:first], "above"), ("▼", self.keys[last:], "below"),
        ):  # fmt: skip
            count = sum(key in self.problems for key in keys)
            if count:
                notes.append(f"{mark} {pluralize(count, 'problem')} {where}")
        return notes

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Update the rule, which counts what is scrolled out."""
        super().watch_scroll_y(old_value, new_value)
        if self.problems and round(old_value) != round(new_value):
            self.refresh_line(RULE_LINE)

    def draw_line(self, y: int) -> DrawnLine:
        """Return the header, a row, or the text of an empty table."""
        if y < self._header_height:
            return self._renderer.header()
        key = self._key_at(y)
        if key is not None:
            return self._renderer.row(
                key, self._row_of(key), is_cursor=key == self.cursor, second=self._is_second(y)
            )
        if not self.keys:
            width = max(1, self.scrollable_content_region.width)
            line = y - self._header_height
            wrapped = textwrap.wrap(blank_unprintable(self.empty), width)
            if line < len(wrapped):
                return self._renderer.message(wrapped[line])
        return self._renderer.blank()

    def _row_at(self, line: int) -> tuple[int, bool]:
        return self._lines.row_at(line - self._header_height + self.scroll_offset.y)

    def _key_at(self, line: int) -> str | None:
        if line < self._header_height:
            return None
        return self._selection.key_at(self._row_at(line)[0])

    def _is_second(self, line: int) -> bool:
        return line >= self._header_height and self._row_at(line)[1]

    def _refresh_row(self, key: str | None) -> None:
        position = self._selection.position(key)
        if position is not None:
            top = self._header_height - self.scroll_offset.y
            for line in range(self._lines.first(position), self._lines.last(position) + 1):
                self.refresh_line(line + top)
