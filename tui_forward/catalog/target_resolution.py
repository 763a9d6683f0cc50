"""Resolution of a target to one pod and one port. Pure: `target_watch` follows the cluster."""

from __future__ import annotations

from collections.abc import Callable, Collection

from tui_forward.catalog.pod_selection import is_usable, pod_sort_key, select_pod
from tui_forward.catalog.port_resolution import (
    PortResolutionError,
    find_service_port,
    resolve_pod_port,
    resolve_service_port,
)
from tui_forward.model import (
    OwnerRef,
    Pod,
    PodRef,
    Reason,
    ReasonCode,
    Resolution,
    Resolved,
    Service,
    Target,
    TargetKind,
    Unresolved,
    Workload,
)
from tui_forward.reasons import reason_hint

Trusted = Callable[[Pod], bool]

KINDS = {
    "Deployment": TargetKind.DEPLOYMENT,
    "StatefulSet": TargetKind.STATEFULSET,
    "DaemonSet": TargetKind.DAEMONSET,
    "ReplicaSet": TargetKind.REPLICASET,
    "Job": TargetKind.JOB,
}
_NAMES = {
    TargetKind.POD: "pod",
    TargetKind.SERVICE: "service",
    TargetKind.DEPLOYMENT: "deployment",
    TargetKind.STATEFULSET: "statefulset",
    TargetKind.DAEMONSET: "daemonset",
    TargetKind.REPLICASET: "replicaset",
    TargetKind.JOB: "job",
}
# Labels that differ between a pod and its replacement.
_POD_SPECIFIC_LABELS = frozenset(
    {
        "pod-template-hash",
        "controller-revision-hash",
        "pod-template-generation",
        "statefulset.kubernetes.io/pod-name",
        "apps.kubernetes.io/pod-index",
        "batch.kubernetes.io/job-completion-index",
    }
)


def _trust_all(_: Pod) -> bool:
    return True


def resolve_selected(
    target: Target,
    anchor: Service | Workload | None,
    pods: Collection[Pod],
    *,
    current: str = "",
    trusted: Trusted = _trust_all,
) -> Resolution:
    """Resolve a service or workload (`anchor`), or a bare selector, to the best of its pods.

    For `current` and `trusted` see `select_pod`.
    """
    if isinstance(anchor, Service):
        try:
            find_service_port(anchor, target.port)
        except PortResolutionError as problem:
            return Unresolved(reason=problem.reason)
    pod = select_pod(pods, current=current, trusted=trusted)
    if pod is None:
        return Unresolved(reason=no_usable_pod_reason(target, anchor, pods, trusted))
    return _with_port(target, anchor, pod)


def resolve_pod(
    target: Target,
    pod: Pod | None,
    *,
    origin: Pod | None = None,
    siblings: Collection[Pod] = (),
    current: str = "",
    trusted: Trusted = _trust_all,
) -> Resolution:
    """Resolve a pod name to the pod, or to its replacement.

    `origin` is the last pod seen under that name: its owner, whose pods are `siblings`, determines
    replacements. For `current` and `trusted` see `select_pod`.
    """
    if pod is not None and is_usable(pod) and trusted(pod):
        return _with_port(target, None, pod)
    origin = pod or origin
    if target.pin or origin is None:
        siblings = ()
    elif origin.owner is not None:
        siblings = [s for s in siblings if s.name != target.name and is_replacement_of(s, origin)]
    replacement = select_pod(siblings, current=current, trusted=trusted) if siblings else None
    # Wait for a pod that is starting; replace one that is terminating or has ended.
    starting = pod is not None and not pod.deleting and pod.phase in {"Pending", "Unknown", ""}
    if replacement is not None and not starting:
        return _with_port(target, None, replacement)
    if pod is not None:
        return _pod_waits(target, pod, siblings, trusted)
    if origin is None:
        return target_not_found(
            target,
            hint="Check the name and the namespace; to survive replacement forward to its "
            "deployment or service",
        )
    return _pod_gone(target, origin, siblings)


