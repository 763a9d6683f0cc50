"""What an API server tells about stations, against one under the test's hand."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.kube.api_server import ApiServer, Reply, Request, serving, status_body
from tests.kube.kubeconfigs import cluster_for, kubeconfig, write
from tests.kube.objects import pod, service, workload
from tests.session.factories import HEALTHY, TARGET, forward
from tui_forward.common.log_source import log_source_of
from tui_forward.errors import ApiError, ForwardError, TransportError
from tui_forward.kube import ClusterClient
from tui_forward.kube.http_import import import_in_thread
from tui_forward.model import Forward, ForwardState, PodLog, PodRef, TargetKind
from tui_forward.session import cluster_facts as stations_module
from tui_forward.session import refresh_cache
from tui_forward.session.cluster_facts import ClusterInspector
from tui_forward.session.object_reads import MAX_LOG_LINES, read_log

NODE: dict[str, Any] = {
    "metadata": {"name": "node-a"},
    "status": {"nodeInfo": {"kubeletVersion": "v1.36.2"}},
}


async def pod_log(cluster: ClusterClient, one: Forward, container: str, lines: int) -> PodLog:
    return await read_log(cluster, log_source_of(one, container), lines=lines)


class Scenario:
    def __init__(self, api: ApiServer, cluster: ClusterClient) -> None:
        self.api = api
        self.cluster = cluster
        self.inspector = ClusterInspector(lambda _context, _options: cluster)
        api.put("nodes", NODE)
        api.intercept = self._answer
        self.log = b"one\ntwo\n"
        self.logs: list[dict[str, str]] = []

    def _answer(self, request: Request) -> Reply | None:
        if request.path.endswith("/log"):
            self.logs.append(request.query)
            return Reply(200, self.log, "text/plain")
        return None

    def count(self, plural: str) -> int:
        return sum(1 for one in self.api.requests if one.plural == plural)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Scenario]:
    await import_in_thread()  # takes longer than a read may, on a busy machine
    async with serving() as api:
        cluster = cluster_for(write(tmp_path / "config", kubeconfig(api.url)))
        made = Scenario(api, cluster)
        yield made
        await made.inspector.close()
        await cluster.close()


def to(kind: TargetKind, name: str, state: ForwardState = ForwardState.WAITING) -> Forward:
    target = msgspec.structs.replace(TARGET, kind=kind, name=name)
    spec = msgspec.structs.replace(forward().spec, target=target)
    return forward(state, spec=spec, pod=None)


async def test_facts_are_read_once(world: Scenario) -> None:
    world.api.put("pods", pod("web-1"))
    for _ in range(5):
        facts = await world.inspector.inspect(forward(), None)
        assert facts.pod is not None
        assert facts.node is not None
        assert facts.health is not None
        found = (facts.pod.pod.name, facts.node.kubelet, facts.health.ok)
        assert found == ("web-1", "v1.36.2", True)
    assert facts.server == f"127.0.0.1:{world.api.port}"
    assert (world.count("pods"), world.count("nodes")) == (1, 1)
    assert sum(one.path == "/version" for one in world.api.requests) == 1


async def test_available_health_is_not_read(world: Scenario) -> None:
    assert (await world.inspector.inspect(forward(), HEALTHY)).health is HEALTHY
    assert not any(one.path == "/version" for one in world.api.requests)


async def test_forbidden_facts_are_missing_and_read_once(world: Scenario) -> None:
    world.api.denied |= {("*", "pods"), ("*", "nodes")}
    for _ in range(5):
        facts = await world.inspector.inspect(forward(), HEALTHY)
        assert (facts.pod, facts.node) == (None, None)
    assert (world.count("pods"), world.count("nodes")) == (1, 1)


async def test_unresponsive_server_delays_by_two_seconds_at_most(
    world: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (refresh_cache, stations_module):
        monkeypatch.setattr(module, "FIRST_RESULT_TIMEOUT_S", 0.5)
    world.api.stalled = True
    began = time.monotonic()
    for _ in range(10):
        facts = await world.inspector.inspect(forward(), None)
        assert (facts.health, facts.pod) == (None, None)
    assert time.monotonic() - began < 10 * 0.5


async def test_candidate_is_shown_without_a_pod(world: Scenario) -> None:
    world.api.put("deployments", workload("web"))
    world.api.put("services", service("web"))
    world.api.put("pods", pod("web-old", ready=False))
    world.api.put("pods", pod("web-new"))
    world.api.put("pods", pod("other", labels={"app": "other"}))
    for kind, name in (
        (TargetKind.DEPLOYMENT, "web"),
        (TargetKind.SERVICE, "web"),
        (TargetKind.SELECTOR, "app=web"),
        (TargetKind.POD, "web-new"),
    ):
        facts = await world.inspector.inspect(to(kind, name), HEALTHY)
        assert facts.pod is not None
        assert facts.pod.pod.name == "web-new"
    # The one it was connected to last is gone.
    facts = await world.inspector.inspect(forward(ForwardState.RECONNECTING), HEALTHY)
    assert facts.pod is not None
    assert facts.pod.pod.name == "web-new"


async def test_new_pod_is_read_at_once(world: Scenario) -> None:
    world.api.put("pods", pod("web-1"))
    world.api.put("pods", pod("web-2"))
    first = await world.inspector.inspect(forward(), HEALTHY)
    moved = PodRef(namespace="shop", name="web-2", uid="uid-web-2", node="node-a")
    second = await world.inspector.inspect(forward(pod=moved), HEALTHY)
    assert first.pod is not None
    assert second.pod is not None
    assert (first.pod.pod.name, second.pod.pod.name) == ("web-1", "web-2")


# Logs -----------------------------------------------------------------------------------


def _with_states(**states: Any) -> dict[str, Any]:
    """A pod with a port of container "main", whose containers are in these states."""
    made = pod("web-1")
    made["spec"]["containers"].append({"name": "side"})
    made["spec"]["initContainers"] = [{"name": "init"}]
    names = {"containerStatuses": ("main", "side"), "initContainerStatuses": ("init",)}
    for group, members in names.items():
        made["status"][group] = [{"name": name, "state": states[name]} for name in members]
    return made


RUNS = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
DONE = {"terminated": {"exitCode": 0}}
FAILED = {"terminated": {"exitCode": 3}}
WAITS = {"waiting": {"reason": "PodInitializing"}}


async def test_container_without_a_log_has_the_hint_of_its_fault(world: Scenario) -> None:
    pulls = {"waiting": {"reason": "ErrImagePull", "message": "no such tag"}}
    world.api.put("pods", _with_states(init=DONE, main=pulls, side=RUNS))
    refusal = status_body(400, "BadRequest", 'container "main" in pod "web-1" is waiting to start')

    def refuse(request: Request) -> Reply | None:
        return Reply(400, refusal) if request.path.endswith("/log") else None

    world.api.intercept = refuse
    with pytest.raises(ApiError, match="waiting to start") as failed:
        await pod_log(world.cluster, forward(remote_port=8080), "", 10)
    assert failed.value.hint == "Check its events: kubectl describe pod -n shop web-1"


@pytest.mark.parametrize(
    ("states", "container"),
    [
        ({"init": DONE, "main": RUNS, "side": RUNS}, "main"),
        ({"init": DONE, "main": FAILED, "side": RUNS}, "main"),
        ({"init": DONE, "main": RUNS, "side": FAILED}, "main"),
        ({"init": FAILED, "main": WAITS, "side": WAITS}, "init"),
        ({"init": RUNS, "main": WAITS, "side": WAITS}, "init"),
    ],
)
async def test_log_is_of_the_container_that_matters(
    world: Scenario, states: dict[str, Any], container: str
) -> None:
    world.api.put("pods", _with_states(**states))
    log = await pod_log(world.cluster, forward(remote_port=8080), "", 10)
    assert log.container == container
    assert world.logs[-1]["container"] == container


def _several() -> dict[str, Any]:
    made = pod("web-1", ports=[])
    made["spec"]["containers"] = [
        {"name": "first", "ports": [{"containerPort": 8080, "protocol": "UDP"}]},
        {"name": "second", "ports": [{"containerPort": 8080, "protocol": "TCP"}]},
    ]
    made["spec"]["initContainers"] = [{"name": "init"}]
    made["spec"]["ephemeralContainers"] = [{"name": "debugger"}]
    return made


async def test_log_is_of_the_container_that_declares_the_port(world: Scenario) -> None:
    world.api.put("pods", _several())
    log = await pod_log(world.cluster, forward(), "", 200)
    assert (log.pod, log.container, log.lines) == ("web-1", "second", (("", "one"), ("", "two")))
    assert log.containers == ("first", "second", "init", "debugger")
    assert world.logs == [
        {"tailLines": "200", "limitBytes": "262144", "timestamps": "true", "container": "second"}
    ]
    assert (await pod_log(world.cluster, forward(remote_port=1), "", 1)).container == "first"
    assert (await pod_log(world.cluster, forward(), "init", 1)).container == "init"


@pytest.mark.parametrize(("lines", "asked"), [(-5, 1), (0, 1), (10**9, MAX_LOG_LINES)])
async def test_log_lines_are_bounded(world: Scenario, lines: int, asked: int) -> None:
    world.api.put("pods", pod("web-1"))
    assert len((await pod_log(world.cluster, forward(), "", lines)).lines) == min(asked, 2)
    assert world.logs[0]["tailLines"] == str(asked)


async def test_log_needs_no_permission_to_read_pods(world: Scenario) -> None:
    world.api.put("pods", pod("web-1"))
    world.api.intercept = lambda request: (
        Reply(200, b"hello\n", "text/plain") if request.path.endswith("/log") else Reply(403, b"no")
    )
    log = await pod_log(world.cluster, forward(), "", 10)
    assert (log.pod, log.container, log.containers) == ("web-1", "", ())
    assert log.lines == (("", "hello"),)
    with pytest.raises(ApiError) as failed:
        await pod_log(world.cluster, to(TargetKind.DEPLOYMENT, "web"), "", 10)
    assert failed.value.forbidden


async def test_forbidden_log(world: Scenario) -> None:
    world.api.put("pods", pod("web-1"))
    world.api.intercept = lambda request: (
        Reply(403, b"no") if request.path.endswith("/log") else None
    )
    with pytest.raises(
        ApiError, match='not allowed to get pods/log "web-1" in namespace shop'
    ) as no:
        await pod_log(world.cluster, forward(), "", 10)
    assert no.value.forbidden


async def test_log_without_a_pod(world: Scenario) -> None:
    world.api.put("deployments", workload("web"))
    with pytest.raises(ForwardError, match="there is no pod behind shop/deploy/web:http") as no:
        await pod_log(world.cluster, to(TargetKind.DEPLOYMENT, "web"), "", 10)
    assert no.value.hint
    with pytest.raises(ApiError, match='"web-1" not found'):
        await pod_log(world.cluster, forward(), "", 10)
    with pytest.raises(ApiError, match='"nope" not found'):
        await pod_log(world.cluster, to(TargetKind.DEPLOYMENT, "nope"), "", 10)
    await world.api.stop()
    with pytest.raises(TransportError):
        await pod_log(world.cluster, forward(), "", 10)
