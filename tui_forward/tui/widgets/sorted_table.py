"""Row table that is sorted by its columns."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from tui_forward.tui.viewmodel.cell_layout import Column
from tui_forward.tui.viewmodel.sorting import (
    DEFAULT_ORDER,
    SortColumn,
    SortOrder,
    first_order,
    next_order,
    parse_order,
)
from tui_forward.tui.widgets.row_table import RowTable


class SortedTable(RowTable):
    """Rows in the order of a column, or in the default order of the table."""

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        sorts: Sequence[SortColumn],
        id: str | None = None,  # noqa: A002 - Textual's name for it
    ) -> None:
        super().__init__(columns, id=id)
        self._sorts = tuple(sorts)
        self._order = DEFAULT_ORDER

    @abstractmethod
    def redraw(self) -> None:
        """Show the rows in the present order."""

    @property
    def sorts(self) -> tuple[SortColumn, ...]:
        """The columns to sort by."""
        return self._sorts

    @sorts.setter
    def sorts(self, sorts: tuple[SortColumn, ...]) -> None:
        """Set the columns; an order by another one ends."""
        self._sorts = sorts
        self._order = parse_order(str(self._order), sorts)

    @property
    def sort_choices(self) -> list[SortColumn]:
        """The columns to sort by, visible ones first, in their order on the screen."""
        keyed = [(column.key, at) for at, column in enumerate(self.columns) if column.key]
        widths = {key: self.column_width(at) for key, at in keyed}
        order = list(widths)
        return sorted(self._sorts, key=lambda one: (not widths[one.key], order.index(one.key)))

    @property
    def order(self) -> SortOrder:
        """The order of the rows."""
        return self._order

    @property
    def order_text(self) -> str:
        """The name of the column that the rows are sorted by; empty in the default order."""
        return next((one.name for one in self._sorts if one.key == self._order.column), "")

    def restore_order(self, text: str) -> None:
        """Set the order of a view state; `draw` shows it."""
        self._order = parse_order(text, self._sorts)

    def sort_by(self, key: str) -> None:
        """Sort by a column."""
        self._set_order(next((first_order(one) for one in self._sorts if one.key == key), None))

    def reverse_sort(self) -> None:
        """Reverse the order; the default order stays as it is."""
        self._set_order(self._order.reversed)

    def choose_sort(self, key: str) -> None:
        """Sort by a column, reverse, or return to the default order, in turn."""
        self._set_order(
            next((next_order(self._order, x) for x in self._sorts if x.key == key), None)
        )

    def _set_order(self, order: SortOrder | None) -> None:
        if order is not None and order != self._order:
            self._order = order
            self.redraw()
