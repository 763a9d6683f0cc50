from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.catalog.harness import Setup
from tests.catalog.test_namespaced_reflectors import Role
from tests.kube.api_server import Reply, Request, serving, status_body
from tests.kube.objects import endpoint_slice, pod, service
from tests.support.waiting import until
from tui_forward.catalog import cluster_directory
from tui_forward.catalog.cluster_directory import CatalogClusterDirectory
from tui_forward.catalog.lookup_cache import LookupCache
from tui_forward.errors import ApiError, TransportError
from tui_forward.model import ReasonCode


@pytest.fixture
async def setup(tmp_path: Path) -> AsyncIterator[Setup]:
    async with serving() as server:
        for name in ("shop", "data"):
            server.put("namespaces", {"metadata": {"name": name}})
        web = service("web", cluster_ip="10.96.0.10")
        web["spec"]["clusterIPs"] = ["10.96.0.10", "fd00::10"]
        server.put("services", web)
        server.put("services", service("db", "data", cluster_ip="None"))
        server.put("pods", pod("web-1", ip="10.1.0.1"))
        dual = pod("web-6", ip="10.1.0.6")
        dual["status"]["podIPs"] = [{"ip": "10.1.0.6"}, {"ip": "fd00::7"}]
        server.put("pods", dual)
        server.put("pods", pod("done-1", ip="10.1.0.2", phase="Succeeded"))
        live = Setup(server, tmp_path / "config")
        yield live
        await live.close()


@pytest.fixture
async def directory(setup: Setup) -> AsyncIterator[CatalogClusterDirectory]:
    directory = CatalogClusterDirectory(setup.clusters.get())
    yield directory
    await directory.close()


async def test_services_by_name_and_address(directory: CatalogClusterDirectory) -> None:
    for namespace, name in (("shop", "web"), ("data", "db")):
        found = await directory.find_service(namespace, name)
        assert found is not None
        assert found.name == name
    assert await directory.find_service("shop", "db") is None
    for address in ("10.96.0.10", "fd00::10"):
        found = await directory.find_service_at(address)
        assert found is not None
        assert found.name == "web"
    assert await directory.find_service_at("None") is None
    assert directory.namespaces == ("data", "shop")
    assert directory.count == 2
    assert directory.problem is None


async def test_names_cost_one_list(setup: Setup, directory: CatalogClusterDirectory) -> None:
    await asyncio.gather(*(directory.find_service("shop", "web") for _ in range(50)))
    await asyncio.gather(*(directory.find_service("shop", "nope") for _ in range(50)))
    assert setup.server.count("list", "services") == 1
    assert setup.server.count("get", "services") == 0


async def test_changes_are_followed(setup: Setup, directory: CatalogClusterDirectory) -> None:
    assert await directory.find_service("shop", "new") is None
    setup.server.put("services", service("new", cluster_ip="10.96.0.11"))
    await until(lambda: directory.count == 3)
    assert await directory.find_service("shop", "new") is not None
    setup.server.delete("services", "shop", "new")
    await until(lambda: directory.count == 2)
    assert await directory.find_service_at("10.96.0.11") is None


async def test_similar_names(directory: CatalogClusterDirectory) -> None:
    await directory.find_service("shop", "web")
    assert directory.similar_names("shop", "wep") == ("web.shop",)
    assert directory.similar_names("data", "web")[0] == "web.shop"
    assert directory.similar_names("dat", "db") == ("db.data",)
    assert directory.similar_names("shop", "completely-different") == ()


async def test_pods_by_address(setup: Setup, directory: CatalogClusterDirectory) -> None:
    for _ in range(2):
        found = await directory.find_pod_at("10.1.0.1")
        assert found is not None
        assert found.name == "web-1"
    assert await directory.find_pod_at("10.1.0.2") is None  # it has ended
    assert await directory.find_pod_at("10.1.0.9") is None


async def test_pods_by_their_second_address(
    setup: Setup, directory: CatalogClusterDirectory
) -> None:
    for address in ("10.1.0.6", "fd00::7", "fd00::7"):
        found = await directory.find_pod_at(address)
        assert found is not None
        assert found.name == "web-6"
    assert await directory.find_pod_at("fd00::8") is None
    lists = 3 + 1  # one for each address, and one of all pods
    assert setup.server.count("list", "pods") == lists
    setup.server.intercept = Role({"": {"namespaces"}, "shop": {"services", "pods"}})
    other = CatalogClusterDirectory(setup.clusters.get())
    assert await other.find_service("shop", "web") is not None
    found = await other.find_pod_at("fd00::7")
    assert found is not None
    assert found.name == "web-6"
    await other.close()


