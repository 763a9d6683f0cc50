"""Layout of cells in a line: which columns fit, how wide they are, and what is cut of a text. Pure.

A column disappears before a name is cut: `fit` drops columns until the natural widths of the others
fit, and only where nothing is left to drop do names lose their middle.
"""

from __future__ import annotations

import operator
from collections.abc import Collection, Sequence

import msgspec
from rich.cells import cell_len, set_cell_size

from tui_forward.common.printable import blank_unprintable

HIDDEN = -1  # length of the longest cell of a column that is not shown
# Characters of a text; more fit into no line, and measuring them takes time.
_MAX_LENGTH = 1000
# Columns with `shrink_to` shrink before a column with this drop number goes.
_SHRINK_BEFORE = 3
_MIN_NAME = 8  # cells of a name before other columns become narrower, too
_MIN_CUT = 5  # cells of a text that is cut in the middle


class Column(msgspec.Struct, frozen=True):
    """Rules for the width of a column, in cells."""

    title: str
    width: int  # minimum
    flexible: bool = False  # takes the remaining width
    prose: bool = False  # sentences, which lose their end; names in wide columns lose their middle
    right: bool = False
    drop: int = 0  # columns with the highest number are dropped first if space is short; 0 never
    key: str = ""  # names the column for the sort order
    max_width: int = 0  # of the longest cell; the minimum is the maximum if it is higher
    is_name: bool = False  # cut in the middle, and first where nothing is left to drop
    shrink_to: int = 0  # width that it may shrink to before important columns go; 0: never
    grows: bool = False  # takes space that is left, up to the maximum
    keeps_end: bool = False  # of a series, whose latest values are at the end
    follows: bool = False  # while it is dropped, its bad cells follow the name
    narrow_gaps: bool = False  # all gaps of its table stay 1

    @property
    def cuts_middle(self) -> bool:
        """Whether cells lose their middle."""
        return (self.flexible or self.is_name) and not self.prose


class Layout(msgspec.Struct, frozen=True):
    """Widths of the columns in order, 0 for one that is not shown, with the same gap between."""

    widths: tuple[int, ...]
    gap: int = 1

    def place(self, position: int) -> int:
        """Return the first cell of a column, or of the next one that is shown."""
        return sum(width + self.gap for width in self.widths[:position] if width)

    def position_at(self, x: int) -> int | None:
        """Return which column has a cell, with the gap before it; None beyond the last one."""
        end = 0
        for position, width in enumerate(self.widths):
            if width:
                end += width
                if x < end:
                    return position
                end += self.gap
        return None


def natural_widths(columns: Sequence[Column], longest: Sequence[int] = ()) -> list[int]:
    """Return the width of each column that its longest cell and its title need; 0 if hidden."""
    found = []
    for position, column in enumerate(columns):
        length = longest[position] if longest else 0
        least = max(column.width, cell_len(column.title))
        found.append(0 if length == HIDDEN else max(least, min(length, column.max_width)))
    return found


def fit(columns: Sequence[Column], width: int, longest: Sequence[int] = ()) -> Layout:
    """Return which columns are shown in a width, and how wide.

    Columns go by highest drop number until the natural widths fit; what is left makes all gaps 2
    or none, then widens columns that grow, then those whose cells are beyond their maximum.

    Args:
        columns: All columns in order.
        width: Cells of the line.
        longest: Length of the longest cell of each column, or `HIDDEN`; empty if not measured.
    """
    natural = natural_widths(columns, longest)
    shown = [position for position, one in enumerate(natural) if one]
    while True:
        widths = [natural[position] if position in shown else 0 for position in range(len(columns))]
        excess = sum(widths) + len(shown) - 1 - width
        last = max(shown, key=lambda position: (columns[position].drop, position), default=None)
        drop = 0 if last is None else columns[last].drop
        if excess > 0 and drop <= _SHRINK_BEFORE:
            excess = _shrink(columns, widths, shown, excess)
        if excess <= 0 or last is None:
            break
        if not drop:
            _cut_names(columns, widths, shown, width)
            excess = sum(widths) + sum(map(bool, widths)) - 1 - width
            break
        shown.remove(last)
    return _spread(columns, widths, -min(excess, 0), longest)


