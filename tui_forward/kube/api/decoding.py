"""Conversion of API objects (`api_types`) to the types of `model`."""

from __future__ import annotations

from functools import lru_cache

from tui_forward.kube.api import api_types
from tui_forward.kube.api.container_faults import find_container_faults, is_sidecar, run_duration_s
from tui_forward.kube.api.pod_status import summarize_pod
from tui_forward.kube.timestamps import parse_rfc3339
from tui_forward.model import (
    ENDED_PHASES,
    ContainerExit,
    DeclaredPort,
    Endpoint,
    EndpointSlice,
    Namespace,
    OwnerRef,
    Pod,
    PodAddresses,
    PortProtocol,
    Service,
    TargetKind,
    Workload,
)

_PROTOCOLS = {protocol.value: protocol for protocol in PortProtocol}
_NO_LABELS: dict[str, str] = {}
# Conditions of a Job that is over, or will be once its pods have ended.
_JOB_ENDS = {
    "Complete": "Complete",
    "Failed": "Failed",
    "SuccessCriteriaMet": "Complete",
    "FailureTarget": "Failed",
}


# Pods of one workload declare the same ports, have the same owner and nearly the same labels:
# ten thousand pods share a few hundred of each. Hence the caches below. They outlive the objects,
# so that larger values than Kubernetes allows are not kept there.
_MAX_CACHED_TEXT = 256
_MAX_CACHED_LABELS = 4096  # characters
_MAX_CACHED_PORTS = 64


@lru_cache(maxsize=8192)
def _interned(text: str) -> str:
    return text


def intern_text(text: str) -> str:
    """Return one shared object for equal texts; unlike `sys.intern`, with a bound."""
    return _interned(text) if len(text) <= _MAX_CACHED_TEXT else text


# Number, name, protocol, container.
_RawPort = tuple[int, str, str, str]


def _ports(ports: list[_RawPort]) -> tuple[DeclaredPort, ...]:
    is_small = len(ports) <= _MAX_CACHED_PORTS and all(
        len(name) + len(protocol) + len(container) <= _MAX_CACHED_TEXT
        for _, name, protocol, container in ports
    )
    return (_cached_ports if is_small else _cached_ports.__wrapped__)(tuple(ports))


@lru_cache(maxsize=8192)
def _cached_ports(ports: tuple[_RawPort, ...]) -> tuple[DeclaredPort, ...]:
    return tuple(
        DeclaredPort(
            number=number,
            name=intern_text(name),
            protocol=_PROTOCOLS.get(protocol, PortProtocol.TCP),
            container=intern_text(container),
        )
        for number, name, protocol, container in ports
    )


def _owner_ref(kind: str, name: str) -> OwnerRef:
    if len(kind) + len(name) > 2 * _MAX_CACHED_TEXT:
        return OwnerRef(kind, name)
    return _cached_owner_ref(kind, name)


@lru_cache(maxsize=8192)
def _cached_owner_ref(kind: str, name: str) -> OwnerRef:
    return OwnerRef(kind, name)


def _labels(labels: dict[str, str]) -> dict[str, str]:
    if sum(map(len, labels)) + sum(map(len, labels.values())) > _MAX_CACHED_LABELS:
        return labels
    return _cached_labels(tuple(labels.items()))


@lru_cache(maxsize=4096)
def _cached_labels(items: tuple[tuple[str, str], ...]) -> dict[str, str]:
    return {intern_text(key): intern_text(value) for key, value in items}


def _owner(metadata: api_types.Metadata) -> OwnerRef | None:
    """Return the controller; a Deployment in place of its ReplicaSet.

    The Deployment controller names a ReplicaSet after the Deployment and the hash that is also
    in the label `pod-template-hash`, so the ReplicaSet need not be read.
    """
    for owner in metadata.owner_references or ():
        if not owner.controller:
            continue
        if owner.kind == "ReplicaSet" and metadata.labels:
            template = metadata.labels.get("pod-template-hash")
            if template and owner.name.endswith(f"-{template}"):
                return _owner_ref("Deployment", owner.name[: -len(template) - 1])
        return _owner_ref(owner.kind, owner.name)
    return None


