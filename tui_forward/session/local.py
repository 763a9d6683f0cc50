"""Session in this process, over an engine and a cluster backend."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from tui_forward.common.blocking_call import run_in_thread
from tui_forward.common.tasks import spawn, spawn_restarting
from tui_forward.errors import ConfigError, UsageError
from tui_forward.model import (
    NO_OPTIONS,
    AccessOptions,
    ApiHealth,
    BlockedBy,
    Caller,
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
    LoginCommand,
    PodLog,
    Snapshot,
    Target,
    TimelineEntry,
    TrafficHistory,
)
from tui_forward.session.callers import (
    CURRENT_CALLER,
    describe_caller,
    differing_names,
    make_caller,
)

if TYPE_CHECKING:
    from tui_forward.engine.connections.local_ports import InheritedSockets
    from tui_forward.engine.context import SocketHolder, TargetWatch
    from tui_forward.engine.engine import Engine
    from tui_forward.engine.limits import Limits
    from tui_forward.kube.kubeconfig.overrides import OptionSecrets
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


class CallerBackend(Protocol):
    """The clusters of a kubeconfig in one environment; methods may raise ConfigError.

    Repeats `engine.context.ClusterProvider`, so that the engine need not be loaded.
    """

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment that credential plugins run in."""

    def access(self, context: str, options: AccessOptions = NO_OPTIONS) -> ServerAccess:
        """See `ClusterProvider.access`."""

    def watch(self, target: Target) -> TargetWatch:
        """See `ClusterProvider.watch`."""

    def refresh(self) -> None:
        """See `ClusterProvider.refresh`."""

    def namespace(self, context: str, options: AccessOptions = NO_OPTIONS) -> str:
        """Return the namespace of a context."""

    def catalog(self, scope: CatalogScope, since: int) -> CatalogView:
        """Return the live view of a scope, or its changes since a version. Never blocks."""

    def health(self) -> tuple[ApiHealth, ...]:
        """Return the health of the API servers in use."""

    def retry_login(self, context: str, options: AccessOptions = NO_OPTIONS) -> None:
        """Run the credential plugin of a cluster now if it is needed, however often it failed."""

    def begin_login(self, context: str) -> LoginCommand | None:
        """See `Session.begin_login`."""

    def finish_login(self, context: str, output: bytes, exit_code: int) -> None:
        """See `Session.finish_login`."""

    def cancel_login(self, context: str) -> None:
        """See `Session.cancel_login`."""

    async def inspect(self, forward: Forward) -> ClusterFacts:
        """Return facts about the hops of a forward; waits two seconds at most."""

    async def pod_log(self, forward: Forward, container: str, lines: int) -> PodLog:
        """See `Session.pod_log`; raises the same errors."""


