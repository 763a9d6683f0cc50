"""What is listed: one entry for each object that a person may want to forward to. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from tui_forward.model import DeclaredPort, Pod, PortProtocol, Service, TargetKind, Workload
from tui_forward.tui.viewmodel.cluster_state import ClusterState, key_of, pod_key

Item = Pod | Service | Workload
_NO_LABELS: Final[Mapping[str, str]] = {}
_FAILED: Final = "pod failed"
_ENDS: Final = {"Succeeded": "done", "Failed": _FAILED}


@dataclass(slots=True)  # ten thousand are made at once, and frozen ones take twice as long
class Entry:
    """One object; implements `query.Subject`. Never changed once made.

    Attributes:
        key: As in `Picture`.
        kind: What it is.
        item: As the cluster says.
        members: Of a workload, its pods, the oldest first.
    """

    key: str
    kind: TargetKind
    item: Item
    members: tuple[Pod, ...] = ()
    # What takes a while to find out, and is asked of few or many times.
    _words: str | None = field(default=None, repr=False, compare=False)
    _ports: tuple[DeclaredPort, ...] | None = field(default=None, repr=False, compare=False)

    @property
    def name(self) -> str:
        """Of the object."""
        return self.item.name

    @property
    def title(self) -> str:
        """See `query.Subject`; Kubernetes knows names in lower case only."""
        return self.item.name

    @property
    def created_at(self) -> float:
        """Seconds since the epoch; 0 if unknown."""
        return self.item.created_at

    @property
    def namespace(self) -> str:
        """See `query.Subject`."""
        return self.item.namespace

    @property
    def node(self) -> str:
        """See `query.Subject`."""
        return self.item.node if isinstance(self.item, Pod) else ""

    @property
    def labels(self) -> Mapping[str, str]:
        """See `query.Subject`."""
        return self.item.labels if isinstance(self.item, Pod) else _NO_LABELS

    @property
    def status(self) -> str:
        """See `query.Subject`."""
        return self.status_text.lower()

    @property
    def status_text(self) -> str:
        """Of a pod, as kubectl prints it; of a service, its type; of a workload, how it does."""
        item = self.item
        if isinstance(item, Pod):
            return item.status or item.phase
        if isinstance(item, Service):
            return "Headless" if item.headless else item.type
        if self.kind is TargetKind.JOB:
            return _job_status(self.members)
        if not item.replicas and not item.ready:
            return "scaled to 0"
        return "not ready" if item.ready < item.replicas else "ready"

    @property
    def words(self) -> str:
        """See `query.Subject`: also `shop/web-1` and `deploy/web`, as people write them."""
        words = self._words
        if words is None:
            item = self.item
            if isinstance(item, Pod):  # there are many, and the first letter typed wants all
                name, owner, ports = item.name, item.owner, item.ports
                status = item.status or item.phase
                words = (
                    f"{item.namespace}/{name} pod/{name} {status} {item.node} "
                    f"{owner.name if owner is not None else ''}"
                )
            else:
                name, kind, ports = item.name, self.key.partition("/")[0], self.ports
                words = f"{item.namespace}/{name} {kind}/{name} {self.status_text}"
                if isinstance(item, Workload) and item.owner is not None:
                    words += f" {item.owner.name}"
            for port in ports:
                words = f"{words} {port.name} {port.number}"
            self._words = words = words.lower()
        return words

    @property
    def ports(self) -> tuple[DeclaredPort, ...]:
        """All it declares; of a workload, all that its pods declare."""
        if not isinstance(self.item, Workload):
            return self.item.ports
        if self._ports is None:
            self._ports = _ports_of(self.members)
        return self._ports

    @property
    def ready(self) -> int | None:
        """How many containers (of a workload: pods) are ready, of `total`; of a service, None."""
        item = self.item
        if isinstance(item, Pod):
            return item.containers_ready
        return item.ready if isinstance(item, Workload) else None

    @property
    def total(self) -> int:
        """How many there are, or should be."""
        item = self.item
        if isinstance(item, Pod):
            return item.containers_total
        return item.replicas if isinstance(item, Workload) else 0

    @property
    def restarts(self) -> int:
        """Of all its containers."""
        if isinstance(self.item, Pod):
            return self.item.restarts
        return sum(pod.restarts for pod in self.members)

    @property
    def pods(self) -> int:
        """Of a workload: how many pods it has now."""
        return len(self.members)

    @property
    def in_trouble(self) -> bool:
        """Whether it is not as it should be."""
        item = self.item
        if isinstance(item, Pod):
            return not item.ready and item.phase != "Succeeded"
        if isinstance(item, Service):
            return False
        if self.kind is TargetKind.JOB:
            return _job_status(self.members) == _FAILED
        return item.ready < item.replicas


def _job_status(pods: tuple[Pod, ...]) -> str:
    """What its pods tell, for nothing else is known of a job; without pods nothing is said."""
    phases = {pod.phase for pod in pods}
    for phase, word in (("Running", "running"), ("Pending", "pending")):
        if phase in phases:
            return word
    return _ENDS.get(pods[-1].phase, "") if pods else ""


def _ports_of(pods: tuple[Pod, ...]) -> tuple[DeclaredPort, ...]:
    """All ports of some pods, the oldest first.

    During a rollout a named port may move to another number. It is the same port to whoever
    asks for it by name, and stands where it stood, with the number it will have.
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


def pod_entry(pod: Pod) -> Entry:
    """A pod."""
    return Entry(pod_key(pod), TargetKind.POD, pod)


def service_entry(service: Service) -> Entry:
    """A service; its ports are the service's own."""
    key = key_of(TargetKind.SERVICE, service.namespace, service.name)
    return Entry(key, TargetKind.SERVICE, service)


def workload_entry(workload: Workload, picture: ClusterState) -> Entry:
    """A workload, with what its pods declare."""
    key = key_of(workload.kind, workload.namespace, workload.name)
    pods = [picture.pods[one] for one in picture.pods_of(key)]
    if len(pods) > 1:
        pods.sort(key=_age_order)
    return Entry(key, workload.kind, workload, tuple(pods))


def _age_order(pod: Pod) -> tuple[float, str]:
    return pod.created_at, pod.name


def entry_of(picture: ClusterState, key: str) -> Entry | None:
    """The entry of a key, None if there is no such object now."""
    if (pod := picture.pods.get(key)) is not None:
        return Entry(key, TargetKind.POD, pod)
    if (workload := picture.workloads.get(key)) is not None:
        return workload_entry(workload, picture)
    if (service := picture.services.get(key)) is not None:
        return service_entry(service)
    return None
