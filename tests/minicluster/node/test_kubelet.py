"""A kubelet of an embedded cluster, tested through the API server and its own API."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.minicluster.node.harness import SPDY_HEADERS, WEBSOCKET_HEADERS
from tests.support.cluster_process import ClusterProcess, running_cluster
from tui_forward.errors import ApiError
from tui_forward.minicluster.kubelet.api_client import ApiClient
from tui_forward.minicluster.kubelet.objects import Object
from tui_forward.minicluster.socket_connection import SocketConnection, connect

CAPTURES = Path(__file__).parents[2] / "captures" / "api"


@pytest.fixture(scope="module")
def nodes() -> Iterator[ClusterProcess]:
    """A cluster with one empty node, whose API server does not authenticate."""
    with running_cluster("--no-workloads", "--plain-http", "--nodes", "one") as running:
        yield running


@dataclass
class Cluster:
    """Client of the API server for pods of the default namespace."""

    running: ClusterProcess
    api: ApiClient

    def pod_path(self, name: str) -> str:
        return f"/api/v1/namespaces/default/pods/{name}"

    async def create(
        self, name: str, image: str = "toolbox", *, spec: Object | None = None, **container: Any
    ) -> None:
        """Create a pod."""
        env = [{"name": key, "value": value} for key, value in container.pop("env", {}).items()]
        body: Object = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "containers": [{"name": "main", "image": image, "env": env, **container}],
                **(spec or {}),
            },
        }
        await self.api.request("POST", "/api/v1/namespaces/default/pods", body)

    async def get(self, name: str) -> Object:
        return await self.api.request("GET", self.pod_path(name))

    async def until(self, name: str, condition: Any, timeout_s: float = 60.0) -> Object:
        """Wait until a condition holds for a pod, and return the pod."""
        pod: Object = {}
        try:
            async with asyncio.timeout(timeout_s):
                while not condition(pod := await self.get(name)):  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"timed out: {json.dumps(pod['status'])}") from None
        return pod

    async def until_deleted(self, name: str, timeout_s: float = 60.0) -> None:
        """Wait until a pod no longer exists."""
        async with asyncio.timeout(timeout_s):
            with contextlib.suppress(ApiError):
                while True:
                    await self.get(name)
                    await asyncio.sleep(0.005)

    async def delete(self, name: str, **options: Any) -> None:
        body: Object = {"kind": "DeleteOptions", "apiVersion": "v1", **options}
        await self.api.request("DELETE", self.pod_path(name), body)


@pytest.fixture
async def cluster(nodes: ClusterProcess) -> AsyncIterator[Cluster]:
    api = ApiClient(nodes.server, ca="", cert="", key="", agent="test")
    cluster = Cluster(nodes, api)
    yield cluster
    for pod in (await api.request("GET", "/api/v1/namespaces/default/pods"))["items"]:
        with contextlib.suppress(ApiError):
            await cluster.delete(pod["metadata"]["name"], gracePeriodSeconds=0)
    await nodes.control.request("clear")
    api.close()


def is_ready(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions") or ()
    return any((c["type"], c["status"]) == ("Ready", "True") for c in conditions)


def is_unready(pod: Object) -> bool:
    return not is_ready(pod)


def first_status(pod: Object) -> Object:
    """Return the status of the first container."""
    status: Object = pod["status"]["containerStatuses"][0]
    return status


def shape(value: Any) -> Any:
    """Return an object with types in place of its values."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    return type(value)


async def test_pod_status_has_the_shape_of_a_recorded_one(cluster: Cluster) -> None:
    await cluster.create("shape")
    pod = await cluster.until("shape", is_ready)
    body = json.loads((CAPTURES / "pod.json").read_text())["body"]
    recorded = json.loads(body)["status"]
    assert shape(pod["status"]) == shape(recorded)
    for mine, theirs in zip(pod["status"]["conditions"], recorded["conditions"], strict=True):
        assert (mine["type"], mine["status"]) == (theirs["type"], theirs["status"])


