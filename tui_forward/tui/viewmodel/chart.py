"""Area chart in braille: each character is four dots high and two wide. Pure."""

from __future__ import annotations

from collections.abc import Sequence

_BRAILLE = 0x2800
# Bits of the four dots of the left and of the right column, from the bottom up.
_LEFT = (0x40, 0x04, 0x02, 0x01)
_RIGHT = (0x80, 0x20, 0x10, 0x08)
_DOTS = 4


def axis_maximum(values: Sequence[int]) -> int:
    """Return the smallest 1, 2 or 5 times a power of ten not below any value."""
    top = max(values, default=0)
    if top <= 0:
        return 1
    size = 1
    while size * 10 < top:
        size *= 10
    return next(factor * size for factor in (1, 2, 5, 10) if factor * size >= top)


def render_area(values: Sequence[int], width: int, height: int, top: int) -> list[str]:
    """Render a filled curve as lines, the latest value at the right edge.

    Values are oldest first, two fit into one character; `top` is the value of the full height.
    """
    steps, top = 2 * width, max(1, top)
    shown = [0] * max(0, steps - len(values)) + list(values[-steps:])
    dots = height * _DOTS
    levels = [max(1, round(min(value, top) * dots / top)) if value > 0 else 0 for value in shown]
    lines = []
    for line in range(height - 1, -1, -1):
        floor = line * _DOTS
        characters = []
        for step in range(0, steps, 2):
            bits = _column(levels[step] - floor, _LEFT) | _column(levels[step + 1] - floor, _RIGHT)
            characters.append(chr(_BRAILLE | bits) if bits else " ")
        lines.append("".join(characters))
    return lines


def _column(level: int, bits: Sequence[int]) -> int:
    return sum(bits[: max(0, min(level, _DOTS))])


def downsample(values: Sequence[int], count: int) -> list[int]:
    """Reduce to at most `count` values: the maximum of each run, so that peaks remain."""
    if count <= 0:
        return []
    if len(values) <= count:
        return list(values)
    size = -(-len(values) // count)
    # Runs are aligned to the end, so that the last run is complete.
    start = len(values) % size
    head = [max(values[:start])] if start else []
    return head + [max(values[at : at + size]) for at in range(start, len(values), size)]
