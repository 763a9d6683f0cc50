from __future__ import annotations

from typing import Any

import pytest

from tests.support.fake_engine import FakeDirectory
from tui_forward.engine.proxy.router import DirectAddress, TargetRouter
from tui_forward.errors import ForwardError
from tui_forward.model import (
    Balance,
    DeclaredPort,
    PodRef,
    PortProtocol,
    ProxySpec,
    ReasonCode,
    Service,
    Target,
    TargetKind,
)

HTTP = DeclaredPort(number=80, name="http", target="8080")
SQL = DeclaredPort(number=5432, name="sql")
UDP = DeclaredPort(number=53, name="dns", protocol=PortProtocol.UDP)


def service(name: str, namespace: str = "shop", *ports: DeclaredPort, **more: Any) -> Service:
    more.setdefault("selector", f"app={name}")
    return Service(namespace=namespace, name=name, ports=ports or (HTTP,), **more)


@pytest.fixture
def directory() -> FakeDirectory:
    directory = FakeDirectory()
    directory.add(
        service("web", cluster_ip="10.96.0.10", other_cluster_ips=("fd00::10",)),
        service("db", "data", SQL, cluster_ip="None"),
        service("two", "shop", SQL, DeclaredPort(number=9090, name="metrics")),
        service("dns", "shop", UDP),
        service("bare", "shop", SQL, selector=""),
        service("alias", "shop", external_name="db.data.svc.cluster.local", selector=""),
        service("outer", "shop", external_name="db.example.com", selector=""),
        service("ring", "shop", external_name="ring.shop.svc", selector=""),
        service("kubernetes", "default", selector="", cluster_ip="10.96.0.1"),
    )
    directory.endpoints["db", "db-0"] = "db-0"
    directory.pods["10.1.0.7"] = PodRef(namespace="shop", name="web-1", uid="u1")
    directory.pods["fd00::7"] = PodRef(namespace="shop", name="web-6", uid="u6")
    return directory


def router(directory: FakeDirectory, **fields: Any) -> TargetRouter:
    return TargetRouter(ProxySpec(context="here", namespace="shop", **fields), directory)


def target(kind: TargetKind, namespace: str, name: str, port: str) -> Target:
    return Target(
        context="here", namespace=namespace, kind=kind, name=name, port=port,
        pin=kind is TargetKind.POD,
        balance=Balance.ONE if kind is TargetKind.POD else Balance.SPREAD,
    )  # fmt: skip


SERVICE, POD, SELECTOR = TargetKind.SERVICE, TargetKind.POD, TargetKind.SELECTOR


@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [
        ("web", 80, target(SERVICE, "shop", "web", "80")),
        ("WEB.shop.", 80, target(SERVICE, "shop", "web", "80")),
        ("db.data", 5432, target(SERVICE, "data", "db", "5432")),
        ("db-0.db.data.svc.cluster.local", 5432, target(POD, "data", "db-0", "5432")),
        ("10.96.0.10", 80, target(SERVICE, "shop", "web", "80")),
        ("fd00::10", 80, target(SERVICE, "shop", "web", "80")),
        ("FD00:0:0::10", 80, target(SERVICE, "shop", "web", "80")),
        ("::ffff:10.96.0.10", 80, target(SERVICE, "shop", "web", "80")),
        ("fd00::7", 8080, target(POD, "shop", "web-6", "8080")),
        ("fd00--7.shop.pod", 8080, target(POD, "shop", "web-6", "8080")),
        ("cafe--db.shop.pod", 8080, target(POD, "shop", "cafe--db", "8080")),
        ("10.1.0.7", 8080, target(POD, "shop", "web-1", "8080")),
        ("10-1-0-7.shop.pod", 8080, target(POD, "shop", "web-1", "8080")),
        ("web-9.shop.pod", 8080, target(POD, "shop", "web-9", "8080")),
        ("web", 9999, target(SELECTOR, "shop", "app=web", "9999")),
        ("bare", 9999, target(SERVICE, "shop", "bare", "9999")),
        ("alias", 5432, target(SERVICE, "data", "db", "5432")),
    ],
)
async def test_targets(directory: FakeDirectory, host: str, port: int, expected: Target) -> None:
    assert await router(directory).route(host, port) == expected


