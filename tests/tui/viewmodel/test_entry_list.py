from __future__ import annotations

from unittest import mock

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tui.samples import SHOP, pod
from tui_forward.model import (
    CatalogScope,
    CatalogView,
    DeclaredPort,
    OwnerRef,
    Pod,
    Service,
    TargetKind,
    Workload,
)
from tui_forward.tui.viewmodel import cluster_state, columns
from tui_forward.tui.viewmodel.cluster_state import ClusterState, owner_key
from tui_forward.tui.viewmodel.entries import EntryKind, entry_of
from tui_forward.tui.viewmodel.entry_list import EntryList
from tui_forward.tui.viewmodel.entry_sorts import ENTRY_SORTS, is_sorted, sort_value
from tui_forward.tui.viewmodel.filter_query import parse_query
from tui_forward.tui.viewmodel.sorting import DEFAULT_ORDER, SortOrder

ALL = CatalogScope("here", "")


def workload(
    name: str, namespace: str = "shop", kind: TargetKind = TargetKind.DEPLOYMENT, ready: int = 1
) -> Workload:
    return Workload(namespace=namespace, name=name, kind=kind, replicas=1, ready=ready)


def owned(name: str, owner: str, namespace: str = "shop", **changes: object) -> Pod:
    return msgspec.structs.replace(
        pod(name, namespace=namespace), owner=OwnerRef("Deployment", owner), **changes
    )


def listing(
    *items: Pod | Workload | Service, view: EntryKind = EntryKind.WORKLOADS
) -> tuple[EntryList, ClusterState]:
    picture = ClusterState(ALL)
    picture.apply(seen(*items, complete=True))
    made = EntryList(picture)
    made.kind = view
    made.update()
    return made, picture


def seen(
    *items: Pod | Workload | Service,
    removed: tuple[str, ...] = (),
    version: int = 1,
    complete: bool = False,
) -> CatalogView:
    return CatalogView(
        scope=ALL,
        version=version,
        complete=complete,
        removed=removed,
        pods=tuple(item for item in items if isinstance(item, Pod)),
        workloads=tuple(item for item in items if isinstance(item, Workload)),
        services=tuple(item for item in items if isinstance(item, Service)),
    )


def test_pods_are_below_their_workload() -> None:
    made, _ = listing(
        workload("web"),
        owned("web-1", "web"),
        owned("web-2", "web"),
        pod("alone"),
        owned("lost-1", "lost"),
        workload("api"),
    )
    assert made.keys == (
        "pod/shop/alone",
        "deploy/shop/api",
        "pod/shop/lost-1",
        "deploy/shop/web",
        "pod/shop/web-1",
        "pod/shop/web-2",
    )
    assert [made.depth(key) for key in made.keys] == [0, 0, 0, 0, 1, 1]
    assert made.is_foldable("deploy/shop/web")
    assert not made.is_foldable("deploy/shop/api")


def test_replica_sets_of_deployments_are_not_listed() -> None:
    replicas = msgspec.structs.replace(
        workload("web-6d8c", kind=TargetKind.REPLICASET), owner=OwnerRef("Deployment", "web")
    )
    made, _ = listing(workload("web"), replicas)
    assert made.keys == ("deploy/shop/web",)


def test_folded_workload_hides_its_pods_except_matches() -> None:
    made, _ = listing(workload("web"), owned("web-1", "web"))
    made.folds["deploy/shop/web"] = True
    made.update()
    assert list(made.keys) == ["deploy/shop/web"]
    made.query = parse_query("web-1")
    made.update()
    assert list(made.keys) == ["deploy/shop/web", "pod/shop/web-1"]


def test_workload_has_the_ports_and_restarts_of_its_pods() -> None:
    other = DeclaredPort(number=1, name="other", container="sidecar")
    one, two = owned("web-1", "web", restarts=2), owned("web-2", "web", ports=(other,), restarts=3)
    made, picture = listing(workload("web"), one, two)
    entry = made.entry("deploy/shop/web")
    assert entry is not None
    assert [port.name for port in entry.ports] == ["http", "metrics", "dns", "other"]
    assert (entry.restarts, len(entry.members)) == (5, 2)
    picture.apply(seen(removed=("pods/shop/web-2",), version=2))
    made.update()
    entry = made.entry("deploy/shop/web")
    assert entry is not None
    assert (entry.restarts, len(entry.members), len(entry.ports)) == (2, 1, 3)


