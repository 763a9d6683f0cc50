"""Resolution of a target to one pod and one port. Pure.

Nothing here waits or sends requests: `target_watch` follows the cluster and calls again.
"""

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
    BlockedBy,
    OwnerRef,
    Pod,
    PodRef,
    Resolution,
    Resolved,
    Service,
    Target,
    TargetKind,
    Unresolved,
    Workload,
)

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
    """Resolve a service, a workload or a selector to the best pod that it selects.

    Args:
        target: The target.
        anchor: The service or workload it names; None for a bare selector.
        pods: The pods selected.
        current: UID of the pod in use.
        trusted: Returns False for a pod whose tunnel reported that it is gone.
    """
    if isinstance(anchor, Service):
        try:
            find_service_port(anchor, target.port)
        except PortResolutionError as problem:
            return _blocked(problem)
    pod = select_pod(pods, current=current, trusted=trusted)
    if pod is None:
        return Unresolved(
            reason=no_usable_pod_reason(target, anchor, pods, trusted), hint=_pod_hint(target, pods)
        )
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

    Args:
        target: The target.
        pod: The pod of that name now, if there is one.
        origin: The last pod seen under that name; its owner determines replacements.
        siblings: Pods of the same owner, if the owner is followed.
        current: UID of the pod in use.
        trusted: Returns False for a pod whose tunnel reported that it is gone.
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
        return Unresolved(
            reason=f'there is no pod "{target.name}" in namespace {target.namespace}',
            hint="Check the name and the namespace; to survive replacement forward to its "
            "deployment or service",
            blocked_by=BlockedBy.TARGET,
        )
    return _pod_gone(target, origin, siblings)


def _pod_waits(target: Target, pod: Pod, siblings: Collection[Pod], trusted: Trusted) -> Unresolved:
    if not trusted(pod):
        return Unresolved(reason=f"{describe_pod(pod)}, but its tunnel reported it as gone")
    follows = pod.owner is not None and not target.pin
    if pod.deleting:
        text = f"pod {pod.name} is Terminating"
        if follows or target.pin:
            text += "; waiting for its replacement"
        if siblings:
            text += f": {describe_pod(min(siblings, key=pod_sort_key))}"
        return Unresolved(reason=text)
    if pod.phase in {"Succeeded", "Failed"}:
        if follows and pod.owner is not None and pod.owner.kind != "Job":
            return Unresolved(reason=f"{describe_pod(pod)}; waiting for its replacement")
        return Unresolved(
            reason=f"{describe_pod(pod)} and will not run again",
            hint="Start it again, or forward to something that keeps running",
            blocked_by=BlockedBy.TARGET,
        )
    return Unresolved(reason=describe_pod(pod), hint=_reason_hint(pod))


def _pod_gone(target: Target, origin: Pod, siblings: Collection[Pod]) -> Unresolved:
    if origin.owner is None or target.pin:
        return Unresolved(
            reason=f"pod {target.name} is gone; waiting for one of the same name",
            hint="" if origin.owner is None else "It is pinned; without that its owner is followed",
        )
    owner = f"{_short(origin.owner)}/{origin.owner.name}"
    if origin.owner.kind == "DaemonSet" and origin.node:
        owner += f" on node {origin.node}"
    text = f"pod {target.name} is gone; waiting for its replacement by {owner}"
    if siblings:
        text += f": {describe_pod(min(siblings, key=pod_sort_key))}"
    return Unresolved(reason=text)


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


def target_not_found(target: Target) -> Unresolved:
    """Return the resolution of a service or workload that does not exist."""
    kind = _NAMES[target.kind]
    return Unresolved(
        reason=f'there is no {kind} "{target.name}" in namespace {target.namespace}',
        hint="Check the name and the namespace; the forward begins when it appears",
        blocked_by=BlockedBy.TARGET,
    )


def selectorless(target: Target, service: bool) -> Unresolved:
    """Return the resolution of a service or workload without a selector."""
    return Unresolved(
        reason=f"{_what(target)} has no selector, so it has no pods to forward to",
        hint="Forward to what it points at instead" if service else "",
        blocked_by=BlockedBy.TARGET,
    )


