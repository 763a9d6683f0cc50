"""Informer of one scope: a namespace of a cluster, or all of them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import cast

from msgspec.structs import replace

from tui_forward.catalog.change_log import ChangeLog
from tui_forward.catalog.item_store import OnChange, key_of
from tui_forward.catalog.namespaced_reflectors import NamespacedReflectors
from tui_forward.catalog.pod_index import PodIndex
from tui_forward.catalog.pod_selection import pod_sort_key
from tui_forward.catalog.reflector import Reflector
from tui_forward.common.tasks import spawn_restarting
from tui_forward.errors import ApiError, TuiForwardError
from tui_forward.kube.api.resources import (
    DAEMONSETS,
    DEPLOYMENTS,
    JOBS,
    NAMESPACES,
    PODS,
    REPLICASETS,
    SERVICES,
    STATEFULSETS,
    AnyItem,
    Resource,
)
from tui_forward.kube.client import ClusterClient
from tui_forward.model import (
    ApiHealth,
    CatalogScope,
    CatalogView,
    Namespace,
    Pod,
    ResourceStatus,
    Service,
    TargetKind,
    Workload,
)
from tui_forward.reasons import blocked_by, reason_hint, reason_text, short_reason

# Pods first: the first rows on the screen need their first page.
_RESOURCES: tuple[Resource[AnyItem], ...] = cast(
    "tuple[Resource[AnyItem], ...]",
    (PODS, NAMESPACES, SERVICES, DEPLOYMENTS, STATEFULSETS, DAEMONSETS, REPLICASETS, JOBS),
)
_HEALTH_INTERVAL_S = 5.0
# The other lists start one round trip later, so that pods are listed first.
_HEAD_START_S = 0.05


AnyReflector = Reflector[AnyItem] | NamespacedReflectors[AnyItem]


class ScopeInformer:
    """Reflectors of every resource of a scope; an error of one does not affect the others."""

    def __init__(
        self, scope: CatalogScope, cluster: ClusterClient,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._on_change = on_change
        self.scope = scope
        self._cluster = cluster
        self._log = ChangeLog()
        self.pods = PodIndex()
        self._health = ApiHealth(
            context=scope.context, options=scope.options, server=cluster.server
        )
        self._changed = asyncio.Event()
        self._server_responds = asyncio.Event()  # although its health was bad
        self._reflectors = [self._reflector(resource) for resource in _RESOURCES]
        self._tasks: list[asyncio.Task[None]] = []
        self._head_start: asyncio.TimerHandle | None = None
        self._stop_observing = cluster.observe_login(self._bump_version)

    @property
    def version(self) -> int:
        """Return the version, which grows with every change."""
        return self._log.version

    def start(self) -> None:
        """Start to follow. Needs a running event loop."""
        first, *others = self._reflectors
        first.start()

        def start_others() -> None:
            for reflector in others:
                reflector.start()
            self._tasks.append(spawn_restarting(self._watch_health, name="api health"))

        self._head_start = asyncio.get_running_loop().call_later(_HEAD_START_S, start_others)

    async def stop(self) -> None:
        """Stop following."""
        self._stop_observing()
        if self._head_start is not None:
            self._head_start.cancel()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await asyncio.gather(*(reflector.stop() for reflector in self._reflectors))
        self._changed.set()

    def refresh(self) -> None:
        """Reconnect every watch, after a sleep or a network change."""
        for reflector in self._reflectors:
            reflector.refresh(relist=False)

    async def wait(self, since: int) -> None:
        """Wait until the version is later than `since`. Safe to cancel."""
        while self.version <= since:
            self._changed.clear()
            await self._changed.wait()

    # Views ----------------------------------------------------------------------------

    def view(self, since: int) -> CatalogView:
        """Return the complete content, or the changes since a version. Never waits."""
        if not self._log.covers(since):
            return self._view(
                complete=True, items=[i for r in self._reflectors for i in r.items.values()]
            )
        items: list[AnyItem] = []
        removed: list[str] = []
        reflectors = {r.resource.plural: r for r in self._reflectors}
        for key in self._log.since(since):
            plural, namespace, name = key.split("/", 2)
            item = reflectors[plural].items.get((namespace, name))
            if item is None:
                removed.append(key)
            else:
                items.append(item)
        return self._view(complete=False, items=items, removed=tuple(removed))

    def _view(
        self, *, complete: bool, items: list[AnyItem], removed: tuple[str, ...] = ()
    ) -> CatalogView:
        return CatalogView(
            scope=self.scope,
            version=self.version,
            complete=complete,
            namespaces=tuple(i for i in items if isinstance(i, Namespace)),
            pods=tuple(i for i in items if isinstance(i, Pod)),
            services=tuple(i for i in items if isinstance(i, Service)),
            workloads=tuple(i for i in items if isinstance(i, Workload)),
            removed=removed,
            resources=tuple(self._status(reflector) for reflector in self._reflectors),
            health=self._current_health(),
        )

    def _current_health(self) -> ApiHealth:
        login = self._cluster.login
        if login is None:
            return self._health
        return replace(
            self._health,
            ok=False,
            code=login.code,
            error=reason_text(login),
            short_error=short_reason(login),
            hint=reason_hint(login),
            blocked_by=blocked_by(login),
        )

    def pods_of(self, namespace: str, kind: TargetKind, name: str) -> list[Pod]:
        """Return the pods behind an object of this scope, the preferred one first.

        `name` is a label selector for `SELECTOR`; an invalid one raises UsageError.
        """
        if kind is TargetKind.POD:
            pod = self.pods.get(namespace, name)
            return [] if pod is None else [pod]
        selector = name if kind is TargetKind.SELECTOR else self._selector(namespace, kind, name)
        pods = self.pods.matching(namespace, selector) if selector else []
        return sorted(pods, key=pod_sort_key)

    def _selector(self, namespace: str, kind: TargetKind, name: str) -> str:
        for reflector in self._reflectors:
            item = reflector.items.get((namespace, name))
            if isinstance(item, Service) and kind is TargetKind.SERVICE:
                return item.selector
            if isinstance(item, Workload) and item.kind is kind:
                return item.selector
        return ""

    # Following ------------------------------------------------------------------------

    def _reflector(self, resource: Resource[AnyItem]) -> AnyReflector:
        prefix = resource.plural
        record = self._log.record
        wake = self._notify

        def changed(old: AnyItem | None, new: AnyItem | None) -> None:
            item = old if new is None else new
            assert item is not None
            namespace, name = key_of(item)
            record(f"{prefix}/{namespace}/{name}")
            wake()

        def namespace_changed(old: AnyItem | None, new: AnyItem | None) -> None:
            changed(old, new)
            if old is None or new is None:
                self._update_namespaces()

        def pod_changed(old: AnyItem | None, new: AnyItem | None) -> None:
            self.pods.update(cast("Pod | None", old), cast("Pod | None", new))
            changed(old, new)

        callbacks: dict[str, OnChange[AnyItem]] = {
            PODS.plural: pod_changed,
            NAMESPACES.plural: namespace_changed,
        }
        on_change = callbacks.get(resource.plural, changed)
        if resource.namespaced and not self.scope.namespace:
            return NamespacedReflectors(
                self._cluster,
                resource,
                candidates=self._candidate_namespaces,
                are_known=self._are_namespaces_known,
                on_change=on_change,
                on_status=self._bump_version,
            )
        return Reflector(
            self._cluster,
            resource,
            self.scope.namespace if resource.namespaced else "",
            on_change=on_change,
            on_status=(
                self._namespaces_status_changed
                if resource.plural == NAMESPACES.plural
                else self._bump_version
            ),
        )

    @property
    def _namespaces(self) -> AnyReflector:
        return next(one for one in self._reflectors if one.resource.plural == NAMESPACES.plural)

    def _are_namespaces_known(self) -> bool:
        """Return whether the namespaces of the cluster are listed, or cannot be."""
        return self._namespaces.synced or self._namespaces.error is not None

    def _candidate_namespaces(self) -> list[str]:
        """Return the namespaces of the cluster, or what the kubeconfig tells of them."""
        configured = self._cluster.configured_namespaces
        namespaces = self._namespaces
        if not namespaces.synced:
            return [*configured]
        known = sorted(name for _, name in namespaces.items)
        return sorted(known, key=lambda name: name not in configured)

    def _namespaces_status_changed(self) -> None:
        self._update_namespaces()
        self._bump_version()

    def _update_namespaces(self) -> None:
        for reflector in self._reflectors:
            if isinstance(reflector, NamespacedReflectors):
                reflector.update_namespaces()

    def _notify(self) -> None:
        self._changed.set()
        self._on_change()

    def _bump_version(self) -> None:
        self._log.bump_version()
        self._notify()
        if self._health.ok is False and any(
            reflector.synced and reflector.error is None for reflector in self._reflectors
        ):
            self._server_responds.set()

    @staticmethod
    def _status(reflector: AnyReflector) -> ResourceStatus:
        error: TuiForwardError | None = reflector.error
        forbidden = isinstance(error, ApiError) and error.forbidden
        hint = error.hint if error is not None else ""
        if forbidden and not reflector.namespace and reflector.resource.namespaced:
            hint = "Choose one namespace: your role may allow it there"
        elif forbidden and reflector.resource.plural == "namespaces":
            hint = "Type the name of a namespace instead of choosing one"
        split = reflector if isinstance(reflector, NamespacedReflectors) else None
        return ResourceStatus(
            resource=reflector.resource.plural,
            synced=reflector.synced,
            count=len(reflector.items),
            code=error.code if error is not None else None,
            error=error.message if error is not None else "",
            hint=hint,
            forbidden=forbidden,
            only_in=split.only_in if split is not None else (),
            forbidden_in=split.forbidden_in if split is not None else (),
            beyond_limit=split.beyond_limit if split is not None else (),
        )

    async def _watch_health(self) -> None:
        while True:
            health = await self._cluster.health()
            previous, self._health = self._health, health
            if (previous.ok, previous.error, previous.version) != (
                health.ok,
                health.error,
                health.version,
            ):
                self._bump_version()
                if health.ok and previous.ok is False:
                    # The server responds again: cut every backoff.
                    self.refresh()
            # For example after a login: what is shown above a list that has arrived is its health.
            self._server_responds.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_HEALTH_INTERVAL_S):
                    await self._server_responds.wait()
