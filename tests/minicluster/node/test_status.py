"""Kubelet without I/O: pod status, CRI configuration, back-off, logs."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tui_forward.errors import UsageError
from tui_forward.minicluster.cri import api_pb2 as cri
from tui_forward.minicluster.kubelet import cri_config, pod_status
from tui_forward.minicluster.kubelet.backoff import CrashBackoff, PullBackoff
from tui_forward.minicluster.kubelet.config import KubeletConfig
from tui_forward.minicluster.kubelet.log_reader import LogOptions, read_log
from tui_forward.minicluster.kubelet.objects import Object
from tui_forward.minicluster.kubelet.pod_status import ContainerView, PodView
from tui_forward.minicluster.kubelet.portforward import parse_ports
from tui_forward.minicluster.kubelet.refusal import RefusalError
from tui_forward.minicluster.runtime.log_writer import LogWriter
from tui_forward.protocol.upgrade_server import HttpRequest

CAPTURES = Path(__file__).parents[2] / "captures" / "api"
HOST = "192.0.2.2"


def recorded(name: str) -> Object:
    """Return a Pod object recorded from a real API server."""
    body: Object = json.loads(json.loads((CAPTURES / f"{name}.json").read_text())["body"])
    return body


def nanoseconds(stamp: str) -> int:
    return int(datetime.fromisoformat(stamp).timestamp()) * 1_000_000_000


def runtime_status(name: str, recorded: Object, state: Object, attempt: int) -> cri.ContainerStatus:
    """Return the runtime's status from which a kubelet reports `state`."""
    kind = next(iter(state))
    fields = state[kind]
    container_id = fields.get("containerID", recorded.get("containerID", ""))
    return cri.ContainerStatus(
        id=container_id.removeprefix("containerd://"),
        metadata=cri.ContainerMetadata(name=name, attempt=attempt),
        state=cri.CONTAINER_RUNNING if kind == "running" else cri.CONTAINER_EXITED,
        started_at=nanoseconds(fields["startedAt"]),
        finished_at=nanoseconds(fields["finishedAt"]) if kind == "terminated" else 0,
        exit_code=fields.get("exitCode", 0),
        reason=fields.get("reason", ""),
        image=cri.ImageSpec(image=recorded["image"]),
        image_ref=recorded["imageID"],
    )


@pytest.mark.parametrize("name", ["pod", "pod-crashloop", "pod-image-missing"])
def test_status_equals_that_of_a_real_kubelet(name: str) -> None:
    pod = recorded(name)
    expected = pod["status"]
    views = []
    for container in expected["containerStatuses"]:
        container_view = ContainerView(
            name=container["name"],
            image=container["image"],
            restarts=container["restartCount"],
            ready=container["ready"],
        )
        state, last = container["state"], container["lastState"]
        if "waiting" in state:
            container_view.waiting = (
                state["waiting"]["reason"],
                state["waiting"].get("message", ""),
            )
        else:
            container_view.current = runtime_status(
                container_view.name, container, state, container_view.restarts
            )
        if last:
            container_view.previous = runtime_status(
                container_view.name, container, last, container_view.restarts - 1
            )
        views.append(container_view)
    view = PodView(sandbox_ready=True, ip=expected["podIP"], containers=views)
    # Transition times come from the old status.
    assert pod_status.build(pod, view, host_ip=HOST, now_s=0.0) == expected


def test_new_pod_is_pending() -> None:
    pod = recorded("pod")
    pod["status"] = {"phase": "Pending", "qosClass": "BestEffort"}
    view = PodView(containers=[ContainerView(name="one", image="i")])
    built = pod_status.build(pod, view, host_ip=HOST, now_s=1_800_000_000.0)
    assert built["phase"] == "Pending"
    assert built["containerStatuses"] == [
        {
            "name": "one",
            "state": {"waiting": {"reason": "ContainerCreating"}},
            "lastState": {},
            "ready": False,
            "restartCount": 0,
            "image": "i",
            "imageID": "",
            "started": False,
        }
    ]
    assert "podIP" not in built
    by_type = {condition["type"]: condition for condition in built["conditions"]}
    assert by_type["PodReadyToStartContainers"]["status"] == "False"
    assert by_type["Initialized"]["status"] == "True"
    assert by_type["Ready"]["reason"] == "ContainersNotReady"
    assert by_type["Ready"]["message"] == "containers with unready status: [one]"
    assert by_type["Ready"]["lastTransitionTime"] == "2027-01-15T08:00:00Z"


