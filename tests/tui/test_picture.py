from __future__ import annotations

import msgspec

from tests.tui.samples import SHOP, pod, view
from tui_forward.model import CatalogScope, CatalogView, DeclaredPort, ResourceStatus
from tui_forward.tui.picture import Picture, pod_key, port_word


def test_a_whole_view_replaces_everything() -> None:
    picture = Picture(SHOP)
    assert picture.apply(view(pod("b"), pod("a")))
    assert list(picture.pods) == ["shop/a", "shop/b"]
    assert picture.apply(view(pod("c"), version=2))
    assert list(picture.pods) == ["shop/c"]
    assert picture.version == 2
    assert picture.health is not None


def test_changes_are_put_in_their_place() -> None:
    picture = Picture(SHOP)
    picture.apply(view(pod("a"), pod("c")))
    changed = msgspec.structs.replace(pod("a"), restarts=3)
    delta = CatalogView(
        scope=SHOP, version=2, complete=False, pods=(pod("b"), changed),
        removed=("pods/shop/c", "namespaces//default", "pods/shop/never-seen"),
    )  # fmt: skip
    assert picture.apply(delta)
    assert list(picture.pods) == ["shop/a", "shop/b"]
    assert picture.pods["shop/a"].restarts == 3
    assert list(picture.namespaces) == ["kube-system", "shop"]


def test_no_change_is_no_change_but_trouble_is_kept() -> None:
    picture = Picture(SHOP)
    picture.apply(view(pod("a")))
    status = ResourceStatus(resource="pods", error="forbidden", hint="ask")
    same = CatalogView(scope=SHOP, version=1, complete=False, resources=(status,))
    assert not picture.apply(same)
    assert picture.trouble("pods") == status
    assert picture.trouble("services") is None


def test_an_answer_about_another_scope_is_ignored() -> None:
    picture = Picture(SHOP)
    assert not picture.apply(view(pod("a"), scope=CatalogScope("here", "other")))
    assert not picture.pods


def test_ports_are_named_where_the_name_is_unique() -> None:
    twice = DeclaredPort(number=1, name="http"), DeclaredPort(number=2, name="http")
    assert port_word(pod("a"), pod("a").ports[0]) == "http"
    assert port_word(pod("a", ports=twice), twice[0]) == "1"
    assert port_word(pod("a"), DeclaredPort(number=7)) == "7"
    assert pod_key(pod("a")) == "shop/a"
