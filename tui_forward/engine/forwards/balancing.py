"""Choice of the pod that gets a new connection. Pure.

As kube-proxy does, but better informed: it knows how many connections each pod has.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

KeyT = TypeVar("KeyT", bound=Hashable)

# Clients beyond the latest ones may get another pod.
MAX_CLIENTS: Final = 1000


class PodLoad(NamedTuple):
    """What the choice depends on; the smallest gets the connection."""

    is_refusing: bool  # it has refused a connection a moment ago
    connections: int  # that are open
    chosen_at: int  # a number that grows with each choice; 0 before the first one


def choose_pod(loads: Sequence[PodLoad]) -> int:
    """Return the index of the pod with the fewest connections; equal ones take turns.

    One that refuses is the last choice. `loads` must not be empty.
    """
    return min(range(len(loads)), key=loads.__getitem__)


class ClientAffinity(Generic[KeyT]):
    """Which pod each client has, for services with `sessionAffinity: ClientIP`.

    Times are monotonic seconds. A client loses its pod when it has opened no connection for a
    while, and when there are many later clients.
    """

    def __init__(self) -> None:
        self._pods: dict[str, tuple[KeyT, float]] = {}  # the one that came last is the last

    def find(self, client: str, lasts_s: float, now: float) -> KeyT | None:
        """Return the pod of a client; None if it has none any more."""
        pod, used_at = self._pods.get(client, (None, 0.0))
        return pod if now - used_at < lasts_s else None

    def record(self, client: str, pod: KeyT, now: float) -> None:
        """Record that a client opens a connection to a pod."""
        self._pods.pop(client, None)
        self._pods[client] = (pod, now)
        if len(self._pods) > MAX_CLIENTS:
            del self._pods[next(iter(self._pods))]