def _shrink(
    columns: Sequence[Column], widths: list[int], shown: Collection[int], excess: int
) -> int:
    """Take cells from columns that may shrink; return the excess that remains."""
    for position in shown:
        if excess > 0 and columns[position].shrink_to:
            taken = min(excess, max(0, widths[position] - columns[position].shrink_to))
            widths[position] -= taken
            excess -= taken
    return excess


def _cut_names(
    columns: Sequence[Column], widths: list[int], shown: Sequence[int], width: int
) -> None:
    """Make columns that cannot be dropped narrower: names, then all from the right."""
    names = [p for p in shown if columns[p].cuts_middle]
    for positions, least in ((names, _MIN_NAME), (names, 1), (shown[::-1], 1), (shown[::-1], 0)):
        for position in positions:
            excess = sum(widths) + sum(map(bool, widths)) - 1 - width
            widths[position] -= min(max(0, excess), max(0, widths[position] - least))


def _spread(
    columns: Sequence[Column], widths: list[int], spare: int, longest: Sequence[int]
) -> Layout:
    """Use the cells that are left."""
    shown = [position for position, width in enumerate(widths) if width]
    if flexible := [position for position in shown if columns[position].flexible]:
        widths[flexible[0]] += spare
        return Layout(tuple(widths))
    gaps = len(shown) - 1
    may_widen = not any(columns[position].narrow_gaps for position in shown)
    gap = 2 if may_widen and gaps > 0 and spare >= gaps else 1
    spare -= gaps * (gap - 1)
    for wants_more in (True, False):
        for position in shown:
            column = columns[position]
            maximum = longest[position] if longest else 0
            if wants_more:
                maximum = column.max_width if column.grows else 0
            added = min(spare, max(0, maximum - widths[position]))
            widths[position] += added
            spare -= added
    return Layout(tuple(widths), gap)


class NaturalWidths:
    """Lengths of the longest cells of a table, which shrink only when rows have left."""

    def __init__(self) -> None:
        self._keys: Collection[str] = ()
        self._longest: tuple[int, ...] = ()

    def update(self, keys: Sequence[str], longest: Sequence[int]) -> tuple[int, ...]:
        """Return the lengths for these rows: at least those before if no row has left."""
        before = self._keys
        if len(longest) != len(self._longest) or (
            # Only then it matters whether rows have left, of thousands.
            any(map(operator.lt, longest, self._longest))
            and keys is not before
            and not set(keys).issuperset(before)
        ):
            self._longest = tuple(longest)
        else:
            # A column that is hidden, or is not any more, does not depend on its cells.
            self._longest = tuple(
                new if HIDDEN in (old, new) else max(old, new)
                for old, new in zip(self._longest, longest, strict=True)
            )
        self._keys = keys
        return self._longest

    def reset(self) -> None:
        """Forget the lengths, when the size of the table has changed."""
        self._longest = ()


class LengthCounts:
    """Lengths of the cells of many rows, of which the longest are known at any time."""

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self.clear()

    def clear(self) -> None:
        """Forget all rows."""
        self._of: dict[str, tuple[int, ...]] = {}
        # By lengths, which are few for thousands of rows: one object, and the number of rows.
        self._shared: dict[tuple[int, ...], tuple[int, ...]] = {}
        self._rows: dict[tuple[int, ...], int] = {}
        self._longest: tuple[int, ...] | None = None  # None if it has to be found again

    def set(self, key: str, lengths: tuple[int, ...] | None) -> None:
        """Set the lengths of a row, or forget it."""
        before = self._of.get(key)
        if before == lengths:
            return
        if before is not None:
            del self._of[key]
            rows = self._rows[before] = self._rows[before] - 1
            if not rows:
                del self._rows[before], self._shared[before]
                self._longest = None
        if lengths is not None:
            self._of[key] = lengths = self._shared.setdefault(lengths, lengths)
            rows = self._rows.get(lengths, 0)
            self._rows[lengths] = rows + 1
            if not rows:
                self._longest = None

    def get(self, key: str) -> tuple[int, ...] | None:
        """Return the lengths of a row, None for one that is not counted."""
        return self._of.get(key)

    @property
    def longest(self) -> list[int]:
        """The greatest length of each column."""
        if self._longest is None:
            self._longest = tuple(map(max, zip(*self._rows, strict=True)))
        return list(self._longest) or [0] * self._columns