class ClusterBackend(CallerBackend, Protocol):
    """The clusters of a kubeconfig; itself in the environment of this process."""

    secrets: OptionSecrets  # of options, in every environment

    def contexts(self) -> tuple[Context, ...]:
        """Return the contexts of the kubeconfig."""

    def current_context(self, options: AccessOptions = NO_OPTIONS) -> str:
        """Return the name of the current context; `NO_CONTEXT` where the options suffice."""

    def for_caller(self, caller: Caller, *, keep: Collection[object] = ()) -> CallerBackend:
        """Return the clusters in the environment of a caller: itself, if they do not differ.

        Those of others that are not in `keep` and have no view may be closed.
        """

    def logins(self) -> tuple[Login, ...]:
        """Return the credential plugins that run now and take longer than usual."""

    def running_logins(self) -> tuple[tuple[str, str], ...]:
        """Return context and name of each credential plugin that runs now, or in a terminal."""

    def hold_logins(self) -> bytes:
        """Run no more plugins for now; return all credentials of plugins for another engine."""

    def release_logins(self) -> None:
        """Undo `hold_logins`. Idempotent."""

    def adopt_logins(self, data: bytes) -> None:
        """Use what `hold_logins` of the engine before has returned. Before the first use."""

    def listen_to_logins(self, on_line: Callable[[str, str], None]) -> None:
        """Call `on_line` with context and text of each line that a plugin writes for the user."""

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
    `Limits.spill`. With `has_terminal`, credential plugins may use the terminal of this process.
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
            from tui_forward.session.kubernetes_backend import KubernetesBackend

            backend = KubernetesBackend(kubeconfig, context=context, has_terminal=has_terminal)
        self._backend = backend
        self._limits = limits
        self._disk_buffer = disk_buffer
        self._monitor_system = monitor_system
        self._socket_holder = socket_holder
        self._engine_or_none: Engine | None = None
        self._closed = False
        # Of forwards in another environment than that of this process.
        self._callers: dict[str, tuple[Caller, CallerBackend]] = {}
        # Of forwards that are started next, by their ids in the engine before.
        self._handed_over: dict[str, Caller] = {}
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
        caller = CURRENT_CALLER.get() or self._handed_over.pop(forward_id, None)
        backend = self._backend_for(caller)
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
        self._set_caller(forward_id, caller, backend)
        return forward_id

    def _backend_for(self, caller: Caller | None) -> CallerBackend:
        """Return the clusters in the environment of a front end; None is this process."""
        if caller is None:
            return self._backend
        keep = [backend for _, backend in self._callers.values()]
        return self._backend.for_caller(caller, keep=keep)

    def _backend_of(self, forward_id: str) -> CallerBackend:
        """Return the clusters that a forward uses."""
        found = self._callers.get(forward_id)
        return self._backend if found is None else found[1]

    def _set_caller(self, forward_id: str, caller: Caller | None, backend: CallerBackend) -> None:
        if caller is None or backend is self._backend:
            self._callers.pop(forward_id, None)
        else:
            self._callers[forward_id] = caller, backend

    async def _use_environment(self, forward_id: str) -> None:
        """Let a forward use the environment of the front end that asks for it now."""
        caller = CURRENT_CALLER.get()
        if caller is None:
            return  # that of a program without a terminal says nothing about credentials
        backend = self._backend_for(caller)
        if backend is not self._backend_of(forward_id):
            await self._engine.use_clusters(forward_id, backend)
            self._set_caller(forward_id, caller, backend)

    def _environment_of(self, forward_id: str, viewer: CallerBackend) -> str:
        """See `Forward.environment`."""
        backend = self._backend_of(forward_id)
        if backend is viewer:
            return ""
        found = self._callers.get(forward_id)
        place = describe_caller(found[0]) if found is not None else "the engine"
        names = differing_names(backend.environ, viewer.environ)
        return f"{place} ({names} {'differ' if ',' in names else 'differs'})"

    async def stop(self, forward_id: str) -> None:
        """See `Session.stop`."""
        await self._engine.stop(forward_id)
        self._callers.pop(forward_id, None)

    async def pause(self, forward_id: str) -> None:
        """See `Session.pause`."""
        await self._engine.pause(forward_id)

    async def resume(self, forward_id: str) -> None:
        """See `Session.resume`."""
        self._engine.forward(forward_id)
        await self._use_environment(forward_id)
        await self._engine.resume(forward_id)

    async def reconnect(self, forward_id: str) -> None:
        """See `Session.reconnect`."""
        cluster = self._engine.forward(forward_id).spec.target.cluster_key
        await self._use_environment(forward_id)
        with contextlib.suppress(ConfigError):  # the forward shows it
            self._backend_of(forward_id).retry_login(*cluster)
        self._engine.reconnect(forward_id)

    async def begin_login(self, context: str) -> LoginCommand | None:
        """See `Session.begin_login`."""
        return self._backend_for(CURRENT_CALLER.get()).begin_login(context)

    async def finish_login(self, context: str, output: bytes, exit_code: int) -> None:
        """See `Session.finish_login`."""
        backend = self._backend_for(CURRENT_CALLER.get())
        backend.finish_login(context, output, exit_code)
        await self._resume_blocked(context)

    async def cancel_login(self, context: str) -> None:
        """See `Session.cancel_login`."""
        self._backend_for(CURRENT_CALLER.get()).cancel_login(context)

    async def retry_login(self, context: str) -> None:
        """See `Session.retry_login`."""
        self._backend_for(CURRENT_CALLER.get()).retry_login(context)
        await self._resume_blocked(context)

    async def _resume_blocked(self, context: str) -> None:
        """Let forwards of a context that need credentials use those of who asks now."""
        if self._engine_or_none is None:
            return
        for forward in self._engine.forwards():
            by_credentials = forward.blocked_by is BlockedBy.CREDENTIALS
            if by_credentials and forward.spec.target.context == context:
                with contextlib.suppress(UsageError):  # stopped meanwhile
                    await self._use_environment(forward.id)
                    self._engine.reconnect(forward.id)

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
        self._handed_over.update(callers)

    def callers(self) -> dict[str, Caller]:
        """Return the environment of each forward, for the next engine."""
        own = make_caller(self._backend.environ)
        forwards = self._engine.forwards() if self._engine_or_none is not None else ()
        found = {}
        for forward in forwards:
            caller = self._callers[forward.id][0] if forward.id in self._callers else own
            if caller is not None:
                found[forward.id] = caller
        return found

    def hold(self) -> InheritedSockets:
        """Stop accepting for now, and return all listening sockets."""
        return self._engine.pause_accepting() if self._engine_or_none is not None else {}

    def release(self) -> None:
        """Undo `hold` and `hold_logins`. Idempotent."""
        self._backend.release_logins()
        if self._engine_or_none is not None:
            self._engine_or_none.resume_accepting()

    async def drain(self, longest_s: float) -> None:
        """Close the listeners, and wait until the open connections have ended; then close."""
        if self._engine_or_none is not None:
            await self._engine_or_none.drain(longest_s)

    # Reading --------------------------------------------------------------------------

    async def snapshot(self) -> Snapshot:
        """See `Session.snapshot`."""
        viewer = self._backend_for(CURRENT_CALLER.get())
        health, logins = viewer.health(), self._backend.logins()
        if (health, logins) != (self._health, self._logins):
            self._health, self._logins = health, logins
            self._cluster_version += 1
        version, at = self._cluster_version, time.time()
        if self._engine_or_none is None:
            return Snapshot(version=version, at=at, health=health, logins=logins)
        forwards = self._engine.forwards()
        if self._callers or viewer is not self._backend:
            forwards = tuple(
                msgspec.structs.replace(one, environment=environment) if environment else one
                for one in forwards
                for environment in (self._environment_of(one.id, viewer),)
            )
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
            facts = await self._backend_of(forward_id).inspect(self._engine.forward(forward_id))
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
        forward = self._engine.forward(forward_id)
        return await self._backend_of(forward_id).pod_log(forward, container, lines)

    def events(self, since: int = 0) -> AsyncIterator[Event]:
        """See `Session.events`."""
        return self._engine.events(since)

    async def contexts(self) -> tuple[Context, ...]:
        """See `Session.contexts`."""
        return self._backend.contexts()

    async def catalog(self, scope: CatalogScope, since: int = 0) -> CatalogView:
        """See `Session.catalog`."""
        options = self._backend.secrets.remember(scope.options)
        try:
            context = scope.context or self._backend.current_context(options)
            backend = self._backend_for(CURRENT_CALLER.get())
            view = backend.catalog(CatalogScope(context, scope.namespace, options), since)
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
