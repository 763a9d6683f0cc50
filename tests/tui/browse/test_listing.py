from __future__ import annotations

import msgspec
from hypothesis import given, settings
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
from tui_forward.tui.browse.listing import Listing, Sort, View
from tui_forward.tui.browse.query import parse
from tui_forward.tui.picture import Picture

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
    *items: Pod | Workload | Service, view: View = View.WORKLOADS
) -> tuple[Listing, Picture]:
    picture = Picture(ALL)
    picture.apply(seen(*items, complete=True))
    made = Listing(picture)
    made.view = view
    made.update()
    return made, picture


def seen(
    *items: Pod | Workload | Service, removed: tuple[str, ...] = (), version: int = 1,
    complete: bool = False,
) -> CatalogView:  # fmt: skip
    return CatalogView(
        scope=ALL, version=version, complete=complete, removed=removed,
        pods=tuple(item for item in items if isinstance(item, Pod)),
        workloads=tuple(item for item in items if isinstance(item, Workload)),
        services=tuple(item for item in items if isinstance(item, Service)),
    )  # fmt: skip


def test_pods_stand_beneath_their_workload_and_alone_without_one() -> None:
    made, _ = listing(
        workload("web"), owned("web-1", "web"), owned("web-2", "web"), pod("alone"),
        owned("lost-1", "lost"), workload("api"),
    )  # fmt: skip
    assert made.keys == (
        "pod/shop/alone", "deploy/shop/api", "pod/shop/lost-1", "deploy/shop/web",
        "pod/shop/web-1", "pod/shop/web-2",
    )  # fmt: skip
    assert [made.depth(key) for key in made.keys] == [0, 0, 0, 0, 1, 1]
    assert made.folds("deploy/shop/web")
    assert not made.folds("deploy/shop/api")


def test_replica_sets_of_deployments_are_not_listed() -> None:
    replicas = msgspec.structs.replace(
        workload("web-6d8c", kind=TargetKind.REPLICASET), owner=OwnerRef("Deployment", "web")
    )
    made, _ = listing(workload("web"), replicas)
    assert made.keys == ("deploy/shop/web",)


def test_a_folded_workload_hides_its_pods_but_not_what_is_searched_for() -> None:
    made, _ = listing(workload("web"), owned("web-1", "web"))
    made.folded.add("deploy/shop/web")
    made.update()
    assert list(made.keys) == ["deploy/shop/web"]
    made.query = parse("web-1")
    made.update()
    assert list(made.keys) == ["deploy/shop/web", "pod/shop/web-1"]


def test_a_workload_has_the_ports_and_restarts_of_its_pods() -> None:
    other = DeclaredPort(number=1, name="other", container="sidecar")
    one, two = owned("web-1", "web", restarts=2), owned("web-2", "web", ports=(other,), restarts=3)
    made, picture = listing(workload("web"), one, two)
    entry = made.entry("deploy/shop/web")
    assert entry is not None
    assert [port.name for port in entry.ports] == ["http", "metrics", "dns", "other"]
    assert (entry.restarts, entry.pods) == (5, 2)
    picture.apply(seen(removed=("pods/shop/web-2",), version=2))
    made.update()
    entry = made.entry("deploy/shop/web")
    assert entry is not None
    assert (entry.restarts, entry.pods, len(entry.ports)) == (2, 1, 3)


def test_services_are_listed_with_their_own_ports() -> None:
    port = DeclaredPort(number=80, name="http", target="8080")
    made, _ = listing(Service(namespace="shop", name="web", ports=(port,)), view=View.SERVICES)
    assert made.keys == ("svc/shop/web",)
    entry = made.entry("svc/shop/web")
    assert entry is not None
    assert entry.ports == (port,)


def test_favourites_first_then_what_was_used_lately_then_the_sort() -> None:
    made, _ = listing(*(pod(name) for name in "abcd"), view=View.PODS)
    made.favourites = {"pod/shop/d"}
    made.recent = {"pod/shop/c": 0}
    made.update()
    assert [key[-1] for key in made.keys] == ["d", "c", "a", "b"]


