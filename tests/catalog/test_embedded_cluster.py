"""Targets and views on the embedded cluster: a real API server, and its faults."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import pytest

from tests.catalog.harness import reason, resolution
from tests.support.cluster_process import ONE_NODE, ClusterProcess, running_cluster
from tests.support.waiting import until
from tui_forward.catalog import Catalog, CatalogTargetResolver, CatalogTargetWatch
from tui_forward.kube import SERVICES, ClusterClient, ClusterClients, KubeconfigSource
from tui_forward.minicluster.control_socket import ControlClient
from tui_forward.model import (
    BlockedBy,
    CatalogScope,
    CatalogView,
    Resolved,
    Target,
    TargetKind,
)
from tui_forward.reasons import blocked_by

pytestmark = pytest.mark.timeout(120)
ADMIN = "minicluster"


@pytest.fixture(scope="module")
def embedded() -> Iterator[ClusterProcess]:
    with running_cluster(*ONE_NODE) as running:
        yield running


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
async def scenario(embedded: ClusterProcess) -> AsyncIterator[Scenario]:
    clusters = ClusterClients(KubeconfigSource(embedded.kubeconfig))
    made = Scenario(
        embedded.control,
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


async def complete_view(scenario: Scenario, scope: CatalogScope) -> CatalogView:
    async with asyncio.timeout(60):
        while True:
            view = scenario.catalog.view(scope)
            if all(r.synced or r.error for r in view.resources) and view.health is not None:
                return view
            await scenario.catalog.wait(scope, view.version)


@pytest.mark.parametrize("kind", [TargetKind.DEPLOYMENT, TargetKind.SERVICE, TargetKind.POD])
async def test_deleted_pod_is_replaced(scenario: Scenario, kind: TargetKind) -> None:
    first = await ready(scenario.watch(TargetKind.DEPLOYMENT, "web", "http"))
    name = first.pod.name if kind is TargetKind.POD else "web"
    watch = scenario.watch(kind, name, "http")
    before = await ready(watch)
    await scenario.control.request("delete-pod", namespace="shop", pod=before.pod.name)
    after = await another(watch, before)
    assert after.port == before.port


async def test_statefulset_pod_returns_with_the_same_name(scenario: Scenario) -> None:
    watch = scenario.watch(TargetKind.POD, "db-0", "5432", namespace="data")
    before = await ready(watch)
    await scenario.control.request("delete-pod", namespace="data", pod="db-0")
    assert (await another(watch, before)).pod.name == "db-0"


async def test_crashed_container_changes_the_incarnation(scenario: Scenario) -> None:
    pod = (await ready(scenario.watch(TargetKind.DEPLOYMENT, "web", "http"))).pod.name
    watch = scenario.watch(TargetKind.POD, pod, "http")
    before = await ready(watch)
    await scenario.control.request("crash-pod", namespace="shop", pod=before.pod.name)
    after = await resolution(
        watch,
        lambda r: isinstance(r, Resolved) and r.ready and r.incarnation != before.incarnation,
    )
    assert isinstance(after, Resolved)


async def test_narrow_rbac_can_forward(scenario: Scenario) -> None:
    await ready(scenario.watch(TargetKind.SELECTOR, "app=web", "8080", context="porter"))
    pod = (await ready(scenario.watch(TargetKind.DEPLOYMENT, "web", "http"))).pod.name
    found = await ready(scenario.watch(TargetKind.POD, pod, "http", context="porter"))
    assert found.pod.name == pod
    refused = await reason(
        scenario.watch(TargetKind.SERVICE, "web", "http", context="porter"), "not allowed to"
    )
    assert blocked_by(refused.reason) is BlockedBy.FORBIDDEN


async def test_view_with_narrow_rbac(scenario: Scenario) -> None:
    view = await complete_view(scenario, CatalogScope("porter", "shop"))
    assert view.pods
    status = {r.resource: r for r in view.resources}
    assert status["pods"].synced
    assert status["namespaces"].forbidden
    assert status["services"].forbidden


async def test_view_of_all_namespaces_with_narrow_rbac(scenario: Scenario) -> None:
    scope = CatalogScope("porter")
    async with asyncio.timeout(60):
        while True:
            view = scenario.catalog.view(scope)
            status = {r.resource: r for r in view.resources}
            if status["pods"].synced and status["namespaces"].error:
                break
            await scenario.catalog.wait(scope, view.version)
    assert {pod.namespace for pod in view.pods} == {"shop"}
    assert status["pods"].only_in == ("shop",)
    assert not status["pods"].error
    assert status["namespaces"].forbidden


async def test_complete_view(scenario: Scenario) -> None:
    view = await complete_view(scenario, CatalogScope(ADMIN, "shop"))
    assert not [r for r in view.resources if r.error]
    assert view.health is not None
    assert {"web"} <= {w.name for w in view.workloads if w.kind is TargetKind.DEPLOYMENT}
    assert {n.name for n in view.namespaces} >= {"shop", "default"}


@pytest.mark.parametrize("gone", [False, True])
async def test_compacted_history_keeps_resolutions(scenario: Scenario, gone: bool) -> None:
    scope = CatalogScope(ADMIN, "shop")
    before = await complete_view(scenario, scope)
    watch = scenario.watch(TargetKind.DEPLOYMENT, "web", "http")
    current = await ready(watch)
    await scenario.control.request("compact")
    if gone:
        await scenario.control.request("gone", times=4)
    await scenario.control.request("cut", component="apiserver", what="watches")
    after = await another_pod_known(scenario, watch, current)
    view = await complete_view(scenario, scope)
    assert after.pod.name in {pod.name for pod in view.pods}
    assert not [r for r in view.resources if r.error]
    assert scenario.catalog.view(scope, before.version).version >= before.version


async def test_watch_with_initial_events_equals_the_list(scenario: Scenario) -> None:
    cluster = scenario.clusters.get(ADMIN)
    listed = {
        (item.name, item.resource_version)
        async for page in cluster.list_pages(SERVICES, "shop")
        for item in page.items
    }
    watched = set()
    events = cluster.watch(SERVICES, "shop", resource_version="", send_initial_events=True)
    async with asyncio.timeout(60), aclosing(events):
        async for event in events:
            if event.ends_initial_events:
                assert event.resource_version
                break
            if event.item is not None:
                watched.add((event.item.name, event.item.resource_version))
    assert watched == listed
    assert listed


async def test_watch_of_a_compacted_version_is_replaced_by_one_with_initial_events(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    starts: list[bool] = []
    start = ClusterClient.watch

    def record(*positional: Any, **options: Any) -> Any:
        starts.append(options["send_initial_events"])
        return start(*positional, **options)

    monkeypatch.setattr(ClusterClient, "watch", record)
    watch = scenario.watch(TargetKind.DEPLOYMENT, "web", "http")
    before = await ready(watch)
    await until(lambda: len(starts) >= 2)
    # The components of the cluster have watches, too.
    await scenario.control.request("gone", times=20)
    await scenario.control.request("cut", component="apiserver", what="watches")
    await until(lambda: any(starts))
    await scenario.control.request("clear")
    await another_pod_known(scenario, watch, before)
    assert scenario.clusters.get(ADMIN).offers_watch_list


@pytest.mark.kubectl
async def test_service_without_selector_leads_to_the_pods_of_its_endpoint_slices(
    scenario: Scenario, embedded: ClusterProcess
) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("no kubectl on this machine")
    known = await ready(scenario.watch(TargetKind.SERVICE, "web", "http"))
    command = [kubectl, "--kubeconfig", str(embedded.kubeconfig), "-n", "shop"]
    process = await asyncio.create_subprocess_exec(
        *command, "get", "pod", known.pod.name, "-o", "jsonpath={.status.podIP}",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    address = (await process.communicate())[0].decode()
    for name, reference in (("by-name", {"targetRef": {"kind": "Pod", "name": known.pod.name}}),
                            ("by-address", {})):  # fmt: skip
        ports = [{"name": "site", "port": 80}]
        slice_ports = [{"name": "site", "port": known.port, "protocol": "TCP"}]
        objects = [
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
             "spec": {"ports": ports}},
            {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
             "metadata": {"name": f"{name}-1", "labels": {"kubernetes.io/service-name": name}},
             "addressType": "IPv4", "ports": slice_ports,
             "endpoints": [{"addresses": [address], **reference}]},
        ]  # fmt: skip
        content = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        process = await asyncio.create_subprocess_exec(
            *command, "create", "--validate=false", "-f", "-", stdin=asyncio.subprocess.PIPE
        )
        await process.communicate(content.encode())
        assert process.returncode == 0
        found = await ready(scenario.watch(TargetKind.SERVICE, name, "site"))
        assert (found.pod.name, found.port) == (known.pod.name, known.port)


async def another_pod_known(
    scenario: Scenario, watch: CatalogTargetWatch, before: Resolved
) -> Resolved:
    await scenario.control.request("delete-pod", namespace="shop", pod=before.pod.name)
    return await another(watch, before)


async def test_restarted_api_server_is_reconnected(scenario: Scenario) -> None:
    watch = scenario.watch(TargetKind.SERVICE, "web", "http")
    before = await ready(watch)
    await scenario.control.request("restart-component", component="apiserver")
    assert isinstance(watch.current, Resolved)
    await another_pod_known(scenario, watch, before)


async def test_invalidate_detects_a_stalled_watch(scenario: Scenario) -> None:
    watch = scenario.watch(TargetKind.DEPLOYMENT, "web", "http")
    before = await ready(watch)
    await scenario.control.request("stall", component="apiserver", what="watches")
    await scenario.control.request("delete-pod", namespace="shop", pod=before.pod.name)
    watch.invalidate(before.pod.uid)
    await resolution(watch, lambda r: not isinstance(r, Resolved) or r.pod.uid != before.pod.uid)
    await scenario.control.request("clear")
    scenario.resolver.refresh()
    await another(watch, before)


async def test_expired_token_blocks_until_it_is_renewed(scenario: Scenario) -> None:
    await scenario.control.request("expire-token")
    watch = scenario.watch(TargetKind.DEPLOYMENT, "web", "http", context="admin-tokenfile")
    found = await reason(watch, "does not accept the token")
    assert blocked_by(found.reason) is BlockedBy.CREDENTIALS
    await scenario.control.request("rotate-token")
    await ready(watch)


async def test_unforwardable_targets_have_a_reason(scenario: Scenario) -> None:
    for name, text in {
        "search": "pod search-",
        "recommender": "cannot pull the image docker.io/local/recommender:9: ",
        "nothing": 'there is no deployment "nothing"',
    }.items():
        await reason(scenario.watch(TargetKind.DEPLOYMENT, name, "80"), text)
    await reason(scenario.watch(TargetKind.DEPLOYMENT, "web", "none"), 'no port named "none"')


async def test_change_is_visible_quickly(scenario: Scenario) -> None:
    """Measure from the delete request to the new resolution, the API server included."""
    watch = scenario.watch(TargetKind.DEPLOYMENT, "web", "http")
    took = []
    for _ in range(3):
        before = await ready(watch)
        began = time.monotonic()
        await asyncio.gather(
            scenario.control.request("delete-pod", namespace="shop", pod=before.pod.name),
            watch.changed(before),
        )
        took.append(time.monotonic() - began)
        await another(watch, before)
    assert min(took) < 5.0
