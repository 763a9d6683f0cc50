"""The STATUS, READY and RESTARTS columns of a pod, as in kubectl (`printPod`, `printers.go`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tui_forward.kube.api.api_types import Condition, ContainerStatus, Pod, Terminated
from tui_forward.kube.api.container_faults import is_sidecar
from tui_forward.model import ENDED_PHASES


class PodStatusSummary(NamedTuple):
    """The columns, and the cluster's message why the pod is not running."""

    status: str
    ready: int
    total: int
    restarts: int
    message: str


def summarize_pod(pod: Pod) -> PodStatusSummary:
    """Return the columns of one pod."""
    spec, status = pod.spec, pod.status
    conditions = status.conditions or ()
    reason = status.reason or status.phase
    message = status.message
    for condition in conditions:
        if condition.type == "PodScheduled":
            if condition.reason == "SchedulingGated":
                reason = condition.reason
            if condition.status == "False" and condition.message:
                message = message or condition.message
    sidecars = (
        {c.name for c in spec.init_containers if is_sidecar(c)} if spec.init_containers else ()
    )
    total = len(spec.containers or ()) + len(sidecars)
    ready = 0
    restarts = 0
    sidecar_restarts = 0
    initializing = False
    for index, container in enumerate(status.init_container_statuses or ()):
        restarts += container.restart_count
        sidecar = container.name in sidecars
        if sidecar:
            sidecar_restarts += container.restart_count
        state = container.state
        terminated = state.terminated if state else None
        waiting = state.waiting if state else None
        if terminated is not None and terminated.exit_code == 0:
            continue
        if sidecar and container.started:
            ready += container.ready
            continue
        if terminated is not None:
            reason = "Init:" + _termination_reason(terminated)
            message = message or terminated.message
        elif waiting is not None and waiting.reason and waiting.reason != "PodInitializing":
            reason = f"Init:{waiting.reason}"
            message = message or waiting.message
        else:
            reason = f"Init:{index}/{len(spec.init_containers or ())}"
        initializing = True
        break
    if not initializing or _is_true(conditions, "Initialized"):
        restarts = sidecar_restarts
        statuses = status.container_statuses or ()
        reason, message, running_ready = _summarize_containers(statuses, reason, message)
        ready += running_ready
        for container in statuses:
            restarts += container.restart_count
        if reason == "Completed" and running_ready:
            reason = "Running" if _is_true(conditions, "Ready") else "NotReady"
    if pod.metadata.deletion_timestamp is not None:
        if status.reason == "NodeLost":
            reason = "Unknown"
        elif status.phase not in ENDED_PHASES:
            reason = "Terminating"
    return PodStatusSummary(reason, ready, total, restarts, message)


def _summarize_containers(
    statuses: Sequence[ContainerStatus], reason: str, message: str
) -> tuple[str, str, int]:
    """Return reason, message and number of ready containers; the first container decides."""
    ready = 0
    for container in reversed(statuses):
        state = container.state
        waiting = state.waiting if state else None
        terminated = state.terminated if state else None
        if waiting is not None and waiting.reason:
            reason = waiting.reason
            message = waiting.message or message
        elif terminated is not None:
            reason = _termination_reason(terminated)
            message = terminated.message or message
        elif container.ready and state is not None and state.running is not None:
            ready += 1
    return reason, message, ready


def _termination_reason(terminated: Terminated) -> str:
    if terminated.reason:
        return terminated.reason
    if terminated.signal:
        return f"Signal:{terminated.signal}"
    return f"ExitCode:{terminated.exit_code}"


def _is_true(conditions: tuple[()] | list[Condition], kind: str) -> bool:
    return any(c.type == kind and c.status == "True" for c in conditions)
