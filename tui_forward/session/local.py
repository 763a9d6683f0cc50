"""Session in this process, over an engine and a cluster backend."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tui_forward.common.change_signal import ChangeSignal
from tui_forward.common.tasks import spawn, spawn_restarting
from tui_forward.errors import ConfigError, UsageError
from tui_forward.model import (
    AccessOptions,
    ApiHealth,
    BlockedBy,
    Caller,
    CatalogScope,
    CatalogView,
    ClusterKey,
    Connection,
    Context,
    Description,
    DoctorQuery,
    DoctorResult,
    Event,
    EventKind,
    ForwardSpec,
    Hop,
    Login,
    LoginCommand,
    LogSource,
    MissingPermissions,
    PodLog,
    PortCheck,
    ProxySpec,
    Snapshot,
    Target,
    TimelineEntry,
    TrafficHistory,
)
from tui_forward.session.forward_callers import ForwardCallers
from tui_forward.session.kubeconfig_watcher import KubeconfigWatcher
from tui_forward.session.lazy_engine import LazyEngine
from tui_forward.session.login_commands import LoginCommands

if TYPE_CHECKING:
    from tui_forward.engine.connections.local_ports import InheritedSockets
    from tui_forward.engine.context import SocketHolder
    from tui_forward.engine.engine import Engine
    from tui_forward.engine.limits import Limits
    from tui_forward.session.backend import ClusterBackend


class LocalSession:
    """`Session` over an engine in this process; created inside a running event loop.

    `kubeconfig` is `--kubeconfig`, this file and nothing else, `context` is `--context`. The
    default backend is made from them. `monitor_system` detects sleep and network changes,
    `socket_holder` keeps the listening sockets for the next engine. `disk_buffer` replaces
    `Limits.spill`. With `has_terminal`, credential plugins may use the terminal of this process.

    Its parts: `LazyEngine` creates the engine, `ForwardCallers` has the environment of each
    forward, `LoginCommands` runs logins, and `KubeconfigWatcher` notices those of others.
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
        has_terminal: bool = False,
    ) -> None:
        if backend is None:
            from tui_forward.kube.http_import import preload

            preload()  # beside the import of the backend, which takes as long
            from tui_forward.session.kubernetes_backend import KubernetesBackend

            backend = KubernetesBackend(kubeconfig, context=context, has_terminal=has_terminal)
        self._backend = backend
        self.changes_signal = ChangeSignal()
        self._lazy_engine = engine = LazyEngine(
            backend, limits=limits, disk_buffer=disk_buffer, monitor_system=monitor_system,
            socket_holder=socket_holder, on_change=self.changes_signal.notify,
        )  # fmt: skip
        self._callers = ForwardCallers(backend, engine)
        self._logins = LoginCommands(backend, engine, self._callers)
        # Of the last snapshot.
        self._shown: tuple[tuple[ApiHealth, ...], tuple[Login, ...]] = ((), ())
        self._cluster_version = 0
        backend.listen_to_logins(self._emit_login_line)
        backend.listen_to_changes(self.changes_signal.notify)
        self._helpers = [
            spawn_restarting(
                KubeconfigWatcher(backend, engine, self.changes_signal.notify).run,
                name="kubeconfig",
            ),
            spawn(engine.load(), name="engine"),
        ]

    @property
    def _engine(self) -> Engine:
        return self._lazy_engine.get()

    # Commands -------------------------------------------------------------------------

    async def start(self, spec: ForwardSpec, *, forward_id: str = "") -> str:
        """See `Session.start`; `forward_id` is its id in the previous engine."""
        target = spec.target
        caller = self._callers.caller_of_start(forward_id)
        backend = self._callers.backend_for(caller)
        options = self._backend.secrets.remember(target.options)
        context = target.context or self._backend.current_context(options)
        target = msgspec.structs.replace(
            target,
            context=context,
            namespace=target.namespace or backend.namespace(context, options),
            options=options,
        )
        spec = msgspec.structs.replace(spec, target=target)
        forward_id = self._engine.start(spec, forward_id=forward_id, clusters=backend)
        self._callers.set(forward_id, caller, backend)
        return forward_id

    async def stop(self, forward_id: str) -> None:
        """See `Session.stop`."""
        await self._engine.stop(forward_id)
        self._callers.remove(forward_id)

    async def start_proxy(self, spec: ProxySpec, *, proxy_id: str = "") -> str:
        """See `Session.start_proxy`; `proxy_id` is its id in the previous engine."""
        caller = self._callers.caller_of_start(proxy_id)
        backend = self._callers.backend_for(caller)
        options = self._backend.secrets.remember(spec.options)
        context = spec.context or self._backend.current_context(options)
        spec = msgspec.structs.replace(
            spec,
            context=context,
            namespace=spec.namespace or backend.namespace(context, options),
            options=options,
        )
        proxy_id = await self._engine.start_proxy(spec, proxy_id=proxy_id, clusters=backend)
        self._callers.set(proxy_id, caller, backend)
        return proxy_id

    async def stop_proxy(self, proxy_id: str) -> None:
        """See `Session.stop_proxy`."""
        await self._engine.stop_proxy(proxy_id)
        self._callers.remove(proxy_id)

    async def pause(self, forward_id: str) -> None:
        """See `Session.pause`."""
        await self._engine.pause(forward_id)

    async def resume(self, forward_id: str) -> None:
        """See `Session.resume`."""
        self._engine.forward(forward_id)
        await self._callers.use_environment(forward_id)
        await self._engine.resume(forward_id)

    async def reconnect(self, forward_id: str) -> None:
        """See `Session.reconnect`."""
        await self._logins.reconnect(forward_id)

    async def begin_login(self, cluster: ClusterKey) -> LoginCommand | None:
        """See `Session.begin_login`."""
        return await self._logins.begin(cluster)

    async def finish_login(self, cluster: ClusterKey, output: bytes, exit_code: int) -> None:
        """See `Session.finish_login`."""
        await self._logins.finish(cluster, output, exit_code)

    async def cancel_login(self, cluster: ClusterKey) -> None:
        """See `Session.cancel_login`."""
        await self._logins.cancel(cluster)

    async def retry_login(self, cluster: ClusterKey) -> None:
        """See `Session.retry_login`."""
        await self._logins.retry(cluster)

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

    def export_secrets(self) -> tuple[AccessOptions, ...]:
        """Return all options with secrets, for the engine that replaces this one."""
        return self._backend.secrets.export()

    def adopt_secrets(self, options: Iterable[AccessOptions]) -> None:
        """Take over what `export_secrets` of the engine before has returned."""
        for one in options:
            self._backend.secrets.remember(one)

    def running_logins(self) -> tuple[tuple[str, str], ...]:
        """Return context and plugin of each login in progress, which a handover would end."""
        return self._backend.running_logins()

    def hold_logins(self) -> bytes:
        """See `ClusterBackend.hold_logins`; `release` undoes it."""
        return self._backend.hold_logins()

    def adopt_logins(self, data: bytes) -> None:
        """See `ClusterBackend.adopt_logins`."""
        self._backend.adopt_logins(data)

    def inherit(self, sockets: InheritedSockets) -> None:
        """Take over listening sockets of another process, for the forwards started next."""
        self._engine.adopt_sockets(sockets)

    def inherit_callers(self, callers: Mapping[str, Caller]) -> None:
        """Use the environments of another engine for its forwards, which are started next."""
        self._callers.inherit(callers)

    def callers(self) -> dict[str, Caller]:
        """Return the environment of each forward, for the next engine."""
        engine = self._lazy_engine.created
        if engine is None:
            return {}
        forwards = [one.id for one in engine.forwards()]
        return self._callers.export([*forwards, *(one.id for one in engine.proxies())])

    def hold(self) -> InheritedSockets:
        """Stop accepting for now, and return all listening sockets."""
        engine = self._lazy_engine.created
        return engine.pause_accepting() if engine is not None else {}

    def release(self) -> None:
        """Undo `hold` and `hold_logins`. Idempotent."""
        self._backend.release_logins()
        engine = self._lazy_engine.created
        if engine is not None:
            engine.resume_accepting()

    async def drain(self, longest_s: float) -> None:
        """Close the listeners, and wait until the open connections have ended; then close."""
        engine = self._lazy_engine.created
        if engine is not None:
            await engine.drain(longest_s)

    # Reading --------------------------------------------------------------------------

    async def snapshot(self) -> Snapshot:
        """See `Session.snapshot`."""
        viewer, engine = self._callers.viewer(), self._lazy_engine.created
        health, logins = shown = viewer.health(), self._backend.logins()
        if shown != self._shown:
            self._shown = shown
            self._cluster_version += 1
        version, at = self._cluster_version, time.time()
        if engine is None:
            return Snapshot(version=version, at=at, health=health, logins=logins)
        forwards = engine.forwards()
        if self._callers or viewer is not self._backend:
            forwards = tuple(
                msgspec.structs.replace(one, environment=environment) if environment else one
                for one in forwards
                for environment in (self._callers.environment_of(one.spec.proxy or one.id, viewer),)
            )
        return Snapshot(
            version=engine.version + version,
            at=at,
            forwards=forwards,
            proxies=engine.proxies(),
            totals=engine.totals(forwards),
            health=health,
            logins=logins,
        )

    def _emit_login_line(self, context: str, line: str) -> None:
        engine, kind = self._lazy_engine.created, EventKind.LOGIN
        if engine is not None:
            engine.emit(
                Event(event=kind, time=time.time(), forward="", context=context, reason=line)
            )

    async def connections(self, forward_id: str | None = None) -> tuple[Connection, ...]:
        """See `Session.connections`."""
        return self._engine.connections(forward_id)

    async def timeline(self, forward_id: str) -> tuple[TimelineEntry, ...]:
        """See `Session.timeline`."""
        return self._engine.timeline(forward_id)

    async def missing_permissions(self, scope: CatalogScope) -> MissingPermissions:
        """See `Session.missing_permissions`."""
        options = self._backend.secrets.remember(scope.options)
        try:
            context = scope.context or self._backend.current_context(options)
            known = CatalogScope(context, scope.namespace, options)
            missing = await self._callers.viewer().missing_permissions(known)
        except ConfigError:
            return MissingPermissions(scope=scope)  # the view of the scope shows it
        # The caller recognizes its own scope.
        return msgspec.structs.replace(missing, scope=scope)

    async def check_port(self, addresses: tuple[str, ...], port: int) -> PortCheck:
        """See `Session.check_port`."""
        return await self._engine.check_port(addresses, port)

    async def histories(self) -> tuple[TrafficHistory, ...]:
        """See `Session.histories`."""
        engine = self._lazy_engine.created
        return engine.histories() if engine is not None else ()

    async def hops(self, forward_id: str) -> tuple[Hop, ...]:
        """See `Session.hops`."""
        from tui_forward.session.diagnosis import ClusterFacts
        from tui_forward.session.hops import build_hops

        forward = self._engine.forward(forward_id)
        backend = self._callers.backend_of(forward.spec.proxy or forward_id)
        try:
            facts = await backend.inspect(forward)
        except ConfigError:
            facts = ClusterFacts()  # the forward reports the error
        # The forward as it is now, not as it was before the wait.
        return build_hops(
            self._engine.forward(forward_id),
            self._engine.not_ready_cause(forward_id),
            facts,
            self._engine.connections(forward_id),
        )

    async def read_log(self, source: LogSource, *, since: str = "", lines: int = 1000) -> PodLog:
        """See `Session.read_log`."""
        callers, forward_id = self._callers, source.forward
        backend = callers.backend_of(forward_id) if forward_id else callers.viewer()
        source = msgspec.structs.replace(source, target=self._resolve_cluster(source.target))
        return await backend.read_log(source, since, lines)

    async def describe(self, target: Target) -> Description:
        """See `Session.describe`."""
        return await self._callers.viewer().describe(self._resolve_cluster(target))

    def diagnose(self, query: DoctorQuery) -> AsyncGenerator[DoctorResult, None]:
        """See `Session.diagnose`."""
        callers, forward_id = self._callers, query.forward
        backend = callers.backend_of(forward_id) if forward_id else callers.viewer()
        options = self._backend.secrets.remember(query.options)
        return backend.diagnose(msgspec.structs.replace(query, options=options))

    def _resolve_cluster(self, target: Target) -> Target:
        """Return a target with its context and the secrets of its options."""
        options = self._backend.secrets.remember(target.options)
        context = target.context or self._backend.current_context(options)
        return msgspec.structs.replace(target, context=context, options=options)

    def events(self, since: int = 0) -> AsyncIterator[Event]:
        """See `Session.events`."""
        return self._engine.events(since)

    def changes(self) -> AsyncIterator[int]:
        """See `Session.changes`."""
        return self.changes_signal.read()

    async def contexts(self) -> tuple[Context, ...]:
        """See `Session.contexts`."""
        return self._backend.contexts()

    async def catalog(self, scope: CatalogScope, since: int = 0) -> CatalogView:
        """See `Session.catalog`."""
        options = self._backend.secrets.remember(scope.options)
        try:
            context = scope.context or self._backend.current_context(options)
            viewer = self._callers.viewer()
            view = viewer.catalog(CatalogScope(context, scope.namespace, options), since)
            # The caller recognizes its own scope.
            shown = msgspec.structs.replace(view.scope, options=scope.options)
            return msgspec.structs.replace(view, scope=shown)
        except ConfigError as error:
            health = ApiHealth(
                context=scope.context,
                options=options,
                ok=False,
                code=error.code,
                error=error.message,
                short_error=error.short_message,
                hint=error.hint,
                blocked_by=BlockedBy.CONFIG,
            )
            return CatalogView(scope=scope, version=0, complete=True, health=health)

    async def close(self) -> None:
        """Stop everything. Idempotent."""
        self._lazy_engine.forbid()
        self.changes_signal.close()
        for helper in self._helpers:
            helper.cancel()
        await asyncio.gather(*self._helpers, return_exceptions=True)
        await self._lazy_engine.close()
        await self._backend.close()