def decode_pod(raw: api_types.Pod) -> Pod:
    """Return a pod with the columns of kubectl."""
    metadata, spec, status = raw.metadata, raw.spec, raw.status
    summary = summarize_pod(raw)
    ready, ready_since, scheduled = False, 0.0, None
    disruption, sandbox_ready = "", True
    for condition in status.conditions or ():
        if condition.type == "Ready":
            ready = condition.status == "True"
            ready_since = parse_rfc3339(condition.last_transition_time)
        elif condition.type == "DisruptionTarget" and condition.status == "True":
            disruption = condition.reason or condition.type
        elif condition.type == "PodReadyToStartContainers":
            sandbox_ready = condition.status != "False"
        elif condition.type == "PodScheduled":
            scheduled = condition.status == "True"
    containers = spec.containers or []
    if spec.init_containers:
        containers = [*containers, *filter(is_sidecar, spec.init_containers)]
    ports = [
        (port.container_port, port.name, port.protocol, container.name)
        for container in containers
        if container.ports
        for port in container.ports
    ]
    max_restarts = 0
    container_ids = []
    statuses = status.container_statuses or []
    all_run, none_ended = not status.init_container_statuses, True
    for state in statuses:
        max_restarts = max(max_restarts, state.restart_count)
        if state.container_id:
            container_ids.append(state.container_id)
        if state.state is None or state.state.running is None:
            all_run = False
        if state.restart_count:
            none_ended = False
    if status.init_container_statuses and len(containers) > len(spec.containers or ()):
        container_names = {c.name for c in containers}
        sidecars = [s for s in status.init_container_statuses if s.name in container_names]
        container_ids += [s.container_id for s in sidecars if s.container_id]
        statuses = [*statuses, *sidecars]
    # Nearly all pods of a large list run without a fault.
    exits = () if all_run and none_ended else filter(None, map(_latest_exit, statuses))
    return Pod(
        namespace=intern_text(metadata.namespace),
        name=metadata.name,
        uid=metadata.uid,
        resource_version=metadata.resource_version,
        phase=intern_text(status.phase),
        status=intern_text(summary.status),
        reason=status.reason,
        message=summary.message,
        scheduled=scheduled,
        scheduling_gates=_names(spec.scheduling_gates) if spec.scheduling_gates else (),
        faults=() if all_run else find_container_faults(raw),
        ready=ready,
        unready_gates=_unready_gates(raw) if spec.readiness_gates and not ready else (),
        ready_since=ready_since,
        containers_ready=summary.ready,
        containers_total=summary.total,
        restarts=summary.restarts,
        max_restarts=max_restarts,
        restarted_at=0.0 if none_ended else max(map(_restarted_at, statuses), default=0.0),
        created_at=parse_rfc3339(metadata.creation_timestamp),
        deleting=metadata.deletion_timestamp is not None,
        delete_by=parse_rfc3339(metadata.deletion_timestamp),
        disruption=disruption,
        sandbox_ready=sandbox_ready,
        host_network=bool(spec.host_network),
        exits=tuple(exits),
        node=intern_text(spec.node_name),
        ip=status.pod_ip,
        labels=_labels(metadata.labels) if metadata.labels else _NO_LABELS,
        owner=_owner(metadata),
        ports=_ports(ports) if ports else (),
        container_ids=tuple(container_ids),
    )


def decode_pod_addresses(raw: api_types.AddressedPod) -> PodAddresses:
    """Convert a pod to its addresses."""
    metadata, spec, status = raw.metadata, raw.spec, raw.status
    addresses = tuple(one.ip for one in status.ips or ())
    # A pod that has ended keeps its addresses in its status, and another one may have them now.
    # Pods in the network of their node share its addresses, which are none of theirs.
    if spec.host_network or status.phase in ENDED_PHASES:
        addresses = ()
    elif not addresses and status.ip:
        addresses = (status.ip,)
    return PodAddresses(
        namespace=metadata.namespace,
        name=metadata.name,
        uid=metadata.uid,
        resource_version=metadata.resource_version,
        node=spec.node_name,
        addresses=addresses,
    )


