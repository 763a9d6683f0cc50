"""Which of several pods is forwarded to. Pure.

The order is that of `ActivePods` in kubectl (`pkg/util/podutils`), best first; the difference
is that a pod which is going away or does not run is never chosen, where kubectl would take it
for want of a better one and then fail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tui_forward.model import Pod

_PHASES = {"Running": 2, "Unknown": 1}
_NEVER = float("inf")


def pod_sort_key(pod: Pod) -> tuple[object, ...]:
    """Sorts pods best first.

    Assigned, Running, Ready, staying, ready longest, fewest restarts, oldest; then by name, so
    that the choice among equals does not change by itself.
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
    """Whether a tunnel to this pod makes sense: it runs and is meant to stay."""
    return bool(pod.node) and pod.phase == "Running" and not pod.deleting


def select_pod(
    pods: Iterable[Pod], *, current: str = "", trusted: Callable[[Pod], bool] = lambda _: True
) -> Pod | None:
    """The pod to forward to, or None.

    Args:
        pods: The candidates.
        current: UID of the pod in use: it stays while it is usable and Ready, so that a
            better one that appears later does not end working connections.
        trusted: False for a pod of which there is evidence that it is gone.
    """
    candidates = [pod for pod in pods if is_usable(pod) and trusted(pod)]
    for pod in candidates:
        if pod.uid == current and pod.ready:
            return pod
    return min(candidates, key=pod_sort_key, default=None)
