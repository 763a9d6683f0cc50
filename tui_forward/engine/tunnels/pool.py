"""The tunnels of one forward to one pod, enough of them that connections need not wait.

Which connection gets which tunnel:

* A new connection takes an idle tunnel. One is kept warm, so it pays no handshake.
* Taking it makes the pool dial the next, up to `Limits.max_tunnels`.
* From `Limits.own_tunnels` on, it shares one instead that has a worker of the server left and no
  bulk transfer: what many clients send then takes fewer writes and reads on the whole path.
* In a burst, and at the maximum, a connection shares the least loaded tunnel that is not
  stalled. It does so at once: a handshake takes longer than to share, and in a crowd the
  handshakes would slow each other down. What is dialed meanwhile is for later connections.
* Where it would share a worker of the server as well (`flow_control`), it waits a moment for a
  tunnel that is being dialed, but only as many connections as there are such tunnels.
* Otherwise it waits only while all tunnels are stalled, or a part of each has stopped.
* The last idle tunnel at the maximum is kept as a sentinel (`TunnelSet.find_idle`).
* Idle tunnels beyond the spare ones are closed after a while.

The legacy transport has one tunnel per connection, dialed when the connection is accepted. The
pod cannot be probed without opening a connection to the application, so there `up` means that
the last handshake succeeded.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from typing import Final

from tui_forward.common.tasks import spawn
from tui_forward.engine.forward_logger import ForwardLogger
from tui_forward.engine.limits import Limits
from tui_forward.engine.tunnels.base import Channel, ChannelHandler, Tunnel
from tui_forward.engine.tunnels.dialer import Connect, Dialer, OnNoAnswer
from tui_forward.engine.tunnels.draining_tunnels import DrainingTunnels
from tui_forward.engine.tunnels.flow_control import WORKERS
from tui_forward.engine.tunnels.late_answers import LateAnswers, OnAnswer
from tui_forward.engine.tunnels.pool_growth import PoolGrowth
from tui_forward.engine.tunnels.spill_buffer import BufferBudget
from tui_forward.engine.tunnels.time_limit import TimeLimitDetector
from tui_forward.engine.tunnels.transport_cache import TransportCache
from tui_forward.engine.tunnels.tunnel_set import TunnelSet
from tui_forward.engine.tunnels.tunnel_waiters import TunnelWaiters
from tui_forward.errors import TransportError, TuiForwardError
from tui_forward.model import PodRef, PodShare, Reason, ReasonCode, Resolved, TransportChoice
from tui_forward.transport import ServerAccess, connect

_log = logging.getLogger(__name__)

# How long a connection waits for a tunnel of its own instead of sharing a worker.
_OWN_WAIT_S: Final = 0.1
# How long a connection avoids suspect tunnels; most are cleared long before.
_SUSPECT_WAIT_S: Final = 1.0
# While connections are refused, the upload of new ones is delayed until a refusal would be
# here: data for a connection that is refused stops a worker of the server for good.
_REFUSED_RECENTLY_S: Final = 5.0
_MIN_UPLOAD_DELAY_S: Final = 0.02
_MAX_UPLOAD_DELAY_S: Final = 0.5


class TunnelPool:
    """Tunnels to one pod. Belongs to one event loop; not thread-safe.

    `on_change` is called (synchronously, must not raise) whenever `up`, `tunnels`, `transport` or
    `round_trip_s` changed; `on_late_answer` and `on_no_answer` as in `Dialer`. Pools of one forward
    share a `budget`. Tests bring their own `connect`.
    """

    def __init__(
        self,
        access: ServerAccess,
        *,
        transport: TransportChoice,
        transport_cache: TransportCache,
        limits: Limits,
        on_change: Callable[[], None],
        forward_id: str = "",
        connect: Connect = connect,
        late_answers: LateAnswers | None = None,
        on_late_answer: OnAnswer = lambda _: None,
        on_no_answer: OnNoAnswer = lambda _: None,
        budget: BufferBudget | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._log = ForwardLogger(_log, forward_id, access.context)
        self._dialer = Dialer(
            access,
            choice=transport,
            transport_cache=transport_cache,
            limits=limits,
            forward_id=forward_id,
            connect=connect,
            late_answers=late_answers,
            on_late_answer=on_late_answer,
            on_no_answer=on_no_answer,
        )
        self._limits = limits
        self._on_change = on_change
        self.budget = budget or BufferBudget(limits)
        self.pod: PodRef | None = None  # of the last `connect`, also after the pool went down
        self.port = 0  # of that pod
        self._transport: TransportChoice | None = None
        self._round_trip_s: float | None = None
        self._loss: asyncio.Future[TuiForwardError] | None = None
        self._last_error: TuiForwardError = TransportError(Reason(code=ReasonCode.TUNNEL_NOT_OPEN))
        self._tunnels = TunnelSet(limits.own_tunnels, limits.max_tunnels)
        self._draining = DrainingTunnels(self._close_tunnel)
        self._closing: set[asyncio.Task[None]] = set()
        self._waiters = TunnelWaiters()
        self._growth = PoolGrowth(
            self._tunnels,
            limits,
            has_waiting=lambda: bool(self._waiters),
            dial=self._dial_more,
            on_dialed=self._dialed_more,
            on_unneeded=self._close_tunnel,
            on_settled=self._waiters.wake_one,
        )
        self._refused_at = -math.inf
        self._time_limit = TimeLimitDetector()
        self._idle_timer: asyncio.TimerHandle | None = None
        self._closed = False

    # ------------------------------------------------------------- for the forward

    async def connect(self, pod: PodRef, port: int) -> None:
        """Dial the first tunnel to a pod; the pool is then `up`. Raises as `Dialer.dial`.

        With another pod than before, the tunnels to the old one are drained: idle ones close,
        ones with connections live until those end. Safe to cancel: then the pool is down.
        """
        if self._closed:
            raise TransportError(Reason(code=ReasonCode.TUNNEL_CLOSED))
        if not (self._is_legacy and (pod, port) == (self.pod, self.port)):
            # Tunnels of the legacy transport do not depend on each other.
            self.disconnect(Reason(code=ReasonCode.FORWARD_CONNECTING, pod=pod.name))
        self.pod, self.port = pod, port
        try:
            tunnel = await self._dialer.dial(pod, port, self)
        except TuiForwardError as error:
            self._last_error = error
            raise
        if not tunnel.up or self._closed:
            self._close_tunnel(tunnel)
            raise TransportError(Reason(code=ReasonCode.TUNNEL_CLOSED_BY_SERVER))
        self._transport = tunnel.transport
        self._loss = self._loss or self._loop.create_future()
        if self._is_legacy:
            # It was a trial: the application has accepted a connection that ends at once. To
            # keep it for the first client would age its greeting.
            self._close_tunnel(tunnel)
        else:
            self._growth.start()
            self._add(tunnel)
        if self._idle_timer is None:
            self._schedule_idle_check()
        self._growth.grow()
        self._on_change()

    async def connect_to(self, resolved: Resolved) -> None:
        """See `ForwardPool`."""
        await self.connect(resolved.pod, resolved.port)

    def follow(self, resolved: Resolved) -> None:
        """See `ForwardPool`: nothing to adapt."""

    def select(self, client: str) -> TunnelPool | None:  # noqa: ARG002
        """See `ForwardPool`."""
        return self if self._loss is not None else None

    def record_refusal(self, pod: PodRef) -> bool:  # noqa: ARG002
        """See `ForwardPool`: there is no other pod."""
        return False

    @property
    def shares(self) -> list[PodShare]:
        """See `ForwardPool`."""
        return []

    @property
    def up(self) -> bool:
        """Whether a tunnel is upgraded and answers."""
        return self._loss is not None

    @property
    def last_error(self) -> TuiForwardError:
        """Why it is down; meaningless while it is up."""
        return self._last_error

    @property
    def connections(self) -> int:
        """How many channels are open, those to earlier pods included."""
        return sum(tunnel.channels for tunnel in [*self._tunnels, *self._draining])

    @property
    def tunnels(self) -> int:
        """How many tunnels are up."""
        return len(self._tunnels)

    @property
    def round_trip_s(self) -> float | None:
        """The latest PING round trip through the whole path; None before the first."""
        return self._round_trip_s

    @property
    def transport(self) -> TransportChoice | None:
        """The transport in use, None while down."""
        return self._transport if self.up else None

    async def wait_lost(self) -> TuiForwardError:
        """Wait until the pool is no longer `up`, and return why. Safe to cancel.

        Returns at once when the pool is down already.
        """
        if self._loss is None:
            return self._last_error
        return await asyncio.shield(self._loss)

    def probe(self, within_s: float) -> None:
        """PING every tunnel; those that receive nothing within that time are ended.

        For a wake from sleep or a change of the network. Returns at once; see `wait_lost`.
        """
        for tunnel in list(self._tunnels):
            tunnel.probe(within_s)

    def disconnect(self, reason: Reason) -> None:
        """Drain the present tunnels as `connect` with another pod does; `up` is False at once.

        Connections that wait for a tunnel keep waiting. Idempotent.
        """
        tunnels = list(self._tunnels)
        for tunnel in tunnels:
            self._tunnels.remove(tunnel)
        self._draining.add(tunnels)
        self._go_down(TransportError(reason))

    def abort(self, reason: Reason) -> None:
        """Cut all tunnels at once; their connections are reset. `up` is False at once."""
        error = TransportError(reason)
        for tunnel in [*self._tunnels, *self._draining]:
            tunnel.abort(error)
        self._go_down(error)

    async def close(self) -> None:
        """Cut everything and wait for it. Idempotent; the pool cannot be used afterwards."""
        self._closed = True
        self._dialer.close()
        for tunnel in [*self._tunnels, *self._draining]:
            self._tunnels.remove(tunnel)
            self._draining.discard(tunnel)
            self._close_tunnel(tunnel)
        self._go_down(TransportError(Reason(code=ReasonCode.CONNECTION_FORWARD_STOPPED)))
        await self._growth.wait_stopped()
        while self._closing:
            await asyncio.wait(self._closing)

    # ---------------------------------------------------------- for its connections

    @property
    def upload_delay_s(self) -> float:
        """How long to hold data back on a channel just opened; 0.0 unless others were refused."""
        if time.monotonic() - self._refused_at > _REFUSED_RECENTLY_S:
            return 0.0
        return min(_MIN_UPLOAD_DELAY_S + 2 * (self._round_trip_s or 0.0), _MAX_UPLOAD_DELAY_S)

    def try_open(self, handler: ChannelHandler) -> Channel | None:
        """Open a channel as `open` does if that needs no waiting, else return None.

        Raises `TransportError` if the tunnel has just ended.
        """
        if self._is_legacy or not self.up:
            return None
        tunnel = self._find_tunnel()
        return None if tunnel is None else self._open_on(tunnel, handler)

    async def open(self, handler: ChannelHandler) -> Channel:
        """Open a channel on the best tunnel; see `Tunnel.open`. Raises if the pool is or goes down.

        Usually does not wait; otherwise for a tunnel that can be used, or for the handshake of
        the legacy transport. Safe to cancel.
        """
        if self._is_legacy:
            return await self._open_legacy(handler)
        if not self.up:
            raise self._last_error
        tunnel = self._find_tunnel()
        if tunnel is None:
            tunnel = await self._wait_for_tunnel()
        return self._open_on(tunnel, handler)

    def _open_on(self, tunnel: Tunnel, handler: ChannelHandler) -> Channel:
        channel = tunnel.open(handler)
        self._tunnels.mark_used(tunnel)
        self._growth.grow_soon()
        return channel

    def _find_tunnel(self, waited_s: float = 0.0) -> Tunnel | None:
        """Return a free tunnel, else the best one to share; None if it is better to wait."""
        tunnel = self._tunnels.find_free()
        if tunnel is not None:
            return tunnel
        if not waited_s:
            self._growth.record_burst()
            self._growth.grow()
        tunnel = self._tunnels.find_shared()
        if tunnel is None or (tunnel.suspect and waited_s < _SUSPECT_WAIT_S):
            return None
        has_own_worker = tunnel.load < WORKERS
        if not has_own_worker and waited_s < _OWN_WAIT_S and self._has_unclaimed_dial:
            return None
        return tunnel

    @property
    def _has_unclaimed_dial(self) -> bool:
        """Whether more tunnels are being dialed than connections wait for one."""
        return len(self._waiters) < self._growth.dialing

    async def _wait_for_tunnel(self) -> Tunnel:
        since = time.monotonic()
        while True:
            await self._waiters.wait()
            if not self.up:
                raise self._last_error
            tunnel = self._find_tunnel(time.monotonic() - since)
            if tunnel is not None:
                self._waiters.wake_one()
                return tunnel
            self._growth.grow()

    def tunnel_changed(self, tunnel: Tunnel) -> None:
        """See `TunnelOwner`."""
        self._refused_at = max(self._refused_at, tunnel.refused_at)
        if tunnel in self._draining:
            self._draining.update(tunnel)
            return
        if tunnel in self._tunnels:
            self._tunnels.update(tunnel)
            if tunnel.stuck:
                self._replace(tunnel)
            elif self._waiters and not tunnel.stalled:
                self._waiters.wake_one()
        if tunnel.round_trip_s != self._round_trip_s and tunnel.round_trip_s is not None:
            self._round_trip_s = tunnel.round_trip_s
            self._on_change()

    def tunnel_ended(self, tunnel: Tunnel, error: TuiForwardError) -> None:
        """See `TunnelOwner`."""
        self._wait_closed(tunnel)
        self._draining.discard(tunnel)
        if not self._tunnels.remove(tunnel) or self._is_legacy:
            return
        self._growth.record_loss()
        now = time.monotonic()
        reason = self._time_limit.ended(now - tunnel.opened_at, error.reason, now)
        if reason is not error.reason:
            error = TransportError(reason)
        self._log.warning("lost a tunnel, %d left: %s", len(self._tunnels), error.message)
        if not self._tunnels:
            self._go_down(error)
        else:
            # What ended one tunnel may be about to end all: probe them, so that `up` is true.
            self._loop.call_soon(self.probe, self._limits.silence_s)
            self._growth.grow()
        self._on_change()

    def path_is_alive(self, tunnel: Tunnel) -> bool:
        """See `TunnelOwner`."""
        since = time.monotonic() - self._limits.silence_s
        return any(
            other is not tunnel and other.up and other.last_received_at > since
            for other in self._draining.group_of(tunnel) or self._tunnels
        )

    def _replace(self, tunnel: Tunnel) -> None:
        """Close a tunnel that has stopped in part, if another one can be used."""
        if any(other.up and not other.suspect for other in self._tunnels):
            self._tunnels.remove(tunnel)
            self._close_tunnel(tunnel)
        self._growth.grow()

    # ---------------------------------------------------------------------- private

    @property
    def _is_legacy(self) -> bool:
        return self._transport is TransportChoice.CHANNELS

    def _go_down(self, error: TuiForwardError) -> None:
        loss, self._loss = self._loss, None
        if loss is None:
            return
        self._log.info("no tunnel is up: %s", error.message)
        self._last_error = error
        self._round_trip_s = None
        loss.set_result(error)
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
        self._growth.stop()
        self._waiters.wake_all()
        self._on_change()

    def _add(self, tunnel: Tunnel) -> None:
        tunnel.opened_at = time.monotonic()
        self._tunnels.add(tunnel)
        self._round_trip_s = tunnel.round_trip_s
        self._waiters.wake_one()

    async def _dial_more(self) -> Tunnel:
        assert self.pod is not None
        assert self._transport is not None
        return await self._dialer.dial_by(self._transport, self.pod, self.port, self)

    def _dialed_more(self, tunnel: Tunnel) -> None:
        self._add(tunnel)
        self._on_change()

    async def _open_legacy(self, handler: ChannelHandler) -> Channel:
        loss = self._loss
        try:
            tunnel = await self._dial_more()
        except TuiForwardError as error:
            # Nothing else shows that this pod cannot be reached any more.
            if loss is self._loss:
                self._go_down(error)
            raise
        if self._loss is None or self._loss is not loss:
            self._close_tunnel(tunnel)
            raise self._last_error
        self._tunnels.mark_used(tunnel)
        self._on_change()
        return tunnel.open(handler)

    def _schedule_idle_check(self) -> None:
        # At the same moments for all pools, so that an idle engine seldom wakes.
        period_s = self._limits.tunnel_idle_s / 2
        due_at = (self._loop.time() // period_s + 1) * period_s
        self._idle_timer = self._loop.call_at(due_at, self._close_idle_tunnels)

    def _close_idle_tunnels(self) -> None:
        self._schedule_idle_check()
        self._growth.shrink()
        for tunnel in self._tunnels.find_expired(self._growth.spare, self._limits.tunnel_idle_s):
            self._tunnels.remove(tunnel)
            self._close_tunnel(tunnel)
        self._growth.grow()
        self._on_change()

    def _close_tunnel(self, tunnel: Tunnel) -> None:
        tunnel.close()
        self._wait_closed(tunnel)

    def _wait_closed(self, tunnel: Tunnel) -> None:
        """Keep a reference to the tunnel until its socket is closed."""
        closing = spawn(tunnel.wait_closed(), name="tunnel close")
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
