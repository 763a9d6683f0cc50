"""A kubelet at work: pods of an embedded cluster, from the API's side and from the kubelet's."""

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

from tests.minicluster.cluster import Running, running_cluster
from tests.minicluster.node.harness import SPDY_HEADERS, WEBSOCKET_HEADERS
from tui_forward.errors import ApiError
from tui_forward.minicluster.kubelet.api_client import ApiClient, Object
from tui_forward.minicluster.socket_connection import SocketConnection, connect

CAPTURES = Path(__file__).parents[2] / "captures" / "api"


@pytest.fixture(scope="module")
def nodes() -> Iterator[Running]:
    """A cluster with one node and nothing on it; its API server asks nobody who they are."""
    with running_cluster("--no-workloads", "--plain-http", "--nodes", "one") as running:
        yield running


@dataclass
class Cluster:
    """Requests to the API server and to the kubelet."""

    running: Running
    api: ApiClient

    def pod(self, name: str) -> str:
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
        return await self.api.request("GET", self.pod(name))

    async def until(self, name: str, condition: Any, timeout_s: float = 20.0) -> Object:
        """Wait until something is true of a pod; the pod."""
        pod: Object = {}
        try:
            async with asyncio.timeout(timeout_s):
                while not condition(pod := await self.get(name)):  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
        except TimeoutError:
            raise AssertionError(f"waited in vain: {json.dumps(pod['status'])}") from None
        return pod

    async def gone(self, name: str, timeout_s: float = 20.0) -> None:
        """Wait until a pod does not exist any more."""
        async with asyncio.timeout(timeout_s):
            with contextlib.suppress(ApiError):
                while True:
                    await self.get(name)
                    await asyncio.sleep(0.005)

    async def delete(self, name: str, **options: Any) -> None:
        body: Object = {"kind": "DeleteOptions", "apiVersion": "v1", **options}
        await self.api.request("DELETE", self.pod(name), body)


@pytest.fixture
async def cluster(nodes: Running) -> AsyncIterator[Cluster]:
    api = ApiClient(nodes.server, ca="", cert="", key="", agent="test")
    cluster = Cluster(nodes, api)
    yield cluster
    for pod in (await api.request("GET", "/api/v1/namespaces/default/pods"))["items"]:
        with contextlib.suppress(ApiError):
            await cluster.delete(pod["metadata"]["name"], gracePeriodSeconds=0)
    await nodes.control.request("clear")
    api.close()


