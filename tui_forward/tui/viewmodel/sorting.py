"""Sort orders of tables: a column and a direction, chosen by a letter or a click. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec


class SortColumn(msgspec.Struct, frozen=True):
    """A column to sort by."""

    key: str  # of the column
    letter: str  # key that chooses it
    name: str  # of the column
    descending: bool = False  # at first: the most of a number is what is looked for


class SortOrder(msgspec.Struct, frozen=True):
    """Column to sort by and direction; the default order of a table has no column."""

    column: str = ""
    descending: bool = False

    def __str__(self) -> str:
        """`down_rate-`, as in the view state."""
        return f"{self.column}{'-' if self.descending else ''}"

    @property
    def reversed(self) -> SortOrder:
        """The other direction; the default order has only one."""
        return SortOrder(self.column, bool(self.column) and not self.descending)


DEFAULT_ORDER = SortOrder()


def parse_order(text: str, columns: Sequence[SortColumn]) -> SortOrder:
    """Return the order of a text of `SortOrder`; the default one if there is no such column."""
    key = text.removesuffix("-")
    known = any(one.key == key for one in columns)
    return SortOrder(key, text.endswith("-")) if known else DEFAULT_ORDER


def first_order(column: SortColumn) -> SortOrder:
    """Return the order of a column that is chosen."""
    return SortOrder(column.key, column.descending)


def next_order(order: SortOrder, column: SortColumn) -> SortOrder:
    """Return the order after a click: sort by the column, reverse, default."""
    first = first_order(column)
    if order == first:
        return first.reversed
    return DEFAULT_ORDER if order == first.reversed else first


class Descending:
    """Sort value in the opposite order."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __lt__(self, other: Descending) -> bool:
        """Return whether it comes first: the value is greater."""
        return bool(other.value < self.value)

    def __eq__(self, other: object) -> bool:
        """Return whether the values are equal."""
        return isinstance(other, Descending) and bool(self.value == other.value)

    def __hash__(self) -> int:
        """Return the hash of the value."""
        return hash(self.value)