def test_sorts() -> None:
    bad = msgspec.structs.replace(pod("z"), ready=False, phase="Running")
    old, young = (
        msgspec.structs.replace(pod(name), created_at=at, restarts=int(at))
        for name, at in (("a", 5.0), ("b", 9.0))
    )
    made, _ = listing(old, young, bad, view=View.PODS)
    orders = {}
    for sort in Sort:
        made.sort = sort
        made.update()
        orders[sort] = "".join(key[-1] for key in made.keys)
    assert orders == {
        Sort.NAME: "abz", Sort.TROUBLE: "zab", Sort.AGE: "baz", Sort.RESTARTS: "baz",
    }  # fmt: skip


def test_the_best_match_comes_first() -> None:
    made, _ = listing(pod("cobweb"), pod("web"), pod("a-web"), view=View.PODS)
    made.query = parse("web")
    made.update()
    assert made.keys == ("pod/shop/web", "pod/shop/a-web", "pod/shop/cobweb")


NAMES = st.sampled_from(["web-1", "web-2", "api-1", "db", "w"])
SPACES = st.sampled_from(["shop", "data"])
PODS = st.builds(
    lambda name, space, owner, restarts, ready: msgspec.structs.replace(
        pod(name, namespace=space), restarts=restarts, ready=ready,
        owner=OwnerRef("Deployment", owner) if owner else None,
    ),
    NAMES, SPACES, st.sampled_from(["", "web", "api"]), st.integers(0, 2), st.booleans(),
)  # fmt: skip
WORKLOADS = st.builds(workload, st.sampled_from(["web", "api"]), SPACES, ready=st.integers(0, 1))
REMOVED = st.builds(
    lambda what, space, name: f"{what}/{space}/{name}",
    st.sampled_from(["pods", "deployments"]), SPACES, st.one_of(NAMES, st.sampled_from(["web"])),
)  # fmt: skip
STEPS = st.one_of(
    st.tuples(st.lists(st.one_of(PODS, WORKLOADS), max_size=4), st.lists(REMOVED, max_size=3)),
    st.sampled_from(list(View)),
    st.sampled_from(list(Sort)),
    st.sampled_from(["", "w", "we", "web", "web n", "!web", "ns:da", "api", "web-1 ns:shop"]),
    st.sampled_from(["fold", "star"]),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(STEPS, max_size=12))
def test_kept_current_is_the_same_as_made_anew(steps: list[object]) -> None:
    made, picture = listing(workload("web"), owned("web-1", "web"))
    version = 1
    for step in steps:
        if isinstance(step, View):
            made.view = step
        elif isinstance(step, Sort):
            made.sort = step
        elif step == "fold":
            made.folded ^= {"deploy/shop/web"}
        elif step == "star":
            made.favourites = made.favourites ^ {"pod/data/db", "deploy/data/api"}
        elif isinstance(step, str):
            made.query = parse(step)
        elif isinstance(step, tuple):
            version += 1
            items, removed = step
            picture.apply(seen(*items, removed=tuple(removed), version=version))
        made.update()
        anew = Listing(picture)
        anew.view, anew.sort, anew.query = made.view, made.sort, made.query
        anew.folded, anew.favourites = made.folded, made.favourites
        changes = picture.changes
        picture.changes = lambda: None  # type: ignore[method-assign]
        anew.update()
        picture.changes = changes  # type: ignore[method-assign]
        assert made.keys == anew.keys
        for key in made.keys:
            assert made.entry(key) == anew.entry(key)


def test_another_scope_s_view_changes_nothing() -> None:
    made, picture = listing(pod("a"), view=View.PODS)
    assert not picture.apply(CatalogView(scope=SHOP, version=9, complete=True))
    made.update()
    assert made.keys == ("pod/shop/a",)