async def test_without_spreading(directory: FakeDirectory) -> None:
    found = await router(directory, spread=False).route("web", 80)
    assert isinstance(found, Target)
    assert found.balance is Balance.ONE


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("wep", ReasonCode.PROXY_NAME_UNKNOWN),
        ("web.data.svc", ReasonCode.PROXY_NAME_UNKNOWN),
        ("wep.shop", ReasonCode.PROXY_NAME_UNKNOWN),
        ("db-7.db.data.svc", ReasonCode.PROXY_NAME_UNKNOWN),
        ("10-9-9-9.shop.pod", ReasonCode.PROXY_NAME_UNKNOWN),
        ("10-1-0-7.data.pod", ReasonCode.PROXY_NAME_UNKNOWN),
        ("ring", ReasonCode.PROXY_NAME_UNKNOWN),
        ("example.com", ReasonCode.PROXY_OUTSIDE_CLUSTER),
        ("192.0.2.1", ReasonCode.PROXY_OUTSIDE_CLUSTER),
        ("127.0.0.1", ReasonCode.PROXY_OUTSIDE_CLUSTER),
        ("169.254.169.254", ReasonCode.PROXY_OUTSIDE_CLUSTER),
        ("outer", ReasonCode.TARGET_EXTERNAL_NAME),
        ("kubernetes.default", ReasonCode.PROXY_API_SERVER),
        ("10.96.0.1", ReasonCode.PROXY_API_SERVER),
    ],
)
async def test_what_has_no_target(directory: FakeDirectory, host: str, code: ReasonCode) -> None:
    with pytest.raises(ForwardError) as caught:
        await router(directory).route(host, 80)
    assert caught.value.code is code


async def test_similar_names_are_in_the_hint(directory: FakeDirectory) -> None:
    with pytest.raises(ForwardError) as caught:
        await router(directory).route("wep.shop", 80)
    assert "web.shop" in caught.value.hint


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("example.com", DirectAddress("example.com", 443)),
        ("192.0.2.1", DirectAddress("192.0.2.1", 443)),
        ("outer", DirectAddress("db.example.com", 443)),
        ("localhost", DirectAddress("localhost", 443)),
        ("127.0.0.1", DirectAddress("127.0.0.1", 443)),
        ("::1", DirectAddress("::1", 443)),
    ],
)
async def test_direct(directory: FakeDirectory, host: str, expected: DirectAddress) -> None:
    assert await router(directory, direct=True).route(host, 443) == expected


@pytest.mark.parametrize(
    "alias", ["localhost", "LOCALHOST.", "a.localhost", "127.0.0.1", "::1", "::ffff:127.0.0.1"]
)
async def test_services_do_not_lead_to_this_machine(directory: FakeDirectory, alias: str) -> None:
    directory.add(service("trap", external_name=alias, selector=""))
    for find in (
        router(directory, direct=True).route("trap", 80),
        router(directory, direct=True).route_localhost("trap.shop", "80"),
    ):
        with pytest.raises(ForwardError) as caught:
            await find
        assert caught.value.code is ReasonCode.TARGET_EXTERNAL_NAME


async def test_localhost_is_outside_the_cluster(directory: FakeDirectory) -> None:
    with pytest.raises(ForwardError) as caught:
        await router(directory).route("localhost", 80)
    assert caught.value.code is ReasonCode.PROXY_OUTSIDE_CLUSTER


@pytest.mark.parametrize("host", ["wep", "wep.shop.svc", "x.cluster.local", "kubernetes.default"])
async def test_names_of_the_cluster_are_never_passed_on(
    directory: FakeDirectory, host: str
) -> None:
    with pytest.raises(ForwardError):
        await router(directory, direct=True).route(host, 443)


@pytest.mark.parametrize(
    ("name", "port", "expected"),
    [
        ("web.shop", "", target(SERVICE, "shop", "web", "80")),
        ("web.shop", "http", target(SERVICE, "shop", "web", "http")),
        ("web.shop", "9999", target(SELECTOR, "shop", "app=web", "9999")),
        ("db.data", "", target(SERVICE, "data", "db", "5432")),
        ("two", "metrics", target(SERVICE, "shop", "two", "metrics")),
        ("alias", "5432", target(SERVICE, "data", "db", "5432")),
        ("web-9.shop.pod", "8080", target(POD, "shop", "web-9", "8080")),
        ("web-9.shop.pod", "", target(POD, "shop", "web-9", "80")),
    ],
)
async def test_names_of_localhost(
    directory: FakeDirectory, name: str, port: str, expected: Target
) -> None:
    assert await router(directory).route_localhost(name, port) == expected


@pytest.mark.parametrize(
    ("name", "port", "code"),
    [
        ("two", "", ReasonCode.PROXY_PORT_MISSING),
        ("dns", "", ReasonCode.PROXY_PORT_MISSING),
        ("wep", "", ReasonCode.PROXY_NAME_UNKNOWN),
        ("outer", "", ReasonCode.TARGET_EXTERNAL_NAME),
        ("outer", "80", ReasonCode.TARGET_EXTERNAL_NAME),
        ("alias", "nope", ReasonCode.PORT_UNKNOWN_NAME),
        ("kubernetes.default", "", ReasonCode.PROXY_API_SERVER),
    ],
)
async def test_localhost_without_a_target(
    directory: FakeDirectory, name: str, port: str, code: ReasonCode
) -> None:
    with pytest.raises(ForwardError) as caught:
        await router(directory).route_localhost(name, port)
    assert caught.value.code is code


async def test_the_ports_to_choose_from_are_in_the_hint(directory: FakeDirectory) -> None:
    with pytest.raises(ForwardError) as caught:
        await router(directory).route_localhost("two.shop", "")
    assert "two.shop.metrics.localhost" in caught.value.hint
