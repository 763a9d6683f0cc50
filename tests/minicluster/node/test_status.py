"""Pure parts of the kubelet: status against recorded ones, specs, back-off, logs."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tui_forward.errors import UsageError
from tui_forward.minicluster.cri import api_pb2 as cri
from tui_forward.minicluster.kubelet import cri_config as cri_config
from tui_forward.minicluster.kubelet import pod_status as pod_status
from tui_forward.minicluster.kubelet.backoff import CrashBackoff, PullBackoff
from tui_forward.minicluster.kubelet.config import KubeletConfig
from tui_forward.minicluster.kubelet.logs import LogOptions, read
from tui_forward.minicluster.kubelet.pod_status import ContainerView, PodView
from tui_forward.minicluster.kubelet.portforward import RefusalError, ports_of
from tui_forward.minicluster.runtime.logs import LogWriter
from tui_forward.protocol.upgrade_server import HttpRequest

CAPTURES = Path(__file__).parents[2] / "captures" / "api"
HOST = "192.0.2.2"

Object = dict[str, Any]


def recorded(name: str) -> Object:
    """A Pod object as a real API server gave it."""
    body: Object = json.loads(json.loads((CAPTURES / f"{name}.json").read_text())["body"])
    return body


def nanoseconds(stamp: str) -> int:
    return int(datetime.fromisoformat(stamp).timestamp()) * 1_000_000_000


def from_state(name: str, recorded: Object, state: Object, attempt: int) -> cri.ContainerStatus:
    """What the runtime must have said for this to be reported."""
    kind = next(iter(state))
    found = state[kind]
    container_id = found.get("containerID", recorded.get("containerID", ""))
    return cri.ContainerStatus(
        id=container_id.removeprefix("containerd://"),
        metadata=cri.ContainerMetadata(name=name, attempt=attempt),
        state=cri.CONTAINER_RUNNING if kind == "running" else cri.CONTAINER_EXITED,
        started_at=nanoseconds(found["startedAt"]),
        finished_at=nanoseconds(found["finishedAt"]) if kind == "terminated" else 0,
        exit_code=found.get("exitCode", 0),
        reason=found.get("reason", ""),
        image=cri.ImageSpec(image=recorded["image"]),
        image_ref=recorded["imageID"],
    )


@pytest.mark.parametrize("name", ["pod", "pod-crashloop", "pod-image-missing"])
def test_status_is_what_a_real_kubelet_reports(name: str) -> None:
    pod = recorded(name)
    wanted = pod["status"]
    views = []
    for container in wanted["containerStatuses"]:
        view = ContainerView(
            name=container["name"],
            image=container["image"],
            restarts=container["restartCount"],
            ready=container["ready"],
        )
        state, last = container["state"], container["lastState"]
        if "waiting" in state:
            view.waiting = (state["waiting"]["reason"], state["waiting"].get("message", ""))
        else:
            view.current = from_state(view.name, container, state, view.restarts)
        if last:
            view.previous = from_state(view.name, container, last, view.restarts - 1)
        views.append(view)
    picture = PodView(sandbox_ready=True, ip=wanted["podIP"], containers=views)
    # The times of transitions come from the old status.
    assert pod_status.build(pod, picture, host_ip=HOST, now_s=0.0) == wanted


def test_a_new_pod() -> None:
    pod = recorded("pod")
    pod["status"] = {"phase": "Pending", "qosClass": "BestEffort"}
    picture = PodView(containers=[ContainerView(name="one", image="i")])
    built = pod_status.build(pod, picture, host_ip=HOST, now_s=1_800_000_000.0)
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
    by_type = {each["type"]: each for each in built["conditions"]}
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
    assert pod_status.phase(pod, PodView(containers=containers)) == phase


@pytest.mark.parametrize(
    ("policy", "init", "phase"),
    [("Always", NONE, "Pending"), ("Always", RUNNING, "Pending"), ("Never", BAD, "Failed"),
     ("Always", BAD, "Pending"), ("Always", GOOD, "Running")],
)  # fmt: skip
def test_phase_with_init_containers(policy: str, init: ContainerView, phase: str) -> None:
    pod: Object = {"metadata": {}, "spec": {"restartPolicy": policy}}
    view = PodView(containers=[RUNNING], init_containers=[init])
    assert pod_status.phase(pod, view) == phase


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


def crash(number: int, lived_s: float = 0.1) -> cri.ContainerStatus:
    begun = number * 1_000_000_000_000
    return cri.ContainerStatus(
        id=f"c{number}", started_at=begun, finished_at=begun + int(lived_s * 1e9)
    )


def test_crashes_in_a_row_wait_longer_each_time() -> None:
    backoff = CrashBackoff(config(crash_backoff_s=1.0, crash_backoff_max_s=5.0))
    waits = [backoff.due("c", crash(number))[1] for number in range(6)]
    assert waits == [0.0, 1.0, 2.0, 4.0, 5.0, 5.0]
    # Asked twice about the same end, the answer is the same.
    assert backoff.due("c", crash(5)) == (5000.1 + 5.0, 5.0)
    # A long life forgives everything; another container was never at fault.
    assert backoff.due("c", crash(6, lived_s=60.0))[1] == 0.0
    assert backoff.due("other", crash(7))[1] == 0.0


def test_pulls_that_fail() -> None:
    backoff = PullBackoff(config())
    assert not backoff.waits("c")
    backoff.failed("c", "not found")
    assert backoff.waits("c")
    _, why = backoff.state("c", "image")
    assert why == ("ErrImagePull", "not found")
    backoff.succeeded("c")
    assert backoff.state("c", "image") == (0.0, None)


def test_environment() -> None:
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
    found = cri_config.environment(pod, spec, pod_ip="10.0.0.1", host_ip=HOST)
    assert found == {"A": "1", "NAME": "web-1", "IP": "10.0.0.1", "SECRET": ""}


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (10, "10s"), (60, "1m0s"), (160.2, "2m40s")]
)
def test_durations(seconds: float, text: str) -> None:
    assert cri_config.go_duration(seconds) == text


async def collect(path: Path, options: LogOptions) -> bytes:
    ended = asyncio.Event()
    ended.set()
    return b"".join([piece async for piece in read(path, options, ended)])


async def test_logs(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    writer = LogWriter(str(path))
    writer.feed("stdout", b"one\ntwo\nthr")
    writer.feed("stderr", b"oops\n")
    writer.feed("stdout", b"ee\n" + b"x" * 40_000)
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


async def test_logs_are_followed_until_the_container_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    writer = LogWriter(str(path))
    ended = asyncio.Event()
    pieces: list[bytes] = []

    async def follow() -> None:
        async for piece in read(path, LogOptions(follow=True), ended):
            pieces.append(piece)  # noqa: PERF401 - seen as they come

    async with asyncio.timeout(10):
        task = asyncio.create_task(follow())
        for number in range(3):
            writer.feed("stdout", b"%d\n" % number)
            while len(pieces) <= number:  # noqa: ASYNC110 - it is a file
                await asyncio.sleep(0.01)
        ended.set()
        await task
    writer.close()
    assert b"".join(pieces) == b"0\n1\n2\n"


def test_log_options() -> None:
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
def test_ports_of_legacy_requests(query: str, ports: list[int], text: str) -> None:
    headers = [("Connection", "Upgrade"), ("Upgrade", "websocket")]
    request = HttpRequest("GET", f"/portForward/a/b?{query}", headers)
    if text:
        with pytest.raises(RefusalError) as caught:
            ports_of(request)
        assert caught.value.raw.endswith(text.encode())
    else:
        assert ports_of(request) == ports
