"""Objects of the API, reduced to the fields that are used.

The decoder skips all other fields without building Python objects, which makes ten thousand
pods affordable. Go sends `null` for empty lists and times, so most fields may be None. The
structs live as long as one page and hold no cycles, so the garbage collector skips them
(`gc=False`).
"""

from __future__ import annotations

import msgspec


class Owner(msgspec.Struct, gc=False):
    """metav1.OwnerReference."""

    kind: str = ""
    name: str = ""
    controller: bool | None = None


class Metadata(msgspec.Struct, gc=False, rename="camel"):
    """metav1.ObjectMeta."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: dict[str, str] | None = None
    owner_references: list[Owner] | None = None


class Object(msgspec.Struct, gc=False):
    """Fields of every object."""

    metadata: Metadata = msgspec.field(default_factory=Metadata)


class ContainerPort(msgspec.Struct, gc=False, rename="camel"):
    """corev1.ContainerPort."""

    container_port: int = 0
    name: str = ""
    protocol: str = "TCP"


class Named(msgspec.Struct, gc=False):
    """An object, reduced to its name."""

    name: str = ""


class Limits(msgspec.Struct, gc=False):
    """corev1.ResourceList."""

    memory: str | int = ""


class Resources(msgspec.Struct, gc=False):
    """corev1.ResourceRequirements."""

    limits: Limits | None = None


class Container(msgspec.Struct, gc=False, rename="camel"):
    """corev1.Container."""

    name: str = ""
    image: str = ""
    ports: list[ContainerPort] | None = None
    resources: Resources | None = None
    restart_policy: str | None = None
    restart_policy_rules: list[msgspec.Raw] | None = None


class ReadinessGate(msgspec.Struct, gc=False, rename="camel"):
    """corev1.PodReadinessGate."""

    condition_type: str = ""


class PodSpec(msgspec.Struct, gc=False, rename="camel"):
    """corev1.PodSpec."""

    node_name: str = ""
    host_network: bool | None = None
    restart_policy: str = "Always"
    containers: list[Container] | None = None
    init_containers: list[Container] | None = None
    readiness_gates: list[ReadinessGate] | None = None
    scheduling_gates: list[Named] | None = None


class Condition(msgspec.Struct, gc=False, rename="camel"):
    """corev1.PodCondition."""

    type: str = ""
    status: str = ""
    reason: str | None = None
    message: str | None = None
    last_transition_time: str | None = None


class Waiting(msgspec.Struct, gc=False):
    """corev1.ContainerStateWaiting."""

    reason: str = ""
    message: str = ""


class Terminated(msgspec.Struct, gc=False, rename="camel"):
    """corev1.ContainerStateTerminated."""

    reason: str = ""
    message: str = ""
    exit_code: int = 0
    signal: int = 0
    started_at: str | None = None
    finished_at: str | None = None


class Running(msgspec.Struct, gc=False, rename="camel"):
    """corev1.ContainerStateRunning."""

    started_at: str | None = None


class ContainerState(msgspec.Struct, gc=False):
    """corev1.ContainerState: one of the three, or none, which means waiting."""

    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(msgspec.Struct, gc=False, rename="camel"):
    """corev1.ContainerStatus."""

    name: str = ""
    ready: bool = False
    restart_count: int = 0
    started: bool | None = None
    state: ContainerState | None = None
    last_state: ContainerState | None = None
    container_id: str = msgspec.field(name="containerID", default="")


class PodStatus(msgspec.Struct, gc=False, rename="camel"):
    """corev1.PodStatus."""

    phase: str = ""
    reason: str = ""
    message: str = ""
    pod_ip: str = msgspec.field(name="podIP", default="")
    conditions: list[Condition] | None = None
    container_statuses: list[ContainerStatus] | None = None
    init_container_statuses: list[ContainerStatus] | None = None


class Pod(Object, gc=False):
    """corev1.Pod."""

    spec: PodSpec = msgspec.field(default_factory=PodSpec)
    status: PodStatus = msgspec.field(default_factory=PodStatus)


class ContainerNames(msgspec.Struct, gc=False, rename="camel"):
    """corev1.PodSpec, reduced to the names of the containers, which have logs."""

    containers: list[Named] | None = None
    init_containers: list[Named] | None = None
    ephemeral_containers: list[Named] | None = None


class PodNames(msgspec.Struct, gc=False):
    """corev1.Pod, reduced to its container names: `Pod` is decoded ten thousand times a list."""

    spec: ContainerNames = msgspec.field(default_factory=ContainerNames)


class PodIP(msgspec.Struct, gc=False):
    """corev1.PodIP."""

    ip: str = ""


class AddressedPodSpec(msgspec.Struct, gc=False, rename="camel"):
    """corev1.PodSpec, reduced to where its addresses come from."""

    node_name: str = ""
    host_network: bool | None = None


class AddressedPodStatus(msgspec.Struct, gc=False):
    """corev1.PodStatus, reduced to the addresses, and whether they are in use."""

    phase: str = ""
    ip: str = msgspec.field(name="podIP", default="")
    ips: list[PodIP] | None = msgspec.field(name="podIPs", default=None)


class AddressedPod(Object, gc=False):
    """corev1.Pod, reduced to its addresses."""

    spec: AddressedPodSpec = msgspec.field(default_factory=AddressedPodSpec)
    status: AddressedPodStatus = msgspec.field(default_factory=AddressedPodStatus)


class NodeAddress(msgspec.Struct, gc=False):
    """corev1.NodeAddress."""

    type: str = ""
    address: str = ""


class NodeSystemInfo(msgspec.Struct, gc=False, rename="camel"):
    """corev1.NodeSystemInfo."""

    kubelet_version: str = ""
    container_runtime_version: str = ""


class DaemonEndpoint(msgspec.Struct, gc=False):
    """corev1.DaemonEndpoint; the API capitalizes the field."""

    port: int = msgspec.field(name="Port", default=0)


class NodeDaemonEndpoints(msgspec.Struct, gc=False, rename="camel"):
    """corev1.NodeDaemonEndpoints."""

    kubelet_endpoint: DaemonEndpoint = msgspec.field(default_factory=DaemonEndpoint)


class NodeStatus(msgspec.Struct, gc=False, rename="camel"):
    """corev1.NodeStatus."""

    conditions: list[Condition] | None = None
    addresses: list[NodeAddress] | None = None
    daemon_endpoints: NodeDaemonEndpoints = msgspec.field(default_factory=NodeDaemonEndpoints)
    node_info: NodeSystemInfo = msgspec.field(default_factory=NodeSystemInfo)


class Node(Object, gc=False):
    """corev1.Node."""

    status: NodeStatus = msgspec.field(default_factory=NodeStatus)


class ServicePort(msgspec.Struct, gc=False, rename="camel"):
    """corev1.ServicePort."""

    port: int = 0
    name: str = ""
    protocol: str = "TCP"
    target_port: int | str | None = None


class ClientIPConfig(msgspec.Struct, gc=False, rename="camel"):
    """corev1.ClientIPConfig."""

    timeout_seconds: int | None = None


class SessionAffinityConfig(msgspec.Struct, gc=False):
    """corev1.SessionAffinityConfig."""

    client_ip: ClientIPConfig | None = msgspec.field(name="clientIP", default=None)


class ServiceSpec(msgspec.Struct, gc=False, rename="camel"):
    """corev1.ServiceSpec."""

    type: str = "ClusterIP"
    cluster_ip: str = msgspec.field(name="clusterIP", default="")
    cluster_ips: list[str] | None = msgspec.field(name="clusterIPs", default=None)
    external_name: str = ""
    selector: dict[str, str] | None = None
    ports: list[ServicePort] | None = None
    session_affinity: str = ""
    session_affinity_config: SessionAffinityConfig | None = None


class Service(Object, gc=False):
    """corev1.Service."""

    spec: ServiceSpec = msgspec.field(default_factory=ServiceSpec)


class ObjectReference(msgspec.Struct, gc=False):
    """corev1.ObjectReference."""

    kind: str = ""
    namespace: str = ""
    name: str = ""


class EndpointConditions(msgspec.Struct, gc=False):
    """discoveryv1.EndpointConditions."""

    ready: bool | None = None  # None is to be read as true


class Endpoint(msgspec.Struct, gc=False, rename="camel"):
    """discoveryv1.Endpoint."""

    addresses: list[str] | None = None
    conditions: EndpointConditions | None = None
    hostname: str | None = None
    target_ref: ObjectReference | None = None


class EndpointPort(msgspec.Struct, gc=False):
    """discoveryv1.EndpointPort."""

    name: str | None = None
    port: int | None = None  # None means all ports
    protocol: str | None = None


class EndpointSlice(Object, gc=False):
    """discoveryv1.EndpointSlice."""

    endpoints: list[Endpoint] | None = None
    ports: list[EndpointPort] | None = None


class NamespaceStatus(msgspec.Struct, gc=False):
    """corev1.NamespaceStatus."""

    phase: str = "Active"


class Namespace(Object, gc=False):
    """corev1.Namespace."""

    status: NamespaceStatus = msgspec.field(default_factory=NamespaceStatus)


class Requirement(msgspec.Struct, gc=False):
    """metav1.LabelSelectorRequirement."""

    key: str = ""
    operator: str = ""
    values: list[str] | None = None


class LabelSelector(msgspec.Struct, gc=False, rename="camel"):
    """metav1.LabelSelector."""

    match_labels: dict[str, str] | None = None
    match_expressions: list[Requirement] | None = None


class WorkloadSpec(msgspec.Struct, gc=False):
    """Common fields of workload specs, and the desired number of pods."""

    selector: LabelSelector | None = None
    replicas: int | None = None
    parallelism: int | None = None
    suspend: bool | None = None


class WorkloadStatus(msgspec.Struct, gc=False, rename="camel"):
    """Conditions, and the number of ready pods, under the name of each kind of workload."""

    observed_generation: int = 0
    start_time: str | None = None  # of a Job, set when its controller first sees it
    conditions: list[Condition] | None = None
    ready_replicas: int | None = None
    number_ready: int | None = None
    desired_number_scheduled: int | None = None
    ready: int | None = None


class Workload(Object, gc=False):
    """Deployment, StatefulSet, DaemonSet, ReplicaSet or Job."""

    spec: WorkloadSpec = msgspec.field(default_factory=WorkloadSpec)
    status: WorkloadStatus = msgspec.field(default_factory=WorkloadStatus)


class ReplicationControllerSpec(msgspec.Struct, gc=False):
    """The selector is a plain map of labels, which kinds of later API groups have no longer."""

    selector: dict[str, str] | None = None
    replicas: int | None = None


class ReplicationController(Object, gc=False):
    """corev1.ReplicationController."""

    spec: ReplicationControllerSpec = msgspec.field(default_factory=ReplicationControllerSpec)
    status: WorkloadStatus = msgspec.field(default_factory=WorkloadStatus)


class EventSeries(msgspec.Struct, gc=False, rename="camel"):
    """corev1.EventSeries."""

    count: int | None = None
    last_observed_time: str | None = None


class Event(Object, gc=False, rename="camel"):
    """corev1.Event; each of its times may be absent."""

    type: str = ""
    count: int | None = None
    reason: str = ""
    message: str = ""
    last_timestamp: str | None = None
    event_time: str | None = None
    series: EventSeries | None = None


class EventList(msgspec.Struct, gc=False):
    """corev1.EventList."""

    items: list[Event] | None = None


class ListMetadata(msgspec.Struct, gc=False, rename="camel"):
    """metav1.ListMeta."""

    resource_version: str = ""
    continue_token: str = msgspec.field(name="continue", default="")
    remaining_item_count: int | None = None


class RawList(msgspec.Struct, gc=False):
    """A list with undecoded items."""

    metadata: ListMetadata = msgspec.field(default_factory=ListMetadata)
    items: list[msgspec.Raw] | None = None