async def test_pod_becomes_ready_before_the_period_of_its_probe_has_passed(
    cluster: Cluster,
) -> None:
    # It takes two probes.
    probe = {"tcpSocket": {"port": 7000}, "periodSeconds": 3600, "successThreshold": 2}
    await cluster.create("fast", readinessProbe=probe)
    await cluster.until("fast", is_ready)


async def test_crashed_container_restarts_immediately(cluster: Cluster) -> None:
    await cluster.create("crashing")
    before = first_status(await cluster.until("crashing", is_ready))
    await cluster.running.control.request("crash-pod", namespace="default", pod="crashing")
    pod = await cluster.until("crashing", lambda pod: first_status(pod)["restartCount"] == 1)
    pod = await cluster.until("crashing", is_ready)
    after = first_status(pod)
    assert after["containerID"] != before["containerID"]
    assert after["lastState"]["terminated"]["exitCode"] == 137
    assert after["lastState"]["terminated"]["reason"] == "Error"
    assert after["lastState"]["terminated"]["containerID"] == before["containerID"]


async def test_crash_loop_backs_off(cluster: Cluster) -> None:
    await cluster.create("looping", "crash-loop", env={"LIFE_S": "0.05"})

    def backs_off(pod: Object) -> bool:
        waiting = (
            (pod["status"].get("containerStatuses") or [{}])[0].get("state", {}).get("waiting")
        )
        return bool(waiting) and waiting["reason"] == "CrashLoopBackOff"

    pod = await cluster.until("looping", backs_off)
    uid = pod["metadata"]["uid"]
    # The first restart is at once, and each back-off is twice as long as the one before.
    seconds = 2 ** (first_status(pod)["restartCount"] - 1)
    assert first_status(pod)["state"]["waiting"]["message"] == (
        f"back-off {seconds}s restarting failed container=main pod=looping_default({uid})"
    )
    assert pod["status"]["phase"] == "Running"
    assert first_status(pod)["lastState"]["terminated"]["exitCode"] == 3
    await cluster.until("looping", lambda pod: first_status(pod)["restartCount"] >= 2)


async def test_missing_image_backs_off(cluster: Cluster) -> None:
    await cluster.create("imageless", "docker.io/local/missing:1")

    def reason(pod: Object) -> str:
        statuses = pod["status"].get("containerStatuses") or [{}]
        waiting = statuses[0].get("state", {}).get("waiting") or {}
        return str(waiting.get("reason"))

    pod = await cluster.until("imageless", lambda pod: reason(pod) == "ErrImagePull")
    assert "failed to pull and unpack image" in first_status(pod)["state"]["waiting"]["message"]
    pod = await cluster.until("imageless", lambda pod: reason(pod) == "ImagePullBackOff")
    assert pod["status"]["phase"] == "Pending"
    assert shape(first_status(pod)) == shape(
        json.loads(json.loads((CAPTURES / "pod-image-missing.json").read_text())["body"])["status"][
            "containerStatuses"
        ][0]
    )


@pytest.mark.parametrize(
    "probe",
    [
        {"tcpSocket": {"port": "echo"}},
        {"httpGet": {"port": 8080, "path": "/x"}},
        {"exec": {"command": ["true"]}, "initialDelaySeconds": 0.2},
    ],
    ids=["tcp", "http", "exec"],
)
async def test_readiness_probe_makes_pod_ready(cluster: Cluster, probe: Object) -> None:
    ports = [{"name": "echo", "containerPort": 7000}]
    await cluster.create("probed", readinessProbe=probe, ports=ports)
    await cluster.until("probed", is_ready)


async def test_failing_probe_keeps_pod_unready(cluster: Cluster) -> None:
    probe = {"tcpSocket": {"port": 7999}}
    await cluster.create("unready", readinessProbe=probe)
    pod = await cluster.until("unready", lambda pod: pod["status"].get("phase") == "Running")
    assert is_unready(pod)
    assert first_status(pod)["started"]
    assert not first_status(pod)["ready"]


