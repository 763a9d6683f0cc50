"""The tunnels of one forward towards one pod, enough of them that nobody waits for another.

Who gets which tunnel:

* A new connection takes an idle tunnel. One is kept warm, so it pays no handshake.
* Taking it makes the pool dial the next, up to `Limits.max_tunnels`. In a burst a
  connection waits a moment (`Limits.share_after_s`) for a tunnel of its own.
* After that, or at the maximum, it shares the least loaded tunnel that is not stalled.
  The last idle tunnel at the maximum is kept as a sentinel: while it answers, another
  tunnel's silence is an application that does not read, not a broken path.
* Idle tunnels beyond the spare ones are closed after a while.

The legacy transport has one tunnel per connection, dialled when the connection comes. It
cannot be asked whether the pod is still there without bothering the application, so there
`up` means that the last handshake succeeded.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from tui_forward.engine.limits import Limits
from tui_forward.engine.tunnels.base import Channel, ChannelHandler, Tunnel
from tui_forward.engine.tunnels.dialer import Connect, Dialer, TransportCache
from tui_forward.engine.tunnels.spill_buffer import BufferBudget
from tui_forward.errors import TransportError, TuiForwardError
from tui_forward.model import PodRef, TransportChoice
from tui_forward.transport import ServerAccess, connect

__all__ = ["TransportCache", "TunnelPool"]

_RETRY_FIRST_S = 0.5
_RETRY_MOST_S = 30.0
_LOOK_AGAIN_S = 0.01
# How fast a crowd gives up its hope of few sharers.
_CROWD_S = 0.03
# Most doubts are over long before that.
_DOUBTED_S = 1.0
# While connections are refused, data is held back on new ones until a refusal would be here:
# data of a connection that is refused stops a worker of the server for good.
_REFUSING_S = 5.0
_HESITATE_S = 0.02
_HESITATE_MOST_S = 0.5


class TunnelPool:
    """Tunnels to one pod.

    A pool belongs to one event loop and is not thread-safe.

    Args:
        access: The API server and its credentials.
        transport: A transport to insist on, or `AUTO`.
        memory: Shared knowledge of what worked per cluster.
        limits: Bounds.
        on_change: Called (synchronously, must not raise) whenever `up`, `tunnels`,
            `transport` or `round_trip_s` changed.
        connect: Makes a byte stream out of an endpoint; tests bring their own.
    """

    def __init__(
        self,
        access: ServerAccess,
        *,
        transport: TransportChoice,
        memory: TransportCache,
        limits: Limits,
        on_change: Callable[[], None],
        connect: Connect = connect,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._dialler = Dialer(
            access, choice=transport, memory=memory, limits=limits, connect=connect
        )
        self._limits = limits
        self._on_change = on_change
        self._budget = BufferBudget(limits)
        self._pod: PodRef | None = None
        self._port = 0
        self._transport: TransportChoice | None = None
        self._round_trip_s: float | None = None
        self._loss: asyncio.Future[TuiForwardError] | None = None
        self._last_error: TuiForwardError = TransportError("the tunnel was never open")
        # Tunnels new connections may use; and those that only finish what they carry.
        self._tunnels: dict[Tunnel, float] = {}  # since when it has been idle; 0.0 if not
        self._leaving: set[Tunnel] = set()
        self._waiters: dict[asyncio.Future[None], float] = {}  # since when
        self._look: asyncio.TimerHandle | None = None
        self._spare = limits.spare
        self._dials: set[asyncio.Task[None]] = set()
        self._endings: set[asyncio.Task[None]] = set()
        self._retry_at = 0.0
        self._refused_at = -math.inf
        self._retry_delay_s = _RETRY_FIRST_S
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    # ------------------------------------------------------------- for the forward

    async def connect(self, pod: PodRef, port: int) -> None:
        """Dial the first tunnel to a pod; the pool is `up` when this returns.

        With another pod than before, the tunnels to the old one are let go: idle ones close,
        ones with connections live until those end, at most `limits.drain_s`. Safe to cancel:
        then the pool is down.

        Raises:
            ConfigError: The kubeconfig cannot be used.
            AuthError: No credentials, or refused (401) also after a refresh.
            ApiError: The API server said no: 403, 404 …; of type UpgradeError when it
                would not upgrade by any transport.
            TransportError: Nobody there, TLS trouble, time-out.
            ProtocolError: The answer was not HTTP, or the wrong protocol was agreed.
        """
        if self._closed:
            raise TransportError("the pool is closed")
        if not (self._one_each and (pod, port) == (self._pod, self._port)):
            # Of the legacy transport, every connection's tunnel stands for itself.
            self.disconnect("the forward moved on")
        self._pod, self._port = pod, port
        try:
            tunnel = await self._dialler.dial(pod, port, self)
        except TuiForwardError as error:
            self._last_error = error
            raise
        if not self._usable(tunnel):
            raise TransportError("the tunnel ended as soon as it was open")
        self._transport = tunnel.transport
        self._retry_delay_s = _RETRY_FIRST_S
        self._retry_at = 0.0
        self._spare = self._limits.spare
        self._loss = self._loss or self._loop.create_future()
        if self._one_each:
            # It was a trial: the application has seen a connection that ends at once. To
            # keep it for the first client would age its greeting.
            tunnel.close()
            self._await_end(tunnel)
        else:
            self._add(tunnel)
        if self._timer is None:
            self._timer = self._loop.call_later(self._limits.tunnel_idle_s / 2, self._tick)
        self._grow()
        self._on_change()

    @property
    def up(self) -> bool:
        """Whether a tunnel is upgraded and answers."""
        return self._loss is not None

    @property
    def tunnels(self) -> int:
        """How many tunnels are up."""
        return len(self._tunnels)

    @property
    def round_trip_s(self) -> float | None:
        """The latest PING round trip through the whole chain; None before the first."""
        return self._round_trip_s

    @property
    def transport(self) -> TransportChoice | None:
        """The transport in use, None while down."""
        return self._transport if self.up else None

    @property
    def pod(self) -> PodRef | None:
        """The pod of the last `connect`, also after the pool went down."""
        return self._pod

    @property
    def upload_delay_s(self) -> float:
        """How long to hold data back on a channel just opened; 0.0 unless others were refused."""
        if self._loop.time() - self._refused_at > _REFUSING_S:
            return 0.0
        return min(_HESITATE_S + 2 * (self._round_trip_s or 0.0), _HESITATE_MOST_S)

    async def wait_lost(self) -> TuiForwardError:
        """Wait until the pool is no longer `up`, and return why. Safe to cancel.

        Returns at once when the pool is down already.
        """
        if self._loss is None:
            return self._last_error
        return await asyncio.shield(self._loss)

    def probe(self, within_s: float) -> None:
        """Ask every tunnel for a sign of life; those without one within that time are dead.

        For a wake from sleep or a change of the network. Returns at once; see `lost`.
        """
        for tunnel in list(self._tunnels):
            tunnel.probe(within_s)

    def disconnect(self, reason: str = "disconnected") -> None:
        """Let the present tunnels go as `connect` with another pod does; `up` is False at once.

        Connections that wait for a tunnel wait on (`Gate.pool`). Idempotent.
        """
        for tunnel in list(self._tunnels):
            del self._tunnels[tunnel]
            if tunnel.channels:
                self._leaving.add(tunnel)
                self._loop.call_later(
                    self._limits.drain_s,
                    tunnel.abort,
                    TransportError("the pod was left, and the time to finish is over"),
                )
            else:
                tunnel.close()
                self._await_end(tunnel)
        self._down(TransportError(reason))

    def abort(self, reason: str) -> None:
        """Cut all tunnels at once; their connections are reset. `up` is False at once."""
        error = TransportError(reason)
        for tunnel in [*self._tunnels, *self._leaving]:
            tunnel.abort(error)
        self._down(error)

    async def close(self) -> None:
        """Cut everything and wait for it. Idempotent; the pool cannot be used afterwards."""
        self._closed = True
        for tunnel in [*self._tunnels, *self._leaving]:
            self._tunnels.pop(tunnel, None)
            self._leaving.discard(tunnel)
            tunnel.close()
            self._await_end(tunnel)
        self._down(TransportError("the forward was stopped"))
        while self._dials or self._endings:
            await asyncio.gather(*self._dials, *self._endings, return_exceptions=True)

    # ---------------------------------------------------------- for its connections

    async def open(self, handler: ChannelHandler) -> Channel:
        """Begin a connection on the best tunnel there is; see `Tunnel.open`.

        Usually does not wait; at most `limits.share_after_s` in a burst, or for the
        handshake of the legacy transport. Safe to cancel.

        Raises:
            TuiForwardError: The pool is down, or went down meanwhile.
        """
        if self._one_each:
            return await self._open_own(handler)
        tunnel = self._idle_tunnel()
        if tunnel is None:
            tunnel = await self._wait_for_tunnel()
        channel = tunnel.open(handler)
        self._tunnels[tunnel] = 0.0
        self._grow()
        return channel

    # ------------------------------------------------------------------ TunnelOwner

    @property
    def budget(self) -> BufferBudget:
        """Room for the bytes of slow readers, shared by all tunnels of the forward."""
        return self._budget

    def tunnel_changed(self, tunnel: Tunnel) -> None:
        """See `TunnelOwner`."""
        self._refused_at = max(self._refused_at, tunnel.refused_at)
        if tunnel in self._leaving:
            if not tunnel.channels:
                self._leaving.discard(tunnel)
                tunnel.close()
                self._await_end(tunnel)
            return
        if tunnel in self._tunnels:
            if tunnel.load:
                self._tunnels[tunnel] = 0.0
            elif not self._tunnels[tunnel]:
                self._tunnels[tunnel] = self._loop.time()
            if tunnel.stuck:
                self._replace(tunnel)
            elif self._waiters and not tunnel.stalled:
                self._wake_waiter()
        if tunnel.round_trip_s != self._round_trip_s and tunnel.round_trip_s is not None:
            self._round_trip_s = tunnel.round_trip_s
            self._on_change()

    def tunnel_ended(self, tunnel: Tunnel, error: TuiForwardError) -> None:
        """See `TunnelOwner`."""
        self._await_end(tunnel)
        self._leaving.discard(tunnel)
        if self._tunnels.pop(tunnel, None) is None or self._one_each:
            return
        if not self._tunnels:
            self._down(error)
        else:
            # What ended one tunnel may be about to end all: ask, instead of claiming to be up.
            self._loop.call_soon(self.probe, self._limits.silence_s)
            self._grow()
        self._on_change()

    def path_is_alive(self, tunnel: Tunnel) -> bool:
        """See `TunnelOwner`."""
        since = self._loop.time() - self._limits.silence_s
        return any(
            other is not tunnel and other.up and other.last_received_at > since
            for other in self._tunnels
        )

    # ---------------------------------------------------------------------- private

    @property
    def _one_each(self) -> bool:
        return self._transport is TransportChoice.CHANNELS

    def _down(self, error: TuiForwardError) -> None:
        loss, self._loss = self._loss, None
        if loss is None:
            return
        self._last_error = error
        self._round_trip_s = None
        loss.set_result(error)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for dial in self._dials:
            dial.cancel()
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._on_change()

    def _replace(self, tunnel: Tunnel) -> None:
        """One that has stopped in part is closed once another can do its work."""
        if any(other.up and not other.suspect for other in self._tunnels):
            del self._tunnels[tunnel]
            tunnel.close()
            self._await_end(tunnel)
        self._grow()

    def _usable(self, tunnel: Tunnel) -> bool:
        """Whether a tunnel just dialled is still wanted; ends it if not."""
        if tunnel.up and not self._closed:
            return True
        tunnel.close()
        self._await_end(tunnel)
        return False

    def _add(self, tunnel: Tunnel) -> None:
        self._tunnels[tunnel] = self._loop.time()
        self._round_trip_s = tunnel.round_trip_s
        self._wake_waiter()

    def _idle_tunnel(self) -> Tunnel | None:
        """An idle tunnel to use up, unless it is the last one and has to stand sentinel."""
        idle = [one for one in self._tunnels if not (one.load or one.stalled or one.suspect)]
        if not idle or (len(idle) == 1 and len(self._tunnels) >= self._limits.max_tunnels > 1):
            return None
        # The most recently used first, so that the others age and can be closed.
        return max(idle, key=self._tunnels.__getitem__)

    async def _wait_for_tunnel(self) -> Tunnel:
        """A tunnel of one's own, if it comes soon, else the best one to share."""
        # More connections at once than spare tunnels: keep more of them for a while.
        self._spare = min(self._spare + 1, self._limits.max_spare)
        self._retry_at = 0.0
        began = self._loop.time()
        while True:
            if not self.up:
                raise self._last_error
            tunnel = self._idle_tunnel()
            if tunnel is not None:
                return tunnel
            self._grow()
            waited_s = self._loop.time() - began
            tunnel = self._shared_tunnel()
            if (
                tunnel is not None
                and tunnel.load < self._sharers(waited_s)
                and not (tunnel.suspect and waited_s < _DOUBTED_S)
            ):
                return tunnel
            await self._change(began)

    def _sharers(self, waited_s: float) -> float:
        """How many connections a tunnel may carry before one that has waited so long joins."""
        if not self._dials or waited_s >= self._limits.share_after_s:
            return math.inf
        if len(self._waiters) < self._limits.max_tunnels - len(self._tunnels):
            return 0  # there will be a tunnel for everybody
        # A crowd has to share in the end. It spreads over the tunnels that are under way,
        # instead of rushing into the one there is: the longer it lasts, the more may share.
        crowd = len(self._waiters) + sum(tunnel.load for tunnel in self._tunnels)
        return crowd / self._limits.max_tunnels * waited_s / _CROWD_S

    async def _change(self, began: float) -> None:
        """Wait until a tunnel came or became idle, all are gone, or it is time to look again."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._waiters[waiter] = began
        if self._look is None:
            self._look = self._loop.call_later(_LOOK_AGAIN_S, self._look_again)
        try:
            await waiter
        finally:
            del self._waiters[waiter]

    def _look_again(self) -> None:
        """Wake as many of a crowd as may share the tunnels there are."""
        self._look = None
        waiting = [waiter for waiter in self._waiters if not waiter.done()]
        if not waiting:
            return
        self._look = self._loop.call_later(_LOOK_AGAIN_S, self._look_again)
        oldest = min(self._waiters[waiter] for waiter in waiting)
        loads = [tunnel.load for tunnel in self._tunnels if not tunnel.stalled]
        sharers = self._sharers(self._loop.time() - oldest)
        if math.isinf(sharers):
            room = len(waiting)
        else:
            room = max(1, int(sharers * len(loads)) - sum(loads))
        for waiter in waiting[:room]:
            waiter.set_result(None)

    def _wake_waiter(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
                return

    def _shared_tunnel(self) -> Tunnel | None:
        usable = [tunnel for tunnel in self._tunnels if not tunnel.stalled]
        # A busy one before the idle sentinel, and one that may be ill only if all others are.
        return min(usable, key=lambda one: (one.suspect, not one.load, one.load), default=None)

    async def _open_own(self, handler: ChannelHandler) -> Channel:
        assert self._pod is not None
        loss = self._loss
        try:
            tunnel = await self._dialler.dial_by(
                TransportChoice.CHANNELS, self._pod, self._port, self
            )
        except TuiForwardError as error:
            # There is no other sign that this pod cannot be reached any more.
            if loss is self._loss:
                self._down(error)
            raise
        if self._loss is None or self._loss is not loss:
            tunnel.close()
            self._await_end(tunnel)
            raise self._last_error
        self._tunnels[tunnel] = 0.0
        self._on_change()
        return tunnel.open(handler)

    def _grow(self) -> None:
        """Dial until enough idle tunnels are there or under way."""
        if not self.up or self._one_each or self._loop.time() < self._retry_at:
            return
        idle = sum(1 for one in self._tunnels if not (one.load or one.stalled or one.suspect))
        wanted = max(self._spare, len(self._waiters))
        while (
            idle + len(self._dials) < wanted
            and len(self._dials) < self._limits.parallel_dials
            and len(self._tunnels) + len(self._dials) < self._limits.max_tunnels
        ):
            dial = self._loop.create_task(self._dial_more())
            self._dials.add(dial)
            dial.add_done_callback(self._dialled)

    async def _dial_more(self) -> None:
        assert self._pod is not None
        assert self._transport is not None
        loss = self._loss
        try:
            tunnel = await self._dialler.dial_by(self._transport, self._pod, self._port, self)
        except TuiForwardError:
            # The forward goes on with the tunnels it has; if those end, its next `connect`
            # finds out what is wrong and says so.
            self._retry_at = self._loop.time() + self._retry_delay_s
            self._retry_delay_s = min(2 * self._retry_delay_s, _RETRY_MOST_S)
            return
        self._retry_delay_s = _RETRY_FIRST_S
        if loss is None or loss is not self._loss or not tunnel.up:
            tunnel.close()
            self._await_end(tunnel)
            return
        self._add(tunnel)
        self._on_change()

    def _dialled(self, dial: asyncio.Task[None]) -> None:
        self._dials.discard(dial)
        if not dial.cancelled():
            error = dial.exception()
            if error is not None:
                self._loop.call_exception_handler(
                    {"message": "a tunnel could not be dialled", "exception": error}
                )
        self._grow()
        # Whoever waits for a handshake that failed looks again.
        self._wake_waiter()

    def _tick(self) -> None:
        if not self.up:
            return
        self._timer = self._loop.call_later(self._limits.tunnel_idle_s / 2, self._tick)
        self._spare = max(self._limits.spare, self._spare - 1)
        old = self._loop.time() - self._limits.tunnel_idle_s
        idle = sorted(
            (tunnel for tunnel, since in self._tunnels.items() if since and not tunnel.channels),
            key=self._tunnels.__getitem__,
        )
        for tunnel in idle[: max(0, len(idle) - self._spare)]:
            if self._tunnels[tunnel] < old:
                del self._tunnels[tunnel]
                tunnel.close()
                self._await_end(tunnel)
        self._grow()
        self._on_change()

    def _await_end(self, tunnel: Tunnel) -> None:
        """Own the tunnel until its socket is closed."""
        ending = self._loop.create_task(tunnel.wait_closed())
        self._endings.add(ending)
        ending.add_done_callback(self._endings.discard)
