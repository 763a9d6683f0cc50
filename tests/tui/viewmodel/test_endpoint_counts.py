from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tests.tui.samples import pod
from tests.tui.viewmodel.test_entry_list import ALL, seen
from tui_forward.model import Pod, ResourceStatus, Service
from tui_forward.tui.viewmodel.cluster_state import ClusterState
from tui_forward.tui.viewmodel.entries import EntryKind
from tui_forward.tui.viewmodel.entry_list import EntryList
from tui_forward.tui.viewmodel.sorting import SortOrder

SYNCED = (ResourceStatus(resource="pods", synced=True),)


def labeled(name: str, *, ready: bool = True, **labels: str) -> Pod:
    return msgspec.structs.replace(pod(name), ready=ready, labels=labels)


def service(name: str, selector: str, namespace: str = "shop") -> Service:
    return Service(namespace=namespace, name=name, selector=selector)


def services_of(*items: Pod | Service) -> tuple[EntryList, ClusterState]:
    cluster = ClusterState(ALL)
    cluster.apply(msgspec.structs.replace(seen(*items, complete=True), resources=SYNCED))
    entries = EntryList(cluster)
    entries.kind = EntryKind.SERVICES
    entries.update()
    return entries, cluster


def counts(entries: EntryList) -> dict[str, int | None]:
    found = {key: entries.entry(key) for key in entries.keys}
    return {one.name: entries.endpoints(one) for one in found.values() if one is not None}


def test_ready_pods_that_match_the_whole_selector_are_counted() -> None:
    entries, cluster = services_of(
        service("web", "app=web"), service("front", "app=web,tier=front"), service("none", ""),
        labeled("a", app="web"), labeled("b", app="web", tier="front"),
        labeled("c", ready=False, app="web"), labeled("d", app="db"),
    )  # fmt: skip
    assert counts(entries) == {"web": 2, "front": 1, "none": None}
    cluster.apply(seen(labeled("c", app="web"), labeled("a", app="db"), version=2))
    cluster.apply(seen(removed=("pods/shop/b",), version=3))
    entries.update()
    assert counts(entries) == {"web": 1, "front": 0, "none": None}
    cluster.apply(seen(service("web", "app=db"), version=4))
    entries.update()
    assert counts(entries)["web"] == 2


def test_services_sort_by_endpoints_as_pods_come_and_go() -> None:
    entries, cluster = services_of(
        service("web", "app=web"), service("db", "app=db"), labeled("a", app="web")
    )
    entries.order = SortOrder("endpoints")
    entries.update()
    assert [key[-2:] for key in entries.keys] == ["db", "eb"]
    cluster.apply(seen(labeled("b", app="db"), labeled("c", app="db"), version=2))
    entries.update()
    assert [key[-2:] for key in entries.keys] == ["eb", "db"]


def test_nothing_is_known_before_the_pods_are_listed() -> None:
    cluster = ClusterState(ALL)
    cluster.apply(seen(service("web", "app=web"), complete=True))
    entries = EntryList(cluster)
    entries.kind = EntryKind.SERVICES
    entries.update()
    assert counts(entries) == {"web": None}


LABELS = st.dictionaries(st.sampled_from("xy"), st.sampled_from("12"))
STEPS = st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), LABELS), max_size=8)


@given(st.lists(LABELS, max_size=3), STEPS)
def test_incremental_counts_equal_a_full_rebuild(
    selectors: list[dict[str, str]], steps: list[tuple[str, bool, dict[str, str]]]
) -> None:
    services = [
        service(f"s{number}", ",".join(f"{name}={value}" for name, value in labels.items()))
        for number, labels in enumerate(selectors)
    ]
    entries, cluster = services_of(*services)
    for version, (name, ready, labels) in enumerate(steps, 2):
        cluster.apply(seen(labeled(name, ready=ready, **labels), version=version))
        entries.update()
        expected = {
            f"s{number}": sum(
                one.ready and wanted.items() <= one.labels.items() for one in cluster.pods.values()
            )
            if wanted
            else None
            for number, wanted in enumerate(selectors)
        }
        assert counts(entries) == expected


def test_pods_that_change_before_a_service_is_asked_for_are_counted() -> None:
    def elsewhere(name: str) -> Pod:
        return msgspec.structs.replace(labeled(name, app="db"), namespace="data")

    entries, cluster = services_of(
        service("web", "app=web"), service("db", "app=db", "data"),
        labeled("a", app="web"), elsewhere("a"), elsewhere("b"),
    )  # fmt: skip
    web, db = (entries.entry(key) for key in ("svc/shop/web", "svc/data/db"))
    assert web is not None
    assert db is not None
    assert entries.endpoints(web) == 1
    changed = seen(elsewhere("c"), elsewhere("d"), version=2)
    cluster.apply(changed)
    entries.update()
    cluster.apply(seen(removed=("pods/data/a",), version=3))
    cluster.apply(seen(service("new", "app=new", "more"), version=4))
    entries.update()
    assert entries.endpoints(db) == 3
    assert counts(entries) == {"web": 1, "db": 3, "new": 0}
