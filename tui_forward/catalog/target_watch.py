"""Targets followed live: implements `TargetWatch` of the engine.

Each target watches only what it needs: one service or workload by name, the pods it selects,
or a single pod. So a narrow role is enough, and 10,000 other pods cost nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from tui_forward.catalog.endpoint_pods import EndpointPods
from tui_forward.catalog.evidence import EvidenceReader
from tui_forward.catalog.label_selector import parse_selector
from tui_forward.catalog.shared_reflectors import ReflectorHandle, SharedReflectors
from tui_forward.catalog.target_resolution import (
    KINDS,
    is_replacement_of,
    keep_pull_error,
    replacement_keeps_name,
    resolve_pod,
    resolve_selected,
    selectorless,
    sibling_selector,
    target_not_found,
)
from tui_forward.common.tasks import spawn
from tui_forward.errors import (
    ConfigError,
    TransportError,
    TuiForwardError,
    UsageError,
)
from tui_forward.kube.api.resources import PODS, SERVICES, WORKLOADS
from tui_forward.kube.client import ClusterClient
from tui_forward.model import (
    AccessOptions,
    ClusterKey,
    Pod,
    PodRef,
    Reason,
    ReasonCode,
    Resolution,
    Resolved,
    Service,
    Target,
    TargetKind,
    Unresolved,
    Workload,
)

# A pod that a tunnel reported as gone is not used until the API reports a newer version of
# it. The API may be right, though (a restarted kubelet does not know its pods for a moment),
# so the pod is used again after this time.
_INVALIDATION_S = 2.0
# A timer may fire a moment before the time of day that it was set for.
_CLOCK_PRECISION_S = 0.1


class CatalogTargetResolver:
    """Factory of target watches; one for all contexts."""

    def __init__(self, cluster_of: Callable[[str, AccessOptions], ClusterClient]) -> None:
        self._cluster_of = cluster_of
        self._shared: dict[ClusterKey, SharedReflectors] = {}
        self._watches: set[CatalogTargetWatch] = set()

    def watch(self, target: Target) -> CatalogTargetWatch:
        """Start to follow a target. Needs a running event loop; never raises."""
        watch = CatalogTargetWatch(target, self._reflectors, self._watches.discard)
        self._watches.add(watch)
        watch.start()
        return watch

    def _reflectors(self, target: Target) -> SharedReflectors:
        key = target.cluster_key
        if key not in self._shared:
            self._shared[key] = SharedReflectors(self._cluster_of(*key))
        return self._shared[key]

    def unreachable(self) -> dict[ClusterKey, TransportError]:
        """Return the clusters whose API server no target can reach now, and why."""
        transport_errors = {key: shared.unreachable for key, shared in self._shared.items()}
        return {key: error for key, error in transport_errors.items() if error is not None}

    def refresh(self) -> None:
        """Check every connection now, after a sleep or a network change."""
        for shared in self._shared.values():
            shared.refresh()
        for watch in [*self._watches]:
            watch.refresh()

    async def close(self) -> None:
        """Stop following everything."""
        for watch in [*self._watches]:
            watch.close()
        for shared in [*self._shared.values()]:
            await shared.close()
        self._shared.clear()


class CatalogTargetWatch:
    """Live resolution of one target. Created by `CatalogTargetResolver.watch`."""

    def __init__(
        self,
        target: Target,
        reflectors: Callable[[Target], SharedReflectors],
        closed: Callable[[CatalogTargetWatch], None],
    ) -> None:
        self._target = target
        self._reflectors = reflectors
        self._on_closed = closed
        self._current: Resolution = Unresolved(
            reason=Reason(code=ReasonCode.TARGET_RESOLVING, object=str(target))
        )
        self._waiters: set[asyncio.Future[None]] = set()
        self._invalidated: dict[str, tuple[str, float]] = {}
        self._shared: SharedReflectors | None = None
        self._anchor: ReflectorHandle[Service] | ReflectorHandle[Workload] | None = None
        self._pods: ReflectorHandle[Pod] | None = None
        self._named: ReflectorHandle[Pod] | None = None
        self._endpoints: EndpointPods | None = None
        self._origin: Pod | None = None
        self._owner_lookup: asyncio.Task[None] | None = None
        self._retry: asyncio.TimerHandle | None = None
        self._scheduled: asyncio.Handle | None = None
        self._stabilizes: asyncio.TimerHandle | None = None
        self._closed = False
        self._on_change: Callable[[], None] | None = None
        self._evidence = EvidenceReader(self._schedule)

    # TargetWatch ----------------------------------------------------------------------

    @property
    def current(self) -> Resolution:
        """Return the present resolution. Never blocks."""
        return self._current

    async def changed(self, since: Resolution) -> Resolution:
        """Wait until `current` differs from `since`, and return it. Safe to cancel."""
        while self._current == since:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)
        return self._current

    def invalidate(self, pod_uid: str) -> None:
        """Stop using a pod that its tunnel reported as gone, and read it again.

        It is not used until the API reports a newer version of it, or two seconds have passed.
        """
        if self._closed:
            return
        pod = next((p for p in self._known() if p.uid == pod_uid), None)
        version = pod.resource_version if pod is not None else ""
        self._invalidated[pod_uid] = (version, time.monotonic() + _INVALIDATION_S)
        asyncio.get_running_loop().call_later(_INVALIDATION_S + 0.1, self._schedule)
        for handle in self._pod_handles():
            handle.refresh()
        self._resolve()

    def find_pod(self, ref: PodRef) -> Pod | None:
        """Return a pod as last reported; None if neither watch has it."""
        for handle in self._pod_handles():
            pod = handle.get(ref.namespace, ref.name)
            if pod is not None and pod.uid == ref.uid:
                return pod
        return None

    def observe(self, on_change: Callable[[], None]) -> None:
        """Call `on_change` after every batch of changes, until `close`."""
        self._on_change = on_change

    def close(self) -> None:
        """Stop following. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._on_change = None
        self._evidence.close()
        for handle in (self._retry, self._scheduled, self._stabilizes):
            if handle is not None:
                handle.cancel()
        if self._owner_lookup is not None:
            self._owner_lookup.cancel()
        self._release()
        self._on_closed(self)

    # Following ------------------------------------------------------------------------

    def start(self) -> None:
        """Open the first watches."""
        self._retry = None
        if self._closed:
            return
        target = self._target
        try:
            self._shared = self._reflectors(target)
        except ConfigError as error:
            self._set(Unresolved(reason=error.reason))
            self._retry = asyncio.get_running_loop().call_later(2.0, self.start)
            return
        if target.kind is TargetKind.SELECTOR:
            try:
                parse_selector(target.name)
            except UsageError as error:
                self._set(Unresolved(reason=error.reason))
                return
            self._pods = self._acquire_pods(target.name)
        elif target.kind is TargetKind.POD:
            self._named = self._shared.acquire(
                PODS, target.namespace, self._schedule, name=target.name
            )
        elif target.kind is TargetKind.SERVICE:
            self._anchor = self._shared.acquire(
                SERVICES, target.namespace, self._schedule, name=target.name
            )
        else:
            self._anchor = self._shared.acquire(
                WORKLOADS[target.kind], target.namespace, self._schedule, name=target.name
            )
        self._resolve()

    def refresh(self) -> None:
        """Retry now if a retry is scheduled."""
        if self._retry is not None:
            self._retry.cancel()
            self.start()

    def _acquire_pods(self, selector: str) -> ReflectorHandle[Pod]:
        assert self._shared is not None
        return self._shared.acquire(
            PODS, self._target.namespace, self._schedule, label_selector=selector
        )

    def _release(self) -> None:
        for handle in (self._anchor, self._pods, self._named):
            if handle is not None:
                handle.release()
        self._anchor = self._pods = self._named = None
        self._release_endpoints()

    def _release_endpoints(self) -> None:
        if self._endpoints is not None:
            self._endpoints.release()
            self._endpoints = None

    def _pod_handles(self) -> list[ReflectorHandle[Pod]]:
        handles = [handle for handle in (self._named, self._pods) if handle is not None]
        return [*handles, *self._endpoints.handles] if self._endpoints is not None else handles

    def _schedule(self) -> None:
        """Resolve once after a batch of changes, in the same iteration of the event loop."""
        if self._scheduled is None and not self._closed:
            self._scheduled = asyncio.get_running_loop().call_soon(self._resolve)

    def _resolve(self) -> None:
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None
        if self._closed:
            return
        if self._target.kind is TargetKind.POD:
            resolution = self._resolve_pod()
        elif self._target.kind is TargetKind.SELECTOR:
            resolution = self._resolve_selected(None)
        else:
            resolution = self._resolve_anchored()
        if resolution is not None:
            self._set(resolution)
        if self._on_change is not None:
            self._on_change()

    def _set(self, resolution: Resolution) -> None:
        if self._shared is not None:
            resolution = self._evidence.complete(resolution, self._shared.cluster)
            is_loading = isinstance(self._current, Unresolved) and self._current.is_loading
            if is_loading and self._evidence.is_decisive:
                return  # it is resolved again with the answer
        resolution = keep_pull_error(self._current, resolution)
        self._resolve_once_stable(resolution)
        if resolution == self._current:
            return
        self._current = resolution
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    def _resolve_once_stable(self, resolution: Resolution) -> None:
        """Resolve again when a container that crash-loops has been running long enough."""
        if self._stabilizes is not None:
            self._stabilizes.cancel()
            self._stabilizes = None
        if not isinstance(resolution, Resolved):
            return
        cautions = [one.caution for one in (resolution, *resolution.others)]
        stable_at = [
            caution.at
            for caution in cautions
            if caution is not None and caution.code is ReasonCode.POD_UNSTABLE and caution.at
        ]
        if stable_at:
            delay_s = max(0.0, min(stable_at) - time.time()) + _CLOCK_PRECISION_S
            loop = asyncio.get_running_loop()
            self._stabilizes = loop.call_later(delay_s, self._schedule)

    def _resolve_anchored(self) -> Resolution | None:
        handle = self._anchor
        assert handle is not None
        anchor = handle.get(self._target.namespace, self._target.name)
        if anchor is None:
            if self._pods is not None:
                self._pods.release()
                self._pods = None
            self._release_endpoints()
            if handle.error is not None:
                return Unresolved(reason=handle.error.reason)
            return target_not_found(self._target) if handle.synced else None
        if not anchor.selector:
            return self._resolve_selectorless(anchor)
        self._release_endpoints()
        if self._pods is None or self._pods.query[2] != anchor.selector:
            # Acquire before releasing the old one, so that a shared watch continues.
            old, self._pods = self._pods, self._acquire_pods(anchor.selector)
            if old is not None:
                old.release()
        return self._resolve_selected(anchor)

    def _resolve_selectorless(self, anchor: Service | Workload) -> Resolution | None:
        assert self._shared is not None
        if self._pods is not None:
            self._pods.release()
            self._pods = None
        if not isinstance(anchor, Service) or anchor.external_name:
            self._release_endpoints()
            return selectorless(self._target, anchor)
        if self._endpoints is None:
            self._endpoints = EndpointPods(
                self._shared, anchor.namespace, anchor.name, self._schedule
            )
        return self._endpoints.resolve(
            self._target, anchor, current=self._uid, trusted=self._trusted, now=time.time()
        )

    def _resolve_selected(self, anchor: Service | Workload | None) -> Resolution | None:
        handle = self._pods
        if handle is None:
            return None
        if not handle.synced:
            return Unresolved(reason=handle.error.reason) if handle.error is not None else None
        resolution = resolve_selected(
            self._target,
            anchor,
            list(handle),
            current=self._uid,
            trusted=self._trusted,
            now=time.time(),
        )
        return self._current_or_unresolved_error(resolution, handle)

    def _resolve_pod(self) -> Resolution | None:
        pod = self._by_name()
        source = self._named or self._pods
        if source is None:
            return None
        if pod is not None:
            self._origin = pod
            self._follow_owner(pod)
        elif not source.synced:
            return self._resolve_unread(source.error) if source.error is not None else None
        siblings: list[Pod] = []
        if self._pods is not None and self._origin is not None:
            siblings = [s for s in self._pods if is_replacement_of(s, self._origin)]
        resolution = resolve_pod(
            self._target,
            pod,
            origin=self._origin,
            siblings=siblings,
            current=self._uid,
            trusted=self._trusted,
            now=time.time(),
        )
        if pod is None and self._pods is not None and not self._pods.synced:
            # Without permission to list the siblings the replacement is unknown.
            source = self._pods
        return self._current_or_unresolved_error(resolution, source)

    def _resolve_unread(self, error: TuiForwardError) -> Resolution:
        """Resolve a pod that the user may not read, but perhaps forward to.

        Its name and a port number are all that an upgrade needs; whether the pod exists and
        whether pods/portforward is allowed, the upgrade tells.
        """
        target = self._target
        if error.code is not ReasonCode.RBAC_FORBIDDEN or not target.port.isdecimal():
            return Unresolved(reason=error.reason)
        ref = PodRef(namespace=target.namespace, name=target.name, uid=f"name {target.name}")
        return Resolved(pod=ref, port=int(target.port))

    def _by_name(self) -> Pod | None:
        """Return the pod that the target names.

        As soon as the watch of the siblings has it as well, the pod's own watch is released:
        one source at a time, so that two cannot contradict each other.
        """
        target = self._target
        if self._named is None:
            return None if self._pods is None else self._pods.get(target.namespace, target.name)
        pod = self._named.get(target.namespace, target.name)
        if pod is not None and self._pods is not None and self._pods.synced:
            sibling = self._pods.get(target.namespace, target.name)
            if sibling is not None and sibling.uid == pod.uid:
                self._named.release()
                self._named = None
                return sibling
        return pod

    # Owners ---------------------------------------------------------------------------

    def _follow_owner(self, pod: Pod) -> None:
        """Watch the pod's siblings too, unless its replacement has the same name."""
        if self._pods is not None or self._owner_lookup is not None:
            return
        if self._target.pin or replacement_keeps_name(pod):
            return
        self._owner_lookup = spawn(self._find_siblings(pod), name="owner lookup")

    async def _find_siblings(self, pod: Pod) -> None:
        """Open the siblings' watch with the owner's selector, or with the pod's own labels."""
        selector = sibling_selector(pod)
        kind = KINDS.get(pod.owner.kind) if pod.owner is not None else None
        if kind is not None and pod.owner is not None and self._shared is not None:
            # If forbidden or unreachable: the pod's labels nearly always give the same result.
            with contextlib.suppress(TuiForwardError):
                owner = await self._shared.cluster.get(
                    WORKLOADS[kind], pod.namespace, pod.owner.name
                )
                selector = owner.selector or selector
        if not self._closed and selector:
            self._pods = self._acquire_pods(selector)
            self._schedule()

    # Evaluation -----------------------------------------------------------------------

    @property
    def _uid(self) -> str:
        return self._current.pod.uid if isinstance(self._current, Resolved) else ""

    def _known(self) -> list[Pod]:
        return [pod for handle in self._pod_handles() for pod in handle]

    def _trusted(self, pod: Pod) -> bool:
        invalidation = self._invalidated.get(pod.uid)
        if invalidation is None:
            return True
        version, until = invalidation
        if pod.resource_version == version and time.monotonic() < until:
            return False
        del self._invalidated[pod.uid]
        return True

    def _current_or_unresolved_error(
        self, resolution: Resolution, handle: ReflectorHandle[Pod] | None
    ) -> Resolution:
        """Return the error of the watch if there is no pod; a known pod stays in use."""
        if isinstance(resolution, Unresolved) and handle is not None and handle.error is not None:
            return Unresolved(reason=handle.error.reason)
        return resolution