def container(state: int, exit_code: int = 0, **more: Any) -> ContainerView:
    current = cri.ContainerStatus(
        id="c", state=cri.ContainerState.Name(state), exit_code=exit_code, finished_at=1
    )
    return ContainerView(name="c", image="i", current=current, **more)


RUNNING = container(cri.CONTAINER_RUNNING)
GOOD = container(cri.CONTAINER_EXITED)
BAD = container(cri.CONTAINER_EXITED, 1)
NONE = ContainerView(name="c", image="i")


@pytest.mark.parametrize(
    ("policy", "containers", "terminating", "phase"),
    [
        ("Always", [NONE], False, "Pending"),
        ("Always", [RUNNING, NONE], False, "Pending"),
        ("Always", [RUNNING], False, "Running"),
        ("Always", [RUNNING, BAD], False, "Running"),
        ("Always", [BAD], False, "Running"),
        ("Always", [GOOD], False, "Running"),
        ("OnFailure", [GOOD], False, "Succeeded"),
        ("OnFailure", [BAD], False, "Running"),
        ("Never", [GOOD, GOOD], False, "Succeeded"),
        ("Never", [GOOD, BAD], False, "Failed"),
        ("Always", [RUNNING], True, "Running"),
        ("Always", [GOOD], True, "Succeeded"),
        ("Always", [BAD], True, "Failed"),
        ("Always", [NONE], True, "Failed"),
    ],
)
def test_phase(policy: str, containers: list[ContainerView], terminating: bool, phase: str) -> None:
    pod: Object = {"metadata": {}, "spec": {"restartPolicy": policy}}
    if terminating:
        pod["metadata"]["deletionTimestamp"] = "2026-11-23T02:27:09Z"
    assert pod_status.get_phase(pod, PodView(containers=containers)) == phase


@pytest.mark.parametrize(
    ("policy", "init", "phase"),
    [("Always", NONE, "Pending"), ("Always", RUNNING, "Pending"), ("Never", BAD, "Failed"),
     ("Always", BAD, "Pending"), ("Always", GOOD, "Running")],
)  # fmt: skip
def test_phase_with_init_containers(policy: str, init: ContainerView, phase: str) -> None:
    pod: Object = {"metadata": {}, "spec": {"restartPolicy": policy}}
    view = PodView(containers=[RUNNING], init_containers=[init])
    assert pod_status.get_phase(pod, view) == phase


def config(*, crash_backoff_s: float = 1.0, crash_backoff_max_s: float = 20.0) -> KubeletConfig:
    return KubeletConfig(
        node="n",
        state_dir="",
        server="",
        ca="",
        client_cert="",
        client_key="",
        serving_cert="",
        serving_key="",
        client_ca="",
        runtime_endpoint="",
        crash_backoff_s=crash_backoff_s,
        crash_backoff_max_s=crash_backoff_max_s,
    )


def crash(number: int, uptime_s: float = 0.1) -> cri.ContainerStatus:
    started_ns = number * 1_000_000_000_000
    return cri.ContainerStatus(
        id=f"c{number}", started_at=started_ns, finished_at=started_ns + int(uptime_s * 1e9)
    )


def test_restart_delay_doubles_and_resets() -> None:
    backoff = CrashBackoff(config(crash_backoff_s=1.0, crash_backoff_max_s=5.0))
    delays = [backoff.next_start("c", crash(number))[1] for number in range(6)]
    assert delays == [0.0, 1.0, 2.0, 4.0, 5.0, 5.0]
    # The result for the same exit does not change.
    assert backoff.next_start("c", crash(5)) == (5000.1 + 5.0, 5.0)
    # A long uptime resets the delay; other containers have their own.
    assert backoff.next_start("c", crash(6, uptime_s=60.0))[1] == 0.0
    assert backoff.next_start("other", crash(7))[1] == 0.0


def test_failed_pull_backs_off_until_success() -> None:
    backoff = PullBackoff(config())
    assert backoff.waiting_state("c", "image") is None
    retry_s = backoff.record_failure("c", "not found")
    assert backoff.waiting_state("c", "image") == (retry_s, "ErrImagePull", "not found")
    backoff.record_success("c")
    assert backoff.waiting_state("c", "image") is None


