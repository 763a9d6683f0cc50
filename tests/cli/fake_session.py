"""Fake session without a cluster, whose forwards are controlled by the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable

import msgspec

from tests.support.waiting import until as until  # tests import it together with the session
from tui_forward.errors import TuiForwardError
from tui_forward.kube.api.log_text import later_lines
from tui_forward.model import (
    ApiHealth,
    BlockedBy,
    CatalogScope,
    CatalogView,
    ClusterKey,
    Connection,
    Context,
    Counters,
    Description,
    DoctorQuery,
    DoctorResult,
    EngineNotice,
    Event,
    EventKind,
    Forward,
    ForwardSpec,
    ForwardState,
    Hop,
    HopKind,
    LocalAddress,
    Login,
    LoginCommand,
    LogSource,
    MissingPermissions,
    PodLog,
    PodRef,
    PortCheck,
    ProxyInfo,
    ProxySpec,
    ReasonCode,
    Snapshot,
    Target,
    TargetKind,
    TimelineEntry,
    TrafficHistory,
)


class FakeSession:
    """Implements `Session` and records the requests in `calls`."""

    def __init__(self, on_start: Callable[[FakeSession, str], None] | None = None) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.forwards: dict[str, Forward] = {}
        self.proxies: dict[str, ProxyInfo] = {}
        self.connection_list: list[Connection] = []
        self.health: tuple[ApiHealth, ...] = ()
        self.notices: tuple[EngineNotice, ...] = ()
        self.views: dict[CatalogScope, CatalogView] = {}
        self.context_list: tuple[Context, ...] = (
            Context(name="here", cluster="here", current=True),
        )
        self.timeline_entries: tuple[TimelineEntry, ...] = ()
        self.hop_list: tuple[Hop, ...] = tuple(Hop(kind=kind) for kind in HopKind)
        self.log = PodLog(pod="web-1", container="main", containers=("main",))
        self.missing: dict[TargetKind, tuple[str, ...]] = {}
        self.port_checks: dict[int, PortCheck] = {}  # others are free
        self.log_error: TuiForwardError | None = None
        self.description = Description(kind="Pod", namespace="shop", name="web-1")
        self.doctor_results: tuple[DoctorResult, ...] = ()
        self.on_start = on_start
        self.closed = False
        self.history_list: tuple[TrafficHistory, ...] = ()
        self.keep_running = False
        self.keep_running_if_lost = False
        self.login_command: LoginCommand | None = None
        self.logins: tuple[Login, ...] = ()
        self.save_problem = ""
        self.expected = 1  # number of forwards that a test waits for
        self.broken: TuiForwardError | None = None
        self._events: list[Event] = []
        self._changed = asyncio.Condition()
        self._count = 0

    # Controls for tests.

    def change(
        self,
        forward_id: str,
        state: ForwardState,
        reason: str = "because",
        hint: str = "",
        blocked_by: BlockedBy | None = None,
    ) -> None:
        """Set the state of a forward and emit the event."""
        self.update(forward_id, state=state, reason=reason, hint=hint, blocked_by=blocked_by)
        self.emit(EventKind.STATE, forward_id, state=state, reason=reason, hint=hint)

    def update(self, forward_id: str, **fields: object) -> None:
        """Set attributes of a forward."""
        self.forwards[forward_id] = msgspec.structs.replace(self.forwards[forward_id], **fields)

    def listen(self, forward_id: str, *ports: int, hosts: tuple[str, ...] = ("127.0.0.1",)) -> None:
        """Open the local end."""
        listening = tuple(LocalAddress(host, port) for port in ports for host in hosts)
        self.update(forward_id, listening=listening, remote_port=80)
        self.emit(EventKind.LISTENING, forward_id, listening=listening)

    def make_ready(self, forward_id: str, port: int = 8080) -> None:
        """Make a forward ready, listening on both loopback addresses."""
        self.listen(forward_id, port, hosts=("::1", "127.0.0.1"))
        self.update(
            forward_id,
            pod=PodRef(namespace="shop", name="web-1", uid="u1"),
        )
        self.change(forward_id, ForwardState.READY, "pod web-1")

    def set_pod(self, forward_id: str, pod: str, port: int) -> None:
        """Set the pod and the remote port of a forward."""
        namespace = self.forwards[forward_id].spec.target.namespace
        self.update(
            forward_id, pod=PodRef(namespace=namespace, name=pod, uid="u"), remote_port=port
        )

    def emit(self, kind: EventKind, forward_id: str, **fields: object) -> None:
        """Emit an event."""
        forward = self.forwards.get(forward_id)
        event = Event(
            event=kind,
            time=1.0,
            forward=forward_id,
            sequence=len(self._events) + 1,
            target=str(forward.spec.target) if forward else "",
        )
        self._events.append(msgspec.structs.replace(event, **fields))
        self._wake()

    def fail(self, error: TuiForwardError) -> None:
        """Fail all further requests."""
        self.broken = error
        self._wake()

    def _wake(self) -> None:
        async def notify() -> None:
            async with self._changed:
                self._changed.notify_all()

        self._waker = asyncio.get_running_loop().create_task(notify())

    # Session.

    async def start_proxy(self, spec: ProxySpec, *, proxy_id: str = "") -> str:
        self.calls.append(("start_proxy", spec))
        proxy_id = proxy_id or f"p{len(self.proxies) + 1}"
        listening = (LocalAddress("127.0.0.1", spec.port), LocalAddress("::1", spec.port))
        self.proxies[proxy_id] = ProxyInfo(id=proxy_id, spec=spec, listening=listening)
        self._wake()
        return proxy_id

    async def stop_proxy(self, proxy_id: str) -> None:
        self.calls.append(("stop_proxy", proxy_id))
        del self.proxies[proxy_id]
        self._wake()

    async def start(self, spec: ForwardSpec, *, forward_id: str = "") -> str:
        self.calls.append(("start", spec))
        self._count += 1
        forward_id = forward_id or f"f{self._count}"
        self.forwards[forward_id] = Forward(
            id=forward_id,
            spec=spec,
            state=ForwardState.STARTING,
            code=ReasonCode.FORWARD_READY,
            reason="opening the local port",
        )
        if self.on_start is not None:
            self.on_start(self, forward_id)
        return forward_id

    async def stop(self, forward_id: str) -> None:
        self.calls.append(("stop", forward_id))
        self.emit(EventKind.STOPPED, forward_id, state=ForwardState.STOPPED, reason="stopped")
        self.forwards.pop(forward_id, None)

    async def pause(self, forward_id: str) -> None:
        self.calls.append(("pause", forward_id))

    async def resume(self, forward_id: str) -> None:
        self.calls.append(("resume", forward_id))

    async def reconnect(self, forward_id: str) -> None:
        self.calls.append(("reconnect", forward_id))

    async def set_keep_running(self, on: bool) -> None:
        self.calls.append(("set_keep_running", on))
        self.keep_running = on

    async def set_keep_running_if_lost(self, on: bool) -> None:
        self.calls.append(("set_keep_running_if_lost", on))
        self.keep_running_if_lost = on

    async def begin_login(self, cluster: ClusterKey) -> LoginCommand | None:
        self.calls.append(("begin_login", cluster))
        return self.login_command

    async def finish_login(self, cluster: ClusterKey, output: bytes, exit_code: int) -> None:
        self.calls.append(("finish_login", cluster, output, exit_code))

    async def cancel_login(self, cluster: ClusterKey) -> None:
        self.calls.append(("cancel_login", cluster))

    async def retry_login(self, cluster: ClusterKey) -> None:
        self.calls.append(("retry_login", cluster))

    async def close_connection(self, connection_id: int) -> None:
        self.calls.append(("close_connection", connection_id))

    async def snapshot(self) -> Snapshot:
        if self.broken is not None:
            raise self.broken
        return Snapshot(
            version=len(self._events),
            at=1.0,
            keep_running=self.keep_running,
            forwards=tuple(self.forwards.values()),
            proxies=tuple(self.proxies.values()),
            totals=Counters(),
            health=self.health,
            notices=self.notices,
            logins=self.logins,
            save_problem=self.save_problem,
        )

    async def connections(self, forward_id: str | None = None) -> tuple[Connection, ...]:
        return tuple(
            c for c in self.connection_list if forward_id is None or c.forward_id == forward_id
        )

    async def timeline(self, forward_id: str) -> tuple[TimelineEntry, ...]:
        self.calls.append(("timeline", forward_id))
        return self.timeline_entries

    async def missing_permissions(self, scope: CatalogScope) -> MissingPermissions:
        self.calls.append(("missing_permissions", scope))
        return MissingPermissions(scope=scope, by_kind=self.missing)

    async def check_port(self, addresses: tuple[str, ...], port: int) -> PortCheck:
        self.calls.append(("check_port", addresses, port))
        return self.port_checks.get(port, PortCheck(port=port, next_free=port + 1))

    async def histories(self) -> tuple[TrafficHistory, ...]:
        return self.history_list

    async def hops(self, forward_id: str) -> tuple[Hop, ...]:
        self.calls.append(("hops", forward_id))
        return self.hop_list

    async def read_log(self, source: LogSource, *, since: str = "", lines: int = 1000) -> PodLog:
        self.calls.append(("read_log", source, since))
        if self.log_error is not None:
            raise self.log_error
        return msgspec.structs.replace(self.log, lines=later_lines(self.log.lines, since))

    async def describe(self, target: Target) -> Description:
        self.calls.append(("describe", target))
        if self.log_error is not None:
            raise self.log_error
        return self.description

    async def diagnose(self, query: DoctorQuery) -> AsyncGenerator[DoctorResult, None]:
        self.calls.append(("diagnose", query))
        for result in self.doctor_results:
            yield result

    async def events(self, since: int = 0) -> AsyncIterator[Event]:
        while True:
            if self.broken is not None:
                raise self.broken
            for event in self._events[since:]:
                since = event.sequence
                yield event
            async with self._changed:
                if len(self._events) <= since:
                    await self._changed.wait()

    async def changes(self) -> AsyncIterator[int]:
        while True:
            async with self._changed:
                await self._changed.wait()
            yield len(self._events)

    async def contexts(self) -> tuple[Context, ...]:
        return self.context_list

    async def catalog(self, scope: CatalogScope, since: int = 0) -> CatalogView:
        view = self.views.get(scope)
        if view is None or view.version <= since:
            return CatalogView(scope=scope, version=since, complete=since == 0)
        return view

    async def close(self) -> None:
        self.closed = True
