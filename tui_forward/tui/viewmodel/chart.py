"""A chart of two rates over time, in braille: four dots high and two wide for each letter. Pure."""

from __future__ import annotations

from collections.abc import Sequence

_BRAILLE = 0x2800
# Bits of the four dots of the left and of the right column, from the bottom up.
_LEFT = (0x40, 0x04, 0x02, 0x01)
_RIGHT = (0x80, 0x20, 0x10, 0x08)
_DOTS = 4


def axis_maximum(values: Sequence[int]) -> int:
    """A round number not below any value: 1, 2 or 5 times a power of ten."""
    top = max(values, default=0)
    if top <= 0:
        return 1
    size = 1
    while size * 10 < top:
        size *= 10
    return next(factor * size for factor in (1, 2, 5, 10) if factor * size >= top)


def render_area(values: Sequence[int], width: int, height: int, top: int) -> list[str]:
    """A filled curve, the latest value at the right edge.

    Args:
        values: One for each step of time, oldest first; two fit into one letter.
        width: Letters.
        height: Lines.
        top: The value that fills the whole height.

    Returns:
        `height` lines of `width` letters, the top one first.
    """
    steps = 2 * width
    shown = [0] * max(0, steps - len(values)) + list(values[-steps:])
    dots = height * _DOTS
    levels = [min(dots, max(1, round(value * dots / top))) if value > 0 else 0 for value in shown]
    lines = []
    for line in range(height - 1, -1, -1):
        floor = line * _DOTS
        letters = []
        for place in range(0, steps, 2):
            bits = _column(levels[place] - floor, _LEFT) | _column(
                levels[place + 1] - floor, _RIGHT
            )
            letters.append(chr(_BRAILLE | bits) if bits else " ")
        lines.append("".join(letters))
    return lines


def _column(level: int, bits: Sequence[int]) -> int:
    return sum(bits[: max(0, min(level, _DOTS))])


def downsample(values: Sequence[int], count: int) -> list[int]:
    """At most so many values: the highest of each run, so that no peak is lost."""
    if count <= 0:
        return []
    if len(values) <= count:
        return list(values)
    size = -(-len(values) // count)
    # Runs are counted from the end, so that the latest value always begins one.
    start = len(values) % size
    head = [max(values[:start])] if start else []
    return head + [max(values[at : at + size]) for at in range(start, len(values), size)]
