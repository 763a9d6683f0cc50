"""Counters of a forward for each of the pods that it spreads its connections over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from tui_forward.engine.connections.connection import LocalConnection
from tui_forward.model import PodShare

_MAX_PODS: Final = 256


class PodTally:
    """Totals of closed connections by pod. The data path does not count for pods.

    Those of the pods that were used last are kept.
    """

    def __init__(self) -> None:
        # By UID: connections, bytes from and bytes to the pod.
        self._closed: dict[str, tuple[int, int, int]] = {}

    def add(self, connection: LocalConnection) -> None:
        """Add a connection that has ended."""
        pod = connection.record.pod
        if pod is None:
            return
        count, from_pod, to_pod = self._closed.pop(pod.uid, (0, 0, 0))
        received, sent = connection.traffic
        self._closed[pod.uid] = (count + 1, from_pod + received, to_pod + sent)
        if len(self._closed) > _MAX_PODS:
            del self._closed[next(iter(self._closed))]

    def fill(
        self, shares: Iterable[PodShare], live: Iterable[LocalConnection]
    ) -> tuple[PodShare, ...]:
        """Return the shares with their counters, sorted by name; `live` are open connections."""
        opened: Counter[str] = Counter()
        from_pod: Counter[str] = Counter()
        to_pod: Counter[str] = Counter()
        for connection in live:
            if (pod := connection.record.pod) is not None:
                received, sent = connection.traffic
                opened[pod.uid] += 1
                from_pod[pod.uid] += received
                to_pod[pod.uid] += sent
        filled = []
        for share in shares:
            uid = share.pod.uid
            count, received, sent = self._closed.get(uid, (0, 0, 0))
            filled.append(
                replace(
                    share,
                    connections_open=opened[uid],
                    connections_total=count + opened[uid],
                    bytes_from_pod=received + from_pod[uid],
                    bytes_to_pod=sent + to_pod[uid],
                )
            )
        return tuple(sorted(filled, key=lambda share: share.pod.name))