# Text -----------------------------------------------------------------------------------------


class FittedText(msgspec.Struct, frozen=True):
    """A text in its width, and the characters of the original that are left of it."""

    text: str
    head: int  # characters at the beginning
    tail: int  # characters at the end; all are left if both are its length

    def spans(self, length: int, spans: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
        """Return spans of the original, of a number of characters, as spans of this text."""
        if self.head >= length:
            return tuple(spans)
        cut, moved = length - self.tail, self.head + 1 + self.tail - length
        found: list[tuple[int, int]] = []
        for start, end in spans:
            if start < self.head:
                found.append((start, min(end, self.head)))
            if self.tail and end > cut:
                found.append((max(start, cut) + moved, end + moved))
        return tuple(found)


def truncate(text: str, width: int, *, right: bool = False, middle: bool = False) -> str:
    """Return the text in exactly `width` cells, truncated with an ellipsis.

    Control characters become spaces. Generated names differ at their ends; `middle` keeps those.
    """
    return fit_text(text, width, right=right, middle=middle).text


def fit_text(
    text: str, width: int, *, right: bool = False, middle: bool = False, lead: int = 0,
    trail: int = 0,
) -> FittedText:  # fmt: skip
    """Return the text in exactly `width` cells, and what was kept of it.

    Args:
        text: Any text; unprintable characters become spaces.
        width: Number of cells.
        right: Whether to align at the right.
        middle: Whether to cut the middle between `lead` and `trail`, instead of the end before
            `trail`.
        lead: Number of characters at the beginning to keep if possible, as the kind of an object.
        trail: Number of characters at the end to keep if possible, as its port or a hint.
    """
    if len(text) > _MAX_LENGTH:
        text = text[: _MAX_LENGTH // 2] + text[-_MAX_LENGTH // 2 :]
    clean = blank_unprintable(text)
    narrow = clean.isascii()  # fast path: nearly all text is ASCII
    length = len(clean) if narrow else cell_len(clean)
    if length <= width:
        blank = " " * (width - length)
        return FittedText(blank + clean if right else clean + blank, len(clean), len(clean))
    if width <= 1:
        return FittedText("…"[:width], 0, 0)
    head, tail = _kept(clean, width, middle=middle, lead=lead, trail=trail, narrow=narrow)
    shown = f"{clean[:head]}…{clean[len(clean) - tail :]}"
    return FittedText(shown if narrow else set_cell_size(shown, width), head, tail)


def _kept(
    text: str, width: int, *, middle: bool, lead: int, trail: int, narrow: bool
) -> tuple[int, int]:
    """Return how many characters at the beginning and at the end are kept of a text."""
    room = width - 1
    if trail and not narrow:
        trail = _cells(text[len(text) - trail :])
    if lead and not narrow:
        lead = _cells(text[:lead])
    if lead + trail + 2 > room or (not middle and trail + _MIN_CUT > room):
        lead = trail = 0
    tail = trail
    if middle and width >= _MIN_CUT:
        tail += (room - lead - trail) // 2
    if narrow:
        return room - tail, tail
    tail_count = _count_within(text[::-1], tail)
    return _count_within(text[: len(text) - tail_count], room - tail), tail_count


def _cells(text: str) -> int:
    return cell_len(text)


def _count_within(text: str, cells: int) -> int:
    """Return how many characters from the beginning fit into cells."""
    used = 0
    for count, letter in enumerate(text):
        used += cell_len(letter)
        if used > cells:
            return count
    return len(text)


def longest_cell(texts: Collection[str]) -> int:
    """Return the number of cells of the longest text; 0 if there is none."""
    found = 0
    for text in texts:
        length = len(text) if text.isascii() else min(cell_len(text[:_MAX_LENGTH]), _MAX_LENGTH)
        if length > found:
            found = length
    return found