def _pod_waits(target: Target, pod: Pod, siblings: Collection[Pod], trusted: Trusted) -> Unresolved:
    if not trusted(pod):
        return Unresolved(reason=Reason(code=ReasonCode.POD_LOST, pod=pod.name))
    follows = pod.owner is not None and not target.pin
    if pod.deleting:
        terminating = Reason(code=ReasonCode.POD_TERMINATING, pod=pod.name)
        if not follows and not target.pin:
            return Unresolved(reason=terminating)
        return Unresolved(reason=_awaiting_replacement(terminating, siblings))
    if pod.phase in {"Succeeded", "Failed"}:
        if follows and pod.owner is not None and pod.owner.kind != "Job":
            ended = pod_reason(pod, ReasonCode.POD_ENDED)
            return Unresolved(reason=_awaiting_replacement(ended, ()))
        code = ReasonCode.POD_COMPLETED if pod.phase == "Succeeded" else ReasonCode.POD_FAILED
        return Unresolved(reason=pod_reason(pod, code))
    return Unresolved(reason=pod_reason(pod))


def _pod_gone(target: Target, origin: Pod, siblings: Collection[Pod]) -> Unresolved:
    gone = Reason(code=ReasonCode.POD_DELETED, pod=target.name)
    if origin.owner is None or target.pin:
        reason = Reason(
            code=ReasonCode.POD_AWAITING_SAME_NAME,
            hint="" if origin.owner is None else "Forward without --pin to follow its owner",
            previous=gone,
        )
        return Unresolved(reason=reason)
    owner = f"{_short(origin.owner)}/{origin.owner.name}"
    if origin.owner.kind == "DaemonSet" and origin.node:
        owner += f" on node {origin.node}"
    return Unresolved(reason=_awaiting_replacement(gone, siblings, owner))


def _awaiting_replacement(previous: Reason, siblings: Collection[Pod], owner: str = "") -> Reason:
    candidate = min(siblings, key=pod_sort_key, default=None)
    return Reason(
        code=ReasonCode.POD_AWAITING_REPLACEMENT,
        owner=owner,
        cause=pod_reason(candidate) if candidate is not None else None,
        previous=previous,
    )


def replacement_keeps_name(pod: Pod) -> bool:
    """Return whether a replacement has the same name: StatefulSet pods, pods without owner."""
    return pod.owner is None or pod.owner.kind not in {
        "Deployment",
        "ReplicaSet",
        "DaemonSet",
        "Job",
        "ReplicationController",
    }


def is_replacement_of(candidate: Pod, origin: Pod) -> bool:
    """Return whether `candidate` replaces `origin`."""
    if candidate.owner != origin.owner or replacement_keeps_name(origin):
        return candidate.name == origin.name
    if origin.owner is not None and origin.owner.kind == "DaemonSet":
        # The replacement of a DaemonSet pod is the pod on the same node.
        return not origin.node or candidate.node == origin.node
    return True


def sibling_selector(pod: Pod) -> str:
    """Return a selector for a pod's siblings from its labels, if the owner is unreadable."""
    labels = {
        key: value
        for key, value in pod.labels.items()
        if key not in _POD_SPECIFIC_LABELS and not key.endswith("pod-template-hash")
    }
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def target_not_found(target: Target, hint: str = "") -> Unresolved:
    """Return the resolution of a target that does not exist."""
    return Unresolved(
        reason=Reason(
            code=ReasonCode.TARGET_NOT_FOUND,
            kind=_NAMES[target.kind],
            name=target.name,
            namespace=target.namespace,
            hint=hint,
        )
    )


def selectorless(target: Target) -> Unresolved:
    """Return the resolution of a service or workload without a selector."""
    return Unresolved(
        reason=Reason(code=ReasonCode.TARGET_NO_SELECTOR, object=_object_name(target))
    )


