"""Resolution of a target to one pod and one port. Pure: `target_watch` follows the cluster."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

from msgspec.structs import replace

from tui_forward.catalog.pod_reasons import (
    is_ended,
    is_replaced_when_ended,
    shorten_end,
    shorten_start,
    telling_rank,
    why_doubtful,
    why_unusable,
)
from tui_forward.catalog.pod_selection import pod_sort_key, select_pod
from tui_forward.catalog.port_resolution import (
    PortResolutionError,
    find_service_port,
    resolve_pod_port,
    resolve_service_port,
    why_port_doubtful,
)
from tui_forward.model import (
    Balance,
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
    "ReplicationController": TargetKind.REPLICATION_CONTROLLER,
    "Job": TargetKind.JOB,
}
_NAMES = {
    TargetKind.POD: "pod",
    TargetKind.SERVICE: "service",
    TargetKind.DEPLOYMENT: "deployment",
    TargetKind.STATEFULSET: "statefulset",
    TargetKind.DAEMONSET: "daemonset",
    TargetKind.REPLICASET: "replicaset",
    TargetKind.REPLICATION_CONTROLLER: "replicationcontroller",
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
    now: float = math.inf,
) -> Resolution:
    """Resolve a service or workload (`anchor`), or a bare selector, to the best of its pods.

    For `current` see `select_pod`; `trusted` returns False for a pod whose tunnel reported that it
    is gone. `now` (epoch seconds) tells how long containers have been running; a long time by
    default. With `Balance.SPREAD`, the resolution has the other Ready pods as well.
    """
    if isinstance(anchor, Service):
        try:
            find_service_port(anchor, target.port)
        except PortResolutionError as problem:
            return Unresolved(reason=problem.reason)
    pod = select_pod(pods, current=current, usable=_usable(target, anchor, trusted))
    if pod is None:
        return _none_usable(target, anchor, pods)
    resolution = _with_port(target, anchor, pod, now)
    if target.balance is not Balance.SPREAD or isinstance(resolution, Unresolved):
        return resolution
    usable = _usable(target, anchor, trusted)
    ready = [each for each in pods if each.ready and not each.deleting and each.uid != pod.uid]
    others = [_with_port(target, anchor, each, now) for each in ready if usable(each)]
    return replace(
        resolution,
        others=tuple(each for each in others if isinstance(each, Resolved)),
        affinity_s=anchor.affinity_s if isinstance(anchor, Service) else 0,
    )


def resolve_pod(
    target: Target,
    pod: Pod | None,
    *,
    origin: Pod | None = None,
    siblings: Collection[Pod] = (),
    current: str = "",
    trusted: Trusted = _trust_all,
    now: float = math.inf,
) -> Resolution:
    """Resolve a pod name to the pod, or to its replacement.

    `origin` is the last pod seen under that name: its owner, whose pods are `siblings`, determines
    replacements. For `current`, `trusted` and `now` see `resolve_selected`.
    """
    usable = _usable(target, None, trusted)
    if pod is not None and not pod.deleting and usable(pod):
        return _with_port(target, None, pod, now)
    origin = pod or origin
    if target.pin or origin is None:
        siblings = ()
    elif origin.owner is not None:
        siblings = [s for s in siblings if s.name != target.name and is_replacement_of(s, origin)]
    replacement = select_pod(siblings, current=current, usable=usable)
    if pod is not None and pod.deleting and usable(pod):
        # It serves until the end of its grace period: leave it only for something better.
        better = replacement is not None and pod_sort_key(replacement) < pod_sort_key(pod)
        return _with_port(target, None, replacement if better and replacement else pod, now)
    # Wait for a pod that will run (again); replace one that is terminating or has ended.
    awaited = pod is not None and not (pod.deleting or is_ended(pod))
    if pod is not None and _why_unusable(target, None, pod) is None:
        awaited = False  # it seems to run, but its tunnel reported that it is gone
    if replacement is not None and not awaited:
        return _with_port(target, None, replacement, now)
    if pod is not None:
        return _pod_waits(target, pod, siblings)
    if origin is None:
        return target_not_found(
            target,
            hint="Check the name and the namespace; to survive replacement forward to its "
            "deployment or service",
        )
    return _pod_gone(target, origin, siblings)


def _usable(
    target: Target, anchor: Service | Workload | None, trusted: Trusted
) -> Callable[[Pod], bool]:
    return lambda pod: trusted(pod) and _why_unusable(target, anchor, pod) is None


def _why_unusable(target: Target, anchor: Service | Workload | None, pod: Pod) -> Reason | None:
    return why_unusable(pod, _find_port(target, anchor, pod))


def _unresolved(
    reason: Reason, pod: Pod | None, target: Target, anchor: Service | Workload | None = None
) -> Unresolved:
    """Return that there is no usable pod now; `reason` is about `pod`."""
    if pod is None:
        return Unresolved(reason=reason)
    return Unresolved(
        reason=reason,
        pod=_ref(pod),
        port=_find_port(target, anchor, pod),
        service_port=_service_port(target, anchor),
    )


def _pod_waits(target: Target, pod: Pod, siblings: Collection[Pod]) -> Unresolved:
    follows = pod.owner is not None and not target.pin
    unusable = _why_unusable(target, None, pod)
    if unusable is None:  # but not trusted
        return _unresolved(Reason(code=ReasonCode.POD_LOST, pod=pod.name), pod, target)
    if pod.deleting:
        if not follows and not target.pin:
            return _unresolved(unusable, pod, target)
        return _awaiting_replacement(target, unusable, siblings)
    if is_ended(pod) and follows and is_replaced_when_ended(pod):
        return _awaiting_replacement(target, _as_replaced(unusable), ())
    return _unresolved(unusable, pod, target)


def _as_replaced(reason: Reason) -> Reason:
    """Return the reason of an ended pod whose controller makes another one."""
    return replace(reason, code=ReasonCode.POD_ENDED)


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
    return _awaiting_replacement(target, gone, siblings, owner)


def _awaiting_replacement(
    target: Target, previous: Reason, siblings: Collection[Pod], owner: str = ""
) -> Unresolved:
    candidate, cause = _most_telling(target, None, siblings)
    reason = Reason(
        code=ReasonCode.POD_AWAITING_REPLACEMENT,
        owner=owner,
        hint=reason_hint(cause) if cause is not None else "",
        cause=cause,
        previous=previous,
    )
    return _unresolved(reason, candidate, target)


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


def keep_pull_error(before: Resolution, now: Resolution) -> Resolution:
    """Return `now` with the cause of a failed pull, which older kubelets report every other time.

    They alternate between ErrImagePull with the cause, and ImagePullBackOff without.
    """
    if isinstance(before, Resolved) or isinstance(now, Resolved):
        return now
    old, new = before.reason, now.reason
    if new.code is not ReasonCode.POD_IMAGE_PULL or new.detail:
        return now
    return before if replace(old, detail="") == new else now


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


def selectorless(target: Target, anchor: Service | Workload | None = None) -> Unresolved:
    """Return the resolution of a service or workload without a selector."""
    name = _object_name(target)
    if isinstance(anchor, Service) and anchor.external_name:
        reason = Reason(
            code=ReasonCode.TARGET_EXTERNAL_NAME, object=name, name=anchor.external_name
        )
        return Unresolved(reason=reason)
    return Unresolved(reason=Reason(code=ReasonCode.TARGET_NO_SELECTOR, object=name))


def _none_usable(
    target: Target,
    anchor: Service | Workload | None,
    pods: Collection[Pod],
) -> Unresolved:
    """Return why none of the selected pods is usable."""
    awaited = [pod for pod in pods if not pod.deleting and not is_ended(pod)]
    if isinstance(anchor, Workload) and (not awaited or anchor.ended):
        reason = _workload_reason(target, anchor, pods)
        if reason is not None:
            return Unresolved(reason=reason)
    if not pods:
        return Unresolved(reason=_no_pods_reason(target, anchor))
    remaining = awaited or [pod for pod in pods if not pod.deleting]
    if not remaining:
        names = ", ".join(sorted(pod.name for pod in pods)[:3])
        reason = Reason(
            code=ReasonCode.TARGET_PODS_TERMINATING, object=_object_name(target), detail=names
        )
        return Unresolved(reason=reason)
    pod, reason = _most_telling(target, anchor, remaining)
    assert pod is not None
    assert reason is not None
    if is_ended(pod) and any(map(is_replaced_when_ended, remaining)):
        reason = _as_replaced(reason)
    reason = replace(
        reason,
        object=_object_name(target),
        ready=sum(pod.ready for pod in remaining),
        total=len(remaining),
    )
    return _unresolved(reason, pod, target, anchor)


def _workload_reason(target: Target, anchor: Workload, pods: Collection[Pod]) -> Reason | None:
    """Return why a workload has no pods, or none that will run again; None if it may have."""
    scaled_to_zero = anchor.kind is not TargetKind.JOB and not anchor.replicas
    if anchor.ended == "Complete":
        reason = Reason(code=ReasonCode.TARGET_COMPLETED)
    elif anchor.ended:
        failed = [fault for pod in pods for fault in pod.faults if fault.exit_code]
        reason = Reason(
            code=ReasonCode.TARGET_FAILED,
            status=anchor.reason,
            exit_code=failed[0].exit_code if failed else None,
            detail=shorten_start(anchor.message),
        )
    elif anchor.suspended:
        reason = Reason(code=ReasonCode.TARGET_SUSPENDED)
    elif not pods and not anchor.observed:
        reason = Reason(code=ReasonCode.TARGET_NOT_OBSERVED)
    elif scaled_to_zero and anchor.kind is TargetKind.DAEMONSET:
        reason = Reason(code=ReasonCode.TARGET_NO_NODES)
    elif scaled_to_zero:
        reason = Reason(code=ReasonCode.TARGET_SCALED_TO_ZERO)
    elif anchor.message:
        detail = shorten_end(anchor.message)
        reason = Reason(code=ReasonCode.TARGET_PODS_NOT_CREATED, detail=detail)
    else:
        return None
    return replace(reason, object=_object_name(target), namespace=target.namespace)


def _no_pods_reason(target: Target, anchor: Service | Workload | None) -> Reason:
    name = _object_name(target)
    if isinstance(anchor, Workload):
        return Reason(code=ReasonCode.TARGET_NO_PODS, object=name)
    if isinstance(anchor, Service):
        return Reason(
            code=ReasonCode.TARGET_NO_MATCHING_PODS,
            object=f"the selector of {name}",
            detail=anchor.selector,
        )
    return Reason(code=ReasonCode.TARGET_NO_MATCHING_PODS, object=name, namespace=target.namespace)


def _most_telling(
    target: Target, anchor: Service | Workload | None, pods: Collection[Pod]
) -> tuple[Pod | None, Reason | None]:
    """Return the pod whose reason tells the user most, and that reason; None without pods.

    The same one as long as the pods are in the same trouble, so that the text stays.
    """
    reasons = []
    for pod in pods:
        lost = Reason(code=ReasonCode.POD_LOST, pod=pod.name)  # usable, and not trusted
        reasons.append((pod, _why_unusable(target, anchor, pod) or lost))
    return min(
        reasons, key=lambda pair: (telling_rank(pair[1]), pair[0].name), default=(None, None)
    )


def _with_port(
    target: Target, anchor: Service | Workload | None, pod: Pod, now: float
) -> Resolution:
    try:
        port = _resolve_port(target, anchor, pod)
    except PortResolutionError as problem:
        return Unresolved(reason=problem.reason, pod=_ref(pod))
    caution = why_doubtful(pod, port, now=now)
    if caution is None and isinstance(anchor, Service):
        caution = why_port_doubtful(anchor, pod, target.port)
    return Resolved(
        pod=_ref(pod),
        port=port,
        service_port=_service_port(target, anchor),
        ready=pod.ready and not pod.deleting,
        caution=caution,
        # Unlike the container IDs it does not change when a second container first starts.
        incarnation=str(pod.restarts),
    )


def _resolve_port(target: Target, anchor: Service | Workload | None, pod: Pod) -> int:
    if isinstance(anchor, Service):
        return resolve_service_port(anchor, pod, target.port)
    return resolve_pod_port(pod, target.port)


def _find_port(target: Target, anchor: Service | Workload | None, pod: Pod) -> int | None:
    try:
        return _resolve_port(target, anchor, pod)
    except PortResolutionError:
        return None


def _service_port(target: Target, anchor: Service | Workload | None) -> int | None:
    if not isinstance(anchor, Service):
        return None
    try:
        return find_service_port(anchor, target.port).number
    except PortResolutionError:
        return None


def _ref(pod: Pod) -> PodRef:
    return PodRef(namespace=pod.namespace, name=pod.name, uid=pod.uid, node=pod.node)


def _object_name(target: Target) -> str:
    if target.kind is TargetKind.SELECTOR:
        return f"-l {target.name}"
    return f"{target.kind}/{target.name}"


def _short(owner: OwnerRef) -> str:
    kind = KINDS.get(owner.kind)
    return kind.value if kind else owner.kind.lower()