def _names(objects: list[api_types.Named]) -> tuple[str, ...]:
    return tuple(one.name for one in objects)


def _latest_exit(status: api_types.ContainerStatus) -> ContainerExit | None:
    now = status.state.terminated if status.state is not None else None
    before = status.last_state.terminated if status.last_state is not None else None
    terminated = now or before
    if terminated is None:
        return None
    running = status.state.running if status.state is not None else None
    return ContainerExit(
        container=intern_text(status.name),
        # A container that has not been restarted yet has ended once more than it was restarted.
        number=status.restart_count + (running is None),
        code=terminated.exit_code,
        reason=intern_text(terminated.reason),
        restarted=running is not None,
        ran_s=run_duration_s(terminated),
        running_since=parse_rfc3339(running.started_at) if running is not None else 0.0,
    )


def _restarted_at(status: api_types.ContainerStatus) -> float:
    """Return when the run before this one ended, as kubectl counts the age of a restart."""
    before = status.last_state.terminated if status.last_state is not None else None
    return parse_rfc3339(before.finished_at) if before is not None else 0.0


def _unready_gates(raw: api_types.Pod) -> tuple[str, ...]:
    met = {one.type for one in raw.status.conditions or () if one.status == "True"}
    gates = [one.condition_type for one in raw.spec.readiness_gates or ()]
    return tuple(gate for gate in gates if gate not in met)


def decode_service(raw: api_types.Service) -> Service:
    """Return a service."""
    metadata, spec = raw.metadata, raw.spec
    return Service(
        namespace=intern_text(metadata.namespace),
        name=metadata.name,
        uid=metadata.uid,
        resource_version=metadata.resource_version,
        type=intern_text(spec.type),
        cluster_ip=spec.cluster_ip,
        other_cluster_ips=tuple(spec.cluster_ips[1:]) if spec.cluster_ips else (),
        external_name=spec.external_name if spec.type == "ExternalName" else "",
        selector=format_label_selector(spec.selector),
        ports=tuple(
            DeclaredPort(
                number=port.port,
                name=port.name,
                protocol=_PROTOCOLS.get(port.protocol, PortProtocol.TCP),
                target=str(port.target_port) if port.target_port else "",
            )
            for port in spec.ports or ()
        ),
        affinity_s=_affinity_s(spec),
        created_at=parse_rfc3339(metadata.creation_timestamp),
    )


# Of a service that does not say how long a client stays with its pod.
_DEFAULT_AFFINITY_S = 10800


def _affinity_s(spec: api_types.ServiceSpec) -> int:
    if spec.session_affinity != "ClientIP":
        return 0
    config = spec.session_affinity_config
    client_ip = config.client_ip if config is not None else None
    seconds = client_ip.timeout_seconds if client_ip is not None else None
    return seconds or _DEFAULT_AFFINITY_S


def decode_endpoint_slice(raw: api_types.EndpointSlice) -> EndpointSlice:
    """Return an EndpointSlice; a reference to a pod of another namespace does not count."""
    metadata = raw.metadata
    endpoints: list[Endpoint] = []
    for one in raw.endpoints or ():
        target = one.target_ref
        is_pod = target is not None and target.kind == "Pod"
        is_near = target is not None and target.namespace in ("", metadata.namespace)
        ready = one.conditions is None or one.conditions.ready is not False
        pod = target.name if target is not None and is_pod and is_near else ""
        # Clients use the first address only.
        endpoints += [
            Endpoint(address=address, pod=pod, ready=ready, hostname=one.hostname or "")
            for address in (one.addresses or ())[:1]
        ]
    return EndpointSlice(
        namespace=intern_text(metadata.namespace),
        name=metadata.name,
        resource_version=metadata.resource_version,
        endpoints=tuple(endpoints),
        ports=tuple(
            DeclaredPort(
                number=port.port,
                name=port.name or "",
                protocol=_PROTOCOLS.get(port.protocol or "TCP", PortProtocol.TCP),
            )
            for port in raw.ports or ()
            if port.port is not None
        ),
    )