async def test_pods_of_a_cluster_without_second_addresses_are_listed_once(
    setup: Setup, directory: CatalogClusterDirectory
) -> None:
    setup.server.delete("pods", "shop", "web-6")
    for number in range(3):
        assert await directory.find_pod_at(f"10.1.9.{number}") is None
    assert setup.server.count("list", "pods") == 3 + 1


async def test_addresses_of_nodes_are_none_of_pods(
    setup: Setup, directory: CatalogClusterDirectory
) -> None:
    agent = pod("agent-1", ip="10.0.0.9")
    agent["spec"]["hostNetwork"] = True
    agent["status"]["podIPs"] = [{"ip": "10.0.0.9"}, {"ip": "fd00::9"}]
    setup.server.put("pods", agent)
    assert await directory.find_pod_at("10.0.0.9") is None
    assert await directory.find_pod_at("fd00::9") is None


async def test_endpoints_by_host_name(setup: Setup, directory: CatalogClusterDirectory) -> None:
    db = await directory.find_service("data", "db")
    assert db is not None
    # Without a slice, the pods of a StatefulSet are called like their hosts.
    assert await directory.find_endpoint(db, "db-0") == "db-0"
    entry = {
        "addresses": ["10.1.0.5"],
        "hostname": "first",
        "targetRef": {"kind": "Pod", "name": "db-7", "namespace": "data"},
    }
    other = {
        "addresses": ["fd00::8"],
        "targetRef": {"kind": "Pod", "name": "db-8", "namespace": "data"},
    }
    each = endpoint_slice("db-x", entry, other)
    each["metadata"] |= {"namespace": "data", "labels": {"kubernetes.io/service-name": "db"}}
    setup.server.put("endpointslices", each)
    assert await directory.find_endpoint(db, "first") == "db-7"
    assert await directory.find_endpoint(db, "10-1-0-5") == "db-7"
    assert await directory.find_endpoint(db, "fd00--8") == "db-8"
    assert await directory.find_endpoint(db, "db-9") == ""


async def test_services_that_may_not_be_listed_are_read(
    setup: Setup, directory: CatalogClusterDirectory
) -> None:
    def refuse_lists(request: Request) -> Reply | None:
        is_list = request.plural == "services" and not request.path.endswith("/web")
        if not (is_list or request.plural == "namespaces"):
            return None
        return Reply(403, status_body(403, "Forbidden", "services is forbidden"))

    setup.server.intercept = refuse_lists
    for _ in range(3):
        found = await directory.find_service("shop", "web")
        assert found is not None
        assert found.name == "web"
    assert setup.server.count("get", "services") == 1
    with pytest.raises(ApiError) as caught:
        await directory.find_service("shop", "other")
    assert caught.value.forbidden
    assert directory.problem is not None
    assert directory.problem.code is ReasonCode.RBAC_FORBIDDEN


async def test_a_role_of_one_namespace(setup: Setup, directory: CatalogClusterDirectory) -> None:
    setup.server.intercept = Role({"": {"namespaces"}, "shop": {"services", "pods"}})
    assert await directory.find_service("shop", "web") is not None
    assert await directory.find_service("shop", "nope") is None
    with pytest.raises(ApiError):
        await directory.find_service("data", "db")
    found = await directory.find_pod_at("10.1.0.1")
    assert found is not None


async def test_an_api_server_that_does_not_answer(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_directory, "_FIRST_LIST_TIMEOUT_S", 0.2)
    setup.server.intercept = lambda _: Reply(503, status_body(503, "ServiceUnavailable", "later"))
    directory = CatalogClusterDirectory(setup.clusters.get())
    with pytest.raises((ApiError, TransportError)):
        await directory.find_service("shop", "web")
    setup.server.intercept = None
    monkeypatch.undo()
    async with asyncio.timeout(60):
        while True:
            try:
                assert await directory.find_service("shop", "web") is not None
                break
            except (ApiError, TransportError):
                await asyncio.sleep(0.01)
    await directory.close()


async def test_lookups_run_once_at_a_time_and_errors_are_not_kept() -> None:
    calls = 0

    async def load() -> int:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        if calls == 1:
            raise TransportError("no")
        return calls

    cache: LookupCache[int] = LookupCache(60.0)
    results = await asyncio.gather(
        *(cache.get("a", load) for _ in range(3)), return_exceptions=True
    )
    assert [type(one) for one in results] == [TransportError] * 3
    assert await asyncio.gather(*(cache.get("a", load) for _ in range(3))) == [2, 2, 2]
    assert await cache.get("a", load) == 2
    await cache.close()
