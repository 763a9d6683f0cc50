from __future__ import annotations

import random
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.catalog.factories import owner, pod
from tui_forward.catalog.label_selector import parse_selector
from tui_forward.catalog.pod_index import PodIndex
from tui_forward.model import Pod

LABELS = st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz"), max_size=3)
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["p1", "p2", "p3", "p4"]),
        st.sampled_from(["shop", "other"]),
        st.one_of(st.none(), st.tuples(LABELS, st.sampled_from([None, "d1", "d2"]))),
    ),
    max_size=40,
)


@given(CHANGES)
@settings(max_examples=60)
def test_index_matches_a_full_scan(
    changes: list[tuple[str, str, tuple[dict[str, str], str | None] | None]],
) -> None:
    index = PodIndex()
    pods: dict[tuple[str, str], Pod] = {}
    for name, namespace, what in changes:
        old = pods.pop((namespace, name), None)
        new = None
        if what is not None:
            labels, owned = what
            ref = owner("Deployment", owned) if owned else None
            new = pod(name, namespace=namespace, labels=labels, owner=ref)
            pods[namespace, name] = new
        if old is not None or new is not None:
            index.update(old, new)
    assert sorted(p.name for p in index) == sorted(p.name for p in pods.values())
    assert len(index) == len(pods)
    for namespace in ("shop", "other"):
        for selector in ("a=x", "a=x,b=y", "a in (x,y)", "!a", "", "a=x,c"):
            parsed = parse_selector(selector)
            expected = {
                p.name
                for p in pods.values()
                if p.namespace == namespace and parsed.matches(p.labels)
            }
            assert {p.name for p in index.matching(namespace, selector)} == expected
    for one in list(pods.values()):
        assert index.get(one.namespace, one.name) is one
        index.update(one, None)
    # No state is left that could grow without bound.
    assert not index._pods
    assert not index._by_label


def test_ten_thousand_pods_and_many_changes_a_second() -> None:
    index = PodIndex()
    pods = [
        pod(
            f"p{number}",
            labels={"app": f"a{number % 200}", "team": f"t{number % 10}", "hash": "h"},
            owner=owner("Deployment", f"a{number % 200}"),
        )
        for number in range(10_000)
    ]
    for one in pods:
        index.update(None, one)
    assert len(index.matching("shop", "app=a7,hash=h")) == 50
    generator = random.Random(1)
    began = time.process_time()
    for _ in range(5_000):
        number = generator.randrange(len(pods))
        old = pods[number]
        pods[number] = pod(old.name, labels=old.labels, owner=old.owner, resource_version="2")
        index.update(old, pods[number])
        index.matching("shop", f"app=a{number % 200},hash=h")
    # Ten seconds' worth of 500 changes a second, each followed by a query.
    assert time.process_time() - began < 5
