"""A table for thousands of live rows: only visible lines are computed, only changed ones drawn.

The cursor belongs to a key, not to a position: it stays with its row when others come and go.
"""

from __future__ import annotations

import contextlib
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget

from tui_forward.tui.viewmodel.cell_layout import (
    Column,
    column_widths,
    fitted_spans,
    printable,
    truncate,
)
from tui_forward.tui.viewmodel.rows import Cell, Row

_NO_ROW = Row(())
_MAX_KNOWN = 500
_RIGHT = 3  # button of a mouse
_LEAST_TITLE = 4  # cells; below, there is no room for one
_NEAR = 100
# Lines that belong to no key; no key has a line end in it.
_HEAD, _BLANK, _EMPTY = "head\n", "blank\n", "empty\n"
_RULE = -1  # the line of the viewport above all others


@dataclass(frozen=True, slots=True)
class _Drawn:
    """A line as it was last drawn."""

    key: str | None
    row: Row
    look: object
    strip: Strip  # with the padding


class RowTable(ScrollView, can_focus=True):
    """Shows rows by key.

    Whoever depends on the cursor watches it (`watch(table, "cursor", …)`), so that both are
    drawn in the same frame.

    Args:
        columns: The columns, in order.
        empty: What an empty table says.
        head: Whether the titles of the columns stand above.
        id: Widget id.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "rowtable--rule",
        "rowtable--rule-focus",
        "rowtable--title",
        "rowtable--title-focus",
        "rowtable--head",
        "rowtable--cursor",
        "rowtable--cursor-away",
        "rowtable--ok",
        "rowtable--warn",
        "rowtable--bad",
        "rowtable--dim",
        "rowtable--strong",
        "rowtable--match",
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False, id="table.up",
                tooltip="The row above"),
        Binding("down,j", "move(1)", "Down", show=False, id="table.down",
                tooltip="The row below"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="table.page-up",
                tooltip="A page up"),
        Binding("pagedown", "page(1)", "Page down", show=False, id="table.page-down",
                tooltip="A page down"),
        Binding("home,g", "move_to(0)", "First", show=False, id="table.first",
                tooltip="The first row"),
        Binding("end,G", "move_to(-1)", "Last", show=False, id="table.last",
                tooltip="The last row"),
        Binding("enter", "choose", "Choose", show=False, id="table.choose",
                tooltip="Go on with the row under the cursor"),
    ]  # fmt: skip

    cursor: reactive[str | None] = reactive(None, repaint=False)

    class _Told(Message):
        """Of a table, which `on` can select."""

        def __init__(self, table: RowTable) -> None:
            super().__init__()
            self.table = table

        @property
        def control(self) -> RowTable:
            """The table."""
            return self.table

    class _OfRow(_Told):
        """Of a row of it."""

        def __init__(self, table: RowTable, key: str) -> None:
            super().__init__(table)
            self.key = key

    class HeadClicked(_Told):
        """The head was clicked."""

    class Clicked(_OfRow):
        """A row was clicked, once."""

    class ContextMenuRequested(_OfRow):
        """A row was clicked with the right button: what can be done with it?"""

    class Chosen(_OfRow):
        """A row was chosen by Enter or a second click."""

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        empty: str = "",
        head: bool = True,
        id: str | None = None,  # noqa: A002 - Textual's name for it
    ) -> None:
        super().__init__(id=id)
        self._columns = tuple(columns)
        self._empty = empty
        self._title = ""
        self._top = int(head)  # lines above the first row
        self._keys: tuple[str, ...] = ()
        self._last_place = 0  # where a key was found last
        self._row_of: Callable[[str], Row] = lambda _key: _NO_ROW
        self._drawn: dict[int, _Drawn] = {}  # visible lines as they were last drawn
        # By key, so that scrolling moves lines instead of making them again.
        self._known: dict[str, _Drawn] = {}
        self.marked: set[str] = set()
        # Until somebody has been here, rows that come in above belong under the cursor.
        self._untouched = True
        self._wished: str | None = None
        self._widths: tuple[int, list[int]] = (-1, [])
        self._looks: dict[str, Style] = {}  # until the theme or the focus changes

    @property
    def pending_cursor(self) -> str | None:
        """The row that gets the cursor when it comes, unless somebody has been here by then."""
        return self._wished if self._untouched else None

    @pending_cursor.setter
    def pending_cursor(self, key: str | None) -> None:
        self._wished = key

    @property
    def title(self) -> str:
        """What stands in the rule above."""
        return self._title

    @title.setter
    def title(self, text: str) -> None:
        if text != self._title:
            self._title = text
            self._refresh_line(_RULE)

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns, in order."""
        return self._columns

    @columns.setter
    def columns(self, columns: tuple[Column, ...]) -> None:
        if columns != self._columns:
            self._columns = columns
            self._widths = (-1, [])
            self._known.clear()
            self.refresh()

    @property
    def empty(self) -> str:
        """What the table says when there are no rows, on as many lines as it takes."""
        return self._empty

    @empty.setter
    def empty(self, text: str) -> None:
        if text != self._empty:
            self._empty = text
            if not self._keys:
                self.refresh()

    @property
    def selected_keys(self) -> tuple[str, ...]:
        """The marked rows in order, or the one under the cursor if none is marked."""
        if self.marked:
            return tuple(key for key in self._keys if key in self.marked)
        return (self.cursor,) if self.cursor is not None else ()

    def toggle_mark(self) -> None:
        """Mark the row under the cursor, or unmark it, and go on to the next."""
        if self.cursor is not None:
            self.marked ^= {self.cursor}
            self.action_move(1)
            self.refresh()

    def unmark(self) -> bool:
        """Take all marks away; returns whether there were any."""
        had, self.marked = bool(self.marked), set()
        if had:
            self.refresh()
        return had

    @property
    def keys(self) -> Sequence[str]:
        """The keys of all rows, in order."""
        return self._keys

    def show(self, keys: Sequence[str], row_of: Callable[[str], Row]) -> None:
        """Take over the present rows.

        Args:
            keys: All rows in order.
            row_of: The row of a key; called for visible rows only.
        """
        self._row_of = row_of
        keys = tuple(keys)
        if keys != self._keys:
            before = self._keys
            self._take_keys(keys)
            if not keys or not before:
                self.refresh()
                return
        for line, drawn in list(self._drawn.items()):
            key = self._key_at(line)
            if key != drawn.key or (key is not None and row_of(key) != drawn.row):
                self._refresh_line(line)

    def _take_keys(self, keys: tuple[str, ...]) -> None:
        old_place = self._place(self.cursor) or 0
        offset = old_place - self.scroll_offset.y
        self._keys = keys
        if self.marked:
            self.marked.intersection_update(keys)
        self._take_height(len(keys) + self._top)
        if self._untouched and keys:
            wished = self._place(self._wished) is not None
            self.cursor = self._wished if wished else keys[0]
            self.scroll_to(y=0, animate=False, force=True)
            self.reveal()
        elif (place := self._place(self.cursor)) is not None:
            # The row under the cursor keeps its line on the screen.
            if place != old_place:
                self.scroll_to(y=max(0, place - offset), animate=False, force=True)
        else:
            self.cursor = keys[min(old_place, len(keys) - 1)] if keys else None

    def _take_height(self, height: int) -> None:
        """Lay the screen out anew only if that changes it: it costs a frame."""
        size = Size(self.size.width, height)
        if not self.is_mounted or self.styles.auto_dimensions:
            self.virtual_size = size
        elif size != self.virtual_size:
            self.set_reactive(Widget.virtual_size, size)
            self.vertical_scrollbar.window_virtual_size = height
            self.scroll_y = min(self.scroll_y, self.max_scroll_y)

    def _place(self, key: str | None) -> int | None:
        """Where a key is now; most often where it was, or near by."""
        if key is None:
            return None
        near = max(0, self._last_place - _NEAR)
        for first, last in ((near, near + 2 * _NEAR), (0, len(self._keys))):
            with contextlib.suppress(ValueError):
                self._last_place = self._keys.index(key, first, last)
                return self._last_place
        return None

    def _key_at(self, line: int) -> str | None:
        place = line - self._top + self.scroll_offset.y
        return self._keys[place] if line >= self._top and 0 <= place < len(self._keys) else None

    def _refresh_line(self, line: int) -> None:
        self.refresh(Region(0, line, self.size.width, 1))

    def watch_cursor(self, old: str | None, new: str | None) -> None:
        """Redraw two lines and keep the new one in view."""
        for key in (old, new):
            place = self._place(key)
            if place is not None:
                self._refresh_line(place + self._top - self.scroll_offset.y)
        self.reveal()

    def reveal(self) -> None:
        """Scroll so far that the cursor can be seen."""
        place = self._place(self.cursor)
        page = self.size.height - self._top
        if place is None or page < 1:
            return
        top = self.scroll_offset.y
        if place < top:
            self.scroll_to(y=place, animate=False, force=True)
        elif place >= top + page:
            self.scroll_to(y=place - page + 1, animate=False, force=True)

    def on_resize(self) -> None:
        """Columns are laid out anew."""
        self._drawn.clear()
        self.virtual_size = Size(self.size.width, len(self._keys) + self._top)
        self.reveal()

    def on_key(self) -> None:
        """Somebody is here."""
        self._untouched = False

    def watch_has_focus(self, _has_focus: bool) -> None:
        """The rule and the cursor show where keys go.

        Two lines: Textual would look up every style and draw the whole table anew.
        """
        self._refresh_line(_RULE)
        place = self._place(self.cursor)
        if place is not None:
            self._refresh_line(place + self._top - self.scroll_offset.y)

    def on_focus(self, event: events.Focus) -> None:
        """Instead of Textual's, which draws all of it anew."""
        event.prevent_default()
        self.has_focus = True

    def on_blur(self, event: events.Blur) -> None:
        """Likewise."""
        event.prevent_default()
        self.has_focus = False

    def action_move(self, by: int) -> None:
        """Move the cursor by rows."""
        self._untouched = False
        if self._keys:
            place = (self._place(self.cursor) or 0) + by
            self.cursor = self._keys[max(0, min(place, len(self._keys) - 1))]

    def action_page(self, by: int) -> None:
        """Move the cursor by pages."""
        self.action_move(by * max(1, self.size.height - 2))

    def action_move_to(self, place: int) -> None:
        """Move the cursor to a place from the start, or from the end if negative."""
        self._untouched = False
        if self._keys:
            self.cursor = self._keys[place]

    def action_choose(self) -> None:
        """Choose the row under the cursor."""
        if self.cursor is not None:
            self.post_message(self.Chosen(self, self.cursor))

    def on_click(self, event: events.Click) -> None:
        """First click moves the cursor, a double click chooses, the right button asks."""
        self._untouched = False
        offset = event.get_content_offset(self)
        if offset is None:
            return
        if offset.y < self._top:
            self.post_message(self.HeadClicked(self))
            return
        key = self._key_at(offset.y)
        if key is not None:
            self.cursor = key
            if event.button == _RIGHT:
                self.post_message(self.ContextMenuRequested(self, key))
                return
            self.post_message(self.Clicked(self, key))
            if event.chain >= 2:
                self.action_choose()

    def render_lines(self, crop: Region) -> list[Strip]:
        """Draw a part of the widget, borders included.

        As Textual's own, which puts every line together anew each time: here a row that was
        drawn before is only handed on, wherever it stands now. Of a border it knows the one above.
        """
        top, width = self.styles.gutter.top, self.outer_size.width
        filters, background = self.get_line_filters(), self.background_colors[1]
        strips: list[Strip] = []
        for y in crop.line_range:
            strip = self._line(y - top).strip if y >= top else self._rule()
            for line_filter in filters:
                strip = strip.apply_filter(line_filter, background)
            strips.append(strip if crop.width == width else strip.crop(crop.x, crop.right))
        return strips

    def _rule(self) -> Strip:
        """The line above, with the title in it."""
        focus, width = self.has_focus, self.outer_size.width
        edge, suffix = ("━", "-focus") if focus else ("─", "")
        rule = self._style(f"rule{suffix}")
        parts = [Segment(edge, rule)]
        if self._title and width > _LEAST_TITLE:
            text = printable(f" {self._title} ")
            room = min(cell_len(text), width - 2)
            parts.append(Segment(truncate(text, room), self._style(f"title{suffix}")))
        parts.append(Segment(edge * max(0, width - sum(part.cell_length for part in parts)), rule))
        return Strip(parts).adjust_cell_length(width)

    def _line(self, y: int) -> _Drawn:
        """One line of the viewport: the head, a row, or nothing."""
        if (drawn := self._drawn.get(y)) is not None:
            return drawn
        width = self.scrollable_content_region.width
        if self._widths[0] != width:
            self._widths = (width, column_widths(self._columns, width))
        key = self._key_at(y)
        row = self._row_of(key) if key is not None else _NO_ROW
        cursor = key is not None and key == self.cursor
        # What has no key is told apart by what it says.
        name = key if key is not None else _HEAD if y < self._top else _BLANK
        if name == _BLANK and not self._keys:
            words = textwrap.wrap(printable(self.empty), max(1, width))[y - self._top :][:1]
            if words:
                name, row = _EMPTY, Row((Cell(words[0], "dim"),))
        look = (width, self.outer_size.width, self._style(""), cursor, cursor and self.has_focus)
        drawn = self._known.get(name)
        if drawn is None or drawn.row != row or drawn.look != look:
            if len(self._known) > _MAX_KNOWN:
                self._known.clear()
            strip = self._padded(self._made(name, row, width, cursor))
            drawn = self._known[name] = _Drawn(key, row, look, strip)
        self._drawn[y] = drawn
        return drawn

    def refresh(
        self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False
    ) -> Self:
        """Draw these lines of the viewport anew, or all of them."""
        if regions:
            for region in regions:
                for y in region.line_range:
                    self._drawn.pop(y, None)
        else:
            self._drawn.clear()
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)

    def _made(self, name: str, row: Row, width: int, cursor: bool) -> Strip:
        if name == _HEAD:
            return self._strip(self._head(), "head", width)
        if name == _EMPTY:
            text = set_cell_size(row.cells[0].text, width)
            return Strip([Segment(text, self._style("dim"))], width)
        if cursor:
            line = "cursor" if self.has_focus else "cursor-away"
            return self._strip(row, line, width, plain=self.has_focus)
        return self._strip(row, "", width)

    def _padded(self, strip: Strip) -> Strip:
        """With the padding."""
        padding, base = self.styles.padding, self._style("")
        line = Strip([Segment(" " * padding.left, base), *strip])
        return line.adjust_cell_length(self.outer_size.width, base)

    def _style(self, name: str, on: str = "") -> Style:
        """The look of a kind of cell, in the look of a kind of line."""
        known = f"{name} {on}"
        style = self._looks.get(known)
        if style is None:
            style = self._style(on) if on else self.rich_style
            if name:
                style += self.get_component_rich_style(f"rowtable--{name}", partial=True)
            self._looks[known] = style
        return style

    def notify_style_update(self) -> None:
        """Another theme."""
        self._looks.clear()
        self._drawn.clear()
        super().notify_style_update()

    def _head(self) -> Row:
        return Row(tuple(Cell(column.title) for column in self._columns))

    def _strip(self, row: Row, line: str, width: int, *, plain: bool = False) -> Strip:
        """Cells side by side; a short row's last cell takes the rest of the line."""
        segments: list[Segment] = []
        base = self._style(line)
        used = 0
        last = len(row.cells) - 1
        for place, cell in enumerate(row.cells):
            column = self._columns[place]
            room = self._widths[1][place]
            spans = place == last and last < len(self._columns) - 1
            if spans:
                room = width - used
            if room <= 0:
                continue
            style = self._style(cell.style, line) if cell.style and not plain else base
            text = truncate(
                cell.text,
                room,
                right=column.right and not spans,
                middle=column.flexible and not column.prose,
            )
            if cell.spans:
                match = self._style("match", line)
                segments += _highlighted(text, style, style + match, fitted_spans(cell, room))
            else:
                segments.append(Segment(text, style))
            used += room
            if used < width:
                segments.append(Segment(" ", base))
                used += 1
        if used < width:
            segments.append(Segment(" " * (width - used), base))
        return Strip(segments).adjust_cell_length(width, base)


def _highlighted(
    text: str, style: Style, match: Style, spans: Sequence[tuple[int, int]]
) -> list[Segment]:
    segments: list[Segment] = []
    at = 0
    for start, end in spans:
        segments += [Segment(text[at:start], style), Segment(text[start:end], match)]
        at = end
    return [segment for segment in (*segments, Segment(text[at:], style)) if segment.text]
