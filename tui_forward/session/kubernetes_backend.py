"""The clusters of a kubeconfig, and the live picture of them, as one backend of a session."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tui_forward.catalog import Catalog, CatalogTargetResolver
from tui_forward.engine.target_watch import TargetWatch
from tui_forward.kube import ClusterClients, KubeconfigSource
from tui_forward.kube.kubeconfig.source import Signature, has_changed
from tui_forward.model import (
    ApiHealth,
    CatalogScope,
    CatalogView,
    Context,
    Forward,
    PodLog,
    Target,
)
from tui_forward.transport.access import ServerAccess

if TYPE_CHECKING:
    # Loaded when somebody looks closely at a forward: the start need not wait for it.
    from tui_forward.session.cluster_facts import ClusterInspector
    from tui_forward.session.diagnosis import ClusterFacts

# What is known of an API server is worth nothing once nobody asks it any more.
_HEALTH_LASTS_S = 30.0


class KubernetesBackend:
    """Implements `local.Backend` over `kube` and `catalog`.

    Args:
        kubeconfig: `--kubeconfig`: this file and nothing else. Default: as kubectl.
        context: What counts as the current context.
    """

    def __init__(self, kubeconfig: str | Path | None, *, context: str = "") -> None:
        self._source = KubeconfigSource(kubeconfig, context=context)
        self._clusters = ClusterClients(self._source)
        self._resolver = CatalogTargetResolver(self._clusters.get)
        self._catalog = Catalog(self._clusters.get)
        self._stations: ClusterInspector | None = None
        self._health: dict[str, tuple[float, ApiHealth]] = {}

    def contexts(self) -> tuple[Context, ...]:
        """See `Backend.contexts`."""
        return self._source.contexts()

    def current_context(self) -> str:
        """See `Backend.current_context`."""
        return self._source.current()

    def namespace(self, context: str) -> str:
        """See `Backend.namespace`."""
        return self._clusters.get(context).namespace

    def access(self, context: str) -> ServerAccess:
        """See `Clusters.access`."""
        return self._clusters.get(context)

    def watch(self, target: Target) -> TargetWatch:
        """See `Clusters.watch`."""
        return self._resolver.watch(target)

    def catalog(self, scope: CatalogScope, since: int) -> CatalogView:
        """See `Backend.catalog`."""
        view = self._catalog.view(scope, since)
        if view.health is not None:
            self._health[scope.context] = (time.monotonic(), view.health)
        return view

    def health(self) -> tuple[ApiHealth, ...]:
        """See `Backend.health`: of the contexts looked at lately, and of those out of reach."""
        now = time.monotonic()
        for context in [c for c, (at, _) in self._health.items() if now - at > _HEALTH_LASTS_S]:
            del self._health[context]
        looked_at = tuple(health for _, health in self._health.values())
        # Forwards whose cluster nobody looks at: their own watches say that it is gone.
        return looked_at + tuple(
            ApiHealth(
                context=context, ok=False, code=error.code, error=error.message, hint=error.hint
            )
            for context, error in self._resolver.unreachable().items()
            if context not in self._health
        )

    async def inspect(self, forward: Forward) -> ClusterFacts:
        """See `Backend.look`."""
        context = forward.spec.target.context
        # What a forward's own watches meet now, before what was measured seconds ago.
        health = next((one for one in self.health() if one.context == context), None)
        error = self._resolver.unreachable().get(context)
        if error is not None:
            health = msgspec.structs.replace(
                health if health is not None else ApiHealth(context=context),
                ok=False,
                latency_s=None,
                code=error.code,
                error=error.message,
                hint=error.hint,
            )
        if self._stations is None:
            from tui_forward.session.cluster_facts import ClusterInspector

            self._stations = ClusterInspector(self._clusters.get)
        return await self._stations.look(forward, health)

    async def pod_log(self, forward: Forward, container: str, lines: int) -> PodLog:
        """See `Backend.pod_log`."""
        from tui_forward.session.cluster_facts import pod_log

        cluster = self._clusters.get(forward.spec.target.context)
        return await pod_log(cluster, forward, container, lines)

    def refresh(self) -> None:
        """See `Clusters.poke`."""
        self._resolver.refresh()
        self._catalog.refresh()

    def revision(self) -> Signature:
        """See `Backend.revision`."""
        return self._source.revision()

    def has_changed(self, before: Signature, now: Signature) -> bool:
        """See `Backend.differ`."""
        return has_changed(before, now)

    async def close(self) -> None:
        """See `Backend.close`."""
        if self._stations is not None:
            await self._stations.close()
        await self._resolver.close()
        await self._catalog.close()
        await self._clusters.close()
