"""The session in this process: an engine, and whatever knows the clusters."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

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
    Forward,
    ForwardSpec,
    Hop,
    PodLog,
    Snapshot,
    Target,
    TimelineEntry,
    TrafficHistory,
)

if TYPE_CHECKING:
    from tui_forward.engine.connections.local_ports import InheritedSockets
    from tui_forward.engine.engine import Engine
    from tui_forward.engine.limits import Limits
    from tui_forward.engine.target_watch import TargetWatch
    from tui_forward.session.diagnosis import ClusterFacts
    from tui_forward.transport.access import ServerAccess

_log = logging.getLogger(__name__)

# How often the kubeconfig files are looked at: a few stat(2). More often while somebody waits
# for a person to log in, which may begin at any moment.
_LOOK_EVERY_S = 1.0
_LOOK_OFTEN_S = 0.1
# The engine's modules take 0.1 s to load. Whoever opens the session wants to see the cluster
# first; by the time a forward is wanted they are there.
_ENGINE = "tui_forward.engine.engine"
_LOAD_ENGINE_AFTER_S = 1.5


class ClusterBackend(Protocol):
    """The clusters of a kubeconfig and the picture of them, as a session needs it.

    What the engine needs of it (`engine.world.Clusters`) is said here again, so that the engine
    need not be loaded to know.
    """

    def access(self, context: str) -> ServerAccess:
        """See `engine.world.Clusters.access`."""

    def watch(self, target: Target) -> TargetWatch:
        """See `engine.world.Clusters.watch`."""

    def refresh(self) -> None:
        """See `engine.world.Clusters.poke`."""

    def contexts(self) -> tuple[Context, ...]:
        """The contexts of the kubeconfig.

        Raises:
            ConfigError: The kubeconfig is missing or invalid.
        """

    def current_context(self) -> str:
        """Name of the current context.

        Raises:
            ConfigError: There is none, or the kubeconfig is missing or invalid.
        """

    def namespace(self, context: str) -> str:
        """The namespace of a context.

        Raises:
            ConfigError: There is no such context.
        """

    def catalog(self, scope: CatalogScope, since: int) -> CatalogView:
        """The live picture of a scope, or its changes since a version. Never blocks.

        Raises:
            ConfigError: There is no such context.
        """

    def health(self) -> tuple[ApiHealth, ...]:
        """What is known of the API servers in use."""

    async def inspect(self, forward: Forward) -> ClusterFacts:
        """What is known of a forward's stations. Waits for two seconds at most.

        Raises:
            ConfigError: There is no such context.
        """

    async def pod_log(self, forward: Forward, container: str, lines: int) -> PodLog:
        """See `Session.pod_log`, and for what it raises."""

    def revision(self) -> Any:
        """What the files with the credentials look like now."""

    def has_changed(self, before: Any, now: Any) -> bool:
        """Whether they have changed between two revisions."""

    async def close(self) -> None:
        """Let go of everything."""


class LocalSession:
    """A `Session` over an engine in this process. Make it inside a running event loop.

    Args:
        kubeconfig: `--kubeconfig`: this file and nothing else. Default: as kubectl.
        context: `--context`: what counts as the current context.
        limits: Bounds of the data path.
        backend: In place of the one made from the kubeconfig.
        monitor_system: Notice sleep and network changes.
    """

    def __init__(
        self,
        kubeconfig: str | Path | None = None,
        *,
        context: str = "",
        limits: Limits | None = None,
        backend: ClusterBackend | None = None,
        monitor_system: bool = True,
    ) -> None:
        if backend is None:
            from tui_forward.session.kubernetes_backend import KubernetesBackend

            backend = KubernetesBackend(kubeconfig, context=context)
        self._backend = backend
        self._limits = limits
        self._monitor_system = monitor_system
        self._made: Engine | None = None
        self._closed = False
        self._health: tuple[ApiHealth, ...] = ()
        self._health_version = 0
        self._helpers = [
            spawn_restarting(self._heed_kubeconfig, name="kubeconfig"),
            spawn(self._load_engine(), name="engine"),
        ]

    @property
    def _engine(self) -> Engine:
        if self._made is None:
            if self._closed:
                raise UsageError("the session is closed")
            from tui_forward.engine.engine import Engine

            self._made = Engine(
                self._backend, limits=self._limits, monitor_system=self._monitor_system
            )
        return self._made

    async def _load_engine(self) -> None:
        await asyncio.sleep(_LOAD_ENGINE_AFTER_S)
        await asyncio.to_thread(import_module, _ENGINE)

    # Commands -------------------------------------------------------------------------

    async def start(self, spec: ForwardSpec, *, forward_id: str = "") -> str:
        """See `Session.start`; `forward_id` is the one it had in the engine before."""
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
        self._engine.reconnect(forward_id)

    async def set_keep_running(self, on: bool) -> None:
        """See `Session.keep`."""
        if on:
            raise UsageError("these forwards end with the program that began them")

    async def set_keep_running_if_lost(self, on: bool) -> None:
        """See `Session.keep_if_lost`."""
        await self.set_keep_running(on)

    async def close_connection(self, connection_id: int) -> None:
        """See `Session.close_connection`."""
        self._engine.close_connection(connection_id)

    # From process to process ----------------------------------------------------------

    def inherit(self, sockets: InheritedSockets) -> None:
        """Take what another process listened on: forwards begun next need not bind it."""
        self._engine.adopt_sockets(sockets)

    def hold(self) -> InheritedSockets:
        """Accept no connections for now; gives all sockets that listen."""
        return self._engine.pause_accepting() if self._made is not None else {}

    def release(self) -> None:
        """Undo `hold`. Idempotent."""
        if self._made is not None:
            self._made.resume_accepting()

    async def drain(self, longest_s: float) -> None:
        """Listen no more; wait until the connections there are have ended. Close afterwards."""
        if self._made is not None:
            await self._made.drain(longest_s)

    # Reading --------------------------------------------------------------------------

    async def snapshot(self) -> Snapshot:
        """See `Session.snapshot`."""
        health = self._backend.health()
        if health != self._health:
            self._health = health
            self._health_version += 1
        if self._made is None:
            return Snapshot(version=self._health_version, at=time.time(), health=health)
        forwards = self._engine.forwards()
        return Snapshot(
            version=self._engine.version + self._health_version,
            at=time.time(),
            forwards=forwards,
            totals=self._engine.totals(forwards),
            health=health,
        )

    async def connections(self, forward_id: str | None = None) -> tuple[Connection, ...]:
        """See `Session.connections`."""
        return self._engine.connections(forward_id)

    async def timeline(self, forward_id: str) -> tuple[TimelineEntry, ...]:
        """See `Session.timeline`."""
        return self._engine.timeline(forward_id)

    async def histories(self) -> tuple[TrafficHistory, ...]:
        """See `Session.histories`."""
        return self._made.histories() if self._made is not None else ()

    async def hops(self, forward_id: str) -> tuple[Hop, ...]:
        """See `Session.hops`."""
        from tui_forward.session.diagnosis import ClusterFacts
        from tui_forward.session.hops import build_hops

        try:
            known = await self._backend.inspect(self._engine.forward(forward_id))
        except ConfigError:
            known = ClusterFacts()  # the forward says so itself
        # As it stands now, not as it stood before the wait.
        return build_hops(
            self._engine.forward(forward_id),
            self._engine.not_ready_cause(forward_id),
            known,
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

    # Life -----------------------------------------------------------------------------

    async def close(self) -> None:
        """Stop everything. Idempotent."""
        self._closed = True
        for helper in self._helpers:
            helper.cancel()
        await asyncio.gather(*self._helpers, return_exceptions=True)
        if self._made is not None:
            await self._made.close()
        await self._backend.close()

    async def _heed_kubeconfig(self) -> None:
        """A login in another terminal wakes whatever waits for credentials, all at once."""
        seen, looked_at = self._backend.revision(), time.monotonic()
        while True:
            await asyncio.sleep(_LOOK_OFTEN_S)
            blocked = self._made is not None and self._made.blocked
            if not blocked and time.monotonic() - looked_at < _LOOK_EVERY_S:
                continue
            looked_at = time.monotonic()
            now = self._backend.revision()
            changed, seen = self._backend.has_changed(seen, now), now
            if changed:
                _log.info("the kubeconfig or a file it names has changed")
                if self._made is not None:
                    self._made.retry_waiting("the kubeconfig has changed")
                else:
                    self._backend.refresh()
