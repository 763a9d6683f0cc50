"""Channels opened ahead for the next connections of a forward.

The application has accepted them by the time a client connects, which saves the client most of the
wait for its first byte. What a server sends first (a greeting) is kept and delivered. To the
application such a channel is a connection that sends nothing, so this is only done on request, and
stops where the application closes it soon.

A runtime reports that an application has closed its socket a second later (PROTOCOL: linger). So
the first channels to a pod are not used: they show that others may be, for as long as they lasted.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Final

from tui_forward.engine.tunnels.base import Channel
from tui_forward.engine.tunnels.pool import TunnelPool
from tui_forward.errors import TuiForwardError
from tui_forward.model import PodRef, PreconnectStatus, Reason, ReasonCode
from tui_forward.protocol.error_stream import PortForwardFailure

# How much later than the application a runtime ends a channel.
_LINGER_S: Final = 1.0
# An application that closes a silent connection so soon is not connected to ahead any more.
_MIN_LIFE_S: Final = 1.2
_MAX_GREETING_BYTES: Final = 16 * 1024
# How long what was taken is not replaced, so that it does not slow the client's first exchange.
_FILL_DELAY_S: Final = 0.02
# Without a client for so long, channels that are too old are not replaced.
_IN_USE_S: Final = 60.0


class SpareChannel:
    """A channel without a connection. Implements `ChannelHandler`."""

    def __init__(self, pod: PodRef, on_ended: Callable[[SpareChannel, bool], None]) -> None:
        self.pod = pod
        self.opened_at = time.monotonic()
        self.greeting = bytearray()
        self.channel: Channel | None = None  # None once it has ended
        self._on_ended = on_ended  # with whether the application has ended it

    def data_received(self, pieces: list[memoryview]) -> None:
        """See `ChannelHandler`; keeps the greeting."""
        for piece in pieces:
            self.greeting += piece
        if len(self.greeting) > _MAX_GREETING_BYTES:  # more than a greeting
            self._end(is_by_application=True)

    def eof_received(self) -> None:
        """See `ChannelHandler`."""
        self._end(is_by_application=True)

    def writing_paused(self) -> None:
        """See `ChannelHandler`; nothing is sent."""

    def writing_resumed(self) -> None:
        """See `ChannelHandler`; nothing is sent."""

    def evicted(self, reason: Reason) -> None:  # noqa: ARG002
        """See `ChannelHandler`."""
        self._end(is_by_application=False)

    def closed(self, failure: PortForwardFailure | None) -> None:
        """See `ChannelHandler`."""
        reached = failure is None or failure.code is ReasonCode.PORT_RESET
        self.channel = None
        self._on_ended(self, reached)

    def abort(self) -> None:
        """End it. Idempotent; `on_ended` is not called."""
        channel, self.channel = self.channel, None
        if channel is not None:
            channel.abort()

    def _end(self, *, is_by_application: bool) -> None:
        if self.channel is not None:
            self.abort()
            self._on_ended(self, is_by_application)


class Preconnector:
    """Keeps up to `count` channels open for the next connections. Costs nothing with 0.

    None gets older than `max_age_s`.
    """

    def __init__(
        self, count: int, *, max_age_s: float, usable_pool: Callable[[], TunnelPool | None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._count = count
        self._usable_pool = usable_pool  # may raise `TuiForwardError`
        self._max_age_s = max_age_s
        self._spares: list[SpareChannel] = []  # oldest first
        self._used_at = -math.inf
        self._is_off = False  # the application closes silent connections soon
        self._is_proven = False  # channels to this pod have lasted for `_max_age_s`
        self._timer: asyncio.TimerHandle | None = None
        self._filling: asyncio.TimerHandle | None = None

    @property
    def status(self) -> PreconnectStatus | None:
        """What is shown of it; None if it was not requested."""
        if not self._count:
            return None
        return PreconnectStatus(
            ready=sum(map(self._is_usable, self._spares)),
            off=self._is_off,
            max_age_s=self._max_age_s,
        )

    def start(self) -> None:
        """Open channels: a pool is up."""
        self._fill_soon()

    def take(self, pod: PodRef | None) -> SpareChannel | None:
        """Return a channel to a pod, which belongs to the caller now; None if there is none."""
        if not self._count:
            return None
        self._fill_soon()
        for spare in self._spares:
            if spare.pod == pod and self._is_usable(spare):
                self._spares.remove(spare)
                return spare
        return None

    def drop(self) -> None:
        """End all channels: the pool is down, or leads to another pod. Idempotent."""
        spares, self._spares = self._spares, []
        for spare in spares:
            spare.abort()
        for handle in (self._timer, self._filling):
            if handle is not None:
                handle.cancel()
        self._timer = self._filling = None
        self._is_proven = False

    def _is_usable(self, spare: SpareChannel) -> bool:
        age_s = time.monotonic() - spare.opened_at
        is_safe = self._is_proven and age_s < self._max_age_s - _LINGER_S
        return is_safe and spare.channel is not None and spare.channel.acknowledged

    def _fill_soon(self) -> None:
        """Replace what was taken, after the client is served."""
        if self._count and not self._is_off:
            self._used_at = time.monotonic()
            self._schedule_filling()

    def _schedule_filling(self) -> None:
        if self._filling is None:
            self._filling = self._loop.call_later(_FILL_DELAY_S, self._fill)

    def _fill(self) -> None:
        self._filling = None
        try:
            while len(self._spares) < self._count:
                pool = self._usable_pool()
                if pool is None or pool.pod is None:
                    break
                spare = SpareChannel(pool.pod, self._ended)
                spare.channel = pool.try_open(spare)
                if spare.channel is None:
                    break  # no tunnel is at hand; the next connection tries again
                self._spares.append(spare)
                spare.channel.flush()
        except TuiForwardError:
            return  # the pool has just gone down, or the forward is stopping
        self._schedule_expiry()

    def _schedule_expiry(self) -> None:
        if self._timer is None and self._spares:
            age_s = time.monotonic() - self._spares[0].opened_at
            self._timer = self._loop.call_later(max(0.01, self._max_age_s - age_s), self._expire)

    def _expire(self) -> None:
        self._timer = None
        now = time.monotonic()
        for spare in list(self._spares):
            if now - spare.opened_at >= self._max_age_s:
                self._spares.remove(spare)
                spare.abort()
                self._is_proven = True
        if now - self._used_at < _IN_USE_S:
            self._schedule_filling()
        self._schedule_expiry()

    def _ended(self, spare: SpareChannel, is_by_application: bool) -> None:
        """Process the end of a channel that nothing has used."""
        if spare not in self._spares:
            return
        self._spares.remove(spare)
        # Until a client connects: a refusal, for example, would repeat.
        self._used_at = -math.inf
        if is_by_application:
            life_s = time.monotonic() - spare.opened_at - _LINGER_S
            # Use them only while the end is far away.
            self._max_age_s = min(self._max_age_s, life_s / 2)
            self._is_off = life_s < _MIN_LIFE_S or self._max_age_s <= _LINGER_S
            self._is_proven = False
            if self._is_off:
                self._loop.call_soon(self.drop)  # not from inside a call of a channel