def decode_workload(raw: api_types.Workload, kind: TargetKind) -> Workload:
    """Return a Deployment, StatefulSet, DaemonSet, ReplicaSet or Job."""
    metadata, spec, status = raw.metadata, raw.spec, raw.status
    if kind is TargetKind.DAEMONSET:
        replicas, ready = status.desired_number_scheduled, status.number_ready
    elif kind is TargetKind.JOB:
        replicas, ready = spec.parallelism, status.ready
        replicas = 1 if replicas is None else replicas
    else:
        replicas, ready = spec.replicas, status.ready_replicas
        replicas = 1 if replicas is None else replicas
    owner = next((o for o in metadata.owner_references or () if o.controller), None)
    conditions = {one.type: one for one in status.conditions or () if one.status == "True"}
    ended = next((one for one in _JOB_ENDS if one in conditions), "")
    trouble = conditions.get(ended or "ReplicaFailure")
    return Workload(
        namespace=intern_text(metadata.namespace),
        name=metadata.name,
        kind=kind,
        uid=metadata.uid,
        resource_version=metadata.resource_version,
        selector=_selector(spec.selector),
        replicas=replicas or 0,
        ready=ready or 0,
        created_at=parse_rfc3339(metadata.creation_timestamp),
        owner=_owner_ref(owner.kind, owner.name) if owner else None,
        observed=_is_observed(raw, kind),
        suspended=bool(spec.suspend),
        ended=_JOB_ENDS.get(ended, ""),
        reason=(trouble.reason or "") if trouble is not None else "",
        message=(trouble.message or "") if trouble is not None else "",
    )


def decode_replication_controller(raw: api_types.ReplicationController) -> Workload:
    """Return a ReplicationController."""
    spec = api_types.WorkloadSpec(
        selector=api_types.LabelSelector(match_labels=raw.spec.selector),
        replicas=raw.spec.replicas,
    )
    workload = api_types.Workload(metadata=raw.metadata, spec=spec, status=raw.status)
    return decode_workload(workload, TargetKind.REPLICATION_CONTROLLER)


def _is_observed(raw: api_types.Workload, kind: TargetKind) -> bool:
    """Whether the controller of a workload has seen it at all."""
    status = raw.status
    if kind is TargetKind.JOB:
        # A Job has no observedGeneration. A suspended one is not started.
        return bool(status.start_time or status.conditions or raw.spec.suspend)
    return bool(status.observed_generation)


def decode_namespace(raw: api_types.Namespace) -> Namespace:
    """Return a namespace."""
    metadata = raw.metadata
    return Namespace(
        name=metadata.name,
        status=raw.status.phase,
        created_at=parse_rfc3339(metadata.creation_timestamp),
        resource_version=metadata.resource_version,
    )


def format_label_selector(labels: dict[str, str] | None) -> str:
    """Return the selector in kubectl's syntax that matches exactly these labels."""
    return ",".join(f"{key}={value}" for key, value in sorted((labels or {}).items()))


def _selector(selector: api_types.LabelSelector | None) -> str:
    if selector is None:
        return ""
    parts = [format_label_selector(selector.match_labels)] if selector.match_labels else []
    for requirement in selector.match_expressions or ():
        values = ",".join(sorted(requirement.values or ()))
        match requirement.operator:
            case "In":
                parts.append(f"{requirement.key} in ({values})")
            case "NotIn":
                parts.append(f"{requirement.key} notin ({values})")
            case "Exists":
                parts.append(requirement.key)
            case "DoesNotExist":
                parts.append(f"!{requirement.key}")
    return ",".join(parts)
