"""Pod status of the kubelet, compared with recorded ones."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tui_forward.minicluster.cri import api_pb2 as cri
from tui_forward.minicluster.kubelet import pod_status
from tui_forward.minicluster.kubelet.objects import Object
from tui_forward.minicluster.kubelet.pod_status import ContainerView, PodView

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