def ready(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def unready(pod: Object) -> bool:
    return not ready(pod)


def first(pod: Object) -> Object:
    """Status of the first container."""
    found: Object = pod["status"]["containerStatuses"][0]
    return found


def keys(value: Any) -> Any:
    """The shape of an object."""
    if isinstance(value, dict):
        return {key: keys(each) for key, each in value.items()}
    if isinstance(value, list):
        return [keys(each) for each in value]
    return type(value)


async def test_a_pod_looks_like_a_recorded_one(cluster: Cluster) -> None:
    await cluster.create("shape")
    pod = await cluster.until("shape", ready)
    body = json.loads((CAPTURES / "pod.json").read_text())["body"]
    wanted = json.loads(body)["status"]
    assert keys(pod["status"]) == keys(wanted)
    for mine, theirs in zip(pod["status"]["conditions"], wanted["conditions"], strict=True):
        assert (mine["type"], mine["status"]) == (theirs["type"], theirs["status"])


async def test_a_pod_is_ready_in_no_time(cluster: Cluster) -> None:
    await cluster.create("warm-up")
    await cluster.until("warm-up", ready)
    begun = time.monotonic()
    await cluster.create("fast")
    await cluster.until("fast", ready)
    # Well under a second on an idle machine; other tests may run beside this one.
    assert time.monotonic() - begun < 3.0


async def test_a_crash(cluster: Cluster) -> None:
    await cluster.create("crashing")
    before = first(await cluster.until("crashing", ready))
    await cluster.running.control.request("crash-pod", namespace="default", pod="crashing")
    pod = await cluster.until("crashing", lambda pod: first(pod)["restartCount"] == 1)
    pod = await cluster.until("crashing", ready)
    after = first(pod)
    assert after["containerID"] != before["containerID"]
    assert after["lastState"]["terminated"]["exitCode"] == 137
    assert after["lastState"]["terminated"]["reason"] == "Error"
    assert after["lastState"]["terminated"]["containerID"] == before["containerID"]


async def test_a_crash_loop(cluster: Cluster) -> None:
    await cluster.create("looping", "crash-loop", env={"LIFE_S": "0.05"})

    def waits(pod: Object) -> bool:
        waiting = (
            (pod["status"].get("containerStatuses") or [{}])[0].get("state", {}).get("waiting")
        )
        return bool(waiting) and waiting["reason"] == "CrashLoopBackOff"

    pod = await cluster.until("looping", waits)
    uid = pod["metadata"]["uid"]
    assert first(pod)["state"]["waiting"]["message"] == (
        f"back-off 1s restarting failed container=main pod=looping_default({uid})"
    )
    assert pod["status"]["phase"] == "Running"
    assert first(pod)["lastState"]["terminated"]["exitCode"] == 3
    await cluster.until("looping", lambda pod: first(pod)["restartCount"] >= 2)


async def test_an_image_that_does_not_exist(cluster: Cluster) -> None:
    await cluster.create("imageless", "docker.io/local/missing:1")

    def reason(pod: Object) -> str:
        statuses = pod["status"].get("containerStatuses") or [{}]
        waiting = statuses[0].get("state", {}).get("waiting") or {}
        return str(waiting.get("reason"))

    pod = await cluster.until("imageless", lambda pod: reason(pod) == "ErrImagePull")
    assert "failed to pull and unpack image" in first(pod)["state"]["waiting"]["message"]
    pod = await cluster.until("imageless", lambda pod: reason(pod) == "ImagePullBackOff")
    assert pod["status"]["phase"] == "Pending"
    assert keys(first(pod)) == keys(
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
async def test_readiness_probes(cluster: Cluster, probe: Object) -> None:
    ports = [{"name": "echo", "containerPort": 7000}]
    await cluster.create("probed", readinessProbe=probe, ports=ports)
    await cluster.until("probed", ready)


async def test_a_probe_that_fails(cluster: Cluster) -> None:
    probe = {"tcpSocket": {"port": 7999}}
    await cluster.create("unready", readinessProbe=probe)
    pod = await cluster.until("unready", lambda pod: pod["status"].get("phase") == "Running")
    assert unready(pod)
    assert first(pod)["started"]
    assert not first(pod)["ready"]


async def test_unready_by_fault(cluster: Cluster) -> None:
    await cluster.create("faulty")
    await cluster.until("faulty", ready)
    fault = {"namespace": "default", "pod": "faulty"}
    await cluster.running.control.request("not-ready", **fault)
    await cluster.until("faulty", unready)
    await cluster.running.control.request("not-ready", ready=True, **fault)
    await cluster.until("faulty", ready)


async def test_graceful_deletion(cluster: Cluster) -> None:
    await cluster.create("graceful", env={"TERM_DELAY_S": "0.5"})
    await cluster.until("graceful", ready)
    begun = time.monotonic()
    await cluster.delete("graceful", gracePeriodSeconds=30)
    pod = await cluster.get("graceful")
    assert pod["metadata"]["deletionGracePeriodSeconds"] == 30
    await cluster.gone("graceful")
    assert 0.4 < time.monotonic() - begun < 10


async def test_a_grace_that_is_shortened(cluster: Cluster) -> None:
    await cluster.create("stubborn", env={"TERM_DELAY_S": "60"})
    await cluster.until("stubborn", ready)
    await cluster.delete("stubborn", gracePeriodSeconds=60)
    begun = time.monotonic()
    await cluster.delete("stubborn", gracePeriodSeconds=1)
    await cluster.gone("stubborn")
    assert time.monotonic() - begun < 10


async def test_a_job_like_pod_ends_for_good(cluster: Cluster) -> None:
    env = {"LIFE_S": "0.05", "EXIT_CODE": "0"}
    await cluster.create("once", "crash-loop", env=env, spec={"restartPolicy": "Never"})
    pod = await cluster.until("once", lambda pod: pod["status"].get("phase") == "Succeeded")
    by_type = {each["type"]: each for each in pod["status"]["conditions"]}
    assert by_type["Ready"]["reason"] == "PodCompleted"
    assert first(pod)["state"]["terminated"]["reason"] == "Completed"


async def test_init_containers_run_one_after_the_other(cluster: Cluster) -> None:
    def init(name: str) -> Object:
        env = [{"name": "LIFE_S", "value": "0.1"}, {"name": "EXIT_CODE", "value": "0"}]
        return {"name": name, "image": "crash-loop", "env": env}

    await cluster.create("prepared", spec={"initContainers": [init("a"), init("b")]})
    pod = await cluster.until("prepared", ready)
    a, b = (each["state"]["terminated"] for each in pod["status"]["initContainerStatuses"])
    assert a["finishedAt"] <= b["startedAt"]
    assert all(each["ready"] for each in pod["status"]["initContainerStatuses"])


@pytest.mark.parametrize("hop", ["kubelet", "runtime"])
async def test_pods_survive_a_hop(cluster: Cluster, hop: str) -> None:
    await cluster.create("survivor")
    before = first(await cluster.until("survivor", ready))
    await cluster.running.control.request("restart-hop", hop=hop, kill=True)
    # Whatever happens next is seen by the new process.
    await cluster.running.control.request("crash-pod", namespace="default", pod="survivor")
    pod = await cluster.until(
        "survivor", lambda pod: first(pod)["restartCount"] == 1 and ready(pod)
    )
    assert first(pod)["lastState"]["terminated"]["containerID"] == before["containerID"]


async def test_pods_deleted_behind_its_back(cluster: Cluster) -> None:
    await cluster.create("orphan")
    await cluster.until("orphan", ready)
    await cluster.running.control.request("stop-hop", hop="kubelet")
    await cluster.delete("orphan", gracePeriodSeconds=0)
    await cluster.running.control.request("start-hop", hop="kubelet")
    async with asyncio.timeout(20):
        while True:
            status = await cluster.running.control.request("status")
            if not status["hops"]["runtime-one"]["sandboxes"]:
                break
            await asyncio.sleep(0.02)


# -- the kubelet's own API -----------------------------------------------------------------------


class KubeletApi:
    """Requests to the kubelet, with a certificate or without."""

    def __init__(self, running: Running, port: int) -> None:
        self._folder = running.folder
        self._port = port

    def _context(self, who: str) -> ssl.SSLContext:
        ca = next(self._folder.rglob("ca.crt"))
        context = ssl.create_default_context(cafile=str(ca))
        if who:
            cert = next(self._folder.rglob(f"{who}.crt"))
            context.load_cert_chain(cert, cert.with_suffix(".key"))
        return context

    async def send(
        self, method: str, target: str, headers: dict[str, str] | None = None, who: str = "admin"
    ) -> SocketConnection:
        name = {"admin": self.admin(), "node": "kubelet-one", "": ""}[who]
        wire = await connect("127.0.0.1", self._port)
        await wire.start_tls(self._context(name), server_side=False, server_hostname="127.0.0.1")
        lines = [f"{method} {target} HTTP/1.1", "Host: test"]
        lines += [f"{key}: {value}" for key, value in (headers or {}).items()]
        await wire.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        return wire

    def admin(self) -> str:
        names = [path.stem for path in self._folder.rglob("*.crt")]
        return next(name for name in names if "kubelet-client" in name or "apiserver-k" in name)

    async def ask(
        self, method: str, target: str, headers: dict[str, str] | None = None, who: str = "admin"
    ) -> tuple[int, bytes]:
        wire = await self.send(method, target, headers, who)
        try:
            data = b""
            async with asyncio.timeout(20):
                while chunk := await wire.read():
                    data += chunk
        finally:
            wire.close()
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


async def test_who_may_ask(kubelet: KubeletApi) -> None:
    assert await kubelet.ask("GET", "/healthz", who="") == (401, b"Unauthorized")
    status, body = await kubelet.ask("POST", "/portForward/a/b", who="node")
    assert status == 403
    assert body.startswith(b"Forbidden (user=system:node:one, verb=create, resource=nodes, ")
    assert await kubelet.ask("GET", "/healthz") == (200, b"ok")


async def test_other_endpoints(cluster: Cluster, kubelet: KubeletApi) -> None:
    await cluster.create("listed")
    await cluster.until("listed", ready)
    status, body = await kubelet.ask("GET", "/pods")
    assert status == 200
    assert [pod["metadata"]["name"] for pod in json.loads(body)["items"]] == ["listed"]
    status, body = await kubelet.ask("GET", "/runningpods/")
    assert "listed" in [pod["metadata"]["name"] for pod in json.loads(body)["items"]]
    assert (await kubelet.ask("GET", "/metrics"))[0] == 200
    assert (await kubelet.ask("GET", "/nothing"))[0] == 404
    assert (await kubelet.ask("DELETE", "/pods"))[0] == 405


async def test_logs_of_a_container(cluster: Cluster, kubelet: KubeletApi) -> None:
    await cluster.create("talker", "crash-loop", env={"LIFE_S": "0.3"})
    path = "/containerLogs/default/talker/main"
    await cluster.until(
        "talker",
        lambda pod: pod["status"].get("containerStatuses") and "running" in first(pod)["state"],
    )
    status, body = await kubelet.ask("GET", f"{path}?follow=true")
    assert status == 200
    assert body.decode().splitlines()[-1].endswith("giving up")
    await cluster.until("talker", lambda pod: first(pod)["restartCount"] >= 1)
    status, body = await kubelet.ask("GET", f"{path}?previous=true&tailLines=1")
    assert (status, len(body.splitlines())) == (200, 1)
    assert (await kubelet.ask("GET", f"{path}?tailLines=x"))[0] == 400
    assert (await kubelet.ask("GET", "/containerLogs/default/talker/other"))[0] == 404
    assert (await kubelet.ask("GET", "/containerLogs/default/nobody/main"))[0] == 404


async def test_refused_port_forwards(cluster: Cluster, kubelet: KubeletApi) -> None:
    await cluster.create("target")
    await cluster.until("target", ready)
    path = "/portForward/default/target"
    legacy = {**WEBSOCKET_HEADERS, "Sec-WebSocket-Protocol": "v4.channel.k8s.io"}
    plain = {"X-Stream-Protocol-Version": "portforward.k8s.io"}
    for method, target, headers, wanted in (
        ("POST", "/portForward/default/nobody", SPDY_HEADERS, (404, b"pod does not exist")),
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
        assert await kubelet.ask(method, target, headers) == wanted
    unknown = {**SPDY_HEADERS, "X-Stream-Protocol-Version": "nope.k8s.io"}
    status, body = await kubelet.ask("POST", path, unknown)
    assert status == 403
    assert b"client supports [nope.k8s.io]" in body


async def test_a_pod_that_does_not_run_any_more(cluster: Cluster, kubelet: KubeletApi) -> None:
    env = {"LIFE_S": "0.05", "EXIT_CODE": "0"}
    await cluster.create("done", "crash-loop", env=env, spec={"restartPolicy": "Never"})
    await cluster.until("done", lambda pod: pod["status"].get("phase") == "Succeeded")
    status, body = await kubelet.ask("POST", "/portForward/default/done", SPDY_HEADERS)
    assert status == 500
    assert b"sandbox container is not running" in body


async def test_a_full_token_cache(cluster: Cluster, kubelet: KubeletApi) -> None:
    await cluster.create("busy")
    await cluster.until("busy", ready)
    await cluster.running.control.request("streaming", max_tokens=0)
    wire = await kubelet.send("POST", "/portForward/default/busy", SPDY_HEADERS)
    answer = await wire.read()
    wire.close()
    assert answer.startswith(b"HTTP/1.1 429 ")
    assert b"Retry-After: 60\r\n" in answer


async def test_an_upgrade_and_the_faults_of_the_relay(
    cluster: Cluster, kubelet: KubeletApi
) -> None:
    await cluster.create("open")
    await cluster.until("open", ready)
    control = cluster.running.control
    for fault in ({"what": "tunnels"}, {"what": "eof"}):
        wire = await kubelet.send("POST", "/portForward/default/open", SPDY_HEADERS)
        assert (await wire.read()).startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
        # A PING goes all the way and comes back; with a delay, later.
        ping = bytes.fromhex("800300060000000400000001")
        await wire.write(ping)
        assert await wire.read() == ping
        await control.request("delay", hop="kubelet", seconds=0.1)
        begun = time.monotonic()
        await wire.write(ping)
        assert await wire.read() == ping
        assert time.monotonic() - begun >= 0.2
        await control.request("delay", hop="kubelet", seconds=0)
        await control.request("stall", hop="kubelet", for_s=0.3)
        begun = time.monotonic()
        await wire.write(ping)
        assert await wire.read() == ping
        assert time.monotonic() - begun >= 0.2
        await control.request("cut", hop="kubelet", **fault)
        with contextlib.suppress(ConnectionResetError):
            assert await wire.read() == b""
        wire.close()
