"""What is worth knowing of one pod or one node that somebody looks at closely. Pure.

The picture of the cluster (`model`) holds what lists of thousands can afford; this is asked
for one object at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from tui_forward.kube.api import api_types as api_types
from tui_forward.kube.api import decoding
from tui_forward.model import Pod, PortProtocol

_POD = msgspec.json.Decoder(api_types.Pod)
_POD_NAMES = msgspec.json.Decoder(api_types.PodNames)
_NODE = msgspec.json.Decoder(api_types.Node)


@dataclass(frozen=True, slots=True)
class PodDetails:
    """A pod and its containers.

    Attributes:
        containers: Names of all containers, then of the init and the ephemeral ones.
    """

    pod: Pod
    containers: tuple[str, ...] = ()

    @property
    def runtime(self) -> str:
        """Which runtime made its containers ("containerd"); empty if none runs yet."""
        for identity in self.pod.container_ids:
            scheme, separator, _ = identity.partition("://")
            if separator and scheme:
                return scheme
        return ""

    def container_of(self, port: int | None) -> str:
        """The container that declares a TCP port, else the first; empty without any."""
        for declared in self.pod.ports:
            if declared.number == port and declared.protocol is PortProtocol.TCP:
                return declared.container
        return self.containers[0] if self.containers else ""


@dataclass(frozen=True, slots=True)
class NodeDetails:
    """A node, as its kubelet reports it.

    Attributes:
        address: Its InternalIP, or the first address there is.
        port: Where its kubelet listens; 0 if unknown.
        kubelet: Version of the kubelet ("v1.36.2").
        runtime: Name and version of the runtime ("containerd 1.6.20").
        ready: The Ready condition; None when there is none.
        trouble: Why it is not ready, in the cluster's words.
    """

    name: str
    address: str = ""
    port: int = 0
    kubelet: str = ""
    runtime: str = ""
    ready: bool | None = None
    trouble: str = ""


def pod_details(body: bytes) -> PodDetails:
    """A pod out of the answer to a GET.

    Raises:
        msgspec.DecodeError, UnicodeDecodeError, RecursionError: It is not one.
    """
    names = _POD_NAMES.decode(body).spec
    groups = (names.containers, names.init_containers, names.ephemeral_containers)
    return PodDetails(
        pod=decoding.decode_pod(_POD.decode(body)),
        containers=tuple(one.name for group in groups for one in group or ()),
    )


def decode_node(body: bytes) -> NodeDetails:
    """A node out of the answer to a GET.

    Raises:
        msgspec.DecodeError, UnicodeDecodeError, RecursionError: It is not one.
    """
    raw = _NODE.decode(body)
    status = raw.status
    ready, trouble = None, ""
    for condition in status.conditions or ():
        if condition.type == "Ready":
            ready = condition.status == "True"  # "Unknown" is NotReady for kubectl, too
            if not ready:
                trouble = condition.message or condition.reason or ""
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
        trouble=trouble,
    )
