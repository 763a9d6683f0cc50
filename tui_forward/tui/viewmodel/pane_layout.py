"""Regions of the panes of the dashboard, by content, focus and size of the terminal. Pure.

A pane is as high as its content where that fits. From 170×40 there are two columns, under 80×24
only the focused pane.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

HEADER_LINES: Final = 1
FOOTER_LINES: Final = 2
MIN_WIDTH, MIN_HEIGHT = 80, 24  # smaller terminals show the focused pane only
TALL = 30  # height from which forwards are kept whole, whatever has the focus
_COLUMNS_WIDTH, _COLUMNS_HEIGHT = 170, 40
INSPECTOR_HEIGHT: Final = 50  # of a terminal, from which the strip is an inspector
INSPECTOR_LINES: Final = 12
_LEFT_SHARE, _LEFT_MIN, _LEFT_MAX = 0.36, 64, 80
_FORWARDS_SHARE, _CONNECTIONS_SHARE = 0.6, 0.25
_PORTS_MAX = 12  # lines of the ports below the cluster
_PORTS_SHARE, _PORTS_MIN_WIDTH, _PORTS_MAX_WIDTH = 0.26, 27, 44  # beside the cluster
_PORTS_NEED_MAX = 34  # of the width that long names of ports take from the cluster
_HEAD_FROM = 6  # lines of a pane that always has column titles
STEP = 2  # lines by which a key changes a height


class Pane(StrEnum):
    """A pane with rows."""

    CLUSTER = "cluster"
    PORTS = "ports"  # beside the cluster with the same height, or below it
    FORWARDS = "forwards"
    CONNECTIONS = "connections"


class Box(NamedTuple):
    """Position and size of a pane in the body, in cells."""

    x: int
    y: int
    width: int
    height: int


class LayoutKind(StrEnum):
    """How panes are arranged; heights set by the user are kept for each."""

    SINGLE = "single"
    LOW = "low"  # stacked, under 30 lines
    STACKED = "stacked"
    COLUMNS = "columns"


# Fewest lines of each pane, unless its content has fewer.
_MINIMA: Final[Mapping[LayoutKind, Mapping[Pane, int]]] = {
    LayoutKind.LOW: {Pane.CLUSTER: 3, Pane.FORWARDS: 6, Pane.CONNECTIONS: 1},
    LayoutKind.STACKED: {Pane.CLUSTER: 7, Pane.FORWARDS: 6, Pane.CONNECTIONS: 4},
    LayoutKind.COLUMNS: {Pane.FORWARDS: 6, Pane.CONNECTIONS: 4},
}
_NO_HEIGHTS: Final[Mapping[Pane, int]] = {}


class Content(msgspec.Struct, frozen=True):
    """Lines that the panes would show: rows, or the text of an empty pane."""

    cluster: int = 1
    ports: int = 1
    forwards: int = 1
    problems: int = 0  # forwards that have a second line with cause and fix
    connections: int = 1
    has_forwards: bool = False  # whether `forwards` counts rows
    ports_width: int = 1  # cells that the ports need beside the cluster


class PaneLayout(msgspec.Struct, frozen=True):
    """Boxes of the visible panes, and of the strip that describes the row under the cursor."""

    kind: LayoutKind
    boxes: Mapping[Pane, Box]
    strip: Box | None
    has_second_lines: bool  # whether forwards with a problem have a line for cause and fix
    divider: int | None = None  # place of the line between two columns of panes

    def has_head(self, pane: Pane, lines: int) -> bool:
        """Return whether a pane has column titles above this many lines."""
        box = self.boxes.get(pane)
        return box is not None and (box.height >= _HEAD_FROM or box.height >= lines + 2)


def layout_kind(width: int, height: int) -> LayoutKind:
    """Return how panes are arranged in a terminal of this size."""
    if width < MIN_WIDTH or height < MIN_HEIGHT:
        return LayoutKind.SINGLE
    if width >= _COLUMNS_WIDTH and height >= _COLUMNS_HEIGHT:
        return LayoutKind.COLUMNS
    return LayoutKind.STACKED if height >= TALL else LayoutKind.LOW


def strip_lines(width: int, height: int) -> int:
    """Return the lines of the strip in a terminal of this size."""
    kind = layout_kind(width, height)
    if kind is LayoutKind.SINGLE:
        return 0
    if height >= INSPECTOR_HEIGHT:
        return INSPECTOR_LINES
    return 2 if height >= TALL else 1


def arrange_panes(
    width: int, height: int, content: Content, focus: Pane, *,
    is_zoomed: bool = False, heights: Mapping[Pane, int] = _NO_HEIGHTS,
) -> PaneLayout:  # fmt: skip
    """Return where the panes are in a terminal of `width` × `height` cells.

    `heights` are lines set by the user, within what the other panes need at least.
    """
    kind = layout_kind(width, height)
    body = max(1, height - HEADER_LINES - FOOTER_LINES)
    strip = strip_lines(width, height)
    rooms = body - strip
    if is_zoomed or kind is LayoutKind.SINGLE:
        box = Box(0, 0, width, rooms)
        strip_box = Box(0, rooms, width, strip) if strip else None
        fits = is_zoomed and _natural(content.forwards + content.problems) <= rooms
        return PaneLayout(kind, {focus: box}, strip_box, fits)
    needed = sum(least for pane, least in _MINIMA[kind].items() if pane is not Pane.FORWARDS)
    limit = min(int(body * _FORWARDS_SHARE), rooms - needed) if height >= TALL else 0
    fixed = {_row_of(kind, pane): lines for pane, lines in heights.items()}
    wanted = _natural(content.forwards + content.problems)
    has_second_lines = content.has_forwards and wanted <= max(limit, fixed.get(Pane.FORWARDS, 0))
    natural = _natural_heights(kind, content, has_second_lines=has_second_lines)
    lines = _heights(
        kind, rooms, natural, _row_of(kind, focus), fixed,
        forwards_limit=limit, connections_limit=int(body * _CONNECTIONS_SHARE),
    )  # fmt: skip
    left = 0
    boxes: dict[Pane, Box] = {}
    top = 0
    if kind is LayoutKind.COLUMNS:
        left = max(_LEFT_MIN, min(int(width * _LEFT_SHARE), _LEFT_MAX))
        ports = heights.get(Pane.PORTS, min(_natural(content.ports), _PORTS_MAX))
        ports = max(1, min(ports, body - _MINIMA[LayoutKind.STACKED][Pane.CLUSTER]))
        boxes[Pane.CLUSTER] = Box(0, 0, left, body - ports)
        boxes[Pane.PORTS] = Box(0, body - ports, left, ports)
        left += 1  # the line between the columns
    else:
        ports_width = _ports_width(width, content.ports_width)
        top = lines[Pane.CLUSTER]
        boxes[Pane.CLUSTER] = Box(0, 0, width - ports_width, top)
        boxes[Pane.PORTS] = Box(width - ports_width, 0, ports_width, top)
    boxes[Pane.FORWARDS] = Box(left, top, width - left, lines[Pane.FORWARDS])
    top += lines[Pane.FORWARDS]
    strip_box = Box(left, top, width - left, strip)
    boxes[Pane.CONNECTIONS] = Box(left, top + strip, width - left, lines[Pane.CONNECTIONS])
    return PaneLayout(kind, boxes, strip_box, has_second_lines, left - 1 if left else None)


def resized(
    layout: PaneLayout, heights: Mapping[Pane, int], pane: Pane, by: int
) -> dict[Pane, int]:
    """Return the heights after the user has changed that of a pane by some lines."""
    if layout.kind is not LayoutKind.COLUMNS and pane is Pane.PORTS:
        pane = Pane.CLUSTER
    box = layout.boxes.get(pane)
    if box is None:
        return dict(heights)
    return {**heights, pane: max(1, box.height + by)}


def _row_of(kind: LayoutKind, pane: Pane) -> Pane:
    """Return the pane whose height is that of `pane`."""
    return Pane.CLUSTER if pane is Pane.PORTS and kind is not LayoutKind.COLUMNS else pane


def _ports_width(width: int, needed: int) -> int:
    share = min(int(width * _PORTS_SHARE), _PORTS_MAX_WIDTH)
    return max(share, _PORTS_MIN_WIDTH, min(needed, _PORTS_NEED_MAX))


def _natural(lines: int) -> int:
    """Return the height of a pane with this many lines, with title and column titles."""
    return lines + 2


def _natural_heights(
    kind: LayoutKind, content: Content, *, has_second_lines: bool
) -> dict[Pane, int]:
    natural: dict[Pane, int] = {}
    minima = _MINIMA[kind]
    if Pane.CLUSTER in minima:
        # At least the minimum, so that rows that are still loading move no pane later.
        rows = max(content.cluster, content.ports)
        natural[Pane.CLUSTER] = max(minima[Pane.CLUSTER], _natural(rows))
    if content.has_forwards:
        second_lines = content.problems if has_second_lines else 0
        natural[Pane.FORWARDS] = _natural(content.forwards + second_lines)
        # Connections come and go; they do not move the other panes.
        natural[Pane.CONNECTIONS] = max(minima[Pane.CONNECTIONS], _natural(content.connections))
    else:  # no column titles above a text, and no text about connections
        natural[Pane.FORWARDS] = content.forwards + 1
        natural[Pane.CONNECTIONS] = 1
    return natural


def _heights(
    kind: LayoutKind, rooms: int, natural: Mapping[Pane, int], focus: Pane,
    fixed: Mapping[Pane, int], *, forwards_limit: int, connections_limit: int,
) -> dict[Pane, int]:  # fmt: skip
    """Distribute `rooms` lines."""
    lines = {pane: min(least, natural[pane]) for pane, least in _MINIMA[kind].items()}

    def grow(pane: Pane, target: int) -> None:
        spare = rooms - sum(lines.values())
        lines[pane] += max(0, min(target - lines[pane], spare))

    for pane, height in fixed.items():
        if pane in lines:
            lines[pane] = min(lines[pane], max(1, height))
            grow(pane, height)
    free = [pane for pane in lines if pane not in fixed]
    if Pane.FORWARDS in free:
        grow(Pane.FORWARDS, min(natural[Pane.FORWARDS], forwards_limit))
    if focus in free:
        grow(focus, natural[focus])
    if Pane.FORWARDS in free:
        grow(Pane.FORWARDS, natural[Pane.FORWARDS])
    if Pane.CONNECTIONS in free:
        grow(Pane.CONNECTIONS, min(natural[Pane.CONNECTIONS], connections_limit))
    takes_rest = free or list(lines)
    last = Pane.CONNECTIONS if Pane.CLUSTER not in takes_rest else Pane.CLUSTER
    grow(last if last in takes_rest else takes_rest[0], rooms)
    return lines
