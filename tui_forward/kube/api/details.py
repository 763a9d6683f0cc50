"""Details of one pod or node, read for one object at a time. No I/O."""

from __future__ import annotations

import msgspec

from tui_forward.kube.api import api_types, decoding
from tui_forward.kube.timestamps import parse_rfc3339
from tui_forward.model import Pod, PortProtocol

_POD = msgspec.json.Decoder(api_types.Pod)
_POD_NAMES = msgspec.json.Decoder(api_types.PodNames)
_NODE = msgspec.json.Decoder(api_types.Node)
_EVENTS = msgspec.json.Decoder(api_types.EventList)


class PodDetails(msgspec.Struct, frozen=True):
    """A pod and its containers."""

    pod: Pod
    containers: tuple[str, ...] = ()  # then the init and the ephemeral ones

    @property
    def runtime(self) -> str:
        """Container runtime ("containerd"); empty if no container runs yet."""
        for container_id in self.pod.container_ids:
            scheme, separator, _ = container_id.partition("://")
            if separator and scheme:
                return scheme
        return ""

    def container_of(self, port: int | None) -> str:
        """Return the container that declares a TCP port, else the first; empty without any."""
        for declared in self.pod.ports:
            if declared.number == port and declared.protocol is PortProtocol.TCP:
                return declared.container
        return self.containers[0] if self.containers else ""


class NodeDetails(msgspec.Struct, frozen=True):
    """A node as reported by its kubelet."""

    name: str
    address: str = ""  # InternalIP, else the first address
    port: int = 0  # of its kubelet; 0 if unknown
    kubelet: str = ""  # version ("v1.36.2")
    runtime: str = ""  # name and version ("containerd 1.6.20")
    ready: bool | None = None  # the Ready condition; None if absent
    not_ready_since: float = 0.0  # epoch seconds; 0 if it is ready or unknown
    trouble: str = ""  # why it is not ready, as reported by the cluster


class PodWarning(msgspec.Struct, frozen=True):
    """An event of type Warning about a pod."""

    reason: str  # "FailedMount"
    message: str
    at: float  # the latest of its occurrences, epoch seconds


def pod_details(body: bytes) -> PodDetails:
    """Decode the response to a GET of a pod."""
    names = _POD_NAMES.decode(body).spec
    groups = (names.containers, names.init_containers, names.ephemeral_containers)
    return PodDetails(
        pod=decoding.decode_pod(_POD.decode(body)),
        containers=tuple(one.name for group in groups for one in group or ()),
    )


def decode_node(body: bytes) -> NodeDetails:
    """Decode the response to a GET of a node."""
    raw = _NODE.decode(body)
    status = raw.status
    ready, trouble, not_ready_since = None, "", 0.0
    for condition in status.conditions or ():
        if condition.type == "Ready":
            ready = condition.status == "True"  # "Unknown" is NotReady, as in kubectl
            if not ready:
                trouble = condition.message or condition.reason or ""
                not_ready_since = parse_rfc3339(condition.last_transition_time)
    addresses = status.addresses or []
    internal = next((one.address for one in addresses if one.type == "InternalIP"), "")
    name, _, version = status.node_info.container_runtime_version.partition("://")
    return NodeDetails(
        name=raw.metadata.name,
        address=internal or (addresses[0].address if addresses else ""),
        port=status.daemon_endpoints.kubelet_endpoint.port,
        kubelet=status.node_info.kubelet_version,
        runtime=f"{name} {version}".strip(),
        ready=ready,
        not_ready_since=not_ready_since,
        trouble=trouble,
    )


def decode_warnings(body: bytes) -> tuple[PodWarning, ...]:
    """Decode a list of events, latest first."""
    warnings = [
        PodWarning(event.reason, event.message, event_time(event))
        for event in _EVENTS.decode(body).items or ()
    ]
    return tuple(sorted(warnings, key=lambda one: one.at, reverse=True))


def event_time(event: api_types.Event) -> float:
    """Return when an event occurred last, in epoch seconds."""
    times = (
        event.series.last_observed_time if event.series is not None else None,
        event.last_timestamp,
        event.event_time,
        event.metadata.creation_timestamp,
    )
    return max(parse_rfc3339(one) for one in times)
