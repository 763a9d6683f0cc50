from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from tests.catalog.harness import Setup, view
from tests.kube.api_server import Request
from tests.kube.kubeconfigs import kubeconfig, write
from tests.kube.objects import pod, service, workload
from tests.support.waiting import until
from tui_forward.catalog import Catalog, informer
from tui_forward.errors import ConfigError
from tui_forward.kube.api import pager, retries
from tui_forward.model import BlockedBy, CatalogScope, CatalogView, TargetKind

SHOP = CatalogScope("test", "shop")
ALL = CatalogScope("test")


def synced(found: CatalogView) -> bool:
    return all(r.synced or r.error for r in found.resources)


def names(found: CatalogView) -> list[str]:
    return sorted(p.name for p in found.pods)


def status(found: CatalogView, resource: str) -> tuple[bool, int, str, bool]:
    one = next(r for r in found.resources if r.resource == resource)
    return one.synced, one.count, one.error, one.forbidden


def fill(setup: Setup) -> None:
    server = setup.server
    server.put("namespaces", {"metadata": {"name": "shop"}, "status": {"phase": "Active"}})
    server.put("namespaces", {"metadata": {"name": "other"}})
    server.put("pods", pod("web-1"))
    server.put("pods", pod("web-2", ready_at="2026-01-02T00:00:00Z"))
    server.put("pods", pod("stray", namespace="other"))
    server.put("services", service())
    for plural in ("deployments", "statefulsets", "daemonsets", "replicasets", "jobs"):
        server.put(plural, workload("web"))


async def test_view_follows_a_scope_and_never_waits(setup: Setup) -> None:
    fill(setup)
    first = setup.catalog.view(SHOP)
    assert first.complete
    assert first.pods == ()
    assert not any(r.synced for r in first.resources)
    assert setup.catalog.scopes == (SHOP,)
    found = await view(setup, SHOP, synced)
    assert names(found) == ["web-1", "web-2"]
    assert sorted(n.name for n in found.namespaces) == ["other", "shop"]
    assert [s.name for s in found.services] == ["web"]
    assert sorted(str(w.kind) for w in found.workloads) == ["deploy", "ds", "job", "rs", "sts"]
    assert found.version > first.version
    assert status(found, "pods") == (True, 2, "", False)


async def test_all_namespaces(setup: Setup) -> None:
    fill(setup)
    assert names(await view(setup, ALL, synced)) == ["stray", "web-1", "web-2"]


async def test_changes_since_a_version(setup: Setup) -> None:
    fill(setup)
    before = await view(setup, SHOP, synced)
    nothing = setup.catalog.view(SHOP, before.version)
    assert not nothing.complete
    assert (nothing.pods, nothing.removed) == ((), ())
    setup.server.put("pods", pod("web-3"))
    setup.server.put("pods", pod("web-1", phase="Failed"))
    setup.server.delete("pods", "shop", "web-2")
    setup.server.delete("services", "shop", "web")
    setup.server.delete("namespaces", "", "other")
    found = await view(
        setup, SHOP, lambda v: len(v.removed) == 3 and len(v.pods) == 2, before.version
    )
    assert not found.complete
    assert names(found) == ["web-1", "web-3"]
    assert set(found.removed) == {"pods/shop/web-2", "services/shop/web", "namespaces//other"}
    assert found.services == ()
    # A replica that applies the changes has the complete content.
    replica = {f"pods/{p.namespace}/{p.name}": p for p in before.pods}
    replica |= {f"pods/{p.namespace}/{p.name}": p for p in found.pods}
    for key in found.removed:
        replica.pop(key, None)
    complete = setup.catalog.view(SHOP)
    assert complete.complete
    assert {p.name: p for p in complete.pods} == {p.name: p for p in replica.values()}


async def test_version_of_another_scope_gets_a_complete_view(setup: Setup) -> None:
    fill(setup)
    found = await view(setup, SHOP, synced)
    assert setup.catalog.view(SHOP, found.version + 1_000_000).complete
    assert setup.catalog.view(SHOP, 5).complete
    await setup.catalog.close()
    again = await view(setup, SHOP, synced, found.version)
    assert again.complete