def no_usable_pod_reason(
    target: Target,
    anchor: Service | Workload | None,
    pods: Collection[Pod],
    trusted: Trusted = _trust_all,
) -> Reason:
    """Return why none of the selected pods is usable."""
    name = _object_name(target)
    remaining = [pod for pod in pods if not pod.deleting]
    if isinstance(anchor, Workload) and anchor.kind is not TargetKind.JOB and not anchor.replicas:
        return Reason(code=ReasonCode.TARGET_SCALED_TO_ZERO, object=name)
    if not pods:
        if isinstance(anchor, Workload):
            return Reason(code=ReasonCode.TARGET_NO_PODS, object=name)
        if isinstance(anchor, Service):
            return Reason(
                code=ReasonCode.TARGET_NO_MATCHING_PODS,
                object=f"the selector of {name}",
                detail=anchor.selector,
            )
        return Reason(
            code=ReasonCode.TARGET_NO_MATCHING_PODS, object=name, namespace=target.namespace
        )
    if not remaining:
        names = ", ".join(sorted(pod.name for pod in pods)[:3])
        return Reason(code=ReasonCode.TARGET_PODS_TERMINATING, object=name, detail=names)
    gone = [pod for pod in remaining if is_usable(pod) and not trusted(pod)]
    if gone:
        return Reason(code=ReasonCode.POD_LOST, pod=gone[0].name)
    worst = sorted(remaining, key=pod_sort_key)
    states = ", ".join(f"{pod.name} is {_status(pod)}" for pod in worst[:3])
    if len(worst) > 3:
        states += f" and {len(worst) - 3} more"
    hints = (reason_hint(pod_reason(pod)) for pod in worst)
    return Reason(
        code=ReasonCode.TARGET_PODS_NOT_READY,
        object=name,
        ready=sum(pod.ready for pod in remaining),
        total=len(remaining),
        status=states,
        detail=_shortened(next((pod.message for pod in worst if pod.message), "")),
        hint=next(filter(None, hints), ""),
    )


_STATUS_CODES = {
    "ImagePullBackOff": ReasonCode.POD_IMAGE_PULL,
    "ErrImagePull": ReasonCode.POD_IMAGE_PULL,
    "InvalidImageName": ReasonCode.POD_IMAGE_PULL,
    "ErrImageNeverPull": ReasonCode.POD_IMAGE_PULL,
    "CrashLoopBackOff": ReasonCode.POD_CRASH_LOOPING,
    "Error": ReasonCode.POD_CRASH_LOOPING,
    "OOMKilled": ReasonCode.POD_OUT_OF_MEMORY,
    "CreateContainerConfigError": ReasonCode.POD_CONTAINER_ERROR,
    "CreateContainerError": ReasonCode.POD_CONTAINER_ERROR,
    "RunContainerError": ReasonCode.POD_CONTAINER_ERROR,
    "Pending": ReasonCode.POD_PENDING,
    "ContainerCreating": ReasonCode.POD_PENDING,
    "PodInitializing": ReasonCode.POD_PENDING,
    "SchedulingGated": ReasonCode.POD_PENDING,
}


def pod_reason(pod: Pod, code: ReasonCode | None = None) -> Reason:
    """Return a pod's condition: "pod db-0 is Pending: 0/3 nodes are available"."""
    status = _status(pod)
    found = _STATUS_CODES.get(status.removeprefix("Init:"), ReasonCode.POD_NOT_READY)
    return Reason(
        code=code or found,
        pod=pod.name,
        namespace=pod.namespace,
        status=status,
        restarts=pod.restarts,
        detail=_shortened(pod.message),
    )


def _status(pod: Pod) -> str:
    return pod.status or pod.phase or "Pending"


def _with_port(target: Target, anchor: Service | Workload | None, pod: Pod) -> Resolution:
    try:
        if isinstance(anchor, Service):
            port = resolve_service_port(anchor, pod, target.port)
        else:
            port = resolve_pod_port(pod, target.port)
    except PortResolutionError as problem:
        return Unresolved(reason=problem.reason)
    return Resolved(
        pod=PodRef(namespace=pod.namespace, name=pod.name, uid=pod.uid, node=pod.node),
        port=port,
        ready=pod.ready,
        # Unlike the container IDs it does not change when a second container first starts.
        incarnation=str(pod.restarts),
    )


def _object_name(target: Target) -> str:
    if target.kind is TargetKind.SELECTOR:
        return f"-l {target.name}"
    return f"{target.kind}/{target.name}"


def _short(owner: OwnerRef) -> str:
    kind = KINDS.get(owner.kind)
    return kind.value if kind else owner.kind.lower()


def _shortened(message: str, limit: int = 160) -> str:
    line = " ".join(message.split()).rstrip(".")
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"
