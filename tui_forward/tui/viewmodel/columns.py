"""Columns of the dashboard's tables: titles, widths, drop order and cut rules."""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from tui_forward.tui.viewmodel.cell_layout import Column

SPARKLINE: Final = 16  # seconds, a cell each

_AGE: Final = Column("age", 4, right=True, drop=3, key="age")
_SYMBOL: Final = Column("", 1)
_POD: Final = Column("pod", 20, drop=11, key="pod", max_width=44, is_name=True)
_DOWN_RATE: Final = "↓ rate"
_UP_RATE: Final = "↑ rate"

# Workloads and pods.
OBJECTS: Final = (
    _SYMBOL,
    Column("name", 8, key="name", max_width=52, is_name=True),
    Column("ready", 5, right=True, key="ready"),
    Column("status", 6, drop=2, key="status", max_width=18, follows=True),
    Column("restarts", 8, right=True, drop=4, key="restarts"),
    _AGE,
    Column("node", 4, drop=5, key="node", max_width=14, is_name=True),
)
SERVICES: Final = (
    _SYMBOL,
    Column("name", 8, key="name", max_width=52, is_name=True),
    Column("endpoints", 9, right=True, key="endpoints"),
    Column("ports", 5, drop=1, key="ports", max_width=24),
    Column("type", 4, drop=2, key="type", max_width=12),
    Column("cluster IP", 10, drop=3, key="ip", max_width=39),
    Column("age", 4, right=True, drop=4, key="age"),
)
PORTS: Final = (
    Column("#", 1, narrow_gaps=True), _SYMBOL, Column("name", 7, max_width=12, is_name=True),
    Column("port", 5, right=True), Column("local", 5, max_width=8),
)  # fmt: skip
FORWARDS: Final = (
    _SYMBOL,
    Column("state", 12, drop=6, key="state"),
    Column("context", 7, drop=1, key="context", max_width=16, is_name=True, shrink_to=8),
    Column("ns", 2, drop=2, key="namespace", max_width=16, is_name=True, shrink_to=6),
    Column("target", 6, key="target", max_width=60, is_name=True),
    Column("local", 5, key="local", max_width=22),
    Column("conns", 5, right=True, drop=4, key="connections"),
    Column(_DOWN_RATE, 9, right=True, drop=3, key="down_rate"),
    Column(_UP_RATE, 9, right=True, drop=5, key="up_rate"),
    Column("traffic", 8, drop=7, max_width=SPARKLINE, grows=True, keeps_end=True),
    Column("uptime", 6, right=True, drop=8, key="uptime"),
    Column("↓ total", 7, right=True, drop=9, key="down_total"),
    Column("↑ total", 7, right=True, drop=10, key="up_total"),
    _POD,
    Column("last event", 24, prose=True, drop=12, max_width=40, grows=True),
)


def forward_columns(context_width: int) -> tuple[Column, ...]:
    """Return the columns of forwards, whose contexts need at least some cells."""
    return tuple(
        replace(one, shrink_to=max(one.shrink_to, context_width)) if one.key == "context" else one
        for one in FORWARDS
    )


CONNECTIONS: Final = (
    Column("process", 15, key="process", max_width=20, grows=True),
    Column("client", 15, drop=9, key="client", max_width=21),
    Column("context", 7, drop=6, key="context", max_width=16, is_name=True),
    # In a list of all forwards it is worth more than the rest of the figures.
    Column("forward", 8, drop=1, key="forward", max_width=45, is_name=True, shrink_to=24),
    _POD,
    Column("age", 6, right=True, drop=7, key="age"),
    Column("TTFB", 6, right=True, drop=8, key="first_byte"),
    Column(_DOWN_RATE, 9, right=True, key="down_rate"),
    Column(_UP_RATE, 9, right=True, drop=2, key="up_rate"),
    Column("↓ total", 7, right=True, drop=3, key="down_total"),
    Column("↑ total", 7, right=True, drop=5, key="up_total"),
    Column("state", 10, prose=True, key="state", max_width=11),
)