def no_usable_pod_reason(
    target: Target,
    anchor: Service | Workload | None,
    pods: Collection[Pod],
    trusted: Trusted = _trust_all,
) -> str:
    """Return why none of the selected pods is usable."""
    what = _what(target)
    remaining = [pod for pod in pods if not pod.deleting]
    if isinstance(anchor, Workload) and anchor.kind is not TargetKind.JOB and not anchor.replicas:
        return f"{what} is scaled to 0 replicas"
    if not pods:
        if isinstance(anchor, Workload):
            return f"{what} has no pods yet"
        if isinstance(anchor, Service):
            return f"no pod matches the selector of {what} ({anchor.selector})"
        return f"no pod in namespace {target.namespace} matches {what}"
    if not remaining:
        names = ", ".join(sorted(pod.name for pod in pods)[:3])
        return f"all pods of {what} are Terminating ({names}); waiting for their replacements"
    gone = [pod for pod in remaining if is_usable(pod) and not trusted(pod)]
    if gone:
        return f"pod {gone[0].name} is Running, but its tunnel reported it as gone"
    ready = sum(pod.ready for pod in remaining)
    worst = sorted(remaining, key=pod_sort_key)
    states = ", ".join(f"{pod.name} is {pod.status or pod.phase or 'Pending'}" for pod in worst[:3])
    if len(worst) > 3:
        states += f" and {len(worst) - 3} more"
    verb = "is" if len(remaining) == 1 else "are"
    noun = "pod" if len(remaining) == 1 else "pods"
    text = f"{ready} of {len(remaining)} {noun} of {what} {verb} ready: {states}"
    message = next((pod.message for pod in worst if pod.message), "")
    return f"{text} ({_shortened(message)})" if message else text


def describe_pod(pod: Pod) -> str:
    """Describe a pod's condition: "pod db-0 is Pending: 0/3 nodes are available"."""
    text = f"pod {pod.name} is {pod.status or pod.phase or 'Pending'}"
    return f"{text}: {_shortened(pod.message)}" if pod.message else text


def _with_port(target: Target, anchor: Service | Workload | None, pod: Pod) -> Resolution:
    try:
        if isinstance(anchor, Service):
            port = resolve_service_port(anchor, pod, target.port)
        else:
            port = resolve_pod_port(pod, target.port)
    except PortResolutionError as problem:
        return _blocked(problem)
    return Resolved(
        pod=PodRef(namespace=pod.namespace, name=pod.name, uid=pod.uid, node=pod.node),
        port=port,
        ready=pod.ready,
        # Unlike the container IDs it does not change when a second container first starts.
        incarnation=str(pod.restarts),
    )


def _blocked(problem: PortResolutionError) -> Unresolved:
    return Unresolved(reason=problem.reason, hint=problem.hint, blocked_by=BlockedBy.TARGET)


def _what(target: Target) -> str:
    if target.kind is TargetKind.SELECTOR:
        return f"-l {target.name}"
    return f"{target.kind}/{target.name}"


def _short(owner: OwnerRef) -> str:
    kind = KINDS.get(owner.kind)
    return kind.value if kind else owner.kind.lower()


def _shortened(message: str, limit: int = 160) -> str:
    line = " ".join(message.split()).rstrip(".")
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def _pod_hint(target: Target, pods: Collection[Pod]) -> str:
    if not pods:
        return ""
    hints = (_reason_hint(pod) for pod in sorted(pods, key=pod_sort_key))
    del target
    return next(filter(None, hints), "")


def _reason_hint(pod: Pod) -> str:
    status = pod.status.removeprefix("Init:")
    if status in {"ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull"}:
        return "Check the image name and the pull secret"
    if status in {"CrashLoopBackOff", "Error", "OOMKilled"}:
        return f"Look at its logs: kubectl logs -n {pod.namespace} {pod.name} --previous"
    if status in {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}:
        return f"Look at its events: kubectl describe pod -n {pod.namespace} {pod.name}"
    return ""