def test_environment_resolves_field_references() -> None:
    pod = {
        "metadata": {"name": "web-1", "namespace": "shop", "uid": "u"},
        "spec": {"nodeName": "node-a"},
    }
    spec = {
        "env": [
            {"name": "A", "value": "1"},
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        ]
    }
    variables = cri_config.environment(pod, spec, pod_ip="10.0.0.1", host_ip=HOST)
    assert variables == {"A": "1", "NAME": "web-1", "IP": "10.0.0.1", "SECRET": ""}


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (10, "10s"), (60, "1m0s"), (160.2, "2m40s")]
)
def test_go_duration_format(seconds: float, text: str) -> None:
    assert cri_config.go_duration(seconds) == text


async def collect(path: Path, options: LogOptions) -> bytes:
    exited = asyncio.Event()
    exited.set()
    return b"".join([chunk async for chunk in read_log(path, options, exited)])


async def test_log_reader_applies_options(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    writer = LogWriter(str(path))
    writer.write("stdout", b"one\ntwo\nthr")
    writer.write("stderr", b"oops\n")
    writer.write("stdout", b"ee\n" + b"x" * 40_000)
    writer.close()
    everything = await collect(path, LogOptions())
    assert everything == b"one\ntwo\noops\nthree\n" + b"x" * 40_000 + b"\n"
    assert (await collect(path, LogOptions(tail_lines=1))).endswith(b"x\n")
    assert await collect(path, LogOptions(limit_bytes=5)) == b"one\nt"
    assert await collect(path, LogOptions(tail_lines=0)) == b""
    stamped = await collect(path, LogOptions(timestamps=True, limit_bytes=60))
    stamp, _, text = stamped.partition(b"\n")[0].partition(b" ")
    assert text == b"one"
    assert datetime.fromisoformat(stamp.decode()[:19] + "+00:00").year >= 2024
    later = LogOptions(since=datetime(2100, 1, 1, tzinfo=UTC))
    assert await collect(path, later) == b""
    assert await collect(tmp_path / "missing", LogOptions()) == b""


async def test_log_is_followed_until_container_exits(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    writer = LogWriter(str(path))
    exited = asyncio.Event()
    chunks: list[bytes] = []

    async def follow() -> None:
        async for chunk in read_log(path, LogOptions(follow=True), exited):
            chunks.append(chunk)  # noqa: PERF401 - checked while it grows

    async with asyncio.timeout(10):
        task = asyncio.create_task(follow())
        for number in range(3):
            writer.write("stdout", b"%d\n" % number)
            while len(chunks) <= number:  # noqa: ASYNC110 - a file has no event
                await asyncio.sleep(0.01)
        exited.set()
        await task
    writer.close()
    assert b"".join(chunks) == b"0\n1\n2\n"


def test_log_options_are_parsed_and_validated() -> None:
    options = LogOptions.parse({"follow": ["true"], "tailLines": ["5"], "sinceSeconds": ["3"]})
    assert (options.follow, options.tail_lines) == (True, 5)
    assert options.since is not None
    with pytest.raises(UsageError):
        LogOptions.parse({"tailLines": ["-1"]})
    with pytest.raises(UsageError):
        LogOptions.parse({"sinceTime": ["yesterday"]})


@pytest.mark.parametrize(
    ("query", "ports", "text"),
    [
        ("port=80", [80], ""),
        ("port=80,8080&port=80", [80, 8080, 80], ""),
        ("", [], 'query parameter "port" is required'),
        ("port=0", [], 'port "0" must be > 0'),
        ("port=x", [], 'unable to parse "x" as a port'),
        ("port=70000", [], 'unable to parse "70000" as a port'),
    ],
)
def test_ports_of_legacy_requests_are_parsed(query: str, ports: list[int], text: str) -> None:
    headers = [("Connection", "Upgrade"), ("Upgrade", "websocket")]
    request = HttpRequest("GET", f"/portForward/a/b?{query}", headers)
    if text:
        with pytest.raises(RefusalError) as caught:
            parse_ports(request)
        assert caught.value.raw.endswith(text.encode())
    else:
        assert parse_ports(request) == ports
