"""How many streams of a connection are open."""

from __future__ import annotations

from tui_forward.protocol.spdy.connection import SpdyConnection


def stream_count(connection: SpdyConnection) -> int:
    """Return how many streams are open in at least one direction."""
    return len(connection._streams)
