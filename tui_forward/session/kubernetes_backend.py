"""Backend of a session: the clusters of a kubeconfig and their live views."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tui_forward.catalog import Catalog, CatalogTargetResolver
from tui_forward.engine.context import TargetWatch
from tui_forward.kube import ClusterClients, KubeconfigSource
from tui_forward.kube.kubeconfig.source import Signature, has_changed
from tui_forward.model import (
    ApiHealth,
    CatalogScope,
    CatalogView,
    Context,
    Forward,
    Login,
    PodLog,
    Target,
)
from tui_forward.transport.access import ServerAccess

if TYPE_CHECKING:
    # Loaded when the hops of a forward are first requested, to start faster.
    from tui_forward.kube.client import ClusterClient
    from tui_forward.session.cluster_facts import ClusterInspector
    from tui_forward.session.diagnosis import ClusterFacts

# The health of an API server is outdated once no view refreshes it.
_HEALTH_MAX_AGE_S = 30.0


class KubernetesBackend:
    """Implementation of `local.ClusterBackend` over `kube` and `catalog`.

    `kubeconfig` is `--kubeconfig`, this file and nothing else; by default as kubectl.
    """

    def __init__(self, kubeconfig: str | Path | None, *, context: str = "") -> None:
        self._source = KubeconfigSource(kubeconfig, context=context)
        self._clusters = ClusterClients(self._source, on_created=self._observe_login)
        self._on_login_line: Callable[[str, str], None] = lambda _context, _line: None
        self._resolver = CatalogTargetResolver(self._clusters.get)
        self._catalog = Catalog(self._clusters.get)
        self._inspector: ClusterInspector | None = None
        self._health: dict[str, tuple[float, ApiHealth]] = {}

    def contexts(self) -> tuple[Context, ...]:
        """See `ClusterBackend.contexts`."""
        return self._source.contexts()

    def current_context(self) -> str:
        """See `ClusterBackend.current_context`."""
        return self._source.current()

    def namespace(self, context: str) -> str:
        """See `ClusterBackend.namespace`."""
        return self._clusters.get(context).namespace

    def access(self, context: str) -> ServerAccess:
        """See `ClusterProvider.access`."""
        return self._clusters.get(context)

    def watch(self, target: Target) -> TargetWatch:
        """See `ClusterProvider.watch`."""
        return self._resolver.watch(target)

    def catalog(self, scope: CatalogScope, since: int) -> CatalogView:
        """See `ClusterBackend.catalog`."""
        view = self._catalog.view(scope, since)
        if view.health is not None:
            self._health[scope.context] = (time.monotonic(), view.health)
        return view

    def health(self) -> tuple[ApiHealth, ...]:
        """See `ClusterBackend.health`: of recently viewed contexts, and of unreachable ones."""
        now = time.monotonic()
        for context in [c for c, (at, _) in self._health.items() if now - at > _HEALTH_MAX_AGE_S]:
            del self._health[context]
        viewed = tuple(health for _, health in self._health.values())
        # Without a view, the watches of forwards detect an unreachable cluster.
        return viewed + tuple(
            ApiHealth(
                context=context, ok=False, code=error.code, error=error.message, hint=error.hint
            )
            for context, error in self._resolver.unreachable().items()
            if context not in self._health
        )

    def logins(self) -> tuple[Login, ...]:
        """See `ClusterBackend.logins`."""
        return tuple(
            Login(
                context=client.context,
                code=reason.code,
                plugin=reason.name,
                text=reason.detail,
                since=client.login_started_at,
            )
            for client in self._clusters.clients
            if (reason := client.login) is not None
        )

    def listen_to_logins(self, on_line: Callable[[str, str], None]) -> None:
        """See `ClusterBackend.listen_to_logins`."""
        self._on_login_line = on_line

    def _observe_login(self, client: ClusterClient) -> None:
        client.observe_login(lambda: None, lambda line: self._on_login_line(client.context, line))

    async def inspect(self, forward: Forward) -> ClusterFacts:
        """See `ClusterBackend.inspect`."""
        context = forward.spec.target.context
        # The current errors of the forward's own watches take precedence over older health.
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
        if self._inspector is None:
            from tui_forward.session.cluster_facts import ClusterInspector

            self._inspector = ClusterInspector(self._clusters.get)
        return await self._inspector.inspect(forward, health)

    async def pod_log(self, forward: Forward, container: str, lines: int) -> PodLog:
        """See `ClusterBackend.pod_log`."""
        from tui_forward.session.cluster_facts import pod_log

        cluster = self._clusters.get(forward.spec.target.context)
        return await pod_log(cluster, forward, container, lines)

    def refresh(self) -> None:
        """See `ClusterProvider.refresh`."""
        for client in self._clusters.clients:
            client.retry_login(requested=False)
        self._resolver.refresh()
        self._catalog.refresh()

    def retry_login(self, context: str) -> None:
        """See `ClusterBackend.retry_login`."""
        self._clusters.get(context).retry_login(requested=True)

    def revision(self) -> Signature:
        """See `ClusterBackend.revision`."""
        return self._source.revision()

    def has_changed(self, before: Signature, now: Signature) -> bool:
        """See `ClusterBackend.has_changed`."""
        return has_changed(before, now)

    async def close(self) -> None:
        """See `ClusterBackend.close`."""
        if self._inspector is not None:
            await self._inspector.close()
        await self._resolver.close()
        await self._catalog.close()
        await self._clusters.close()
