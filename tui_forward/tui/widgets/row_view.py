"""View of rows by key: columns, head and rule; draws only visible lines that changed."""

from __future__ import annotations

import textwrap
from abc import abstractmethod
from collections.abc import Callable, Collection, Sequence
from typing import ClassVar

from textual.reactive import reactive
from textual.strip import Strip

from tui_forward.common.printable import blank_unprintable
from tui_forward.tui.viewmodel.cell_layout import Column
from tui_forward.tui.viewmodel.rows import Row
from tui_forward.tui.widgets.draggable_rule_view import DraggableRuleView
from tui_forward.tui.widgets.line_cache_view import RULE_LINE
from tui_forward.tui.widgets.row_lines import RowLines
from tui_forward.tui.widgets.row_renderer import NO_ROW, DrawnLine, RowRenderer
from tui_forward.tui.widgets.row_selection import RowSelection
from tui_forward.tui.widgets.table_columns import TableColumns
from tui_forward.tui.widgets.title_rule import TitleRule


class RowView(DraggableRuleView):
    """Rows by key, some of them marked and one under the cursor."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "rowtable--rule", "rowtable--rule-focus", "rowtable--title", "rowtable--title-focus",
        "rowtable--header", "rowtable--cursor", "rowtable--cursor-away", "rowtable--ok",
        "rowtable--warn", "rowtable--bad", "rowtable--dim", "rowtable--strong", "rowtable--match",
        "rowtable--broken",
        "rowtable--protected", "rowtable--down", "rowtable--down-strong", "rowtable--up",
        "rowtable--up-strong", "rowtable--traffic", "rowtable--key",
    }  # fmt: skip

    cursor: reactive[str | None] = reactive(None, repaint=False)

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        empty: str = "",
        header: bool = True,
        id: str | None = None,  # noqa: A002 - Textual's name for it
    ) -> None:
        super().__init__(id=id)
        self.rule = TitleRule(lambda: self.refresh_line(RULE_LINE))
        self.selection = RowSelection()
        self._renderer = RowRenderer(self, columns)
        self._columns = TableColumns(tuple(columns), self._renderer)
        self._lines = RowLines()
        self._tall: Collection[str] = ()  # keys of rows with a second line
        self._empty = empty
        self._header_height = int(header)
        self._row_of: Callable[[str], Row] = lambda _key: NO_ROW

    @property
    def has_title(self) -> bool:
        """See `DraggableRuleView`."""
        return bool(self.rule.title)

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

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns in order."""
        return self._columns.columns

    @columns.setter
    def columns(self, columns: tuple[Column, ...]) -> None:
        if self._columns.set(columns):
            self.refresh()

    def column_width(self, position: int) -> int:
        """Return the width of a column in cells; 0 while it is dropped."""
        return self._columns.width(position)

    def show_sort(self, column: str, *, descending: bool) -> None:
        """Show an arrow in the title of a column, or none for an empty key."""
        moved = self._columns.mark_sorted(column, descending=descending)
        if moved:
            self.refresh()
        elif moved is not None:
            self.refresh_line(0)

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
    def content_lines(self) -> int:
        """The number of lines of all rows, without title and head."""
        return self._lines.total

    @property
    def row_lines(self) -> int:
        """The number of lines for rows; 0 before the table has a size."""
        return max(0, self.size.height - self._header_height)

    @property
    def keys(self) -> Sequence[str]:
        """The keys of all rows in order."""
        return self.selection.keys

    def exists(self, key: str) -> bool:  # noqa: ARG002 - of subclasses that hide rows
        """Return whether a row that is not shown exists, so that it stays marked."""
        return False

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
        keys, before = tuple(keys), self.keys
        if longest and self._columns.fit(keys, longest):
            self.refresh()
        if keys != before or tall != self._tall:
            self._replace_keys(keys, tall)
            self.refresh_line(RULE_LINE)  # the position
            if not keys or not before:
                self.refresh()
                return
        self.redraw_lines(
            line
            for line, drawn in self.drawn_lines()
            if (key := self._key_at(line)) != drawn.key
            or self._is_second(line) != drawn.is_second
            or (key is not None and row_of(key) != drawn.row)
        )

    def _replace_keys(self, keys: tuple[str, ...], tall: Collection[str]) -> None:
        position = self.selection.position(self.cursor) or 0
        line = self._lines.first(position) if self.keys else 0
        self.selection.replace(keys, self.exists)
        self._tall = tall
        self._lines.replace(keys, tall)
        self.set_content_height(self._lines.total + self._header_height)
        self.place_cursor(position, line)

    @abstractmethod
    def place_cursor(self, position: int, line: int) -> None:
        """Place the cursor after a change of the rows.

        Args:
            position: Where its row was before.
            line: The line of all lines where that row began.
        """

    def reveal(self) -> None:
        """Scroll until the cursor is visible."""
        position = self.selection.position(self.cursor)
        page = self.size.height - self._header_height
        if position is None or page < 1:
            return
        top = self.scroll_offset.y
        first, last = self._lines.first(position), self._lines.last(position)
        if first < top or last - first >= page:
            self.scroll_to(y=first, animate=False, force=True)
        elif last >= top + page:
            self.scroll_to(y=last - page + 1, animate=False, force=True)

    # Drawing ---------------------------------------------------------------------------------

    def watch_cursor(self, old: str | None, new: str | None) -> None:
        """Redraw the two lines and scroll to the new one."""
        for key in (old, new):
            self._refresh_row(key)
        if self.rule.shows_position:
            self.refresh_line(RULE_LINE)
        self.reveal()

    def watch_has_focus(self, _has_focus: bool) -> None:
        """Redraw the rule and the cursor's line only; Textual's watcher draws the whole table."""
        self.refresh_line(RULE_LINE)
        self._refresh_row(self.cursor)

    def on_resize(self) -> None:
        """Lay out the columns for the new width; another height changes no line."""
        if self.keep_lines_of_size():
            self._columns.reset()
        self.set_content_height(self._lines.total + self._header_height)
        self.reveal()

    def notify_style_update(self) -> None:
        """Read styles again after a change of theme."""
        self._renderer.clear_styles()
        super().notify_style_update()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Update the rule, which counts what is scrolled out."""
        super().watch_scroll_y(old_value, new_value)
        if self.rule.problems and round(old_value) != round(new_value):
            self.refresh_line(RULE_LINE)

    def draw_rule(self) -> Strip:
        """Return the rule with the title."""
        top = self.scroll_offset.y
        first, end = (self._lines.row_at(line)[0] for line in (top, top + self.row_lines))
        position = self.selection.position(self.cursor)
        return self._renderer.rule(
            self.rule.title, self.rule.texts(self.keys, position, first, end)
        )

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
        return self.selection.key_at(self._row_at(line)[0])

    def _is_second(self, line: int) -> bool:
        return line >= self._header_height and self._row_at(line)[1]

    def _refresh_row(self, key: str | None) -> None:
        position = self.selection.position(key)
        if position is not None:
            top = self._header_height - self.scroll_offset.y
            for line in range(self._lines.first(position), self._lines.last(position) + 1):
                self.refresh_line(line + top)
