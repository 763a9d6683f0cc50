"""Recent connections that sent something and got no byte back: a hint, never a fault.

Protocols in which only the client speaks exist, and clients that give up early; several connections
in a row without a byte are worth a line all the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tui_forward.model import Connection, ReasonCode, UnansweredConnections

# As many, over at least this time, make a hint.
_MIN_CONNECTIONS: Final = 3
_MIN_SPAN_S: Final = 10.0
# An open connection counts once it has been silent as long as one is marked for.
_SILENT_S: Final = 5.0
# The hint ends when no connection has been made for this time.
_MAX_AGE_S: Final = 600.0
# Of those that are open now, for the cost of a snapshot.
_MAX_OPEN: Final = 20
# The application has closed without a byte. Other failures have a reason of their own.
_WITHOUT_A_BYTE: Final = (None, ReasonCode.CONNECTION_CLOSED_WITHOUT_DATA)


class UnansweredTracker:
    """Counts the latest connections of a forward in a row that got no byte back.

    Times are of `steady_time`.
    """

    def __init__(self) -> None:
        self._count = 0
        self._first_at = 0.0  # when the first of them was opened
        self._last_at = 0.0  # when the last of them was closed
        self._received = 0  # bytes from the pod of all connections, before the first of them

    def add(self, closed: Connection, received: int) -> None:
        """Count a connection that has ended; `received` are the bytes from the pod of all."""
        if closed.bytes_from_pod or not closed.bytes_to_pod:
            if closed.bytes_from_pod:
                self._count = 0
            return
        if closed.failed and closed.close_code not in _WITHOUT_A_BYTE:
            return
        if not self._count or received != self._received:
            self._count, self._first_at, self._received = 0, closed.opened_at, received
        self._count += 1
        self._last_at = closed.closed_at or closed.opened_at

    def hint(
        self, open_connections: Iterable[Connection], received: int, now: float
    ) -> UnansweredConnections | None:
        """Return the hint that the connections make now; None if they make none."""
        if received != self._received or now - self._last_at > _MAX_AGE_S:
            self._count = 0
        count, since = self._count, self._first_at
        for number, one in enumerate(open_connections):
            if number == _MAX_OPEN:
                break
            if one.bytes_from_pod:
                return None
            if one.bytes_to_pod and now - one.opened_at >= _SILENT_S:
                since = min(since, one.opened_at) if count else one.opened_at
                count += 1
        if count < _MIN_CONNECTIONS or now - since < _MIN_SPAN_S:
            return None
        return UnansweredConnections(count=count, since=since)
