"""Counters of a forward for each of the pods that it spreads its connections over."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from msgspec.structs import replace

from tui_forward.engine.connections.connection import LocalConnection
from tui_forward.model import EarlierPods, PodShare

_MAX_PODS: Final = 256


class _Totals(NamedTuple):
    connections: int = 0
    from_pod: int = 0  # bytes
    to_pod: int = 0  # bytes

    def plus(self, other: _Totals) -> _Totals:
        return _Totals(
            self.connections + other.connections,
            self.from_pod + other.from_pod,
            self.to_pod + other.to_pod,
        )


class PodTally:
    """Totals of closed connections by pod. The data path does not count for pods.

    Of the pods that were used longest ago, only the sum is kept.
    """

    def __init__(self) -> None:
        self._closed: dict[str, _Totals] = {}  # by UID, the last used at the end
        self._summed_pods = 0
        self._sum = _Totals()  # of these

    def add(self, connection: LocalConnection) -> None:
        """Add a connection that has ended."""
        pod = connection.record.pod
        if pod is None:
            return
        before = self._closed.pop(pod.uid, _Totals())
        self._closed[pod.uid] = before.plus(_Totals(1, *connection.traffic))
        if len(self._closed) > _MAX_PODS:
            self._summed_pods += 1
            self._sum = self._sum.plus(self._closed.pop(next(iter(self._closed))))

    def fill(
        self, shares: Iterable[PodShare], live: Iterable[LocalConnection]
    ) -> tuple[tuple[PodShare, ...], EarlierPods | None]:
        """Return the shares with their counters, sorted by name, and what other pods had.

        `live` are open connections.
        """
        opened: dict[str, _Totals] = {}
        for connection in live:
            if (pod := connection.record.pod) is not None:
                before = opened.get(pod.uid, _Totals())
                opened[pod.uid] = before.plus(_Totals(1, *connection.traffic))
        filled, known = [], set()
        for share in shares:
            uid = share.pod.uid
            known.add(uid)
            open_now = opened.get(uid, _Totals())
            total = open_now.plus(self._closed.get(uid, _Totals()))
            filled.append(
                replace(
                    share,
                    connections_open=open_now.connections,
                    connections_total=total.connections,
                    bytes_from_pod=total.from_pod,
                    bytes_to_pod=total.to_pod,
                )
            )
        filled.sort(key=lambda share: share.pod.name)
        return tuple(filled), self._earlier(known, opened)

    def _earlier(self, known: set[str], opened: dict[str, _Totals]) -> EarlierPods | None:
        """Return what pods have had that are not known any more; None if there are none."""
        others = (self._closed.keys() | opened.keys()) - known
        total = self._sum
        for uid in others:
            for totals in (self._closed, opened):
                total = total.plus(totals.get(uid, _Totals()))
        if not total.connections:
            return None
        return EarlierPods(
            pods=self._summed_pods + len(others),
            connections_total=total.connections,
            bytes_from_pod=total.from_pod,
            bytes_to_pod=total.to_pod,
        )
