"""Ports of entries in files of other programs. Pure."""

from __future__ import annotations

from typing import Any

from tui_forward.common.arguments import parse_port
from tui_forward.errors import UsageError


def remote_port(value: Any) -> str:
    """Return a port of the target; UsageError if it is none."""
    pair = parse_port(str(value if value is not None else ""))
    if pair.local is not None:
        raise UsageError(f'"{value}" is not a port')
    return pair.remote


def local_port(value: Any) -> int | None:
    """Return a local port, None if it is not given; UsageError if it is none."""
    if value in (None, "", 0):
        return None
    return parse_port(f"{value}:1").local