async def test_not_ready_fault_makes_pod_unready_until_it_ends(cluster: Cluster) -> None:
    await cluster.create("faulty")
    await cluster.until("faulty", is_ready)
    fault = {"namespace": "default", "pod": "faulty"}
    await cluster.running.control.request("not-ready", **fault)
    await cluster.until("faulty", is_unready)
    await cluster.running.control.request("not-ready", ready=True, **fault)
    await cluster.until("faulty", is_ready)


async def test_deletion_waits_for_container(cluster: Cluster) -> None:
    await cluster.create("graceful", env={"TERM_DELAY_S": "0.5"})
    await cluster.until("graceful", is_ready)
    started = time.monotonic()
    await cluster.delete("graceful", gracePeriodSeconds=30)
    pod = await cluster.get("graceful")
    assert pod["metadata"]["deletionGracePeriodSeconds"] == 30
    await cluster.until_deleted("graceful")
    assert 0.4 < time.monotonic() - started < 30


async def test_second_deletion_shortens_grace_period(cluster: Cluster) -> None:
    await cluster.create("stubborn", env={"TERM_DELAY_S": "60"})
    await cluster.until("stubborn", is_ready)
    await cluster.delete("stubborn", gracePeriodSeconds=60)
    started = time.monotonic()
    await cluster.delete("stubborn", gracePeriodSeconds=1)
    await cluster.until_deleted("stubborn")
    assert time.monotonic() - started < 60


async def test_pod_without_restarts_succeeds(cluster: Cluster) -> None:
    env = {"LIFE_S": "0.05", "EXIT_CODE": "0"}
    await cluster.create("once", "crash-loop", env=env, spec={"restartPolicy": "Never"})
    pod = await cluster.until("once", lambda pod: pod["status"].get("phase") == "Succeeded")
    by_type = {condition["type"]: condition for condition in pod["status"]["conditions"]}
    assert by_type["Ready"]["reason"] == "PodCompleted"
    assert first_status(pod)["state"]["terminated"]["reason"] == "Completed"


async def test_init_containers_run_in_sequence(cluster: Cluster) -> None:
    def init(name: str) -> Object:
        env = [{"name": "LIFE_S", "value": "0.1"}, {"name": "EXIT_CODE", "value": "0"}]
        return {"name": name, "image": "crash-loop", "env": env}

    await cluster.create("prepared", spec={"initContainers": [init("a"), init("b")]})
    pod = await cluster.until("prepared", is_ready)
    a, b = (init["state"]["terminated"] for init in pod["status"]["initContainerStatuses"])
    assert a["finishedAt"] <= b["startedAt"]
    assert all(init["ready"] for init in pod["status"]["initContainerStatuses"])


@pytest.mark.parametrize("component", ["kubelet", "runtime"])
async def test_pod_survives_restart_of_component(cluster: Cluster, component: str) -> None:
    await cluster.create("survivor")
    before = first_status(await cluster.until("survivor", is_ready))
    await cluster.running.control.request("restart-component", component=component, kill=True)
    # The new process detects what happens next.
    await cluster.running.control.request("crash-pod", namespace="default", pod="survivor")
    pod = await cluster.until(
        "survivor", lambda pod: first_status(pod)["restartCount"] == 1 and is_ready(pod)
    )
    assert first_status(pod)["lastState"]["terminated"]["containerID"] == before["containerID"]


async def test_pod_deleted_while_kubelet_was_down_is_removed(cluster: Cluster) -> None:
    await cluster.create("orphan")
    await cluster.until("orphan", is_ready)
    await cluster.running.control.request("stop-component", component="kubelet")
    await cluster.delete("orphan", gracePeriodSeconds=0)
    await cluster.running.control.request("start-component", component="kubelet")
    async with asyncio.timeout(60):
        while True:
            status = await cluster.running.control.request("status")
            if not status["components"]["runtime-one"]["sandboxes"]:
                break
            await asyncio.sleep(0.02)


# -- the kubelet's own API --


