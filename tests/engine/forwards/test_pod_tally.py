"""Totals of the pods of a forward that spreads its connections."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tui_forward.engine.forwards import pod_tally
from tui_forward.engine.forwards.pod_tally import PodTally
from tui_forward.model import EarlierPods, PodRef, PodShare, PodShareState


def connection(uid: str, received: int, sent: int) -> Any:
    pod = PodRef(namespace="shop", name=uid, uid=uid)
    return SimpleNamespace(record=SimpleNamespace(pod=pod), traffic=(received, sent))


def share(uid: str) -> PodShare:
    pod = PodRef(namespace="shop", name=uid, uid=uid)
    return PodShare(pod=pod, state=PodShareState.READY)


def test_nothing_is_lost_beyond_the_limit() -> None:
    tally, count = PodTally(), pod_tally._MAX_PODS + 50
    for number in range(count):
        tally.add(connection(f"web-{number}", 10, 1))
        tally.add(connection(f"web-{number}", 10, 1))
    assert len(tally._closed) == pod_tally._MAX_PODS
    last = f"web-{count - 1}"
    (filled,), earlier = tally.fill([share(last)], [connection(last, 5, 5)])
    assert (filled.connections_open, filled.connections_total) == (1, 3)
    assert (filled.bytes_from_pod, filled.bytes_to_pod) == (25, 7)
    assert earlier == EarlierPods(
        pods=count - 1, connections_total=2 * (count - 1), bytes_from_pod=20 * (count - 1),
        bytes_to_pod=2 * (count - 1),
    )  # fmt: skip


def test_open_connections_of_other_pods_count() -> None:
    shares, earlier = PodTally().fill([share("web-1")], [connection("web-0", 3, 4)])
    assert shares == (share("web-1"),)
    assert earlier == EarlierPods(pods=1, connections_total=1, bytes_from_pod=3, bytes_to_pod=4)
    assert PodTally().fill([share("web-1")], []) == ((share("web-1"),), None)
