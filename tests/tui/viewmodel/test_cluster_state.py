from __future__ import annotations

import msgspec

from tests.tui.samples import SHOP, pod, view
from tui_forward.model import (
    CatalogScope,
    CatalogView,
    DeclaredPort,
    OwnerRef,
    Pod,
    ResourceStatus,
    Service,
    TargetKind,
    Workload,
)
from tui_forward.tui.viewmodel.cluster_state import ClusterState, pod_key, port_reference


def test_complete_view_replaces_everything() -> None:
    picture = ClusterState(SHOP)
    assert picture.apply(view(pod("b"), pod("a")))
    assert set(picture.pods) == {"pod/shop/a", "pod/shop/b"}
    assert picture.apply(view(pod("c"), version=2))
    assert set(picture.pods) == {"pod/shop/c"}
    assert picture.version == 2
    assert picture.health is not None


def test_changes_are_applied() -> None:
    picture = ClusterState(SHOP)
    picture.apply(view(pod("a"), pod("c")))
    changed = msgspec.structs.replace(pod("a"), restarts=3)
    delta = CatalogView(
        scope=SHOP, version=2, complete=False, pods=(pod("b"), changed),
        removed=("pods/shop/c", "namespaces//default", "pods/shop/never-seen"),
    )  # fmt: skip
    assert picture.apply(delta)
    assert set(picture.pods) == {"pod/shop/a", "pod/shop/b"}
    assert picture.pods["pod/shop/a"].restarts == 3
    assert list(picture.namespaces) == ["kube-system", "shop"]


def test_view_without_changes_updates_the_status_only() -> None:
    picture = ClusterState(SHOP)
    picture.apply(view(pod("a")))
    status = ResourceStatus(resource="pods", error="forbidden", hint="ask")
    same = CatalogView(scope=SHOP, version=1, complete=False, resources=(status,))
    assert not picture.apply(same)
    assert picture.resource_error("pods") == status
    assert picture.resource_error("services") is None


def test_changes_are_applied_in_parts_of_which_the_last_sets_the_version() -> None:
    picture = ClusterState(SHOP)
    picture.apply(view(pod("a")))
    many = CatalogView(
        scope=SHOP, version=2, complete=False, removed=("pods/shop/a",),
        pods=tuple(pod(f"b{number}") for number in range(199)),
    )  # fmt: skip
    parts = picture.apply_in_parts(many)
    next(parts)
    assert 0 < len(picture.pods) < 199
    assert picture.version == 1, "else the other changes are lost if this stops here"
    assert [picture.version for _ in parts] == [1, 1]
    assert (picture.version, len(picture.pods)) == (2, 199)
    complete = msgspec.structs.replace(many, version=3, complete=True)
    assert not list(picture.apply_in_parts(complete)), "half of a cluster is never shown"


def test_view_of_another_scope_is_ignored() -> None:
    picture = ClusterState(SHOP)
    assert not picture.apply(view(pod("a"), scope=CatalogScope("here", "other")))
    assert not picture.pods


def test_unique_port_names_are_used() -> None:
    twice = DeclaredPort(number=1, name="http"), DeclaredPort(number=2, name="http")
    ports = pod("a").ports
    assert port_reference(ports, ports[0]) == "http"
    assert port_reference(twice, twice[0]) == "1"
    assert port_reference(ports, DeclaredPort(number=7)) == "7"


def test_changes_are_returned_once_and_all_at_first() -> None:
    picture = ClusterState(SHOP)
    picture.apply(view(owned("a", "web"), pod("b")))
    assert picture.changes() is None
    assert picture.changes() == set()
    assert set(picture.pods_of("deploy/shop/web")) == {"pod/shop/a"}
    picture.apply(
        CatalogView(
            scope=SHOP, version=2, complete=False, removed=("pods/shop/a",),
            services=(Service(namespace="shop", name="web"),),
            workloads=(Workload(namespace="shop", name="web", kind=TargetKind.DEPLOYMENT),),
        )
    )  # fmt: skip
    # The workload has lost a pod.
    assert picture.changes() == {"pod/shop/a", "deploy/shop/web", "svc/shop/web"}
    assert set(picture.pods_of("deploy/shop/web")) == set()
    picture.apply(
        CatalogView(
            scope=SHOP, version=3, complete=False,
            removed=("services/shop/web", "deployments/shop/web", "nodes//a"),
        )
    )  # fmt: skip
    assert not picture.services
    assert not picture.workloads
    picture.apply(view(version=4))
    assert picture.changes() is None


def test_pod_with_another_owner_moves() -> None:
    picture = ClusterState(SHOP)
    picture.apply(view(owned("a", "web")))
    picture.apply(view_of(owned("a", "api"), version=2))
    assert set(picture.pods_of("deploy/shop/web")) == set()
    assert set(picture.pods_of("deploy/shop/api")) == {"pod/shop/a"}
    assert pod_key(pod("a")) == "pod/shop/a"


def view_of(changed: Pod, version: int) -> CatalogView:
    return CatalogView(scope=SHOP, version=version, complete=False, pods=(changed,))


def owned(name: str, owner: str) -> Pod:
    return msgspec.structs.replace(pod(name), owner=OwnerRef("Deployment", owner))
