"""What is listed: one entry for each object that a person may want to forward to. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from tui_forward.model import DeclaredPort, Pod, PortProtocol, Service, TargetKind, Workload
from tui_forward.tui.picture import Picture, key_of, pod_key

Item = Pod | Service | Workload
_NO_LABELS: Mapping[str, str] = {}


@dataclass  # ten thousand are made at once, and frozen ones take twice as long
class Entry:
    """One object; implements `query.Subject`. Never changed once made.

    Attributes:
        key: As in `Picture`.
        kind: What it is.
        item: As the cluster says.
        ports: All it declares; of a workload, all that its pods declare.
        ready: How many containers (of a workload: pods) are ready, of `total`; None where that
            has no meaning.
        restarts: Of all its containers.
        pods: Of a workload: how many pods it has now.
    """

    key: str
    kind: TargetKind
    item: Item
    ports: tuple[DeclaredPort, ...]
    ready: int | None = None
    total: int = 0
    restarts: int = 0
    pods: int = 0

    @property
    def name(self) -> str:
        """Of the object."""
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

    @cached_property
    def status(self) -> str:
        """See `query.Subject`."""
        return self.status_text.lower()

    @property
    def status_text(self) -> str:
        """As kubectl prints it; of a service, its type."""
        if isinstance(self.item, Pod):
            return self.item.status or self.item.phase
        if isinstance(self.item, Service):
            return "Headless" if self.item.headless else self.item.type
        return ""

    @property
    def labels(self) -> Mapping[str, str]:
        """See `query.Subject`."""
        return self.item.labels if isinstance(self.item, Pod) else _NO_LABELS

    @cached_property
    def title(self) -> str:
        """See `query.Subject`."""
        return self.item.name.lower()

    @cached_property
    def words(self) -> str:
        """See `query.Subject`."""
        words = [f"{self.namespace}/{self.name}", self.kind.value, self.status_text, self.node]
        if isinstance(self.item, Pod) and self.item.owner is not None:
            words.append(self.item.owner.name)
        for port in self.ports:
            words += [port.name, str(port.number)]
        return " ".join(words).lower()

    @property
    def in_trouble(self) -> bool:
        """Whether it is not as it should be."""
        if isinstance(self.item, Pod):
            return not self.item.ready and self.item.phase != "Succeeded"
        if isinstance(self.item, Workload) and self.kind is not TargetKind.JOB:
            return self.item.ready < self.item.replicas
        return False


def pod_entry(pod: Pod) -> Entry:
    """A pod."""
    return Entry(
        pod_key(pod), TargetKind.POD, pod, pod.ports,
        pod.containers_ready, pod.containers_total, pod.restarts,
    )  # fmt: skip


def service_entry(service: Service) -> Entry:
    """A service; its ports are the service's own."""
    key = key_of(TargetKind.SERVICE, service.namespace, service.name)
    return Entry(key, TargetKind.SERVICE, service, service.ports)


def _age_order(pod: Pod) -> tuple[float, str]:
    return pod.created_at, pod.name


def workload_entry(workload: Workload, picture: Picture) -> Entry:
    """A workload, with what its pods declare."""
    key = key_of(workload.kind, workload.namespace, workload.name)
    ports: dict[tuple[int, str, PortProtocol], DeclaredPort] = {}
    restarts = 0
    pods = picture.pods_of(key)
    # The youngest pod last: where pods differ, a rollout is under way.
    for pod in sorted((picture.pods[one] for one in pods), key=_age_order):
        restarts += pod.restarts
        for port in pod.ports:
            ports.setdefault((port.number, port.name, port.protocol), port)
    return Entry(
        key, workload.kind, workload, tuple(ports.values()), workload.ready, workload.replicas,
        restarts, len(pods),
    )  # fmt: skip


def entry_of(picture: Picture, key: str) -> Entry | None:
    """The entry of a key, None if there is no such object now."""
    if (pod := picture.pods.get(key)) is not None:
        return pod_entry(pod)
    if (workload := picture.workloads.get(key)) is not None:
        return workload_entry(workload, picture)
    if (service := picture.services.get(key)) is not None:
        return service_entry(service)
    return None
