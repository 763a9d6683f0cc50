"""Conversion of the runtime's state of a pod to the `status` of its Pod object.

Shapes and reasons are those of kubelet 1.36.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from tui_forward.minicluster.cri import api_pb2 as cri
from tui_forward.minicluster.kubelet.objects import Object


@dataclass(slots=True)
class ContainerView:
    """One container of a pod, across its incarnations."""

    name: str
    image: str  # as in the pod
    current: cri.ContainerStatus | None = None  # the newest incarnation, None before the first
    previous: cri.ContainerStatus | None = None  # the incarnation before it
    # (reason, message) while it should run and cannot; takes precedence over an exited `current`.
    waiting: tuple[str, str] | None = None
    ready: bool = False  # whether its readiness probe succeeds; counts only while it runs
    restarts: int = 0  # how often it was restarted

    @property
    def running(self) -> bool:
        """Whether it runs now."""
        return self.current is not None and self.current.state == cri.CONTAINER_RUNNING

    @property
    def ended(self) -> bool:
        """Whether its newest incarnation has exited."""
        return self.current is not None and self.current.state == cri.CONTAINER_EXITED

    @property
    def succeeded(self) -> bool:
        """Whether its newest incarnation exited with code 0."""
        return self.ended and self.current is not None and self.current.exit_code == 0


@dataclass(slots=True)
class PodView:
    """State of a pod in the runtime."""

    sandbox_ready: bool = False  # whether its sandbox is ready
    ip: str = ""  # its address, empty without a sandbox
    containers: list[ContainerView] = field(default_factory=list)  # in the order of the pod's spec
    init_containers: list[ContainerView] = field(default_factory=list)  # in the order of the spec
    id_scheme: str = "containerd"  # what container ids start with ("containerd")

    @property
    def initialized(self) -> bool:
        """Whether every init container has succeeded."""
        return all(view.succeeded for view in self.init_containers)


def format_timestamp(at_s: float) -> str:
    """Return a time as the Kubernetes API writes it."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def get_phase(pod: Object, view: PodView) -> str:
    """Return the phase of a pod, as the kubelet's `getPhase` does."""
    policy = pod["spec"].get("restartPolicy", "Always")
    terminating = "deletionTimestamp" in pod["metadata"]
    for init in view.init_containers:
        if init.ended and not init.succeeded and policy == "Never":
            return "Failed"
    if not view.initialized:
        return "Pending"
    running = stopped = succeeded = waiting = 0
    for container in view.containers:
        if container.running:
            running += 1
        elif container.ended:
            stopped += 1
            succeeded += container.succeeded
        else:
            waiting += 1
    if waiting and not terminating:
        return "Pending"
    if running:
        return "Running"
    if not stopped:
        return "Failed" if terminating else "Pending"
    if terminating or policy == "Never":
        return "Succeeded" if stopped == succeeded else "Failed"
    if policy == "OnFailure" and stopped == succeeded:
        return "Succeeded"
    return "Running"


def _terminated(view: PodView, status: cri.ContainerStatus) -> Object:
    state: Object = {
        "exitCode": status.exit_code,
        "reason": status.reason or ("Completed" if status.exit_code == 0 else "Error"),
        # 1970 for one that could not be started, as in Kubernetes.
        "startedAt": format_timestamp(status.started_at / 1e9),
        "finishedAt": format_timestamp(status.finished_at / 1e9),
        "containerID": f"{view.id_scheme}://{status.id}",
    }
    if status.message:
        state["message"] = status.message
    return {"terminated": state}


def _container_status(view: PodView, container: ContainerView) -> Object:
    """Return one entry of `containerStatuses`."""
    current, previous = container.current, container.previous
    state: Object
    last: Object = {}
    if current is not None and container.running:
        state = {"running": {"startedAt": format_timestamp(current.started_at / 1e9)}}
        if previous is not None:
            last = _terminated(view, previous)
    elif current is not None and container.ended and container.waiting is None:
        state = _terminated(view, current)
        if previous is not None:
            last = _terminated(view, previous)
    else:
        # Of a pod whose init containers have not finished yet, the others are not created.
        idle = (
            "ContainerCreating"
            if view.initialized or container in view.init_containers
            else ("PodInitializing")
        )
        reason, message = container.waiting or (idle, "")
        waiting = {"reason": reason}
        if message:
            waiting["message"] = message
        state = {"waiting": waiting}
        if current is not None and container.ended:
            last = _terminated(view, current)
    status: Object = {
        "name": container.name,
        "state": state,
        "lastState": last,
        "ready": container.running and container.ready,
        "restartCount": container.restarts,
        "image": current.image.image if current is not None else container.image,
        "imageID": current.image_ref if current is not None else "",
    }
    if current is not None:
        status["containerID"] = f"{view.id_scheme}://{current.id}"
    status["started"] = container.running
    if current is not None:
        status["resources"] = {}
    return status


