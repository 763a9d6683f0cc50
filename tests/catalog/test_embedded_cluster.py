"""Targets and pictures on the embedded cluster: a real API server, and its faults."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from tests.catalog.harness import reason, resolution
from tui_forward.catalog import Catalog, CatalogTargetResolver, CatalogTargetWatch
from tui_forward.kube import ClusterClients, KubeconfigSource
from tui_forward.minicluster.control_socket import ControlClient
from tui_forward.model import (
    BlockedBy,
    CatalogScope,
    CatalogView,
    Resolved,
    Target,
    TargetKind,
)

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="no unix sockets"),
    pytest.mark.timeout(120),
]
ADMIN = "minicluster"


class _Ready(msgspec.Struct):
    kubeconfig: str
    control: str


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Ready]:
    talk = tmp_path_factory.mktemp("cluster") / "stderr"
    command = [sys.executable, "-m", "tui_forward.minicluster", "--json"]
    command += ["--parent-pid", str(os.getpid())]
    with (
        talk.open("w") as stderr,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr) as process,
    ):
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line, talk.read_text()
            yield msgspec.json.decode(line, type=_Ready)
        finally:
            process.terminate()


@dataclass
class Scenario:
    control: ControlClient
    clusters: ClusterClients
    resolver: CatalogTargetResolver
    catalog: Catalog

    def watch(
        self,
        kind: TargetKind,
        name: str,
        port: str,
        *,
        context: str = ADMIN,
        namespace: str = "shop",
    ) -> CatalogTargetWatch:
        return self.resolver.watch(
            Target(context=context, namespace=namespace, kind=kind, name=name, port=port)
        )


@pytest.fixture
async def world(embedded: _Ready) -> AsyncIterator[Scenario]:
    clusters = ClusterClients(KubeconfigSource(Path(embedded.kubeconfig)))
    made = Scenario(
        ControlClient(embedded.control),
        clusters,
        CatalogTargetResolver(clusters.get),
        Catalog(clusters.get),
    )
    yield made
    await made.control.request("clear")
    await made.catalog.close()
    await made.resolver.close()
    await clusters.close()


async def ready(watch: CatalogTargetWatch) -> Resolved:
    found = await resolution(watch, lambda r: isinstance(r, Resolved) and r.ready)
    assert isinstance(found, Resolved)
    return found


async def another(watch: CatalogTargetWatch, before: Resolved) -> Resolved:
    found = await resolution(
        watch, lambda r: isinstance(r, Resolved) and r.ready and r.pod.uid != before.pod.uid
    )
    assert isinstance(found, Resolved)
    return found


async def picture(world: Scenario, scope: CatalogScope) -> CatalogView:
    async with asyncio.timeout(30):
        while True:
            view = world.catalog.view(scope)
            if all(r.synced or r.error for r in view.resources) and view.health is not None:
                return view
            await world.catalog.wait(scope, view.version)


@pytest.mark.parametrize("kind", [TargetKind.DEPLOYMENT, TargetKind.SERVICE, TargetKind.POD])
async def test_a_deleted_pod_is_followed(world: Scenario, kind: TargetKind) -> None:
    first = await ready(world.watch(TargetKind.DEPLOYMENT, "web", "http"))
    name = first.pod.name if kind is TargetKind.POD else "web"
    watch = world.watch(kind, name, "http")
    before = await ready(watch)
    await world.control.request("delete-pod", namespace="shop", pod=before.pod.name)
    after = await another(watch, before)
    assert after.port == before.port


async def test_a_stateful_pod_comes_back_under_its_name(world: Scenario) -> None:
    watch = world.watch(TargetKind.POD, "db-0", "5432", namespace="data")
    before = await ready(watch)
    await world.control.request("delete-pod", namespace="data", pod="db-0")
    assert (await another(watch, before)).pod.name == "db-0"


async def test_a_crashed_container_changes_the_incarnation(world: Scenario) -> None:
    pod = (await ready(world.watch(TargetKind.DEPLOYMENT, "web", "http"))).pod.name
    watch = world.watch(TargetKind.POD, pod, "http")
    before = await ready(watch)
    await world.control.request("crash-pod", namespace="shop", pod=before.pod.name)
    after = await resolution(
        watch,
        lambda r: isinstance(r, Resolved) and r.ready and r.incarnation != before.incarnation,
    )
    assert isinstance(after, Resolved)


async def test_the_person_with_few_rights_can_forward(world: Scenario) -> None:
    await ready(world.watch(TargetKind.SELECTOR, "app=web", "8080", context="porter"))
    pod = (await ready(world.watch(TargetKind.DEPLOYMENT, "web", "http"))).pod.name
    found = await ready(world.watch(TargetKind.POD, pod, "http", context="porter"))
    assert found.pod.name == pod
    refused = await reason(
        world.watch(TargetKind.SERVICE, "web", "http", context="porter"), "you may not"
    )
    assert refused.blocked_by is BlockedBy.FORBIDDEN


async def test_the_picture_of_the_person_with_few_rights(world: Scenario) -> None:
    view = await picture(world, CatalogScope("porter", "shop"))
    assert view.pods
    status = {r.resource: r for r in view.resources}
    assert status["pods"].synced
    assert status["namespaces"].forbidden
    assert status["services"].forbidden


async def test_the_whole_picture(world: Scenario) -> None:
    view = await picture(world, CatalogScope(ADMIN, "shop"))
    assert not [r for r in view.resources if r.error]
    assert view.health is not None
    assert {"web"} <= {w.name for w in view.workloads if w.kind is TargetKind.DEPLOYMENT}
    assert {n.name for n in view.namespaces} >= {"shop", "default"}


@pytest.mark.parametrize("gone", [False, True])
async def test_a_compacted_history_disturbs_nobody(world: Scenario, gone: bool) -> None:
    scope = CatalogScope(ADMIN, "shop")
    before = await picture(world, scope)
    watch = world.watch(TargetKind.DEPLOYMENT, "web", "http")
    current = await ready(watch)
    await world.control.request("compact")
    if gone:
        await world.control.request("gone", times=4)
    await world.control.request("cut", hop="apiserver", what="watches")
    after = await another_pod_known(world, watch, current)
    view = await picture(world, scope)
    assert after.pod.uid in {p.uid for p in view.pods}
    assert not [r for r in view.resources if r.error]
    assert world.catalog.view(scope, before.version).version >= before.version


async def another_pod_known(
    world: Scenario, watch: CatalogTargetWatch, before: Resolved
) -> Resolved:
    await world.control.request("delete-pod", namespace="shop", pod=before.pod.name)
    return await another(watch, before)


async def test_a_restarted_api_server_is_found_again(world: Scenario) -> None:
    watch = world.watch(TargetKind.SERVICE, "web", "http")
    before = await ready(watch)
    await world.control.request("restart-hop", hop="apiserver")
    assert isinstance(watch.current, Resolved)
    await another_pod_known(world, watch, before)


async def test_a_stalled_watch_is_proven_dead_by_distrust(world: Scenario) -> None:
    watch = world.watch(TargetKind.DEPLOYMENT, "web", "http")
    before = await ready(watch)
    await world.control.request("stall", hop="apiserver", what="watches")
    await world.control.request("delete-pod", namespace="shop", pod=before.pod.name)
    watch.invalidate(before.pod.uid)
    await resolution(watch, lambda r: not isinstance(r, Resolved) or r.pod.uid != before.pod.uid)
    await world.control.request("clear")
    world.resolver.refresh()
    await another(watch, before)


async def test_an_expired_token_blocks_and_a_new_one_goes_on(world: Scenario) -> None:
    await world.control.request("expire-token")
    watch = world.watch(TargetKind.DEPLOYMENT, "web", "http", context="admin-tokenfile")
    found = await reason(watch, "refused the credentials")
    assert found.blocked_by is BlockedBy.CREDENTIALS
    await world.control.request("rotate-token")
    await ready(watch)


async def test_what_cannot_be_forwarded_says_why(world: Scenario) -> None:
    for name, text in {
        "search": "deploy/search is ready: search-",
        "recommender": "ImagePull",
        "nothing": 'there is no deployment "nothing"',
    }.items():
        await reason(world.watch(TargetKind.DEPLOYMENT, name, "80"), text)
    await reason(world.watch(TargetKind.DEPLOYMENT, "web", "none"), 'no port named "none"')


async def test_news_is_fresh(world: Scenario) -> None:
    """From the delete request until the resolver knows: the API server's work included."""
    watch = world.watch(TargetKind.DEPLOYMENT, "web", "http")
    took = []
    for _ in range(3):
        before = await ready(watch)
        began = time.monotonic()
        await asyncio.gather(
            world.control.request("delete-pod", namespace="shop", pod=before.pod.name),
            watch.changed(before),
        )
        took.append(time.monotonic() - began)
        await another(watch, before)
    assert min(took) < 0.5