class KubeletApi:
    """Client of the kubelet, with or without a certificate."""

    def __init__(self, running: ClusterProcess, port: int) -> None:
        self._folder = running.folder
        self._port = port

    def _context(self, certificate: str) -> ssl.SSLContext:
        ca = next(self._folder.rglob("ca.crt"))
        context = ssl.create_default_context(cafile=str(ca))
        if certificate:
            cert = next(self._folder.rglob(f"{certificate}.crt"))
            context.load_cert_chain(cert, cert.with_suffix(".key"))
        return context

    async def send(
        self, method: str, target: str, headers: dict[str, str] | None = None, user: str = "admin"
    ) -> SocketConnection:
        name = {"admin": self._admin_certificate(), "node": "kubelet-one", "": ""}[user]
        connection = await connect("127.0.0.1", self._port)
        await connection.start_tls(
            self._context(name), server_side=False, server_hostname="127.0.0.1"
        )
        lines = [f"{method} {target} HTTP/1.1", "Host: test"]
        lines += [f"{key}: {value}" for key, value in (headers or {}).items()]
        await connection.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        return connection

    def _admin_certificate(self) -> str:
        names = [path.stem for path in self._folder.rglob("*.crt")]
        return next(name for name in names if "kubelet-client" in name or "apiserver-k" in name)

    async def request(
        self, method: str, target: str, headers: dict[str, str] | None = None, user: str = "admin"
    ) -> tuple[int, bytes]:
        connection = await self.send(method, target, headers, user)
        try:
            data = b""
            async with asyncio.timeout(60):
                while chunk := await connection.read():
                    data += chunk
        finally:
            connection.close()
        head, _, body = data.partition(b"\r\n\r\n")
        if b"chunked" in head:
            body = unchunk(body)
        return int(head.split()[1]), body


def unchunk(data: bytes) -> bytes:
    out = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        out, data = out + data[: int(size, 16)], data[int(size, 16) + 2 :]
    return out


@pytest.fixture
async def kubelet(cluster: Cluster) -> KubeletApi:
    node = await cluster.api.request("GET", "/api/v1/nodes/one")
    port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
    return KubeletApi(cluster.running, port)


async def test_requests_are_authenticated_and_authorized(kubelet: KubeletApi) -> None:
    assert await kubelet.request("GET", "/healthz", user="") == (401, b"Unauthorized")
    status, body = await kubelet.request("POST", "/portForward/a/b", user="node")
    assert status == 403
    assert body.startswith(b"Forbidden (user=system:node:one, verb=create, resource=nodes, ")
    assert await kubelet.request("GET", "/healthz") == (200, b"ok")


async def test_pods_metrics_and_unknown_paths(cluster: Cluster, kubelet: KubeletApi) -> None:
    await cluster.create("listed")
    await cluster.until("listed", is_ready)
    status, body = await kubelet.request("GET", "/pods")
    assert status == 200
    assert [pod["metadata"]["name"] for pod in json.loads(body)["items"]] == ["listed"]
    status, body = await kubelet.request("GET", "/runningpods/")
    assert "listed" in [pod["metadata"]["name"] for pod in json.loads(body)["items"]]
    assert (await kubelet.request("GET", "/metrics"))[0] == 200
    assert (await kubelet.request("GET", "/nothing"))[0] == 404
    assert (await kubelet.request("DELETE", "/pods"))[0] == 405


async def test_container_logs(cluster: Cluster, kubelet: KubeletApi) -> None:
    await cluster.create("chatty", "crash-loop", env={"LIFE_S": "0.3"})
    path = "/containerLogs/default/chatty/main"
    await cluster.until(
        "chatty",
        lambda pod: (
            pod["status"].get("containerStatuses") and "running" in first_status(pod)["state"]
        ),
    )
    status, body = await kubelet.request("GET", f"{path}?follow=true")
    assert status == 200
    assert body.decode().splitlines()[-1].endswith("giving up")
    await cluster.until("chatty", lambda pod: first_status(pod)["restartCount"] >= 1)
    status, body = await kubelet.request("GET", f"{path}?previous=true&tailLines=1")
    assert (status, len(body.splitlines())) == (200, 1)
    assert (await kubelet.request("GET", f"{path}?tailLines=x"))[0] == 400
    assert (await kubelet.request("GET", "/containerLogs/default/chatty/other"))[0] == 404
    assert (await kubelet.request("GET", "/containerLogs/default/missing/main"))[0] == 404


