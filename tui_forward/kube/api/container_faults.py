"""Containers of a pod that do not run, with what their status reports. No I/O."""

from __future__ import annotations

from tui_forward.kube.api.api_types import (
    Container,
    ContainerState,
    ContainerStatus,
    Pod,
    Terminated,
)
from tui_forward.kube.errors import parse_backoff_s, strip_pull_backoff
from tui_forward.kube.timestamps import parse_rfc3339
from tui_forward.model import ENDED_PHASES, ContainerFault


def find_container_faults(pod: Pod) -> tuple[ContainerFault, ...]:
    """Return the containers that do not run, the init container in progress first.

    Healthy pods, nearly all, cost one comparison per container.
    """
    faults = [status for status in pod.status.container_statuses or () if not _is_running(status)]
    initial = _unfinished_init(pod) if pod.status.init_container_statuses else []
    if not faults and not initial:
        return ()
    inits = {one.name: one for one in pod.spec.init_containers or ()}
    containers = inits | {one.name: one for one in pod.spec.containers or ()}
    return tuple(
        _fault(pod, status, containers.get(status.name), position)
        for status, position in [*initial, *((status, "") for status in faults)]
    )


def run_duration_s(terminated: Terminated) -> float:
    """Return how long a container ran before it ended; 0 for one that could not be started."""
    started = parse_rfc3339(terminated.started_at)
    # A program that could not be started has the zero time of Go or of Unix.
    return parse_rfc3339(terminated.finished_at) - started if started > 0 else 0.0


def is_sidecar(container: Container) -> bool:
    """Whether an init container keeps running beside the others."""
    return container.restart_policy == "Always"


def _is_running(status: ContainerStatus) -> bool:
    return status.state is not None and status.state.running is not None


def _unfinished_init(pod: Pod) -> list[tuple[ContainerStatus, str]]:
    """Return sidecars that do not run, and the init container that holds up the others."""
    sidecars = {one.name for one in pod.spec.init_containers or () if is_sidecar(one)}
    statuses = pod.status.init_container_statuses or []
    initialized = any(
        one.type == "Initialized" and one.status == "True" for one in pod.status.conditions or ()
    )
    if initialized:
        return [(one, "") for one in statuses if one.name in sidecars and not _is_running(one)]
    for number, status in enumerate(statuses, 1):
        terminated = status.state.terminated if status.state is not None else None
        if terminated is not None and terminated.exit_code == 0 and status.name not in sidecars:
            continue
        if status.name in sidecars and _is_running(status) and status.started:
            continue
        return [(status, f"{number} of {len(statuses)}")]
    return []


def _fault(
    pod: Pod, status: ContainerStatus, container: Container | None, position: str
) -> ContainerFault:
    state = status.state or ContainerState()
    previous = status.last_state.terminated if status.last_state is not None else None
    latest = state.terminated or previous
    waiting = state.waiting
    backoff_s, message = None, ""
    if waiting is not None:
        # The text of CrashLoopBackOff says nothing else.
        backoff_s = parse_backoff_s(waiting.message)
        message = "" if backoff_s is not None else strip_pull_backoff(waiting.message)
    limits = container.resources.limits if container and container.resources else None
    return ContainerFault(
        name=status.name,
        is_init=bool(position),
        position=position,
        waiting=waiting.reason if waiting is not None else "",
        message=message,
        ended=_end_reason(latest) if latest is not None else "",
        ended_message=latest.message if latest is not None else "",
        exit_code=latest.exit_code if latest is not None else None,
        ended_at=parse_rfc3339(latest.finished_at) if latest is not None else 0.0,
        ran_s=run_duration_s(latest) if latest is not None else 0.0,
        running_since=parse_rfc3339(state.running.started_at) if state.running else 0.0,
        backoff_s=backoff_s,
        restarts=status.restart_count,
        image=container.image if container is not None else "",
        memory_limit=str(limits.memory) if limits is not None else "",
        has_previous_log=previous is not None,
        is_final=_is_final(pod, state.terminated, container),
    )


def _end_reason(terminated: Terminated) -> str:
    return terminated.reason or ("Completed" if terminated.exit_code == 0 else "Error")


def _is_final(pod: Pod, terminated: Terminated | None, container: Container | None) -> bool:
    """Whether a container that has ended is not started again in this pod."""
    if terminated is None:
        return False
    if pod.status.phase in ENDED_PHASES:
        return True
    if container is not None and container.restart_policy_rules:
        return False  # they may restart it, whatever the policy
    policy = (container.restart_policy if container else None) or pod.spec.restart_policy
    return policy == "Never" or (policy == "OnFailure" and terminated.exit_code == 0)
