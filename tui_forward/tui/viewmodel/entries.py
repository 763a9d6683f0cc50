"""Entries of the lists: one per object that can be a target. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

from tui_forward.model import DeclaredPort, PodSummary, PortProtocol, Service, TargetKind, Workload
from tui_forward.tui.viewmodel.cluster_state import ClusterState, key_of, pod_key

Item = PodSummary | Service | Workload
_NO_LABELS: Final[Mapping[str, str]] = {}
_FAILED: Final = "pod failed"
_ENDS: Final = {"Succeeded": "completed", "Failed": _FAILED}


class EntryKind(StrEnum):
    """Kind of the listed entries."""

    WORKLOADS = "workloads"  # a tree with their pods
    PODS = "pods"
    SERVICES = "services"


# Not frozen, because an attribute is computed on first use.
class Entry(msgspec.Struct, eq=False, gc=False):
    """One object; implements `Filterable`. Not modified after creation."""

    key: str
    kind: TargetKind
    item: Item
    members: tuple[PodSummary, ...] = ()  # pods of a workload, oldest first
    # Computed on first use.
    _ports: tuple[DeclaredPort, ...] | None = None

    def __eq__(self, other: object) -> bool:
        """Return whether it is the same object in the same state."""
        return (
            isinstance(other, Entry)
            and self.key == other.key
            and self.item == other.item
            and self.members == other.members
        )

    @property
    def name(self) -> str:
        """Return the name of the object."""
        return self.item.name

    @property
    def title(self) -> str:
        """See `Filterable`; names in Kubernetes are in lower case."""
        return self.item.name

    @property
    def created_at(self) -> float:
        """Return the creation time in seconds since the epoch; 0 if unknown."""
        return self.item.created_at

    @property
    def namespace(self) -> str:
        """See `Filterable`."""
        return self.item.namespace

    @property
    def node(self) -> str:
        """See `Filterable`."""
        return self.item.node if isinstance(self.item, PodSummary) else ""

    @property
    def labels(self) -> Mapping[str, str]:
        """See `Filterable`."""
        return self.item.labels if isinstance(self.item, PodSummary) else _NO_LABELS

    @property
    def status(self) -> str:
        """See `Filterable`."""
        return self.status_text.lower()

    @property
    def status_text(self) -> str:
        """Return the status of a pod as in kubectl, the type of a service, or readiness."""
        item = self.item
        if isinstance(item, PodSummary):
            return item.status or item.phase
        if isinstance(item, Service):
            return "Headless" if item.headless else item.type
        if self.kind is TargetKind.JOB:
            return _job_status(self.members)
        if not item.replicas and not item.ready:
            return "scaled to 0"
        return "not ready" if item.ready < item.replicas else "ready"

    def mentions(self, text: str) -> bool:
        """See `Filterable`; includes the forms `shop/web-1` and `deploy/web`."""
        item, kind = self.item, self.kind
        if isinstance(item, PodSummary):  # fast path: the first typed letters need all pods
            owner, ports, status = item.owner, item.ports, item.status or item.phase
            if text in item.node:
                return True
        else:
            owner = item.owner if isinstance(item, Workload) else None
            ports, status = self.ports, self.status_text
        if text in item.namespace or text in kind or text in status.lower():
            return True
        if owner is not None and text in owner.name:
            return True
        for port in ports:  # no generator, for the same reason
            if text in port.name or text in str(port.number):
                return True
        return text in item.name or (
            "/" in text and text in f"{item.namespace}/{item.name} {kind}/{item.name}"
        )

    @property
    def ports(self) -> tuple[DeclaredPort, ...]:
        """Return the declared ports; of a workload, those of its pods."""
        if not isinstance(self.item, Workload):
            return self.item.ports
        if self._ports is None:
            self._ports = _ports_of(self.members)
        return self._ports

    @property
    def ready(self) -> int | None:
        """Return the number of ready containers, or of ready pods; None for a service."""
        item = self.item
        if isinstance(item, PodSummary):
            return item.containers_ready
        return item.ready if isinstance(item, Workload) else None

    @property
    def total(self) -> int:
        """Return the number of containers, or of desired pods."""
        item = self.item
        if isinstance(item, PodSummary):
            return item.containers_total
        return item.replicas if isinstance(item, Workload) else 0

    @property
    def restarts(self) -> int:
        """Return the restarts of all containers."""
        if isinstance(self.item, PodSummary):
            return self.item.restarts
        return sum(pod.restarts for pod in self.members)

    @property
    def restarted_at(self) -> float:
        """Return when a container was restarted last, in seconds since the epoch; 0 if unknown."""
        if isinstance(self.item, PodSummary):
            return self.item.restarted_at
        return max((pod.restarted_at for pod in self.members), default=0.0)

    @property
    def in_trouble(self) -> bool:
        """Return whether the object has a problem."""
        item = self.item
        if isinstance(item, PodSummary):
            return not item.ready and item.phase != "Succeeded"
        if isinstance(item, Service):
            return False
        if self.kind is TargetKind.JOB:
            return _job_status(self.members) == _FAILED
        return item.ready < item.replicas


def _job_status(pods: tuple[PodSummary, ...]) -> str:
    """Return the status of a job derived from its pods; empty without pods."""
    phases = {pod.phase for pod in pods}
    for phase, word in (("Running", "running"), ("Pending", "pending")):
        if phase in phases:
            return word
    return _ENDS.get(pods[-1].phase, "") if pods else ""


def _ports_of(pods: tuple[PodSummary, ...]) -> tuple[DeclaredPort, ...]:
    """Return all ports of some pods, given oldest first.

    During a rollout a named port may change its number. It remains one port, in the same
    position, with the new number.
    """
    if all(pod.ports == pods[0].ports for pod in pods):
        return pods[0].ports if pods else ()
    named: dict[tuple[str, str, PortProtocol], DeclaredPort] = {}
    for pod in pods:
        for port in pod.ports:
            named[port.container, port.name or str(port.number), port.protocol] = port
    ports: dict[tuple[int, str, PortProtocol], DeclaredPort] = {}
    for port in named.values():
        ports.setdefault((port.number, port.name, port.protocol), port)
    return tuple(ports.values())


def service_entry(service: Service) -> Entry:
    """Return the entry of a service, with the service ports."""
    key = key_of(TargetKind.SERVICE, service.namespace, service.name)
    return Entry(key, TargetKind.SERVICE, service)


def workload_entry(workload: Workload, state: ClusterState) -> Entry:
    """Return the entry of a workload, with the ports of its pods."""
    key = key_of(workload.kind, workload.namespace, workload.name)
    pods = [state.pods[one] for one in state.pods_of(key)]
    if len(pods) > 1:
        pods.sort(key=_age_order)
    return Entry(key, workload.kind, workload, tuple(pods))


def _age_order(pod: PodSummary) -> tuple[float, str]:
    return pod.created_at, pod.name


def entry_of(state: ClusterState, key: str) -> Entry | None:
    """Return the entry of a key, or None if the object does not exist."""
    item = state.pods.get(key) or state.workloads.get(key) or state.services.get(key)
    return entry_of_item(state, item) if item is not None else None


def entry_of_item(state: ClusterState, item: Item) -> Entry:
    """Return the entry of an object."""
    if isinstance(item, PodSummary):
        return Entry(pod_key(item), TargetKind.POD, item)
    return service_entry(item) if isinstance(item, Service) else workload_entry(item, state)
