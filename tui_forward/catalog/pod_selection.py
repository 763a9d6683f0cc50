"""Selection of the pod to forward to. Pure.

The order is that of `ActivePods` in kubectl (`pkg/util/podutils`), best first. Unlike
kubectl, a pod that is terminating or not running is never selected: kubectl falls back to it
and then fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

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
    """Return whether a tunnel to this pod is possible: it runs and is not terminating."""
    return bool(pod.node) and pod.phase == "Running" and not pod.deleting


def select_pod(
    pods: Iterable[Pod], *, current: str = "", trusted: Callable[[Pod], bool] = lambda _: True
) -> Pod | None:
    """Return the pod to forward to, or None.

    The pod with UID `current` is kept while it is usable and Ready, so that a better pod that
    appears later does not end working connections. `trusted` returns False for a pod whose tunnel
    reported that it is gone.
    """
    candidates = [pod for pod in pods if is_usable(pod) and trusted(pod)]
    for pod in candidates:
        if pod.uid == current and pod.ready:
            return pod
    return min(candidates, key=pod_sort_key, default=None)
