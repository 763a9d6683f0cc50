"""State of the cluster in the dashboard: complete views and changes, merged. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

from tui_forward.model import (
    ApiHealth,
    CatalogScope,
    CatalogView,
    DeclaredPort,
    Namespace,
    OwnerRef,
    PodSummary,
    ResourceStatus,
    Service,
    TargetKind,
    Workload,
)

# Beginnings of the keys of controllers that can be targets, by the kind in an owner reference.
_OWNER_PREFIXES = {
    kind: controller.value
    for kind, controller in {
        "Deployment": TargetKind.DEPLOYMENT, "StatefulSet": TargetKind.STATEFULSET,
        "DaemonSet": TargetKind.DAEMONSET, "ReplicaSet": TargetKind.REPLICASET,
        "Job": TargetKind.JOB,
    }.items()
}  # fmt: skip
_KINDS = {
    "deployments": TargetKind.DEPLOYMENT, "statefulsets": TargetKind.STATEFULSET,
    "daemonsets": TargetKind.DAEMONSET, "replicasets": TargetKind.REPLICASET,
    "jobs": TargetKind.JOB, "services": TargetKind.SERVICE, "pods": TargetKind.POD,
}  # fmt: skip
_MAX_NAMED = 3  # namespaces in one text
_PART = 64  # changes of objects, which take a millisecond or two
# Resources whose objects own pods.
WORKLOADS = _KINDS.keys() - {"services", "pods"}
_NO_KEYS: tuple[str, ...] = ()


class ClusterState:
    """Merged `CatalogView`s of one scope.

    Objects have keys `kind/namespace/name`, with kubectl's short name of the kind.
    """

    def __init__(self, scope: CatalogScope) -> None:
        self.scope = scope
        self.version = 0  # version to request changes since
        self.namespaces: dict[str, Namespace] = {}  # by name, sorted
        self.pods: dict[str, PodSummary] = {}
        self.services: dict[str, Service] = {}
        self.workloads: dict[str, Workload] = {}  # by key, without ReplicaSets of a Deployment
        self.resources: dict[str, ResourceStatus] = {}
        self.health: ApiHealth | None = None
        # Objects that are gone but were listed until `forget_removed`, by key.
        self.removed: dict[str, PodSummary | Service | Workload] = {}
        self.newest_at = 0.0  # when the newest pod, service or workload was created
        self._pods_of: dict[str, dict[str, None]] = {}  # ordered, and smaller than sets
        self._changed: set[str] = set()
        self._all_new = True

    def apply(self, view: CatalogView) -> bool:
        """Apply a view and return whether objects changed; ignore a late reply of another scope."""
        has_changes = self._has_changes(view)
        for _ in self.apply_in_parts(view):
            pass
        return has_changes

    def apply_in_parts(self, view: CatalogView) -> Iterator[None]:
        """Apply a view like `apply`; yield between parts of its changes.

        A complete view is one part. If the caller stops before the end, the version stays as it
        was, so that the changes are requested again.
        """
        if view.scope != self.scope:
            return
        self.health = view.health or self.health
        self.resources.update({status.resource: status for status in view.resources})
        if self._has_changes(view):
            if view.complete:
                self._clear()
            if view.namespaces:
                self.namespaces.update({namespace.name: namespace for namespace in view.namespaces})
                self.namespaces = dict(sorted(self.namespaces.items()))
            for count, (put, item) in enumerate(self._changes(view), 1):
                put(item)
                if count % _PART == 0 and not view.complete:
                    yield
        self.version = view.version

    def _has_changes(self, view: CatalogView) -> bool:
        content = (view.namespaces, view.pods, view.services, view.workloads, view.removed)
        is_other = view.scope == self.scope and view.version != self.version
        return is_other and (view.complete or any(content))

    def _changes(self, view: CatalogView) -> Iterator[tuple[Callable[[Any], None], object]]:
        """Yield the changes of objects in order, each with the function that applies it."""
        for put, items in (
            (self._remove, view.removed), (self._put_pod, view.pods),
            (self._put_service, view.services), (self._put_workload, view.workloads),
        ):  # fmt: skip
            for item in items:
                yield put, item

    @property
    def is_all_new(self) -> bool:
        """Whether `changes` would return None."""
        return self._all_new

    def forget_removed(self) -> set[str]:
        """Forget the objects that are gone; return their keys."""
        removed, self.removed = set(self.removed), {}
        return removed

    def changes(self) -> set[str] | None:
        """Return keys added, removed or changed since the last call; None means all."""
        changed, self._changed = self._changed, set()
        everything, self._all_new = self._all_new, False
        return None if everything else changed

    def pods_of(self, key: str) -> Collection[str]:
        """Return the keys of the pods of a workload."""
        return self._pods_of.get(key, _NO_KEYS)

    def resource_error(self, resource: str) -> ResourceStatus | None:
        """Return the status of a resource if it has an error."""
        status = self.resources.get(resource)
        return status if status is not None and status.error else None

    def missing_namespaces(self, resources: Iterable[str]) -> list[str]:
        """Return which namespaces the lists of all namespaces lack, and why."""
        found = [self.resources[name] for name in resources if name in self.resources]
        listed = sorted({name for status in found for name in status.only_in})
        forbidden = sorted({name for status in found for name in status.forbidden_in})
        beyond = sorted({name for status in found for name in status.beyond_limit})
        namespaces = self.resources.get("namespaces")
        parts = []
        if listed and namespaces is not None and namespaces.forbidden:
            parts.append(f"only {_name_some(listed)}: no permission to list namespaces")
        if forbidden:
            parts.append(f"no permission in {_name_some(forbidden)}")
        if beyond:
            parts.append(f"too many namespaces: without {_name_some(beyond)}")
        return parts

    @property
    def is_loading(self) -> bool:
        """Return whether neither pods nor an error have been received yet."""
        status = self.resources.get("pods")
        return not self.pods and (status is None or not (status.synced or status.error))

    def _clear(self) -> None:
        for objects in (
            self.namespaces, self.pods, self.services, self.workloads, self._pods_of, self.removed,
        ):  # fmt: skip
            objects.clear()
        self._all_new = True

    def _put_pod(self, pod: PodSummary) -> None:
        self.newest_at = max(self.newest_at, pod.created_at)
        key = pod_key(pod)
        before = self.pods.get(key)
        if before is not None and before.owner != pod.owner:
            self._remove_from_owner(before, key)
        self.pods[key] = pod
        self._changed.add(key)
        if (owner := owner_key(pod)) is not None:
            self._pods_of.setdefault(owner, {})[key] = None

    def _put_service(self, service: Service) -> None:
        self.newest_at = max(self.newest_at, service.created_at)
        key = key_of(TargetKind.SERVICE, service.namespace, service.name)
        self.services[key] = service
        self._changed.add(key)

    def _put_workload(self, workload: Workload) -> None:
        self.newest_at = max(self.newest_at, workload.created_at)
        key = key_of(workload.kind, workload.namespace, workload.name)
        if workload.owner is None or workload.owner.kind != "Deployment":
            self.workloads[key] = workload
            self._changed.add(key)
        elif (adopted := self.workloads.pop(key, None)) is not None:  # by a Deployment
            self.removed[key] = adopted
            self._changed.add(key)

    def _remove_from_owner(self, pod: PodSummary, key: str) -> None:
        owner = owner_key(pod)
        if owner is not None and (pods := self._pods_of.get(owner)) is not None:
            self._changed.add(owner)
            pods.pop(key, None)
            if not pods:
                del self._pods_of[owner]

    def _remove(self, removed: str) -> None:
        resource, namespace, name = removed.split("/", 2)
        if resource == "namespaces":
            self.namespaces.pop(name, None)
            return
        kind = _KINDS.get(resource)
        if kind is None:
            return
        key = key_of(kind, namespace, name)
        self._changed.add(key)
        if kind is TargetKind.POD:
            if (pod := self.pods.pop(key, None)) is not None:
                self._remove_from_owner(pod, key)
                self.removed[key] = pod
        elif kind is TargetKind.SERVICE:
            if (service := self.services.pop(key, None)) is not None:
                self.removed[key] = service
        elif (workload := self.workloads.pop(key, None)) is not None:
            self.removed[key] = workload


def key_of(kind: TargetKind, namespace: str, name: str) -> str:
    """Return the key of an object, unique in a cluster."""
    return f"{kind.value}/{namespace}/{name}"


def pod_key(pod: PodSummary) -> str:
    """Return the key of a pod, unique among all objects of a cluster."""
    return f"pod/{pod.namespace}/{pod.name}"


def owner_key(pod: PodSummary) -> str | None:
    """Return the key of the workload that owns a pod, if it can be a target."""
    owner: OwnerRef | None = pod.owner
    prefix = _OWNER_PREFIXES.get(owner.kind) if owner is not None else None
    return f"{prefix}/{pod.namespace}/{owner.name}" if owner is not None and prefix else None


def port_reference(ports: tuple[DeclaredPort, ...], port: DeclaredPort) -> str:
    """Return the port of a target: the name, which survives changes of the number."""
    same_name = sum(1 for other in ports if other.name == port.name)
    return port.name if port.name and same_name == 1 else str(port.number)


def _name_some(names: list[str]) -> str:
    """Return the first of the names, and the number of the others."""
    if len(names) <= _MAX_NAMED:
        return ", ".join(names)
    return f"{', '.join(names[: _MAX_NAMED - 1])} and {len(names) - _MAX_NAMED + 1} more"
