"""Timing of a client's FIN.

A runtime that receives an end of file closes the application's socket one second later,
answer or not. So a client's FIN is passed on only when the pod has been silent for the
half-close timeout, and not at all if the application ends first. A client that has closed
its socket waits for no answer, so there the FIN is passed on at once.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from tui_forward.engine.connections.peer_state import is_closed_by_peer

_FIRST_CHECK_S: Final = 0.1
# How often to check whether a client that sends no more has closed its socket.
_CHECK_INTERVAL_S: Final = 1.0
_END_TIMEOUT_S: Final = 10.0  # how long the runtime may take to end a connection after the FIN


class HalfCloseTimer:
    """Decides when a client's FIN is passed on, and how long the pod may take after it."""

    def __init__(
        self,
        sock: socket.socket,
        timeout_s: float,  # how long the pod must have been silent
        *,
        on_due: Callable[[], None],  # once per `start`, unless canceled
        on_unanswered: Callable[[], None],  # the pod has not ended the connection in time
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._timeout_s = timeout_s
        self._on_due = on_due
        self._on_unanswered = on_unanswered
        self._last_data_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Hold the FIN back from now on; may call `on_due` at once."""
        self._last_data_at = self._loop.time()
        self._check()

    def data_received(self) -> None:
        """Record that the pod has sent data: it is not silent."""
        self._last_data_at = self._loop.time()

    def eof_sent(self) -> None:
        """Limit the time until the pod ends the connection."""
        self._timer = self._loop.call_later(_END_TIMEOUT_S, self._on_unanswered)

    def cancel(self) -> None:
        """Call nothing more. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        """Cancel for good. Call once."""
        self.cancel()
        del self._on_due, self._on_unanswered  # a reference cycle

    def _check(self) -> None:
        silent_s = self._loop.time() - self._last_data_at
        left_s = self._timeout_s - silent_s
        if left_s > 0 and not is_closed_by_peer(self._sock):
            interval_s = _FIRST_CHECK_S if silent_s < _FIRST_CHECK_S else _CHECK_INTERVAL_S
            self._timer = self._loop.call_later(min(left_s, interval_s), self._check)
        else:
            self._on_due()