def test_services_are_listed_with_their_own_ports() -> None:
    port = DeclaredPort(number=80, name="http", target="8080")
    made, _ = listing(Service(namespace="shop", name="web", ports=(port,)), view=EntryKind.SERVICES)
    assert made.keys == ("svc/shop/web",)
    entry = made.entry("svc/shop/web")
    assert entry is not None
    assert entry.ports == (port,)


def test_pods_are_folded_below_workloads_that_are_ready_unless_all_fit() -> None:
    made, cluster = listing(
        workload("api", ready=0), workload("web"), owned("api-1", "api", ready=False),
        owned("web-1", "web"),
    )  # fmt: skip
    everything: tuple[str, ...] = (
        "deploy/shop/api", "pod/shop/api-1", "deploy/shop/web", "pod/shop/web-1",
    )  # fmt: skip
    for room, expected in ((4, everything), (3, everything[:3]), (None, everything)):
        made.room = room
        made.update()
        assert made.keys == expected
    made.room = 3
    made.update()
    assert [made.fold_symbol(key) for key in made.keys] == ["▾", " ", "▸"]
    cluster.apply(seen(workload("api"), version=cluster.version + 1))
    made.update()
    assert list(made.keys) == ["deploy/shop/api", "deploy/shop/web"], "it is ready now"
    made.folds["deploy/shop/web"] = False
    made.update()
    assert list(made.keys) == ["deploy/shop/api", "deploy/shop/web", "pod/shop/web-1"]


