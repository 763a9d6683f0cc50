"""A table for thousands of live rows: only visible lines are computed, only changed ones drawn.

The cursor belongs to a key, not to a position: it stays with its row when others come and go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

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

from tui_forward.tui.rows import Cell, Row

_NO_ROW = Row(())


@dataclass(frozen=True, slots=True)
class Column:
    """How wide a column is.

    Attributes:
        width: Cells, or the least of them for the one that takes what is left.
        flexible: Takes what is left; names that are too long lose their middle.
        prose: Sentences, which lose their end instead.
        right: Figures stand to the right.
        drop: Columns with the highest number go first when the table is too narrow; 0 stays.
    """

    title: str
    width: int
    flexible: bool = False
    prose: bool = False
    right: bool = False
    drop: int = 0


def column_widths(columns: Sequence[Column], width: int) -> list[int]:
    """The width of each column, 0 for one that finds no place; one cell between columns."""
    shown = list(columns)

    def needed() -> int:
        return sum(column.width + 1 for column in shown) - 1

    while needed() > width and (last := max(shown, key=lambda c: c.drop)).drop:
        shown.remove(last)
    spare = max(0, width - needed())
    widths = []
    for column in columns:
        if column not in shown:
            widths.append(0)
        elif column.flexible:
            widths.append(column.width + spare)
            spare = 0
        else:
            widths.append(column.width)
    return widths


class RowTable(ScrollView, can_focus=True):
    """Shows rows by key.

    Args:
        columns: The columns, in order.
        empty: What an empty table says.
        head: Whether the titles of the columns stand above.
        id: Widget id.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "rowtable--head",
        "rowtable--cursor",
        "rowtable--cursor-away",
        "rowtable--ok",
        "rowtable--warn",
        "rowtable--bad",
        "rowtable--dim",
        "rowtable--strong",
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

    class Moved(Message):
        """The cursor stands on another row, or on none."""

        def __init__(self, table: RowTable, key: str | None) -> None:
            super().__init__()
            self.table = table
            self.key = key

        @property
        def control(self) -> RowTable:
            """The table, for selectors in `on`."""
            return self.table

    class HeadClicked(Message):
        """The head was clicked, over a column."""

        def __init__(self, table: RowTable, column: Column) -> None:
            super().__init__()
            self.table = table
            self.column = column

        @property
        def control(self) -> RowTable:
            """The table, for selectors in `on`."""
            return self.table

    class Clicked(Message):
        """A row was clicked, once."""

        def __init__(self, table: RowTable, key: str) -> None:
            super().__init__()
            self.table = table
            self.key = key

        @property
        def control(self) -> RowTable:
            """The table, for selectors in `on`."""
            return self.table

    class Chosen(Message):
        """A row was chosen by Enter or a second click."""

        def __init__(self, table: RowTable, key: str) -> None:
            super().__init__()
            self.table = table
            self.key = key

        @property
        def control(self) -> RowTable:
            """The table, for selectors in `on`."""
            return self.table

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
        self.empty = empty
        self._top = int(head)  # lines above the first row
        self._keys: tuple[str, ...] = ()
        self._index: dict[str, int] = {}
        self._row_of: Callable[[str], Row] = lambda _key: _NO_ROW
        self._drawn: dict[int, Row] = {}  # visible lines as they were last drawn
        self.marked: set[str] = set()
        # Until somebody has been here, rows that come in above belong under the cursor.
        self._untouched = True
        self._widths: tuple[int, list[int]] = (-1, [])

    @property
    def chosen(self) -> tuple[str, ...]:
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
            self._take_keys(keys)
            self._drawn.clear()
            self.refresh()
            return
        for line in list(self._drawn):
            key = self._key_at(line)
            if key is None or row_of(key) != self._drawn[line]:
                self._refresh_line(line)

    def _take_keys(self, keys: tuple[str, ...]) -> None:
        old_place = self._index.get(self.cursor, 0) if self.cursor is not None else 0
        offset = old_place - self.scroll_offset.y
        self._keys = keys
        self._index = {key: place for place, key in enumerate(keys)}
        self.marked &= self._index.keys()
        self.virtual_size = Size(self.size.width, len(keys) + self._top)
        if self._untouched and keys:
            self.cursor = keys[0]
            self.scroll_to(y=0, animate=False)
        elif self.cursor in self._index:
            # The row under the cursor keeps its line on the screen.
            place = self._index[self.cursor]
            if place != old_place:
                self.scroll_to(y=max(0, place - offset), animate=False)
        else:
            self.cursor = keys[min(old_place, len(keys) - 1)] if keys else None

    def _key_at(self, line: int) -> str | None:
        place = line - self._top + self.scroll_offset.y
        return self._keys[place] if line >= self._top and 0 <= place < len(self._keys) else None

    def _refresh_line(self, line: int) -> None:
        self.refresh(Region(0, line, self.size.width, 1))

    def watch_cursor(self, old: str | None, new: str | None) -> None:
        """Redraw two lines and keep the new one in view."""
        for key in (old, new):
            place = self._index.get(key) if key is not None else None
            if place is not None:
                self._refresh_line(place + self._top - self.scroll_offset.y)
        self.reveal()
        self.post_message(self.Moved(self, new))

    def reveal(self) -> None:
        """Scroll so far that the cursor can be seen."""
        place = self._index.get(self.cursor) if self.cursor is not None else None
        page = self.size.height - self._top
        if place is None or page < 1:
            return
        top = self.scroll_offset.y
        if place < top:
            self.scroll_to(y=place, animate=False)
        elif place >= top + page:
            self.scroll_to(y=place - page + 1, animate=False)

    def on_resize(self) -> None:
        """Columns are laid out anew."""
        self._drawn.clear()
        self.virtual_size = Size(self.size.width, len(self._keys) + self._top)
        self.reveal()

    def on_key(self) -> None:
        """Somebody is here."""
        self._untouched = False

    def on_focus(self) -> None:
        """The cursor shows where keys go."""
        self.refresh()

    def on_blur(self) -> None:
        """The cursor steps back."""
        self.refresh()

    def action_move(self, by: int) -> None:
        """Move the cursor by rows."""
        self._untouched = False
        if self._keys:
            place = self._index.get(self.cursor or "", 0) + by
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
        """First click moves the cursor, a double click chooses."""
        self._untouched = False
        offset = event.get_content_offset(self)
        if offset is None:
            return
        if offset.y < self._top:
            if (column := self._column_at(offset.x)) is not None:
                self.post_message(self.HeadClicked(self, column))
            return
        key = self._key_at(offset.y)
        if key is not None:
            self.cursor = key
            self.post_message(self.Clicked(self, key))
            if event.chain >= 2:
                self.action_choose()

    def _column_at(self, x: int) -> Column | None:
        for column, width in zip(self._columns, self._widths[1], strict=False):
            if width and x < width:
                return column
            x -= width + 1 if width else 0
        return None

    def render_line(self, y: int) -> Strip:
        """Draw one line of the viewport: the head, a row, or nothing."""
        width = self.scrollable_content_region.width
        if self._widths[0] != width:
            self._widths = (width, column_widths(self._columns, width))
        base = self.rich_style
        if y < self._top:
            return self._strip(self._head(), base + self._style("head"), width)
        key = self._key_at(y)
        if key is None:
            self._drawn.pop(y, None)
            if y == self._top and not self._keys and self.empty:
                style = base + self._style("dim")
                return Strip([Segment(set_cell_size(self.empty, width), style)], width)
            return Strip.blank(width, base)
        row = self._drawn[y] = self._row_of(key)
        if key == self.cursor:
            name = "cursor" if self.has_focus else "cursor-away"
            return self._strip(row, base + self._style(name), width, plain=self.has_focus)
        return self._strip(row, base, width)

    def _style(self, name: str) -> Style:
        return self.get_component_rich_style(f"rowtable--{name}", partial=True)

    def _head(self) -> Row:
        return Row(tuple(Cell(column.title) for column in self._columns))

    def _strip(self, row: Row, base: Style, width: int, *, plain: bool = False) -> Strip:
        """Cells side by side; a short row's last cell takes the rest of the line."""
        segments: list[Segment] = []
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
            style = base + self._style(cell.style) if cell.style and not plain else base
            text = fit(
                cell.text,
                room,
                right=column.right and not spans,
                middle=column.flexible and not column.prose,
            )
            segments.append(Segment(text, style))
            used += room
            if used < width:
                segments.append(Segment(" ", base))
                used += 1
        if used < width:
            segments.append(Segment(" " * (width - used), base))
        return Strip(segments).adjust_cell_length(width, base)


def fit(text: str, width: int, *, right: bool = False, middle: bool = False) -> str:
    """Text in exactly `width` cells; an ellipsis says that something was left out.

    Args:
        text: Anything; control characters become blanks.
        width: Cells.
        right: Stands to the right.
        middle: Leaves out the middle, because generated names differ at their ends.
    """
    clean = "".join(character if character.isprintable() else " " for character in text)
    length = cell_len(clean)
    if length > width:
        if middle and width >= 5 and clean.isascii():
            tail = (width - 1) // 2
            return f"{clean[: width - 1 - tail]}…{clean[-tail:]}"
        return set_cell_size(clean, width - 1) + "…" if width > 1 else "…"[:width]
    return " " * (width - length) + clean if right else set_cell_size(clean, width)
