"""Fakes of an engine's data path and of its clusters: no cluster, no tunnel.

`FakePool` replaces `TunnelPool` and `FakeConnection` replaces `LocalConnection`: connections
echo what they receive, in place of a pod.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncGenerator, Callable, Collection
from pathlib import Path

import pytest

from tui_forward.engine.connections.owner import ConnectionOwner
from tui_forward.engine.connections.proxy_client import ProxyClient
from tui_forward.engine.connections.record import ConnectionRecord
from tui_forward.engine.forwards import connection_table, pool_dialer
from tui_forward.engine.limits import Limits
from tui_forward.engine.tunnels.late_answers import LateAnswers
from tui_forward.engine.tunnels.spill_buffer import BufferBudget
from tui_forward.engine.tunnels.transport_cache import TransportCache
from tui_forward.errors import (
    AuthError,
    ConfigError,
    ForwardError,
    TransportError,
    TuiForwardError,
)
from tui_forward.kube.kubeconfig.overrides import OptionSecrets
from tui_forward.model import (
    NO_OPTIONS,
    AccessOptions,
    ApiHealth,
    Caller,
    CatalogScope,
    CatalogView,
    ClusterKey,
    Connection,
    ConnectionState,
    Context,
    Description,
    DoctorHop,
    DoctorOutcome,
    DoctorQuery,
    DoctorResult,
    Forward,
    Login,
    LoginCommand,
    LogSource,
    MissingPermissions,
    Namespace,
    Pod,
    PodLog,
    PodRef,
    PodShare,
    Reason,
    ReasonCode,
    Resolution,
    Resolved,
    Service,
    Target,
    TargetKind,
    TransportChoice,
    Unresolved,
)
from tui_forward.reasons import reason_text
from tui_forward.session.diagnosis import ClusterFacts
from tui_forward.transport.access import Endpoint, ServerAccess


def pod(name: str, port: int = 80, *, ready: bool = True, incarnation: str = "1") -> Resolved:
    ref = PodRef(namespace="shop", name=name, uid=f"uid-{name}", node="node-a")
    return Resolved(pod=ref, port=port, ready=ready, incarnation=incarnation)


class FakeWatch:
    """Target watch with a resolution that the test sets."""

    def __init__(self, current: Resolution) -> None:
        self.current = current
        self.invalidated: list[str] = []
        self.closed = False
        self.failure: Exception | None = None
        self._news = asyncio.Event()
        self._pods: dict[PodRef, Pod] = {}
        self._observer: Callable[[], None] = lambda: None

    def set_pod(self, ref: PodRef, pod: Pod | None) -> None:
        """Have the cluster report a pod; None: it is gone."""
        if pod is None:
            self._pods.pop(ref, None)
        else:
            self._pods[ref] = pod
        self._observer()

    def find_pod(self, ref: PodRef) -> Pod | None:
        return self._pods.get(ref)

    def observe(self, on_change: Callable[[], None]) -> None:
        self._observer = on_change

    def set(self, resolution: Resolution) -> None:
        self.current = resolution
        self._news.set()

    def fail(self, failure: Exception) -> None:
        self.failure = failure
        self._news.set()

    async def changed(self, since: Resolution) -> Resolution:
        while self.current == since:
            if self.failure is not None:
                failure, self.failure = self.failure, None
                raise failure
            self._news.clear()
            await self._news.wait()
        return self.current

    def invalidate(self, pod_uid: str) -> None:
        self.invalidated.append(pod_uid)

    def close(self) -> None:
        self.closed = True


class FakeAccess:
    def __init__(self, context: str) -> None:
        self.context = context
        self.insecure = False

    async def endpoint(self) -> Endpoint:
        raise TransportError("there is no API server")

    async def headers(self, *, refresh: bool = False) -> dict[str, str]:
        return {}

    @property
    def login(self) -> Reason | None:
        return None

    def observe_login(self, on_change: Callable[[], None]) -> Callable[[], None]:
        return lambda: None

    def explain(self, error: AuthError) -> AuthError:
        return error

    async def check_pod(self, namespace: str, pod: str) -> bool:
        return False


class FakeDirectory:
    """Services and pods that the test sets. Implements `ClusterDirectory`."""

    def __init__(self) -> None:
        self.services: dict[tuple[str, str], Service] = {}
        self.pods: dict[str, PodRef] = {}  # by address
        self.endpoints: dict[tuple[str, str], str] = {}  # pods by service and host name
        self.error: TuiForwardError | None = None
        self.is_closed = False
        self.version = 0

    def add(self, *services: Service) -> None:
        self.services |= {(one.namespace, one.name): one for one in services}
        self.version += 1

    async def find_service(self, namespace: str, name: str) -> Service | None:
        if self.error is not None:
            raise self.error
        return self.services.get((namespace, name))

    async def find_service_at(self, address: str) -> Service | None:
        found = (one for one in self.services.values() if address in one.cluster_ips)
        return next(found, None)

    async def find_pod_at(self, address: str) -> PodRef | None:
        return self.pods.get(address)

    async def find_endpoint(self, service: Service, hostname: str) -> str:
        return self.endpoints.get((service.name, hostname), "")

    def similar_names(self, namespace: str, name: str) -> tuple[str, ...]:
        return tuple(f"{own}.{other}" for other, own in self.services if own[:2] == name[:2])

    @property
    def namespaces(self) -> tuple[str, ...]:
        return tuple(sorted({namespace for namespace, _ in self.services}))

    @property
    def count(self) -> int:
        return len(self.services)

    @property
    def problem(self) -> Reason | None:
        return self.error.reason if self.error is not None else None

    async def close(self) -> None:
        self.is_closed = True


class FakeBackend:
    """Clusters in memory. Implements `session.backend.ClusterBackend`."""

    def __init__(self) -> None:
        self.secrets = OptionSecrets()
        self.resolutions: dict[str, Resolution] = {}  # by target name
        self.watches: dict[str, FakeWatch] = {}
        self.watch_error: Exception | None = None
        self.config_error: ConfigError | None = None
        self.current_revision = 0
        self.refreshes = 0
        self.closed = False
        self.scopes: list[tuple[CatalogScope, int]] = []
        self.known = ClusterFacts()
        self.environ: dict[str, str] = {}
        self.names = FakeDirectory()
        self.login_retries: list[str] = []
        self.known_logins: tuple[Login, ...] = ()
        self.log = PodLog(
            pod="web-1", container="main", containers=("main",), lines=(("", "hello"),)
        )
        self.log_error: TuiForwardError | None = None
        self.log_requests: list[tuple[LogSource, str, int]] = []

    def access(self, context: str, options: AccessOptions = NO_OPTIONS) -> ServerAccess:
        return FakeAccess(context)

    def watch(self, target: Target) -> FakeWatch:
        if self.watch_error is not None:
            raise self.watch_error
        resolution = self.resolutions.get(
            target.name,
            Unresolved(reason=Reason(code=ReasonCode.TARGET_RESOLVING, object=target.name)),
        )
        watch = self.watches[target.name] = FakeWatch(resolution)
        return watch

    def directory(self, context: str, options: AccessOptions = NO_OPTIONS) -> FakeDirectory:
        self.namespace(context)
        return self.names

    def refresh(self) -> None:
        self.refreshes += 1

    def contexts(self) -> tuple[Context, ...]:
        if self.config_error is not None:
            raise self.config_error
        return (Context(name="here", cluster="here", namespace="shop", current=True),)

    def current_context(self, options: AccessOptions = NO_OPTIONS) -> str:
        del options
        return self.contexts()[0].name

    def namespace(self, context: str, options: AccessOptions = NO_OPTIONS) -> str:
        del options
        if context != "here":
            raise ConfigError(f"there is no context {context}", hint="choose another")
        return self.contexts()[0].namespace

    def catalog(self, scope: CatalogScope, since: int) -> CatalogView:
        self.namespace(scope.context)
        self.scopes.append((scope, since))
        return CatalogView(
            scope=scope, version=7, complete=not since, namespaces=(Namespace(name="shop"),)
        )

    def health(self) -> tuple[ApiHealth, ...]:
        return (ApiHealth(context="here", ok=True, latency_s=0.002),)

    async def inspect(self, forward: Forward) -> ClusterFacts:
        return self.known

    async def missing_permissions(self, scope: CatalogScope) -> MissingPermissions:
        self.namespace(scope.context)
        lacking = ("create pods/portforward",)
        return MissingPermissions(scope=scope, by_kind={TargetKind.POD: lacking})

    async def read_log(self, source: LogSource, since: str, lines: int) -> PodLog:
        if self.log_error is not None:
            raise self.log_error
        self.log_requests.append((source, since, lines))
        return self.log

    async def diagnose(self, query: DoctorQuery) -> AsyncGenerator[DoctorResult, None]:
        for hop in DoctorHop:
            yield DoctorResult(hop=hop, outcome=DoctorOutcome.RUNNING)
            yield DoctorResult(hop=hop, outcome=DoctorOutcome.GOOD, tried=query.context)

    async def describe(self, target: Target) -> Description:
        if self.log_error is not None:
            raise self.log_error
        return Description(kind="Pod", namespace=target.namespace, name=target.name)

    def revision(self) -> int:
        return self.current_revision

    def logins(self) -> tuple[Login, ...]:
        return self.known_logins

    def for_caller(self, caller: Caller, *, keep: Collection[object] = ()) -> FakeBackend:
        return self

    def login_key(self, cluster: ClusterKey) -> ClusterKey:
        return cluster

    def retry_login(self, cluster: ClusterKey) -> None:
        self.login_retries.append(cluster[0])

    def begin_login(self, cluster: ClusterKey) -> LoginCommand | None:
        return None

    def finish_login(self, cluster: ClusterKey, output: bytes, exit_code: int) -> None:
        self.login_retries.append(cluster[0])

    def cancel_login(self, cluster: ClusterKey) -> None:
        pass

    def running_logins(self) -> tuple[tuple[str, str], ...]:
        return ()

    def hold_logins(self) -> bytes:
        return b""

    def release_logins(self) -> None:
        pass

    def adopt_logins(self, data: bytes) -> None:
        assert not data

    def listen_to_logins(self, on_line: Callable[[str, str], None]) -> None:
        self.on_login_line = on_line

    def listen_to_changes(self, on_change: Callable[[], None]) -> None:
        self.on_change = on_change

    def watched_files(self) -> tuple[Path, ...]:
        return ()

    def has_changed(self, before: int, now: int) -> bool:
        return before != now

    async def close(self) -> None:
        self.closed = True


class FakePool:
    """Pool with dials that end as the test sets. Listed in `FakeDataPath.pools`."""

    def __init__(
        self,
        data_path: FakeDataPath,
        access: ServerAccess,
        *,
        transport: TransportChoice,
        transport_cache: TransportCache,
        limits: Limits,
        on_change: Callable[[], None],
        on_late_answer: Callable[[Reason | None], None],
        on_no_answer: Callable[[Reason], None],
    ) -> None:
        self.connections = 0  # that are open
        self.data_path = data_path
        self.on_late_answer = on_late_answer
        self.on_no_answer = on_no_answer
        self.access = access
        self.transport: TransportChoice | None = TransportChoice.SPDY
        self.up = False
        self.pod: PodRef | None = None
        self.port = 0
        self.round_trip_s: float | None = 0.001
        self.dialed: list[tuple[str, int]] = []
        self.disconnects: list[Reason] = []
        self.aborts: list[Reason] = []
        self.probes = 0
        self.closed = False
        self._on_change = on_change
        self._reason: TuiForwardError = TransportError("never connected")
        data_path.pools.append(self)

    @property
    def tunnels(self) -> int:
        return int(self.up)

    async def connect(self, pod: PodRef, port: int) -> None:
        self.down(Reason(code=ReasonCode.TUNNEL_CLOSED))
        self.dialed.append((pod.name, port))
        self.pod, self.port = pod, port
        await self.data_path.dials.wait()
        if self.data_path.dial_errors:
            raise self.data_path.dial_errors.pop(0)
        if self.data_path.dial_error is not None:
            raise self.data_path.dial_error
        self.up = True
        self._on_change()

    async def connect_to(self, resolved: Resolved) -> None:
        await self.connect(resolved.pod, resolved.port)

    def follow(self, resolved: Resolved) -> None: ...

    def select(self, client: str) -> FakePool | None:
        return self if self.up else None

    def record_refusal(self, pod: PodRef) -> bool:
        return False

    @property
    def shares(self) -> list[PodShare]:
        return []

    @property
    def last_error(self) -> TuiForwardError:
        return self._reason

    def down(self, reason: Reason | str) -> None:
        if self.up:
            self.up = False
            self._reason = TransportError(reason)
            self._on_change()

    def probe(self, within_s: float) -> None:
        self.probes += 1

    def disconnect(self, reason: Reason) -> None:
        self.disconnects.append(reason)
        self.down(reason)

    def abort(self, reason: Reason) -> None:
        self.aborts.append(reason)
        self.down(reason)

    async def close(self) -> None:
        self.closed = True
        self.down(Reason(code=ReasonCode.TUNNEL_CLOSED))


class FakeConnection:
    """Connection that waits for a pool like a real one, then echoes."""

    def __init__(
        self,
        sock: socket.socket,
        *,
        connection_id: int,
        forward_id: str,
        client: str,
        owner: ConnectionOwner,
        limits: Limits,
        queue_timeout_s: float,
        half_close_timeout_s: float,
        on_closed: Callable[[], None],
        proxy_client: ProxyClient | None = None,
    ) -> None:
        self.id = connection_id
        self.record = ConnectionRecord(connection_id, forward_id, client)
        self.state = ConnectionState.QUEUED
        self._sock = sock
        self._forward_id = forward_id
        self._client = client
        self._owner = owner
        self._queue_timeout_s = queue_timeout_s
        self._opened_at = time.time()
        self._bytes = 0
        self._reason: Reason | None = None
        self._failed = False
        self._on_closed = on_closed
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())
        self._task.add_done_callback(lambda _: self._on_closed())

    def cancel(self) -> None:
        assert self._task is not None
        self._task.cancel()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._queue_timeout_s):
                await self._owner.wait_for_pool("")
            self.state = ConnectionState.OPEN
            while data := await loop.sock_recv(self._sock, 65536):
                self._owner.counters.bytes_to_pod += len(data)
                await loop.sock_sendall(self._sock, data)
                self._owner.counters.bytes_from_pod += len(data)
                self._bytes += len(data)
            self._reason = Reason(code=ReasonCode.CONNECTION_CLOSED)
        except TimeoutError:
            self._fail(
                Reason(code=ReasonCode.CONNECTION_QUEUE_TIMEOUT, timeout_s=self._queue_timeout_s)
            )
        except ForwardError as error:
            self._fail(error.reason)
        except asyncio.CancelledError:
            if not self._reason:
                raise
        finally:
            self.state = ConnectionState.CLOSED
            self._sock.close()

    def _fail(self, reason: Reason) -> None:
        self._failed = True
        self._reason = reason
        self._owner.counters.connections_failed += 1
        self._owner.connection_failed(ForwardError(reason))

    def abort(self, reason: Reason) -> None:
        if self._reason:
            return
        self._reason = reason
        if self._task is not None:
            self._task.cancel()

    def snapshot(self, now: float) -> Connection:
        closed = self.state is ConnectionState.CLOSED
        return Connection(
            id=self.id,
            forward_id=self._forward_id,
            client=self._client,
            process=self.record.process,
            state=self.state,
            opened_at=self._opened_at,
            closed_at=now if closed else None,
            bytes_from_pod=self._bytes,
            bytes_to_pod=self._bytes,
            close_code=self._reason.code if closed and self._reason is not None else None,
            close_reason=reason_text(self._reason) if closed and self._reason is not None else "",
            failed=self._failed,
        )


class FakeDataPath:
    """Fakes in place of an engine's data path.

    Attributes:
        pools: Every pool that was created, in order.
        dials: While cleared, dials hang.
        dial_error: Every dial ends with it.
        dial_errors: The next dials end with these, one each.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pools: list[FakePool] = []
        self.dials = asyncio.Event()
        self.dials.set()
        self.dial_error: Exception | None = None
        self.dial_errors: list[Exception] = []

        def make_pool(
            access: ServerAccess,
            *,
            transport: TransportChoice,
            transport_cache: TransportCache,
            limits: Limits,
            on_change: Callable[[], None],
            forward_id: str,
            late_answers: LateAnswers,
            on_late_answer: Callable[[Reason | None], None],
            on_no_answer: Callable[[Reason], None],
            budget: BufferBudget | None,
        ) -> FakePool:
            del forward_id, late_answers, budget
            return FakePool(
                self,
                access,
                transport=transport,
                transport_cache=transport_cache,
                limits=limits,
                on_change=on_change,
                on_late_answer=on_late_answer,
                on_no_answer=on_no_answer,
            )

        monkeypatch.setattr(pool_dialer, "TunnelPool", make_pool)
        monkeypatch.setattr(connection_table, "LocalConnection", FakeConnection)

    @property
    def pool(self) -> FakePool:
        return self.pools[-1]


async def echo(port: int, data: bytes = b"hello", host: str = "127.0.0.1") -> bytes:
    """Send through a forward and return what comes back."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(data)
        return await reader.readexactly(len(data))
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
