"""Objects of a cluster: the fields that are used of them."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from tui_forward.model.forward import PodRef
from tui_forward.model.specs import TargetKind


class PortProtocol(StrEnum):
    """Transport protocol of a declared port; only TCP can be forwarded."""

    TCP = "TCP"
    UDP = "UDP"
    SCTP = "SCTP"


class DeclaredPort(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Port that a container or a service declares."""

    number: int
    name: str = ""
    protocol: PortProtocol = PortProtocol.TCP
    container: str = ""  # empty for a service port
    target: str = ""  # `targetPort` of a service port as written ("http", "8080")


class OwnerRef(msgspec.Struct, frozen=True, gc=False):
    """Kind ("ReplicaSet") and name of the controller that owns an object."""

    kind: str
    name: str


# The phases of a pod whose containers have ended for good.
ENDED_PHASES: Final = frozenset({"Succeeded", "Failed"})


class ContainerExit(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The latest end of a container that has ended at least once."""

    container: str
    number: int  # how many times the container has ended
    code: int  # exit code
    reason: str = ""  # "Error", "OOMKilled", "Completed"
    restarted: bool = False  # whether it has been started again
    ran_s: float = 0.0  # duration of the run that ended
    running_since: float = 0.0  # epoch seconds of the present start; 0 while it does not run


class ContainerFault(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A container that does not run, or an init container that has not finished."""

    name: str
    is_init: bool = False  # holds up the containers after it
    position: str = ""  # of an init container ("1 of 2")
    waiting: str = ""  # reason of the waiting state ("CrashLoopBackOff"); empty in other states
    message: str = ""  # of the waiting state, else of the latest end
    ended: str = ""  # reason of the latest end ("OOMKilled"); empty before the first one
    ended_message: str = ""
    exit_code: int | None = None  # of the latest end
    ended_at: float = 0.0  # the latest end
    ran_s: float = 0.0  # duration of the run before it
    running_since: float = 0.0  # of an init container that runs
    backoff_s: float | None = None  # from the latest end to the next start, as the kubelet says
    restarts: int = 0
    image: str = ""
    memory_limit: str = ""
    has_previous_log: bool = False
    is_final: bool = False  # it has ended and is not started again


class PodSummary(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What front ends list of a pod; timestamps are epoch seconds, 0 if absent."""

    namespace: str
    name: str
    phase: str = ""  # "Running", "Pending", …
    status: str = ""  # kubectl's STATUS column ("CrashLoopBackOff", "Terminating", …)
    ready: bool = False  # the Ready condition
    containers_ready: int = 0
    containers_total: int = 0
    restarts: int = 0  # kubectl's RESTARTS column
    restarted_at: float = 0.0  # when a container that has been restarted ended last
    created_at: float = 0.0
    deleting: bool = False
    node: str = ""
    labels: dict[str, str] = {}
    owner: OwnerRef | None = None  # controller; the Deployment of a ReplicaSet where known
    ports: tuple[DeclaredPort, ...] = ()


class Pod(PodSummary, frozen=True, kw_only=True, gc=False):
    """The used fields of a pod."""

    uid: str
    resource_version: str = ""
    reason: str = ""  # of the whole pod ("Evicted", "DeadlineExceeded", "NodeLost")
    message: str = ""  # of the cluster, why it is not running; may be empty
    scheduled: bool | None = None  # the PodScheduled condition; None if no scheduler has set it
    scheduling_gates: tuple[str, ...] = ()
    faults: tuple[ContainerFault, ...] = ()  # containers that do not run, the init one first
    unready_gates: tuple[str, ...] = ()  # readiness gates that keep it from being Ready
    ready_since: float = 0.0  # last transition of the Ready condition
    max_restarts: int = 0  # of any one container, by which kubectl chooses
    delete_by: float = 0.0  # end of the grace period, if it is being deleted
    disruption: str = ""  # why it is evicted ("EvictionByEvictionAPI"), from DisruptionTarget
    sandbox_ready: bool = True  # False while its sandbox is missing
    host_network: bool = False  # shares the network of its node
    exits: tuple[ContainerExit, ...] = ()  # of containers that have ended, init ones excluded
    ip: str = ""
    container_ids: tuple[str, ...] = ()  # of running containers; changes on a restart


class PodAddresses(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A pod and its IP addresses: none if it has none of its own, or has ended."""

    namespace: str
    name: str
    uid: str
    resource_version: str = ""
    node: str = ""
    addresses: tuple[str, ...] = ()

    @property
    def ref(self) -> PodRef:
        """The pod."""
        return PodRef(namespace=self.namespace, name=self.name, uid=self.uid, node=self.node)


class Workload(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A Deployment, StatefulSet, DaemonSet, ReplicaSet, ReplicationController or Job."""

    namespace: str
    name: str
    kind: TargetKind
    uid: str = ""
    resource_version: str = ""
    selector: str = ""  # label selector in kubectl's syntax
    replicas: int = 0
    ready: int = 0
    created_at: float = 0.0
    owner: OwnerRef | None = None
    observed: bool = True  # whether its controller has seen it
    suspended: bool = False  # a Job that starts no pods
    ended: str = ""  # "Complete" or "Failed" for a Job that is over
    reason: str = ""  # why it failed, or why it cannot create pods ("BackoffLimitExceeded")
    message: str = ""  # the same in words


class Service(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A Service; `selector` is empty for one without pods of its own."""

    namespace: str
    name: str
    uid: str = ""
    resource_version: str = ""
    type: str = "ClusterIP"
    cluster_ip: str = ""
    other_cluster_ips: tuple[str, ...] = ()  # of the other IP family
    external_name: str = ""  # DNS name that an ExternalName service stands for
    selector: str = ""
    ports: tuple[DeclaredPort, ...] = ()
    affinity_s: int = 0  # how long a client stays with its pod (`ClientIP`); 0: it does not
    created_at: float = 0.0

    @property
    def headless(self) -> bool:
        """Return whether there is no virtual address; then ports are not mapped, as in kubectl."""
        return self.cluster_ip == "None"

    @property
    def cluster_ips(self) -> tuple[str, ...]:
        """Its virtual addresses; none if it is headless."""
        own = (self.cluster_ip, *self.other_cluster_ips)
        return tuple(one for one in own if one not in ("", "None"))


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One address of an EndpointSlice."""

    address: str
    pod: str = ""  # name of the pod with that address, if the slice tells it
    ready: bool = True
    hostname: str = ""  # in the domain of its service; empty without one


class EndpointSlice(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Part of the addresses behind a service, all with the same ports."""

    namespace: str
    name: str
    resource_version: str = ""
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[DeclaredPort, ...] = ()  # by the names of the service's ports


class Namespace(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A namespace."""

    name: str
    status: str = "Active"
    created_at: float = 0.0
    resource_version: str = ""
