"""Lines of the rows of a table, of which some have a second one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Sequence
from itertools import accumulate


class RowLines:
    """Maps positions of rows to lines; without tall rows, they are the same."""

    def __init__(self) -> None:
        self._count = 0
        self._starts: list[int] = []  # first line of each row, and the end; empty without tall rows

    def replace(self, keys: Sequence[str], tall: Collection[str]) -> None:
        """Set the rows, and which of them have two lines."""
        self._count = len(keys)
        self._starts = []
        if tall:
            self._starts = [0, *accumulate(2 if key in tall else 1 for key in keys)]

    @property
    def total(self) -> int:
        """The number of lines."""
        return self._starts[-1] if self._starts else self._count

    def first(self, position: int) -> int:
        """Return the first line of a row."""
        return self._starts[position] if self._starts else position

    def last(self, position: int) -> int:
        """Return the last line of a row."""
        return self._starts[position + 1] - 1 if self._starts else position

    def row_at(self, line: int) -> tuple[int, bool]:
        """Return the position of the row at a line, and whether it is its second line.

        Positions outside the table for lines outside of it.
        """
        if not self._starts or not 0 <= line < self.total:
            return (line if line < self.total else self._count), False
        position = bisect_right(self._starts, line) - 1
        return position, line > self._starts[position]