async def test_view_survives_encoding(setup: Setup) -> None:
    fill(setup)
    found = await view(setup, SHOP, lambda v: synced(v) and v.health is not None)
    sent = msgspec.structs.replace(found, pods=())  # which `pod_parts` encodes
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(sent), type=CatalogView) == sent


async def test_first_page_is_visible_before_the_rest(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui_forward.catalog.reflector.PAGE_LIMIT", 2)
    for number in range(5):
        setup.server.put("pods", pod(f"web-{number}"))
    held = asyncio.Event()
    serve = setup.server._answer

    async def slow(request: Request, writer: asyncio.StreamWriter) -> None:
        if "continue" in request.query:
            await held.wait()
        await serve(request, writer)

    monkeypatch.setattr(setup.server, "_answer", slow)
    found = await view(setup, SHOP, lambda v: len(v.pods) == 2)
    assert not status(found, "pods")[0]
    held.set()
    found = await view(setup, SHOP, lambda v: status(v, "pods")[0])
    assert len(found.pods) == 5
    assert pager.PAGE_LIMIT == 500


@pytest.mark.parametrize("as_http", [True, False])
async def test_compacted_history_never_empties_a_view(setup: Setup, as_http: bool) -> None:
    server = setup.server
    server.too_old_as_http = as_http
    fill(setup)
    before = await view(setup, SHOP, synced)
    smallest = [99]

    async def look() -> None:
        version = 0
        while True:
            found = setup.catalog.view(SHOP)
            smallest[0] = min(smallest[0], len(found.pods))
            version = found.version
            await setup.catalog.wait(SHOP, version)

    looking = asyncio.create_task(look())
    # Changes between two watches are part of the difference.
    server.delete("pods", "shop", "web-2")
    server.put("pods", pod("web-3"))
    server.compact()
    await server.end_watches()
    try:
        found = await view(setup, SHOP, lambda v: bool(v.removed), before.version)
        assert not found.complete
        assert names(found) == ["web-3"]
        assert found.removed == ("pods/shop/web-2",)
        assert names(setup.catalog.view(SHOP)) == ["web-1", "web-3"]
        assert smallest[0] >= 1
        assert status(found, "pods")[2] == ""
    finally:
        looking.cancel()
        await asyncio.wait({looking})


async def test_forbidden_resource_does_not_hide_the_others(setup: Setup) -> None:
    fill(setup)
    setup.server.denied = {("*", "jobs"), ("*", "namespaces")}
    found = await view(setup, SHOP, synced)
    assert names(found) == ["web-1", "web-2"]
    synced_, count, error, forbidden = status(found, "jobs")
    assert (synced_, count, forbidden) == (False, 0, True)
    assert "not allowed to list jobs.batch in namespace shop" in error
    assert status(found, "namespaces")[3]
    hint = next(r.hint for r in found.resources if r.resource == "namespaces")
    assert "Type the name of a namespace" in hint
    assert status(found, "services") == (True, 1, "", False)


async def test_forbidden_namespaces_hint_to_type_a_name(setup: Setup) -> None:
    fill(setup)
    setup.server.denied = {("*", "pods")}
    found = await view(setup, ALL, synced)
    one = next(r for r in found.resources if r.resource == "pods")
    assert one.forbidden
    assert "Choose one namespace" in one.hint
    assert one.forbidden_in == ()


async def test_refused_list_of_all_namespaces_is_one_of_each(setup: Setup) -> None:
    fill(setup)
    setup.server.denied_all_namespaces = {"pods"}
    found = await view(setup, ALL, synced)
    assert names(found) == ["stray", "web-1", "web-2"]
    one = next(r for r in found.resources if r.resource == "pods")
    assert not one.forbidden
    assert one.error == ""


async def test_resource_unknown_to_the_server(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "_LONGEST_RESET_PAUSE_S", 0.001)
    fill(setup)

    def unknown(request: Request) -> None:
        if request.plural == "jobs":
            raise ConnectionResetError

    setup.server.intercept = unknown
    found = await view(setup, SHOP, lambda v: bool(status(v, "jobs")[2]) and status(v, "pods")[0])
    assert "broke" in status(found, "jobs")[2]


async def test_health_and_credentials(tmp_path: Path, secure_setup: Setup) -> None:
    fill(secure_setup)
    secure_setup.server.tokens = {"good"}

    def failed(found: CatalogView) -> bool:
        unhealthy = found.health is not None and found.health.ok is False
        return unhealthy and bool(status(found, "pods")[2])

    found = await view(secure_setup, SHOP, failed)
    assert found.health is not None
    assert found.health.blocked_by is BlockedBy.CREDENTIALS
    assert "has no credentials" in status(found, "pods")[2]
    rewrite(secure_setup)
    found = await view(secure_setup, SHOP, synced_all)
    assert names(found) == ["web-1", "web-2"]


async def test_health_of_a_server_that_answers_again_after_a_login(
    secure_setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(informer, "_HEALTH_INTERVAL_S", 3600)
    fill(secure_setup)
    secure_setup.server.tokens = {"good"}
    await view(secure_setup, SHOP, lambda v: v.health is not None and v.health.ok is False)
    rewrite(secure_setup)
    await view(secure_setup, SHOP, lambda v: v.health is not None and v.health.ok is True)


def synced_all(found: CatalogView) -> bool:
    return all(r.synced and not r.error for r in found.resources)


def rewrite(setup: Setup) -> None:
    write(setup.path, kubeconfig(setup.server.url, user={"token": "good"}))


async def test_health_of_a_recovered_server(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(informer, "_HEALTH_INTERVAL_S", 0.02)
    fill(setup)
    await view(setup, SHOP, lambda v: v.health is not None and v.health.ok is True)
    port = setup.server.port
    await setup.server.stop()
    found = await view(setup, SHOP, lambda v: v.health is not None and v.health.ok is False)
    assert names(found) == ["web-1", "web-2"]
    found = await view(setup, SHOP, lambda v: bool(status(v, "pods")[2]))
    assert "refuses connections" in status(found, "pods")[2]
    assert names(found) == ["web-1", "web-2"]
    setup.server.put("pods", pod("web-9"))
    await setup.server.start(port)
    found = await view(setup, SHOP, lambda v: "web-9" in names(v) and synced_all(v))
    assert found.health is not None


async def test_unknown_context_is_part_of_the_view(setup: Setup) -> None:
    found = setup.catalog.view(CatalogScope("nope", "shop"))
    assert found.health is not None
    assert found.health.blocked_by is BlockedBy.CONFIG
    assert 'no context "nope"' in found.health.error
    assert setup.catalog.scopes == ()
    with pytest.raises(ConfigError):
        await setup.catalog.wait(CatalogScope("nope", "shop"), 0)


async def test_unused_scope_is_dropped(setup: Setup) -> None:
    catalog = Catalog(setup.clusters.get, idle_s=0.05)
    catalog.view(SHOP)
    with catalog.retain(ALL):
        await until(lambda: SHOP not in catalog.scopes)
        assert ALL in catalog.scopes
    await until(lambda: catalog.scopes == ())
    assert not catalog.view(SHOP).pods
    await catalog.close()


async def test_pods_behind_an_object(setup: Setup) -> None:
    fill(setup)
    await view(setup, SHOP, synced)

    def behind(kind: TargetKind, name: str) -> list[str]:
        return [p.name for p in setup.catalog.pods_of(SHOP, "shop", kind, name)]

    assert behind(TargetKind.SERVICE, "web") == ["web-1", "web-2"]
    assert behind(TargetKind.DEPLOYMENT, "web") == ["web-1", "web-2"]
    assert behind(TargetKind.JOB, "web") == ["web-1", "web-2"]
    assert behind(TargetKind.SELECTOR, "app=web") == ["web-1", "web-2"]
    assert behind(TargetKind.POD, "web-2") == ["web-2"]
    assert behind(TargetKind.POD, "x") == []
    assert behind(TargetKind.SERVICE, "x") == []


async def test_refresh_reconnects_every_watch(setup: Setup) -> None:
    fill(setup)
    await view(setup, SHOP, synced)
    await until(lambda: setup.server.count("watch", "pods") == 1)
    setup.catalog.refresh()
    await until(lambda: setup.server.count("watch", "pods") == 2)
    assert setup.server.count("list", "pods") == 1
