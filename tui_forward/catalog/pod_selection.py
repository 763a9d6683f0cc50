"""Selection of the pod to forward to. Pure.

The order is that of `ActivePods` in kubectl (`pkg/util/podutils`), best first. Unlike
kubectl, a pod whose container does not run is never selected: kubectl falls back to it, and then
every connection is refused. A pod that is terminating is selected if there is nothing better: it
may serve until the end of its grace period.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tui_forward.catalog.pod_reasons import why_unusable
from tui_forward.model import Pod

_PHASES = {"Running": 2, "Unknown": 1}
_NEVER = float("inf")


def pod_sort_key(pod: Pod) -> tuple[object, ...]:
    """Return a key that sorts pods best first.

    Assigned, Running, Ready, not terminating, ready longest, fewest restarts, oldest; then by
    name, so that the order of equal pods is stable.
    """
    return (
        not pod.node,
        -_PHASES.get(pod.phase, 0),
        not pod.ready,
        pod.deleting,
        (pod.ready_since or _NEVER) if pod.ready else 0.0,
        pod.max_restarts,
        pod.created_at or _NEVER,
        pod.name,
    )


def is_usable(pod: Pod) -> bool:
    """Return whether a tunnel to this pod can serve: at least one of its containers runs."""
    return why_unusable(pod) is None


def select_pod(
    pods: Iterable[Pod], *, current: str = "", usable: Callable[[Pod], bool] = is_usable
) -> Pod | None:
    """Return the pod to forward to, or None.

    The pod with UID `current` is kept while it is usable, Ready and not terminating, so that a
    better pod that appears later does not end working connections.
    """
    candidates = [pod for pod in pods if usable(pod)]
    for pod in candidates:
        if pod.uid == current and pod.ready and not pod.deleting:
            return pod
    return min(candidates, key=pod_sort_key, default=None)