def build(pod: Object, view: PodView, *, host_ip: str, now_s: float) -> Object:
    """Return the whole `status`."""
    old: Object = pod.get("status") or {}
    phase = get_phase(pod, view)
    generation = pod["metadata"].get("generation")
    status: Object = {}
    if generation is not None:
        status["observedGeneration"] = generation
    status["phase"] = phase
    status["conditions"] = _conditions(pod, view, phase, generation, now_s)
    status["hostIP"] = host_ip
    status["hostIPs"] = [{"ip": host_ip}]
    ip = view.ip or old.get("podIP") or ""
    if ip:
        status["podIP"] = ip
        status["podIPs"] = [{"ip": ip}]
    status["startTime"] = old.get("startTime") or format_timestamp(now_s)
    if view.init_containers:
        status["initContainerStatuses"] = [
            {**_container_status(view, init), "ready": init.succeeded}
            for init in view.init_containers
        ]
    status["containerStatuses"] = [_container_status(view, each) for each in view.containers]
    status["qosClass"] = old.get("qosClass") or "BestEffort"
    status["resources"] = {}
    return status


def _unready_gate(pod: Object, conditions: dict[str, Object]) -> str:
    """Return why the pod's readiness gates keep it from being ready; empty if they do not."""
    for gate in pod["spec"].get("readinessGates") or ():
        kind = gate["conditionType"]
        condition = conditions.get(kind)
        if condition is None:
            return f'corresponding condition of pod readiness gate "{kind}" does not exist.'
        if condition.get("status") != "True":
            return (
                f'the status of pod readiness gate "{kind}" is not "True", but '
                f"{condition.get('status')}"
            )
    return ""


def _conditions(
    pod: Object, view: PodView, phase: str, generation: int | None, now_s: float
) -> list[Object]:
    old = {each["type"]: each for each in (pod.get("status") or {}).get("conditions") or ()}
    unready = [each.name for each in view.containers if not (each.running and each.ready)]
    uninitialized = [init.name for init in view.init_containers if not init.succeeded]
    completion = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}.get(phase)
    if completion:
        readiness = ("False", completion, "")
    elif not unready:
        readiness = ("True", "", "")
    else:
        names = " ".join(unready)
        readiness = ("False", "ContainersNotReady", f"containers with unready status: [{names}]")
    is_ready = readiness
    if readiness[0] == "True" and (gate := _unready_gate(pod, old)):
        is_ready = ("False", "ReadinessGatesNotReady", gate)
    initialized = ("True", "PodCompleted" if phase == "Succeeded" else "", "")
    if uninitialized:
        message = f"containers with incomplete status: [{' '.join(uninitialized)}]"
        initialized = ("False", "ContainersNotInitialized", message)
    states = {
        "PodReadyToStartContainers": ("True" if view.sandbox_ready else "False", "", ""),
        "Initialized": initialized,
        "Ready": is_ready,
        "ContainersReady": readiness,
        "PodScheduled": ("True", "", ""),
    }
    conditions = []
    for kind, (value, reason, message) in states.items():
        condition: Object = {"type": kind}
        if generation is not None:
            condition["observedGeneration"] = generation
        condition["status"] = value
        condition["lastProbeTime"] = None
        before = old.get(kind)
        same = before is not None and before.get("status") == value
        since = before.get("lastTransitionTime") if same and before is not None else None
        condition["lastTransitionTime"] = since or format_timestamp(now_s)
        if reason:
            condition["reason"] = reason
        if message:
            condition["message"] = message
        conditions.append(condition)
    # Keep conditions that other components set (readiness gates, disruption targets).
    conditions += [condition for kind, condition in old.items() if kind not in states]
    return conditions
