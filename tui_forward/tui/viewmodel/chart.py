"""Traffic per second as block characters: a line in a table, and a chart with an axis. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

NO_TUNNEL: Final = "╌"

_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_STEPS: Final = len(_BLOCKS)
# Decimal digits of the largest amount that still has the lowest block.
_LOWEST_DIGITS: Final = 3


def traffic_block(total: int) -> str:
    """Return the block of an amount per second: `▁` below 1 kB, then a step for each factor of 10.

    `▇` from 100 MB, `█` from 1 GB; a space for nothing. The same for all forwards, so that rows
    can be compared.
    """
    if total <= 0:
        return " "
    return _BLOCKS[min(max(0, len(str(int(total))) - _LOWEST_DIGITS), _STEPS - 1)]


def traffic_cells(series: Sequence[tuple[int, int]], ready: Sequence[bool], width: int) -> str:
    """Return a block for each second, the newest at the right; empty if all are blank.

    `ready` is as long as `series`; where it is false and nothing moved is `NO_TUNNEL`.
    """
    cells = [
        traffic_block(down + up) if down + up > 0 or is_ready else NO_TUNNEL
        for (down, up), is_ready in zip(series, ready, strict=True)
    ]
    text = "".join(cells[-width:]).rjust(width)
    return text if not text.isspace() else ""


def axis_maximum(values: Sequence[int]) -> int:
    """Return the smallest 1, 2 or 5 times a power of ten not below any value."""
    top = max(values, default=0)
    if top <= 0:
        return 1
    size = 1
    while size * 10 < top:
        size *= 10
    return next(factor * size for factor in (1, 2, 5, 10) if factor * size >= top)


def render_area(
    values: Sequence[int], width: int, height: int, top: int, *, ready: Sequence[bool] = ()
) -> list[str]:
    """Render a filled curve as lines, the latest value at the right edge.

    Values are oldest first, one for each column; `top` is the value of the full height. `ready` is
    as long as `values`, or empty; the lowest line has `NO_TUNNEL` where it is false and nothing
    moved.
    """
    if width <= 0 or height <= 0:
        return []
    top = max(1, top)
    shown = [0] * max(0, width - len(values)) + list(values[-width:])
    steps = height * _STEPS
    levels = [max(1, round(min(value, top) * steps / top)) if value > 0 else 0 for value in shown]
    lines = [
        "".join(_block(level - line * _STEPS) for level in levels)
        for line in range(height - 1, -1, -1)
    ]
    if ready:
        up = [True] * max(0, width - len(ready)) + list(ready[-width:])
        lines[-1] = "".join(
            block if is_up or block != " " else NO_TUNNEL
            for block, is_up in zip(lines[-1], up, strict=True)
        )
    return lines


def _block(level: int) -> str:
    return _BLOCKS[min(level, _STEPS) - 1] if level > 0 else " "


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
