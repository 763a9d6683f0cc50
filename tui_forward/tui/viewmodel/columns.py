"""Columns of the dashboard's tables: titles, widths and drop order."""

from __future__ import annotations

from tui_forward.tui.viewmodel.cell_layout import Column

ENTRIES = (
    Column("", 1), Column("name", 15, flexible=True), Column("ready", 5, right=True, drop=2),
    Column("status", 10, drop=1), Column("restarts", 8, right=True, drop=4),
    Column("age", 4, right=True, drop=3), Column("node", 12, drop=5),
)  # fmt: skip
PORTS = (
    Column("", 1), Column("", 1), Column("port", 8, flexible=True), Column("", 5, right=True),
    Column("local", 8),
)  # fmt: skip
FORWARDS = (
    Column("", 1), Column("state", 14), Column("target", 16, flexible=True), Column("local", 15),
    Column("conns", 5, right=True), Column("↓ rate", 9, right=True, drop=1),
    Column("↑ rate", 9, right=True, drop=2), Column("traffic 16 s", 16, drop=5),
    Column("↓ total", 7, right=True, drop=3), Column("↑ total", 7, right=True, drop=4),
    Column("pod", 22, drop=7), Column("uptime", 6, right=True, drop=6),
    Column("last event", 30, drop=8),
)  # fmt: skip
SPARKLINE = 16
_CLIENT = Column("client", 15)
_FIGURES = (
    Column("process", 16, drop=4), Column("age", 6, right=True, drop=3),
    Column("TTFB", 10, right=True, drop=5), Column("↓ total", 7, right=True),
    Column("↑ total", 7, right=True), Column("↓ rate", 9, right=True, drop=1),
    Column("↑ rate", 9, right=True, drop=2), Column("state", 12, flexible=True, prose=True),
)  # fmt: skip
# Of one forward, and of all.
CONNECTIONS = (_CLIENT, *_FIGURES)
ALL_CONNECTIONS = (_CLIENT, Column("forward", 24, drop=6), *_FIGURES)
