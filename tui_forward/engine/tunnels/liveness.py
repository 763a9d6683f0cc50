"""Liveness checks of one tunnel: PINGs, and the decision that nothing comes through any more."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Final, Protocol

from tui_forward.engine.limits import Limits
from tui_forward.errors import TransportError, TuiForwardError
from tui_forward.model import Reason, ReasonCode

# The first check is not earlier than this part of a period, so that checks are not run twice.
_MIN_WAIT: Final = 0.5


class MonitoredTunnel(Protocol):
    """What the monitor needs of its tunnel."""

    last_received_at: float

    @property
    def is_monitored(self) -> bool:
        """Return whether an answer would be received: the tunnel is up, and is read."""

    @property
    def oldest_ping_at(self) -> float | None:
        """Return when the oldest unanswered PING was sent."""

    def send_ping(self) -> None:
        """Send a PING if the server can be expected to answer it."""

    def expire_channels(self, opened_before: float) -> None:
        """End channels that were opened before then and are not acknowledged."""

    def may_be_blocked(self) -> bool:
        """Return whether an application that does not read may cause the silence."""

    def abort(self, error: TuiForwardError) -> None:
        """End the tunnel."""


class LivenessMonitor:
    """Sends PINGs periodically and ends the tunnel when it is silent for too long."""

    __slots__ = ("_limits", "_loop", "_timer", "_tunnel")

    def __init__(self, tunnel: MonitoredTunnel, limits: Limits) -> None:
        self._loop = asyncio.get_running_loop()
        self._tunnel = tunnel
        self._limits = limits
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Check from now on, until `stop`."""
        # At the same moments for all tunnels, so that an idle engine seldom wakes.
        period_s = self._limits.ping_every_s
        due_at = (math.floor(self._loop.time() / period_s + _MIN_WAIT) + 1) * period_s
        self._timer = self._loop.call_at(due_at, self._check)

    def stop(self) -> None:
        """Check no more. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def probe(self, within_s: float) -> None:
        """Send a PING now; end the tunnel if nothing is received within that time."""
        if self._tunnel.is_monitored:
            sent_at = time.monotonic()
            self._tunnel.send_ping()
            self._loop.call_later(within_s, self._check_probe, sent_at)

    def _check_probe(self, sent_at: float) -> None:
        if self._tunnel.is_monitored and self._tunnel.last_received_at < sent_at:
            self._end_if_dead(time.monotonic() - self._tunnel.last_received_at)

    def _check(self) -> None:
        self.start()
        tunnel = self._tunnel
        now = time.monotonic()
        tunnel.expire_channels(now - self._limits.open_timeout_s)
        if not tunnel.is_monitored:
            return
        sent_at = tunnel.oldest_ping_at
        if sent_at is None or now - max(sent_at, tunnel.last_received_at) < self._limits.silence_s:
            tunnel.send_ping()
        else:
            self._end_if_dead(now - tunnel.last_received_at)

    def _end_if_dead(self, silent_s: float) -> None:
        if not self._tunnel.may_be_blocked():
            self._tunnel.abort(
                TransportError(Reason(code=ReasonCode.TUNNEL_SILENT, timeout_s=round(silent_s)))
            )
