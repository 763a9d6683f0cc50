"""Session in this process, over an engine and a cluster backend."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from tui_forward.common.blocking_call import run_in_thread
from tui_forward.common.tasks import spawn, spawn_restarting
from tui_forward.errors import ConfigError, UsageError
from tui_forward.model import (
    ApiHealth,
    BlockedBy,
    CatalogScope,
    CatalogView,
    Connection,
    Context,
    Event,
    EventKind,
    Forward,
    ForwardSpec,
    Hop,
    Login,
    PodLog,
    Snapshot,
    Target,
    TimelineEntry,
    TrafficHistory,
)

if TYPE_CHECKING:
    from tui_forward.engine.connections.local_ports import InheritedSockets
    from tui_forward.engine.context import SocketHolder, TargetWatch
    from tui_forward.engine.engine import Engine
    from tui_forward.engine.limits import Limits
    from tui_forward.session.diagnosis import ClusterFacts
    from tui_forward.transport.access import ServerAccess

_log = logging.getLogger(__name__)

# Intervals of kubeconfig checks (a few stat(2)): while all is well, while an API server cannot be
# used, and while a forward waits for a login.
_CHECK_INTERVAL_S = 5.0
_UNHEALTHY_CHECK_INTERVAL_S = 1.0
_BLOCKED_CHECK_INTERVAL_S = 0.1
# The engine's modules take 0.1 s to load. The cluster is shown first; the modules are loaded
# before the first forward is started.
_ENGINE = "tui_forward.engine.engine"
_ENGINE_LOAD_DELAY_S = 1.5


class ClusterBackend(Protocol):
    """The clusters of a kubeconfig and their live views; methods may raise ConfigError.

    Repeats `engine.context.ClusterProvider`, so that the engine need not be loaded.
    """

    def access(self, context: str) -> ServerAccess:
        """See `ClusterProvider.access`."""

    def watch(self, target: Target) -> TargetWatch:
        """See `ClusterProvider.watch`."""

    def refresh(self) -> None:
        """See `ClusterProvider.refresh`."""

    def contexts(self) -> tuple[Context, ...]:
        """Return the contexts of the kubeconfig."""

    def current_context(self) -> str:
        """Return the name of the current context."""

    def namespace(self, context: str) -> str:
        """Return the namespace of a context."""

    def catalog(self, scope: CatalogScope, since: int) -> CatalogView:
        """Return the live view of a scope, or its changes since a version. Never blocks."""

    def health(self) -> tuple[ApiHealth, ...]:
        """Return the health of the API servers in use."""

    def logins(self) -> tuple[Login, ...]:
        """Return the credential plugins that run now and take longer than usual."""

    def retry_login(self, context: str) -> None:
        """Run the credential plugin of a context now if it is needed, however often it failed."""

    def listen_to_logins(self, on_line: Callable[[str, str], None]) -> None:
        """Call `on_line` with context and text of each line that a plugin writes for the user."""

    async def inspect(self, forward: Forward) -> ClusterFacts:
        """Return facts about the hops of a forward; waits two seconds at most."""

    async def pod_log(self, forward: Forward, container: str, lines: int) -> PodLog:
        """See `Session.pod_log`; raises the same errors."""

    def revision(self) -> Any:
        """Return the state of the kubeconfig and the files it names."""

    def has_changed(self, before: Any, now: Any) -> bool:
        """Return whether they have changed between two revisions."""

    async def close(self) -> None:
        """Close all connections and watches."""


class LocalSession:
    """`Session` over an engine in this process; created inside a running event loop.

    `kubeconfig` is `--kubeconfig`, this file and nothing else, `context` is `--context`. The
    default backend is made from them. `monitor_system` detects sleep and network changes,
    `socket_holder` keeps the listening sockets for the next engine. `disk_buffer` replaces
    `Limits.spill`.
    """

    def __init__(
        self,
        kubeconfig: str | Path | None = None,
        *,
        context: str = "",
        limits: Limits | None = None,
        disk_buffer: int | None = None,
        backend: ClusterBackend | None = None,
        monitor_system: bool = True,
        socket_holder: SocketHolder | None = None,
    ) -> None:
        if backend is None:
            from tui_forward.session.kubernetes_backend import KubernetesBackend

            backend = KubernetesBackend(kubeconfig, context=context)
        self._backend = backend
        self._limits = limits
        self._disk_buffer = disk_buffer
        self._monitor_system = monitor_system
        self._socket_holder = socket_holder
        self._engine_or_none: Engine | None = None
        self._closed = False
        # Of the last snapshot.
        self._health: tuple[ApiHealth, ...] = ()
        self._logins: tuple[Login, ...] = ()
        self._cluster_version = 0
        backend.listen_to_logins(self._emit_login_line)
        self._helpers = [
            spawn_restarting(self._watch_kubeconfig, name="kubeconfig"),
            spawn(self._load_engine(), name="engine"),
        ]

    @property
    def _engine(self) -> Engine:
        if self._engine_or_none is None:
            if self._closed:
                raise UsageError("the session is closed")
            from tui_forward.engine.engine import Engine
            from tui_forward.engine.limits import Limits

            limits = self._limits or Limits()
            if self._disk_buffer is not None:
                limits = replace(limits, spill=self._disk_buffer)
            self._engine_or_none = Engine(
                self._backend,
                limits=limits,
                monitor_system=self._monitor_system,
                socket_holder=self._socket_holder,
            )
        return self._engine_or_none

    async def _load_engine(self) -> None:
        await asyncio.sleep(_ENGINE_LOAD_DELAY_S)
        await run_in_thread(lambda: import_module(_ENGINE), name="import")

    # Commands -------------------------------------------------------------------------

    async def start(self, spec: ForwardSpec, *, forward_id: str = "") -> str:
        """See `Session.start`; `forward_id` is its id in the previous engine."""
        target = spec.target
        context = target.context or self._backend.current_context()
        namespace = target.namespace or self._backend.namespace(context)
        if (context, namespace) != (target.context, target.namespace):
            target = msgspec.structs.replace(target, context=context, namespace=namespace)
            spec = msgspec.structs.replace(spec, target=target)
        return self._engine.start(spec, forward_id=forward_id)

    async def stop(self, forward_id: str) -> None:
        """See `Session.stop`."""
        await self._engine.stop(forward_id)

    async def pause(self, forward_id: str) -> None:
        """See `Session.pause`."""
        await self._engine.pause(forward_id)

    async def resume(self, forward_id: str) -> None:
        """See `Session.resume`."""
        await self._engine.resume(forward_id)

    async def reconnect(self, forward_id: str) -> None:
        """See `Session.reconnect`."""
        context = self._engine.forward(forward_id).spec.target.context
        with contextlib.suppress(ConfigError):  # the forward shows it
            self._backend.retry_login(context)
        self._engine.reconnect(forward_id)

    async def set_keep_running(self, on: bool) -> None:
        """See `Session.set_keep_running`."""
        if on:
            raise UsageError("these forwards stop when this program ends")

    async def set_keep_running_if_lost(self, on: bool) -> None:
        """See `Session.set_keep_running_if_lost`."""
        await self.set_keep_running(on)

    async def close_connection(self, connection_id: int) -> None:
        """See `Session.close_connection`."""
        self._engine.close_connection(connection_id)

    # Handover ----------------------------------------------------------

    def inherit(self, sockets: InheritedSockets) -> None:
        """Take over listening sockets of another process, for the forwards started next."""
        self._engine.adopt_sockets(sockets)

    def hold(self) -> InheritedSockets:
        """Stop accepting for now, and return all listening sockets."""
        return self._engine.pause_accepting() if self._engine_or_none is not None else {}

    def release(self) -> None:
        """Undo `hold`. Idempotent."""
        if self._engine_or_none is not None:
            self._engine_or_none.resume_accepting()

    async def drain(self, longest_s: float) -> None:
        """Close the listeners, and wait until the open connections have ended; then close."""
        if self._engine_or_none is not None:
            await self._engine_or_none.drain(longest_s)

    # Reading --------------------------------------------------------------------------

    async def snapshot(self) -> Snapshot:
        """See `Session.snapshot`."""
        health, logins = self._backend.health(), self._backend.logins()
        if (health, logins) != (self._health, self._logins):
            self._health, self._logins = health, logins
            self._cluster_version += 1
        version, at = self._cluster_version, time.time()
        if self._engine_or_none is None:
            return Snapshot(version=version, at=at, health=health, logins=logins)
        forwards = self._engine.forwards()
        return Snapshot(
            version=self._engine.version + version,
            at=at,
            forwards=forwards,
            totals=self._engine.totals(forwards),
            health=health,
            logins=logins,
        )

    def _emit_login_line(self, context: str, line: str) -> None:
        if self._engine_or_none is not None:
            event = EventKind.LOGIN
            self._engine.emit(
                Event(event=event, time=time.time(), forward="", context=context, reason=line)
            )

    async def connections(self, forward_id: str | None = None) -> tuple[Connection, ...]:
        """See `Session.connections`."""
        return self._engine.connections(forward_id)

    async def timeline(self, forward_id: str) -> tuple[TimelineEntry, ...]:
        """See `Session.timeline`."""
        return self._engine.timeline(forward_id)

    async def histories(self) -> tuple[TrafficHistory, ...]:
        """See `Session.histories`."""
        return self._engine_or_none.histories() if self._engine_or_none is not None else ()

    async def hops(self, forward_id: str) -> tuple[Hop, ...]:
        """See `Session.hops`."""
        from tui_forward.session.diagnosis import ClusterFacts
        from tui_forward.session.hops import build_hops

        try:
            facts = await self._backend.inspect(self._engine.forward(forward_id))
        except ConfigError:
            facts = ClusterFacts()  # the forward reports the error
        # The forward as it is now, not as it was before the wait.
        return build_hops(
            self._engine.forward(forward_id),
            self._engine.not_ready_cause(forward_id),
            facts,
            self._engine.connections(forward_id),
        )

    async def pod_log(self, forward_id: str, *, container: str = "", lines: int = 200) -> PodLog:
        """See `Session.pod_log`."""
        return await self._backend.pod_log(self._engine.forward(forward_id), container, lines)

    def events(self, since: int = 0) -> AsyncIterator[Event]:
        """See `Session.events`."""
        return self._engine.events(since)

    async def contexts(self) -> tuple[Context, ...]:
        """See `Session.contexts`."""
        return self._backend.contexts()

    async def catalog(self, scope: CatalogScope, since: int = 0) -> CatalogView:
        """See `Session.catalog`."""
        try:
            if not scope.context:
                scope = CatalogScope(self._backend.current_context(), scope.namespace)
            return self._backend.catalog(scope, since)
        except ConfigError as error:
            health = ApiHealth(
                context=scope.context,
                ok=False,
                code=error.code,
                error=error.message,
                hint=error.hint,
                blocked_by=BlockedBy.CONFIG,
            )
            return CatalogView(scope=scope, version=0, complete=True, health=health)

    # Closing, kubeconfig ---------------------------------------------------------------

    async def close(self) -> None:
        """Stop everything. Idempotent."""
        self._closed = True
        for helper in self._helpers:
            helper.cancel()
        await asyncio.gather(*self._helpers, return_exceptions=True)
        if self._engine_or_none is not None:
            await self._engine_or_none.close()
        await self._backend.close()

    async def _wait_for_next_check(self) -> None:
        engine = self._engine_or_none
        if engine is not None and engine.blocked:
            await asyncio.sleep(_BLOCKED_CHECK_INTERVAL_S)
            return
        is_healthy = all(health.ok is not False for health in self._backend.health())
        if engine is None or not is_healthy:
            await asyncio.sleep(_UNHEALTHY_CHECK_INTERVAL_S)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CHECK_INTERVAL_S):
                await engine.wait_blocked()

    async def _watch_kubeconfig(self) -> None:
        """Retry everything that waits for credentials after a login in another terminal."""
        revision = self._backend.revision()
        while True:
            await self._wait_for_next_check()
            latest = self._backend.revision()
            changed = self._backend.has_changed(revision, latest)
            revision = latest
            if changed:
                _log.info("the kubeconfig or a file it names has changed")
                if self._engine_or_none is not None:
                    self._engine_or_none.retry_waiting("the kubeconfig has changed")
                else:
                    self._backend.refresh()
