"""Facts about the hops of a forward from its API server; what the user may not read is missing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import aclosing

from tui_forward.catalog.pod_selection import pod_sort_key
from tui_forward.errors import ApiError, ForwardError
from tui_forward.kube.api.details import NodeDetails, PodDetails
from tui_forward.kube.api.resources import PODS, SERVICES, WORKLOADS
from tui_forward.kube.client import ClusterClient
from tui_forward.model import (
    AccessOptions,
    ApiHealth,
    Forward,
    ForwardState,
    Pod,
    Reason,
    ReasonCode,
    Target,
    TargetKind,
)
from tui_forward.session.diagnosis import ClusterFacts
from tui_forward.session.refresh_cache import FIRST_RESULT_TIMEOUT_S, StaleWhileRevalidateCache

_HEALTH_MAX_AGE_S = 5.0
_POD_MAX_AGE_S = 2.0
_NODE_MAX_AGE_S = 60.0
# While the forward is not ready, the node may be the cause.
_NODE_MAX_AGE_NOT_READY_S = 5.0
# How many of the selected pods are considered for the candidate.
_CANDIDATES = 50


class ClusterInspector:
    """Reads facts from the clusters, and caches them."""

    def __init__(self, cluster_of: Callable[[str, AccessOptions], ClusterClient]) -> None:
        self._cluster_of = cluster_of
        self._health: StaleWhileRevalidateCache[ApiHealth] = StaleWhileRevalidateCache()
        self._pods: StaleWhileRevalidateCache[PodDetails] = StaleWhileRevalidateCache()
        self._nodes: StaleWhileRevalidateCache[NodeDetails] = StaleWhileRevalidateCache()

    async def inspect(self, forward: Forward, health: ApiHealth | None) -> ClusterFacts:
        """Return the facts about the hops of a forward; waits two seconds at most."""
        cluster = self._cluster_of(*forward.spec.target.cluster_key)
        until = time.monotonic() + FIRST_RESULT_TIMEOUT_S
        health, (pod, node) = await asyncio.gather(
            self._health_of(cluster, health, until), self._pod_and_node(cluster, forward, until)
        )
        return ClusterFacts(server=cluster.server, health=health, pod=pod, node=node)

    async def _health_of(
        self, cluster: ClusterClient, health: ApiHealth | None, until: float
    ) -> ApiHealth | None:
        if health is not None and health.ok is not None:
            return health
        return await self._health.get(
            (cluster.context, cluster.options),
            cluster.health,
            max_age_s=_HEALTH_MAX_AGE_S,
            until=until,
        )

    async def _pod_and_node(
        self, cluster: ClusterClient, forward: Forward, until: float
    ) -> tuple[PodDetails | None, NodeDetails | None]:
        target, ref = forward.spec.target, forward.pod
        pod = await self._pods.get(
            (target, ref.uid if ref is not None else ""),
            lambda: find_pod(cluster, forward),
            max_age_s=_POD_MAX_AGE_S,
            until=until,
        )
        name = pod.pod.node if pod is not None else ref.node if ref is not None else ""
        if not name:
            return pod, None
        ready = forward.state is ForwardState.READY
        node = await self._nodes.get(
            (target.cluster_key, name),
            lambda: cluster.node(name),
            max_age_s=_NODE_MAX_AGE_S if ready else _NODE_MAX_AGE_NOT_READY_S,
            until=until,
        )
        return pod, node

    async def close(self) -> None:
        """Cancel all reads."""
        for cache in (self._health, self._pods, self._nodes):
            await cache.close()


async def find_pod(cluster: ClusterClient, forward: Forward) -> PodDetails:
    """Return the pod behind a forward; if it is gone or not found yet, the best candidate.

    ForwardError: the target has no pod now.
    """
    target, ref = forward.spec.target, forward.pod
    name = ref.name if ref is not None else ""
    if not name and target.kind is TargetKind.POD:
        name = target.name
    gone: ApiError | None = None
    if name:
        try:
            return await cluster.pod_details(target.namespace, name)
        except ApiError as error:
            if not error.not_found or target.kind is TargetKind.POD:
                raise
            gone = error
    for candidate in await find_candidates(cluster, target):
        return await cluster.pod_details(candidate.namespace, candidate.name)
    if gone is not None:
        raise gone
    raise ForwardError(
        Reason(
            code=ReasonCode.TARGET_NO_POD,
            object=str(target),
            detail=forward.reason,
            hint=forward.hint,
        )
    )


async def find_candidates(cluster: ClusterClient, target: Target) -> list[Pod]:
    """Return pods behind a target that is no pod, the preferred one first."""
    namespace, selector = target.namespace, target.name
    if target.kind is TargetKind.SERVICE:
        selector = (await cluster.get(SERVICES, namespace, target.name)).selector
    elif target.kind is not TargetKind.SELECTOR:
        selector = (await cluster.get(WORKLOADS[target.kind], namespace, target.name)).selector
    if not selector:
        return []
    pages = cluster.list_pages(PODS, namespace, label_selector=selector, limit=_CANDIDATES)
    async with aclosing(pages):
        async for page in pages:
            return sorted(page.items, key=pod_sort_key)
    return []