async def test_port_forward_refusals(cluster: Cluster, kubelet: KubeletApi) -> None:
    await cluster.create("target")
    await cluster.until("target", is_ready)
    path = "/portForward/default/target"
    legacy = {**WEBSOCKET_HEADERS, "Sec-WebSocket-Protocol": "v4.channel.k8s.io"}
    plain = {"X-Stream-Protocol-Version": "portforward.k8s.io"}
    for method, target, headers, expected in (
        ("POST", "/portForward/default/missing", SPDY_HEADERS, (404, b"pod does not exist")),
        ("POST", f"{path}/another-uid", SPDY_HEADERS, (404, b"pod not found")),
        ("GET", path, legacy, (400, b'query parameter "port" is required')),
        ("POST", path, plain, (500, b"Upgrade request required\n")),
        (
            "POST",
            path,
            {"Connection": "Upgrade", "Upgrade": "SPDY/3.1"},
            (500, b"invalid upgrade response: status code 200\n"),
        ),
    ):
        assert await kubelet.request(method, target, headers) == expected
    unknown = {**SPDY_HEADERS, "X-Stream-Protocol-Version": "nope.k8s.io"}
    status, body = await kubelet.request("POST", path, unknown)
    assert status == 403
    assert b"client supports [nope.k8s.io]" in body


async def test_port_forward_to_completed_pod_is_refused(
    cluster: Cluster, kubelet: KubeletApi
) -> None:
    env = {"LIFE_S": "0.05", "EXIT_CODE": "0"}
    await cluster.create("done", "crash-loop", env=env, spec={"restartPolicy": "Never"})
    await cluster.until("done", lambda pod: pod["status"].get("phase") == "Succeeded")
    status, body = await kubelet.request("POST", "/portForward/default/done", SPDY_HEADERS)
    assert status == 500
    assert b"sandbox container is not running" in body


async def test_port_forward_with_full_token_cache_is_refused(
    cluster: Cluster, kubelet: KubeletApi
) -> None:
    await cluster.create("busy")
    await cluster.until("busy", is_ready)
    await cluster.running.control.request("streaming", max_tokens=0)
    connection = await kubelet.send("POST", "/portForward/default/busy", SPDY_HEADERS)
    response = await connection.read()
    connection.close()
    assert response.startswith(b"HTTP/1.1 429 ")
    assert b"Retry-After: 60\r\n" in response


async def test_port_forward_relays_bytes_and_injects_faults(
    cluster: Cluster, kubelet: KubeletApi
) -> None:
    await cluster.create("open")
    await cluster.until("open", is_ready)
    control = cluster.running.control
    for fault in ({"what": "tunnels"}, {"what": "eof"}):
        connection = await kubelet.send("POST", "/portForward/default/open", SPDY_HEADERS)
        assert (await connection.read()).startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
        # A PING is echoed by the runtime; with a delay, later.
        ping = bytes.fromhex("800300060000000400000001")
        await connection.write(ping)
        assert await connection.read() == ping
        await control.request("delay", component="kubelet", seconds=0.1)
        started = time.monotonic()
        await connection.write(ping)
        assert await connection.read() == ping
        assert time.monotonic() - started >= 0.2
        await control.request("delay", component="kubelet", seconds=0)
        await control.request("stall", component="kubelet", for_s=0.3)
        started = time.monotonic()
        await connection.write(ping)
        assert await connection.read() == ping
        assert time.monotonic() - started >= 0.2
        await control.request("cut", component="kubelet", **fault)
        with contextlib.suppress(ConnectionResetError):
            assert await connection.read() == b""
        connection.close()
