from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_forward.engine.proxy.names import (
    ClusterName,
    PodName,
    ServiceName,
    parse_cluster_name,
    parse_localhost_name,
)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("web", [ServiceName("shop", "web")]),
        ("db.data", [ServiceName("data", "db"), ServiceName("shop", "data", pod="db")]),
        ("db.data.svc", [ServiceName("data", "db")]),
        ("db.data.svc.cluster.local", [ServiceName("data", "db")]),
        ("db-0.db.data", [ServiceName("data", "db", pod="db-0")]),
        ("db-0.db.data.svc", [ServiceName("data", "db", pod="db-0")]),
        ("db-0.db.data.svc.cluster.local", [ServiceName("data", "db", pod="db-0")]),
        ("web-1.shop.pod", [PodName("shop", "web-1")]),
        ("10-1-2-3.shop.pod.cluster.local", [PodName("shop", "10-1-2-3")]),
        ("web.cluster.local", []),
        ("a.b.c.d", []),
        ("we_b.shop", []),
        ("web..shop", []),
        ("x" * 64, []),
    ],
)
def test_names_of_the_cluster(host: str, expected: list[ClusterName]) -> None:
    found, _ = parse_cluster_name(host, namespace="shop", domain="cluster.local")
    assert list(found) == expected


@pytest.mark.parametrize(
    ("host", "is_explicit"),
    [
        ("web", True),
        ("web.shop.svc", True),
        ("web.shop.pod", True),
        ("anything.cluster.local", True),
        ("example.com", False),
        ("www.example.com", False),
        ("a.b.example.com", False),
    ],
)
def test_names_that_cannot_be_of_the_internet(host: str, is_explicit: bool) -> None:
    assert parse_cluster_name(host, namespace="shop", domain="cluster.local")[1] is is_explicit


def test_another_domain() -> None:
    found, is_explicit = parse_cluster_name(
        "web.shop.svc.k8s.acme.test", namespace="default", domain="k8s.acme.test"
    )
    assert (found, is_explicit) == ((ServiceName("shop", "web"),), True)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("web.shop.svc.k8s.acme.test", [ServiceName("shop", "web")]),
        ("db-0.db.data.svc.k8s.acme.test", [ServiceName("data", "db", pod="db-0")]),
        ("a.b.c.d.svc.acme.test", []),
    ],
)
def test_a_domain_that_is_not_known(host: str, expected: list[ClusterName]) -> None:
    found, is_explicit = parse_cluster_name(host, namespace="default", domain="cluster.local")
    assert list(found) == expected
    assert not is_explicit


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("web.localhost", ("web", "")),
        ("web.shop.localhost", ("web.shop", "")),
        ("web.shop.8080.localhost", ("web.shop", "8080")),
        ("web.shop.http.localhost", ("web.shop", "http")),
        ("web.shop.svc.localhost", ("web.shop.svc", "")),
        ("db-0.db.data.svc.5432.localhost", ("db-0.db.data.svc", "5432")),
        ("web-1.shop.pod.8080.localhost", ("web-1.shop.pod", "8080")),
        ("localhost", None),
        ("web.shop.test", None),
        ("a.b.c.d.localhost", None),
        ("a.b.svc.1.2.localhost", None),
        ("we b.localhost", None),
    ],
)
def test_names_of_localhost(host: str, expected: tuple[str, str] | None) -> None:
    assert parse_localhost_name(host) == expected


def test_a_pod_by_its_address() -> None:
    assert PodName("shop", "10-1-2-3").address == "10.1.2.3"
    assert PodName("shop", "web-1").address == ""
    assert PodName("shop", "fd00--7").address == "fd00::7"
    assert PodName("shop", "2001-db8-0-0-0-0-0-7").address == "2001:db8::7"
    assert PodName("shop", "web--1").address == ""


@given(st.text(alphabet="ab.-1%[]:/\0é", max_size=30))
def test_garbage_has_no_meaning_or_a_valid_one(host: str) -> None:
    found, _ = parse_cluster_name(host, namespace="shop", domain="cluster.local")
    for name in found:
        parts = (name.namespace, name.pod) + (
            (name.service,) if isinstance(name, ServiceName) else ()
        )
        assert all(part.isascii() and "." not in part and "/" not in part for part in parts)
    parse_localhost_name(host)