def test_cells_of_a_long_list_are_measured_little_by_little() -> None:
    made, _ = listing(
        *(pod(f"web-{number:04d}") for number in range(2500)), pod("z" * 40),
        view=EntryKind.PODS,
    )  # fmt: skip
    namespace = len("shop/")
    assert made.longest[1] == len("web-0000") + namespace
    for _ in range(2500 // 150 + 1):
        made.update()
    assert made.longest[1] == 40 + namespace


def test_favorites_then_recent_then_sort_order() -> None:
    made, _ = listing(*(pod(name) for name in "abcd"), view=EntryKind.PODS)
    made.favorites = {"pod/shop/d"}
    made.recent = {"pod/shop/c": 0}
    made.update()
    assert [key[-1] for key in made.keys] == ["d", "c", "a", "b"]


def test_favorites_are_first_in_the_default_order_only() -> None:
    made, _ = listing(*(pod(name) for name in "abcd"), view=EntryKind.PODS)
    made.favorites = {"pod/shop/d"}
    made.recent = {"pod/shop/c": 0}
    made.order = SortOrder("name")
    made.update()
    assert [key[-1] for key in made.keys] == ["a", "b", "c", "d"]
    assert made.last_preferred is None
    made.order = DEFAULT_ORDER
    made.update()
    assert made.last_preferred == "pod/shop/c"


def test_sorts() -> None:
    bad = msgspec.structs.replace(pod("z"), ready=False, phase="Running", containers_ready=0)
    old, young = (
        msgspec.structs.replace(pod(name), created_at=at, restarts=int(at), node=f"n{at}")
        for name, at in (("a", 5.0), ("b", 9.0))
    )
    made, _ = listing(old, young, bad, view=EntryKind.PODS)
    orders = {}
    for column in ENTRY_SORTS[EntryKind.PODS]:
        for descending in (False, True):
            made.order = SortOrder(column.key, descending)
            made.update()
            orders[str(made.order)] = "".join(key[-1] for key in made.keys)
    assert orders == {
        "name": "abz", "name-": "zba", "ready": "zab", "ready-": "abz", "status": "zab",
        "status-": "abz", "restarts": "zab", "restarts-": "baz", "age": "baz", "age-": "zab",
        "node": "zab", "node-": "baz",
    }  # fmt: skip


@pytest.mark.parametrize("kind", EntryKind)
def test_sort_columns_are_columns_with_letters_of_their_own(kind: EntryKind) -> None:
    sorts = ENTRY_SORTS[kind]
    titled = {
        one.key
        for one in (columns.SERVICES if kind is EntryKind.SERVICES else columns.OBJECTS)
        if one.key
    }
    assert {one.key for one in sorts} <= titled
    assert len({one.letter for one in sorts}) == len(sorts)


def test_best_match_comes_first() -> None:
    made, _ = listing(pod("cobweb"), pod("web"), pod("a-web"), view=EntryKind.PODS)
    made.query = parse_query("web")
    made.update()
    assert made.keys == ("pod/shop/web", "pod/shop/a-web", "pod/shop/cobweb")


def test_workload_has_the_rank_of_its_best_pod() -> None:
    made, _ = listing(
        workload("a-db"),
        owned("w-e-b-1", "a-db"),
        workload("other"),
        owned("web-1", "other"),
        workload("nothing"),
        owned("nothing-1", "nothing"),
    )
    made.query = parse_query("web")
    made.update()
    assert made.keys == (
        "deploy/shop/other",
        "pod/shop/web-1",
        "deploy/shop/a-db",
        "pod/shop/w-e-b-1",
    )


def test_favorite_pod_raises_its_workload() -> None:
    made, _ = listing(
        workload("a"), owned("a-1", "a"), workload("b"), owned("b-1", "b"), owned("b-2", "b")
    )
    made.favorites = {"pod/shop/b-2"}
    made.update()
    assert [key.rpartition("/")[2] for key in made.keys] == ["b", "b-2", "b-1", "a", "a-1"]


def test_pod_with_a_new_owner_is_shown_once_in_a_search() -> None:
    made, picture = listing(workload("web"), workload("api"), owned("x", "web"), owned("y", "web"))
    made.query = parse_query("kind:pod")
    made.update()
    picture.apply(seen(owned("x", "api"), version=2))
    made.update()
    assert [key.rpartition("/")[2] for key in made.keys] == ["api", "x", "web", "y"]


def test_pod_leaves_and_returns_with_its_match() -> None:
    made, picture = listing(workload("web"), owned("x", "web"), owned("y", "web"))
    made.query = parse_query("status:run")
    made.update()
    everything = made.keys
    assert len(everything) == 3
    picture.apply(seen(owned("x", "web", status="Error"), version=2))
    made.update()
    assert list(made.keys) == ["deploy/shop/web", "pod/shop/y"]
    picture.apply(seen(owned("x", "web"), version=3))
    made.update()
    assert made.keys == everything


def test_unchanged_keys_are_the_same_object() -> None:
    made, picture = listing(workload("web"), owned("web-1", "web"))
    before = made.keys
    picture.apply(seen(owned("web-1", "web", restarts=9), version=2))
    made.update()
    assert made.keys is before
    entry = made.entry("deploy/shop/web")
    assert entry is not None
    assert entry.restarts == 9


def test_job_status_comes_from_its_pods() -> None:
    def status(*phases: str) -> tuple[str, bool]:
        pods = [
            msgspec.structs.replace(
                pod(f"j-{at}"), owner=OwnerRef("Job", "j"), phase=phase, created_at=float(at)
            )
            for at, phase in enumerate(phases)
        ]
        made, _ = listing(workload("j", kind=TargetKind.JOB, ready=0), *pods)
        entry = made.entry("job/shop/j")
        assert entry is not None
        return entry.status_text, entry.in_trouble

    assert status() == ("", False)
    assert status("Failed", "Running") == ("running", False)
    assert status("Pending") == ("pending", False)
    assert status("Failed", "Succeeded") == ("completed", False)
    assert status("Succeeded", "Failed") == ("pod failed", True)


def test_shown_attributes_of_a_workload_can_be_searched() -> None:
    made, _ = listing(
        workload("web"),
        owned("web-1", "web"),
        workload("api", ready=0),
        msgspec.structs.replace(workload("off", ready=0), replicas=0),
        msgspec.structs.replace(
            workload("tick-1", kind=TargetKind.JOB), owner=OwnerRef("CronJob", "tick-of-clock")
        ),
    )
    for text, names in (
        ("status:ready", ["web"]),
        ('status:"not ready"', ["api"]),
        ("status:scaled", ["off"]),
        ("deploy/web", ["web"]),
        ("tick-of-clock", ["tick-1"]),
        ("shop/api", ["api"]),
        ("metrics kind:deploy", ["web"]),
        ("port:8080 !kind:pod", ["web"]),
    ):
        made.query = parse_query(text)
        made.update()
        assert [key.rpartition("/")[2] for key in made.keys] == names, text


def test_port_that_changes_during_a_rollout_is_one_port() -> None:
    old = DeclaredPort(number=8080, name="http", container="web")
    new = DeclaredPort(number=8081, name="http", container="web")
    more = DeclaredPort(number=9000, container="web")
    made, _ = listing(
        workload("web"),
        owned("web-2", "web", ports=(new,), created_at=9.0),
        owned("web-1", "web", ports=(old, more), created_at=1.0),
    )
    entry = made.entry("deploy/shop/web")
    assert entry is not None
    assert entry.ports == (new, more)


def test_adopted_replica_set_is_not_listed() -> None:
    alone = workload("web-6d8c", kind=TargetKind.REPLICASET)
    made, picture = listing(workload("web"), alone)
    assert "rs/shop/web-6d8c" in made.keys
    adopted = msgspec.structs.replace(alone, owner=OwnerRef("Deployment", "web"))
    picture.apply(seen(adopted, version=2))
    made.update()
    assert made.keys == ("deploy/shop/web",)


# Incremental updates equal a full rebuild ---------------------------------------------

NAMES = st.sampled_from(["web-1", "web-2", "api-1", "db", "w", "a-web", "cobweb"])
SPACES = st.sampled_from(["shop", "shop", "data"])
PODS = st.builds(
    lambda name, space, owner, restarts, ready, at, status: msgspec.structs.replace(
        pod(name, namespace=space),
        restarts=restarts,
        ready=ready,
        created_at=float(at),
        status=status,
        owner=OwnerRef(*owner.split("/")) if owner else None,
    ),
    NAMES,
    SPACES,
    st.sampled_from(["", *["Deployment/web"] * 2, "Deployment/api", "Node/x", "Job/web"]),
    st.integers(0, 2),
    st.booleans(),
    st.integers(1, 3),
    st.sampled_from(["Running", "Webbing"]),
)
WORKLOADS = st.builds(
    workload,
    st.sampled_from(["web", "api"]),
    SPACES,
    ready=st.integers(0, 1),
    kind=st.sampled_from([TargetKind.DEPLOYMENT, TargetKind.JOB]),
)
SERVICES = st.builds(lambda name, space: Service(namespace=space, name=name), NAMES, SPACES)
ITEMS = st.one_of(PODS, WORKLOADS, SERVICES)
REMOVED = st.builds(
    lambda what, space, name: f"{what}/{space}/{name}",
    st.sampled_from(["pods", "pods", "deployments", "deployments", "jobs", "services"]),
    SPACES,
    st.one_of(NAMES, st.sampled_from(["web", "api"])),
)
KEYS = st.builds(
    lambda kind, space, name: f"{kind}/{space}/{name}",
    st.sampled_from(["pod", "pod", "pod", "deploy", "deploy", "job", "svc"]),
    SPACES,
    st.one_of(NAMES, st.sampled_from(["web", "api"])),
)
QUERIES = [
    "",
    " ",
    "w",
    "we",
    "web",
    "web n",
    "!web",
    "ns:da",
    "ns:data",
    "api",
    "web-1 ns:shop",
    "wb",
    "status:run",
    "run",
    "kind:pod",
    "port:http",
    "kind:job",
    "x",
]
ORDERS = [
    DEFAULT_ORDER,
    *(
        SortOrder(key, descending)
        for key in ("name", "status", "age", "restarts", "ip")
        for descending in (False, True)
    ),
]
CHANGES = st.tuples(
    st.just("apply"),
    st.lists(ITEMS, max_size=4),
    st.lists(REMOVED, max_size=3),
    st.integers(0, 19).map(lambda dice: dice == 0),
)
STEP = st.one_of(
    CHANGES,
    CHANGES,
    CHANGES,
    st.tuples(st.just("kind"), st.sampled_from([*EntryKind, EntryKind.WORKLOADS])),
    st.tuples(st.just("order"), st.sampled_from(ORDERS)),
    st.tuples(st.just("query"), st.sampled_from(QUERIES)),
    st.tuples(st.just("fold"), KEYS),
    st.tuples(st.just("star"), KEYS),
    st.tuples(st.just("use"), KEYS),
    st.tuples(st.just("room"), st.none() | st.integers(0, 20)),
)
Step = tuple[object, ...]


def take(made: EntryList, step: Step) -> None:
    what = step[0]
    picture = made.cluster_state
    if what == "apply":
        _, items, removed, complete = step
        assert isinstance(items, list)
        assert isinstance(removed, list)
        view = seen(
            *items,
            removed=() if complete else tuple(removed),
            version=picture.version + 1,
            complete=bool(complete),
        )
        for _ in picture.apply_in_parts(view):
            made.merge()
    elif what == "fold":
        made.folds[str(step[1])] = not made.folds.get(str(step[1]), False)
    elif what == "star":
        made.favorites = made.favorites ^ {str(step[1])}
    elif what == "use":
        key = str(step[1])
        others = [other for other in made.recent if other != key]
        made.recent = {one: place for place, one in enumerate([key, *others])}
    elif what == "query":
        made.query = parse_query(str(step[1]))
    else:
        setattr(made, str(what), step[1])


def plainly(made: EntryList) -> tuple[str, ...]:
    """Return the expected keys of `EntryList`, computed simply."""
    picture, query = made.cluster_state, made.query
    base = {
        EntryKind.PODS: [*picture.pods],
        EntryKind.SERVICES: [*picture.services],
        EntryKind.WORKLOADS: [*picture.workloads, *picture.pods],
    }[made.kind]
    entries = {key: entry for key in base if (entry := entry_of(picture, key)) is not None}
    scores = {
        key: score
        for key in base
        if (score := query.score(entries[key]) if query else 0) is not None
    }
    groups: dict[str, list[str]] = {}
    for key, entry in entries.items():
        owner = owner_key(entry.item) if isinstance(entry.item, Pod) else None
        beneath = made.kind is EntryKind.WORKLOADS and owner in picture.workloads
        groups.setdefault(owner if beneath and owner else key, []).append(key)

    is_default = not is_sorted(made.kind, made.order)

    def rank(keys: list[str], key: str) -> tuple[object, ...]:
        like = min((one not in made.favorites, made.recent.get(one, 10**9)) for one in keys)
        first = 0 if is_default else sort_value(entries[key], made.order)
        best = max(scores.get(one, -1) for one in keys)
        kind, _, name = key.partition("/")
        return like if is_default else (), -best, first, name.split("/"), kind

    shown: list[str] = []
    for top in sorted(groups, key=lambda key: rank(groups[key], key)):
        pods = [key for key in groups[top] if key in scores and key != top]
        if top in scores or pods:
            shown.append(top)
        is_ready = top not in picture.workloads or not entries[top].in_trouble
        if query or not made.folds.get(
            top, made.room is not None and len(entries) > made.room and is_ready
        ):
            shown += sorted(pods, key=lambda key: rank([key], key))
    return tuple(shown)


@given(
    st.lists(ITEMS, max_size=12),
    st.sampled_from(QUERIES),
    st.sampled_from(ORDERS),
    st.lists(st.lists(STEP, min_size=1, max_size=3), min_size=2, max_size=8),
)
def test_incremental_update_equals_a_full_rebuild(
    items: list[Pod | Workload | Service], text: str, order: SortOrder, batches: list[list[Step]]
) -> None:
    made, picture = listing(
        workload("web"),
        workload("api"),
        owned("web-1", "web", created_at=1.0, restarts=1),
        owned("web-2", "web", created_at=2.0),
        owned("w", "web", created_at=3.0, ready=False),
        owned("a-web", "api", created_at=3.0),
        owned("cobweb", "api", restarts=2),
        *items,
    )
    made.query, made.order = parse_query(text), order
    for batch in batches:
        shown = {key: made.entry(key) for key in made.keys}
        with mock.patch.object(cluster_state, "_PART", 2):
            for step in batch:
                take(made, step)
        if not picture.is_all_new:
            assert all(map(made.entry, shown)), "what is shown can be acted on until the update"
        made.update()
        assert made.keys == plainly(made)
        for key in (*picture.pods, *picture.workloads, *picture.services):
            assert made.entry(key) == entry_of(picture, key)


def test_rows_stay_until_an_update_and_rows_that_are_gone_have_their_entries() -> None:
    made, picture = listing(
        workload("web"), owned("web-1", "web"), owned("web-2", "web"), pod("alone")
    )
    shown = made.keys
    for _ in picture.apply_in_parts(seen(removed=("pods/shop/web-1",), version=2)):
        pass
    made.merge()
    assert made.keys == shown
    gone = made.entry("pod/shop/web-1")
    assert gone is not None
    assert gone.name == "web-1"
    made.update()
    assert made.keys == ("pod/shop/alone", "deploy/shop/web", "pod/shop/web-2")
    assert made.entry("pod/shop/web-1") is None


def test_search_keeps_no_entries_of_pods() -> None:
    made, _ = listing(*(pod(f"web-{number}") for number in range(50)), view=EntryKind.PODS)
    made.query = parse_query("web")
    made.update()
    assert len(made.keys) == 50
    assert not made._cache.made
    assert made.entry("pod/shop/web-1") is not None


def test_view_of_another_scope_changes_nothing() -> None:
    made, picture = listing(pod("a"), view=EntryKind.PODS)
    assert not picture.apply(CatalogView(scope=SHOP, version=9, complete=True))
    made.update()
    assert made.keys == ("pod/shop/a",)
