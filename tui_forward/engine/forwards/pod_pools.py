"""The tunnels of a forward that spreads its connections over several pods: a pool for each.

A new connection goes to the pod with the fewest open ones (`balancing`). `connect_to` returns when
tunnels to one pod are up; the other pods are connected in the background, a few at once, the first
`_WARM_PODS` ahead of need and more of them as connections come. A pod that the target loses gets no
more connections, and its pool ends with those that it has; if it comes back, it is the same pool.
A pod whose tunnels are lost is dialed again after a delay, without effect on the others. While none
is up, only `connect_to` starts dials. If none is up because pods have left, as in a quick rollout,
the dials of those that take their place go on meanwhile.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol

from tui_forward.common.tasks import spawn
from tui_forward.engine.forwards.backoff import Backoff
from tui_forward.engine.forwards.balancing import ClientAffinity, PodLoad, choose_pod
from tui_forward.engine.forwards.dial_failure import dial_failure
from tui_forward.engine.tunnels.pool import TunnelPool
from tui_forward.errors import ApiError, TransportError, TuiForwardError
from tui_forward.model import (
    PodRef,
    PodShare,
    PodShareState,
    Reason,
    ReasonCode,
    Resolved,
    TransportChoice,
)
from tui_forward.reasons import short_reason

# So many pods are connected before a connection needs them.
_WARM_PODS: Final = 8
# A pod that has refused a connection so recently is the last choice.
_REFUSED_RECENTLY_S: Final = 3.0

PodKey = tuple[str, int]
"""UID and port."""


class PodPoolsObserver(Protocol):
    """What a forward learns of its pods. No method may raise."""

    def pod_joined(self, pod: PodRef, count: int) -> None:
        """Record that connections may go to a pod; `count` is the number of such pods."""

    def pod_left(self, pod: PodRef, count: int) -> None:
        """Record that no more connections go to a pod."""

    def pod_lost(self, pod: PodRef, error: TuiForwardError) -> None:
        """Record that the tunnels to a pod are down, or that none could be opened."""


class PodPool:
    """The pool of one pod."""

    def __init__(self, pod: PodRef, port: int, pool: TunnelPool) -> None:
        self.pod = pod
        self.port = port
        self.pool = pool
        self.is_wanted = True  # the target has the pod
        self.was_up = False
        self.failure: Reason | None = None  # of the latest dial, or of the tunnels
        self.dial: asyncio.Task[None] | None = None
        self.backoff = Backoff()
        self.retry_at = 0.0  # monotonic seconds
        self.refused_at = -math.inf
        self.chosen_at = 0

    @property
    def is_usable(self) -> bool:
        """Whether new connections may go there."""
        return self.is_wanted and self.pool.up

    def load(self, now: float) -> PodLoad:
        """Return what the choice of a pod depends on."""
        is_refusing = now - self.refused_at < _REFUSED_RECENTLY_S
        return PodLoad(is_refusing, self.pool.connections, self.chosen_at)

    def share(self) -> PodShare:
        """Return what is shown of it, without counters."""
        state = PodShareState.READY if self.pool.up else PodShareState.CONNECTING
        failure = None if self.pool.up or not self.is_wanted else self.failure
        return PodShare(
            pod=self.pod,
            state=state if self.is_wanted else PodShareState.LEAVING,
            reason=short_reason(failure) if failure is not None else "",
        )


class PodPools:
    """Pools to the pods of one target. Implements `ForwardPool`.

    `create_pool` returns a pool that calls the given function on changes, as `TunnelPool` does;
    `on_change` is called likewise for all of them.
    """

    def __init__(
        self,
        create_pool: Callable[[Callable[[], None]], TunnelPool],
        *,
        parallel_dials: int,
        on_change: Callable[[], None],
        observer: PodPoolsObserver,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._create_pool = create_pool
        self._parallel_dials = parallel_dials
        self._on_change = on_change
        self._observer = observer
        self._members: dict[PodKey, PodPool] = {}  # those that finish connections included
        self._affinity: ClientAffinity[PodKey] = ClientAffinity()
        self._affinity_s = 0
        self._choices = 0
        self._is_active = False
        self._growing: asyncio.Handle | None = None
        self._dialed = asyncio.Event()  # set when a dial ends
        self.last_error: TuiForwardError = TransportError(Reason(code=ReasonCode.TUNNEL_NOT_OPEN))

    # ------------------------------------------------------------- for the forward

    @property
    def up(self) -> bool:
        """See `ForwardPool`: tunnels to at least one pod that the target has."""
        # Not before `connect_to`, if none was up: the forward has to learn of that first.
        return self._is_active and any(self._usable())

    @property
    def tunnels(self) -> int:
        """See `ForwardPool`."""
        return sum(member.pool.tunnels for member in self._members.values())

    @property
    def transport(self) -> TransportChoice | None:
        """See `ForwardPool`: that of the first pod."""
        return next((member.pool.transport for member in self._usable()), None)

    @property
    def round_trip_s(self) -> float | None:
        """See `ForwardPool`: the longest."""
        times = [member.pool.round_trip_s for member in self._usable()]
        return max((each for each in times if each is not None), default=None)

    @property
    def shares(self) -> list[PodShare]:
        """What is shown of the pods, without their counters."""
        return [
            member.share()
            for member in self._members.values()
            if member.is_wanted or member.pool.connections
        ]

    async def connect_to(self, resolved: Resolved) -> None:
        """Dial until tunnels to one pod are up; raise the error of the best pod if none is.

        Safe to cancel: then the pools are down.
        """
        self.follow(resolved)
        for member in self._members.values():
            member.retry_at = 0.0
        best = self._members[resolved.pod.uid, resolved.port]
        self._is_active = True
        self._grow()
        try:
            while not self.up:
                if not self._dialing:
                    raise best.pool.last_error
                self._dialed.clear()
                await self._dialed.wait()
        except BaseException:
            self.disconnect(Reason(code=ReasonCode.TUNNEL_NOT_OPEN))
            raise

    def follow(self, resolved: Resolved) -> None:
        """See `ForwardPool`: add the pods that are new, leave those that are not Ready."""
        # Those that may not serve are used only if nothing better exists.
        pods = [resolved, *(each for each in resolved.others if each.caution is None)]
        wanted = {(each.pod.uid, each.port): each for each in pods}
        self._affinity_s = resolved.affinity_s
        for key, member in list(self._members.items()):
            if key not in wanted:
                self._leave(member)
                if not member.pool.connections:
                    self._discard(key, member)
        for key, each in wanted.items():
            member = self._members.get(key) or self._add(key, each)
            if not member.is_wanted:
                member.is_wanted = True
                member.retry_at = 0.0
        if self.up:
            self._grow_soon()
        else:
            self._stop_growth()

    def select(self, client: str) -> TunnelPool | None:
        """See `ForwardPool`."""
        usable = [each for each in self._members.values() if each.is_usable]
        if not usable or not self._is_active:
            return None
        now = time.monotonic()
        member = usable[0] if len(usable) == 1 else self._choose(usable, client, now)
        self._choices += 1
        member.chosen_at = self._choices
        if self._affinity_s:
            self._affinity.record(_host(client), (member.pod.uid, member.port), now)
        if len(usable) < len(self._members) and member.pool.connections:
            self._grow_soon()  # there may be pods without a connection
        return member.pool

    def _choose(self, usable: list[PodPool], client: str, now: float) -> PodPool:
        member = self._find_by_client(client, now) if self._affinity_s else None
        return member or usable[choose_pod([each.load(now) for each in usable])]

    def _find_by_client(self, client: str, now: float) -> PodPool | None:
        key = self._affinity.find(_host(client), self._affinity_s, now)
        member = self._members.get(key) if key is not None else None
        return member if member is not None and member.is_usable else None

    def record_refusal(self, pod: PodRef) -> bool:
        """See `ForwardPool`."""
        now = time.monotonic()
        for member in self._members.values():
            if member.pod.uid == pod.uid:
                member.refused_at = now
        return any(not each.load(now).is_refusing for each in self._usable())

    def probe(self, within_s: float) -> None:
        """See `ForwardPool`."""
        for member in self._members.values():
            if member.pool.up:
                member.pool.probe(within_s)

    def disconnect(self, reason: Reason) -> None:
        """See `ForwardPool`."""
        self._stop_dials()
        for member in self._members.values():
            self._leave(member)
        self.last_error = TransportError(reason)

    def abort(self, reason: Reason) -> None:
        """See `ForwardPool`."""
        self._stop_dials()
        for member in self._members.values():
            member.is_wanted = member.was_up = False
            member.pool.abort(reason)
        self.last_error = TransportError(reason)

    async def close(self) -> None:
        """See `ForwardPool`."""
        self._stop_dials()
        members, self._members = list(self._members.values()), {}
        for member in members:
            member.is_wanted = False
        dials = [member.dial for member in members if member.dial is not None]
        await asyncio.gather(*dials, return_exceptions=True)
        await asyncio.gather(*(member.pool.close() for member in members))

    # ---------------------------------------------------------------------- private

    def _usable(self) -> Iterator[PodPool]:
        return (member for member in self._members.values() if member.is_usable)

    @property
    def _dialing(self) -> int:
        return sum(member.dial is not None for member in self._members.values())

    def _add(self, key: PodKey, resolved: Resolved) -> PodPool:
        pool = self._create_pool(lambda: self._pool_changed(member))
        member = self._members[key] = PodPool(resolved.pod, resolved.port, pool)
        return member

    def _leave(self, member: PodPool) -> None:
        """Stop using a pod for new connections. Idempotent."""
        if not member.is_wanted:
            return
        member.is_wanted = False
        if member.dial is not None:
            member.dial.cancel()
        if member.was_up:
            member.was_up = False
            reason = Reason(code=ReasonCode.POD_UNUSABLE, pod=member.pod.name)
            self.last_error = TransportError(reason)
            member.pool.disconnect(reason)
            self._observer.pod_left(member.pod, len(list(self._usable())))

    def _discard(self, key: PodKey, member: PodPool) -> None:
        """Forget a pod without connections."""
        del self._members[key]
        spawn(member.pool.close(), name="pool close")

    def _stop_growth(self) -> None:
        """Start no more dials until `connect_to`."""
        self._is_active = False
        self._cancel_growth()

    def _stop_dials(self) -> None:
        self._stop_growth()
        for member in self._members.values():
            if member.dial is not None:
                member.dial.cancel()

    def _cancel_growth(self) -> None:
        if self._growing is not None:
            self._growing.cancel()
            self._growing = None

    def _grow_soon(self) -> None:
        """Call `_grow` after what the event loop does now, which is to serve connections."""
        if self._is_active:
            self._cancel_growth()
            self._growing = self._loop.call_soon(self._grow)

    def _grow(self) -> None:
        """Dial pods until enough are connected, a few at once."""
        self._cancel_growth()
        if not self._is_active:
            return
        members = [member for member in self._members.values() if member.is_wanted]
        connected = sum(member.pool.up for member in members)
        needed = max(_WARM_PODS, 1 + sum(member.pool.connections for member in members))
        dialing = self._dialing
        room = min(self._parallel_dials - dialing, needed - connected - dialing)
        missing = [each for each in members if not each.pool.up and each.dial is None]
        now = time.monotonic()
        for member in [each for each in missing if each.retry_at <= now][: max(0, room)]:
            self._dial(member)
        self._wait_for_retry(each.retry_at - now for each in missing if each.dial is None)

    def _wait_for_retry(self, delays_s: Iterable[float]) -> None:
        delay_s = min((each for each in delays_s if each > 0), default=None)
        if delay_s is not None:
            self._growing = self._loop.call_later(delay_s, self._grow)

    def _dial(self, member: PodPool) -> None:
        member.backoff.attempted(time.monotonic())
        connect = member.pool.connect(member.pod, member.port)
        member.dial = asyncio.create_task(connect, name=f"dial of pod {member.pod.name}")
        member.dial.add_done_callback(lambda dial: self._dial_ended(member, dial))

    def _dial_ended(self, member: PodPool, dial: asyncio.Task[None]) -> None:
        member.dial = None
        error = None if dial.cancelled() else dial_failure(dial)
        if error is not None:
            self._record_failure(member, error)
        self._grow()
        self._dialed.set()

    def _record_failure(self, member: PodPool, error: TuiForwardError) -> None:
        now = time.monotonic()
        asked_s = (error.retry_after_s or 0.0) if isinstance(error, ApiError) else 0.0
        delay_s = max(asked_s, member.backoff.failed(now), member.backoff.earliest_s(now))
        member.retry_at = now + delay_s
        self.last_error = error
        before, member.failure = member.failure, error.reason
        if before is None or before.code is not error.code:
            self._observer.pod_lost(member.pod, error)

    def _pool_changed(self, member: PodPool) -> None:
        """Process a change of one pool; called by it."""
        if member.pool.up is not member.was_up and member.is_wanted:
            member.was_up = member.pool.up
            if member.was_up:
                member.failure = None
                member.backoff.succeeded(time.monotonic())
                self._observer.pod_joined(member.pod, len(list(self._usable())))
            else:
                self._record_failure(member, member.pool.last_error)
            if self.up:
                self._grow_soon()
            elif not member.was_up:
                self._stop_dials()
        self._on_change()


def _host(client: str) -> str:
    """Return the host of a client; all addresses of this machine are one client."""
    host = client.rpartition(":")[0].strip("[]")
    return "localhost" if host == "::1" or host.startswith("127.") else host
