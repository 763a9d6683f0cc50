from __future__ import annotations

import itertools

import pytest

from tests.catalog.factories import pod
from tui_forward.catalog.pod_selection import is_usable, pod_sort_key, select_pod
from tui_forward.model import ContainerFault, Pod

# kubectl's ActivePods, reversed: each pair differs in one rule, the better one first, and the
# worse one is better by every rule that comes later.
PAIRS = [
    (pod("b", node="n", phase="Pending"), pod("a", node="")),
    (pod("b", phase="Running", ready=False), pod("a", phase="Unknown")),
    (pod("b", phase="Unknown"), pod("a", phase="Pending")),
    (
        pod("b", ready=True, deleting=True, ready_since=9999, max_restarts=9),
        pod("a", ready=False),
    ),
    (pod("b", ready_since=9999, max_restarts=9), pod("a", deleting=True, ready_since=1)),
    (pod("b", ready_since=1, max_restarts=9), pod("a", ready_since=2)),
    (pod("b", ready_since=2, max_restarts=9), pod("a", ready_since=0)),
    (pod("b", max_restarts=0, created_at=9999), pod("a", max_restarts=1, created_at=1)),
    (
        pod("b", ready=False, ready_since=5, created_at=1),
        pod("a", ready=False, ready_since=1, created_at=2),
    ),
    (pod("b", created_at=1), pod("a", created_at=2)),
    (pod("b", created_at=1), pod("a", created_at=0)),
    (pod("a"), pod("b")),
]


@pytest.mark.parametrize(("better", "worse"), PAIRS)
def test_order_is_that_of_kubectl(better: Pod, worse: Pod) -> None:
    assert pod_sort_key(better) < pod_sort_key(worse)


def test_selection_is_independent_of_list_order() -> None:
    pods = [pod("a", ready_since=3), pod("b", ready_since=1), pod("c", ready=False)]
    assert {select_pod(p).name for p in itertools.permutations(pods) if select_pod(p)} == {"b"}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("candidate", "expected"),
    [
        (pod(), True),
        (pod(ready=False), True),
        (pod(deleting=True), True),  # it serves until the end of its grace period
        (pod(deleting=True, phase="Pending"), False),
        (pod(faults=(ContainerFault(name="main"),)), False),
        (pod(faults=(ContainerFault(name="main"),), deleting=True), False),
        (pod(faults=(ContainerFault(name="main"),), containers_total=2), True),
        (pod(faults=(ContainerFault(name="prep", is_init=True),), containers_total=2), False),
        (pod(phase="Pending"), False),
        (pod(phase="Unknown"), False),
        (pod(phase="Succeeded"), False),
        (pod(phase="Failed"), False),
        (pod(node=""), False),
    ],
)
def test_usable_pods(candidate: Pod, expected: bool) -> None:
    assert is_usable(candidate) is expected
    assert (select_pod([candidate]) is not None) is expected


def test_pod_in_use_is_kept_while_ready() -> None:
    better, current = pod("a", ready_since=1), pod("b", ready_since=2)
    assert select_pod([better, current], current="uid-b") is current
    unready = pod("b", ready=False)
    assert select_pod([better, unready], current="uid-b") is better
    leaving = pod("b", deleting=True)
    assert select_pod([better, leaving], current="uid-b") is better
    assert select_pod([unready], current="uid-b") is unready


def test_unusable_pod_is_not_selected() -> None:
    one, two = pod("a"), pod("b")
    assert select_pod([one, two], current="uid-a", usable=lambda p: p.name != "a") is two
    assert select_pod([one], usable=lambda _: False) is None
    assert select_pod([]) is None
