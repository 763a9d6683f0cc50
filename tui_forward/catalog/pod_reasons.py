"""Judgement of a pod: why its port cannot be forwarded now, or may not serve. Pure.

The phase is not enough: it is "Running" for a pod whose containers all crash. What counts is the
container that the port belongs to. A container between two starts shows several reasons in turn
(its end, CrashLoopBackOff, ErrImagePull and ImagePullBackOff), so the code follows from its last
end and from whether it runs, not from the reason that is shown at the moment.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec.structs import replace

from tui_forward.model import (
    ENDED_PHASES,
    ContainerExit,
    ContainerFault,
    Pod,
    PortProtocol,
    Reason,
    ReasonCode,
)
from tui_forward.reasons import one_line

_IMAGE: Final = frozenset(
    {
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImageInspectError",
        "ImagePullBackOff",
        "InvalidImageName",
        "RegistryUnavailable",
        "SignatureValidationFailed",
    }
)
_NOT_CREATED: Final = frozenset(
    {"CreateContainerConfigError", "CreateContainerError", "PreCreateHookError"}
)
_NOT_STARTED: Final = frozenset(
    {"ContainerCannotRun", "PostStartHookError", "PreStartHookError", "RunContainerError"}
) | {"StartError"}
_ENDED: Final = {
    "Evicted": ReasonCode.POD_EVICTED,
    "Preempting": ReasonCode.POD_EVICTED,
    "DeadlineExceeded": ReasonCode.POD_DEADLINE_EXCEEDED,
}
# A kubelet starts a container again at once, then after 10 s, doubled up to 5 minutes. After a run
# of 10 minutes it starts over.
_FIRST_BACKOFF_S: Final = 10.0
_MAX_BACKOFF_S: Final = 300.0
_BACKOFF_RESET_S: Final = 600.0
# The status of a run whose begin is not known, for example before its node was restarted.
_LOST_STATUS: Final = "ContainerStatusUnknown"
_FIRST_DELAYED_RESTART: Final = 2
_MAX_CLOCK_DIFFERENCE_S: Final = 5.0
_MAX_DETAIL: Final = 160
_MIN_DETAIL: Final = 100  # what is left of one that was cut at a better place

# What tells the user most comes first, where several pods or containers are down.
_TELLING: Final = {
    code: rank
    for rank, codes in enumerate(
        (
            (
                ReasonCode.POD_START_ERROR,
                ReasonCode.POD_CONTAINER_ERROR,
                ReasonCode.POD_IMAGE_PULL,
                ReasonCode.POD_OUT_OF_MEMORY,
                ReasonCode.POD_CRASH_LOOPING,
                ReasonCode.POD_INIT_FAILING,
            ),
            (
                ReasonCode.POD_NOT_SCHEDULED,
                ReasonCode.POD_SCHEDULING_GATED,
                ReasonCode.POD_NO_SCHEDULER,
            ),
            (ReasonCode.POD_UNKNOWN, ReasonCode.POD_LOST),
            (ReasonCode.POD_INIT_RUNNING, ReasonCode.POD_CREATING),
            (
                ReasonCode.POD_DEADLINE_EXCEEDED,
                ReasonCode.POD_ENDED,
                ReasonCode.POD_EVICTED,
                ReasonCode.POD_FAILED,
                ReasonCode.POD_COMPLETED,
            ),
        )
    )
    for code in codes
}


def telling_rank(reason: Reason) -> int:
    """Return the place of a reason among those of several pods; 0 tells most."""
    return _TELLING.get(reason.code, len(_TELLING))


def is_ended(pod: Pod) -> bool:
    """Whether none of its containers will run again."""
    return pod.phase in ENDED_PHASES


def is_replaced_when_ended(pod: Pod) -> bool:
    """Whether its controller makes another pod if this one has ended; a Job need not."""
    return pod.owner is not None and pod.owner.kind != "Job"


def why_unusable(pod: Pod, port: int | None = None) -> Reason | None:
    """Return why no tunnel to a port of a pod can serve now; None if one can.

    Without a `port`, any container that runs will do.
    """
    if is_ended(pod):
        return ended_reason(pod)
    fault = _decisive_fault(pod, port)
    unusable: Reason | None
    if not pod.node:
        unusable = _unscheduled_reason(pod)
    elif pod.phase == "Unknown" or pod.reason == "NodeLost":
        unusable = _reason(pod, ReasonCode.POD_UNKNOWN, node=pod.node)
    elif fault is not None:
        unusable = _container_reason(pod, fault)
    elif pod.phase == "Running" or _has_running_container(pod):
        return None
    else:
        unusable = _reason(pod, ReasonCode.POD_CREATING, detail=shorten_end(pod.message))
    if pod.deleting:
        # Its containers end because it is deleted; that is no fault of theirs.
        return _reason(pod, ReasonCode.POD_TERMINATING)
    return unusable


def why_doubtful(pod: Pod, port: int | None = None, *, now: float) -> Reason | None:
    """Return why a pod that is usable may not serve; None for a pod that is Ready.

    `now` is in epoch seconds: `POD_UNSTABLE` does not hold any more from its `at` on.
    """
    if pod.deleting:
        return _reason(pod, ReasonCode.POD_TERMINATING, at=pod.delete_by or None)
    unstable = _unstable_reason(pod, port, now) if pod.exits else None
    if unstable is not None:
        return unstable
    if pod.ready:
        return None
    if pod.unready_gates and not pod.faults:
        return _reason(pod, ReasonCode.POD_READINESS_GATE, name=", ".join(pod.unready_gates))
    causes = [replace(_container_reason(pod, fault), pod="") for fault in pod.faults]
    cause = min(causes, key=telling_rank, default=None)
    return _reason(pod, ReasonCode.POD_NOT_READY, cause=cause, node=pod.node)


def ended_reason(pod: Pod) -> Reason:
    """Return why none of its containers runs any more."""
    if pod.phase == "Succeeded":
        return _reason(pod, ReasonCode.POD_COMPLETED, status="Completed")
    if pod.reason in _ENDED:
        detail = shorten_start(pod.message)
        return _reason(pod, _ENDED[pod.reason], status=pod.reason, detail=detail)
    failed = [fault for fault in pod.faults if fault.exit_code]
    if failed:
        return _final_reason(pod, min(failed, key=lambda fault: _rank(pod, fault)))
    status = pod.reason or pod.status
    return _reason(pod, ReasonCode.POD_FAILED, status=status, detail=shorten_start(pod.message))


def _has_running_container(pod: Pod) -> bool:
    """Whether a container is known to run in a pod whose phase is Pending."""
    return 0 < sum(not fault.is_init for fault in pod.faults) < pod.containers_total


def _decisive_fault(pod: Pod, port: int | None) -> ContainerFault | None:
    """Return the container that has to run before the port can serve."""
    if pod.faults and pod.faults[0].is_init:
        return pod.faults[0]
    down = {fault.name: fault for fault in pod.faults}
    if not down:
        return None
    owners = _port_owners(pod, port)
    if not owners.issubset(down):
        return None
    if not owners and len(down) < pod.containers_total:
        # The port is not declared: one of the others may listen on it.
        return None
    blocking = [down[name] for name in owners] or list(down.values())
    return min(blocking, key=lambda fault: _rank(pod, fault))


def _port_owners(pod: Pod, port: int | None) -> set[str]:
    """Return the containers that declare a port."""
    return {
        declared.container
        for declared in pod.ports
        if declared.number == port and declared.protocol is PortProtocol.TCP
    }


def _unstable_reason(pod: Pod, port: int | None, now: float) -> Reason | None:
    """Return that the container of a port runs only until its next crash, as far as is known.

    A container that crash-loops runs, and is Ready without a probe, for a moment after each start.
    """
    unstable = {one.container: one for one in pod.exits if _is_between_crashes(one, now)}
    owners = _port_owners(pod, port)
    if not owners.issubset(unstable) or (not owners and len(unstable) < pod.containers_total):
        return None  # one that is stable serves the port, or may listen on it
    last = max(unstable.values(), key=_stable_at)
    return _reason(
        pod,
        ReasonCode.POD_UNSTABLE,
        container=last.container,
        status=last.reason,
        exit_code=last.code,
        restarts=last.number,
        at=_stable_at(last),
        has_previous_log=True,
    )


def _is_between_crashes(one: ContainerExit, now: float) -> bool:
    """Whether a container runs that the kubelet had to restart with a delay, and not yet for long.

    If this clock is far behind that of the node, nothing is known.
    """
    if not one.restarted or one.number < _FIRST_DELAYED_RESTART or one.reason == _LOST_STATUS:
        return False
    if one.ran_s >= _BACKOFF_RESET_S:
        return False
    return one.running_since - _MAX_CLOCK_DIFFERENCE_S <= now < _stable_at(one)


def _stable_at(one: ContainerExit) -> float:
    """Return when a run is longer than those before: twice the last one, at most the back-off."""
    backoff_s = _backoff_s(one.number - 1)
    return one.running_since + min(backoff_s, max(_FIRST_BACKOFF_S, 2 * one.ran_s))


def _unscheduled_reason(pod: Pod) -> Reason:
    if pod.scheduling_gates or pod.status == "SchedulingGated":
        gates = ", ".join(pod.scheduling_gates)
        return _reason(pod, ReasonCode.POD_SCHEDULING_GATED, name=gates)
    if pod.scheduled is None and not pod.message:
        return _reason(pod, ReasonCode.POD_NO_SCHEDULER)
    # What follows is about preemption.
    first_sentence = pod.message.partition(". ")[0]
    return _reason(pod, ReasonCode.POD_NOT_SCHEDULED, detail=shorten_start(first_sentence))


def _rank(pod: Pod, fault: ContainerFault) -> int:
    return telling_rank(_container_reason(pod, replace(fault, is_final=False)))


def _container_reason(pod: Pod, fault: ContainerFault) -> Reason:
    """Return why a container does not run."""
    if fault.running_since:
        return _container(
            pod,
            fault,
            ReasonCode.POD_INIT_RUNNING,
            status=fault.position,
            at=fault.running_since,
        )
    if fault.is_final:
        return _final_reason(pod, fault)
    if fault.waiting in _IMAGE:
        detail = shorten_end(fault.message)
        return _container(pod, fault, ReasonCode.POD_IMAGE_PULL, image=fault.image, detail=detail)
    if fault.waiting in _NOT_CREATED:
        detail = shorten_end(fault.message)
        return _container(pod, fault, ReasonCode.POD_CONTAINER_ERROR, detail=detail)
    if fault.waiting in _NOT_STARTED or fault.ended in _NOT_STARTED:
        return _end_reason(pod, fault, ReasonCode.POD_START_ERROR)
    if not fault.ended:
        return _container(pod, fault, ReasonCode.POD_CREATING, detail=shorten_end(fault.message))
    if fault.is_init:
        return _end_reason(pod, fault, ReasonCode.POD_INIT_FAILING)
    if fault.ended == "OOMKilled":
        return _end_reason(pod, fault, ReasonCode.POD_OUT_OF_MEMORY)
    return _end_reason(pod, fault, ReasonCode.POD_CRASH_LOOPING)


def _final_reason(pod: Pod, fault: ContainerFault) -> Reason:
    """Return the reason of a container that has ended for good."""
    code = ReasonCode.POD_FAILED if fault.exit_code else ReasonCode.POD_COMPLETED
    return replace(_end_reason(pod, fault, code), at=None, has_previous_log=False)


def _end_reason(pod: Pod, fault: ContainerFault, code: ReasonCode) -> Reason:
    return _container(
        pod,
        fault,
        code,
        status=fault.ended,
        exit_code=fault.exit_code,
        restarts=fault.restarts,
        limit=fault.memory_limit if fault.ended == "OOMKilled" else "",
        at=_next_start(fault),
        has_previous_log=fault.has_previous_log,
        detail=shorten_end(fault.ended_message or fault.message),
    )


def _container(pod: Pod, fault: ContainerFault, code: ReasonCode, **parameters: Any) -> Reason:
    return _reason(pod, code, container=fault.name, **parameters)


def _next_start(fault: ContainerFault) -> float | None:
    """Return about when the kubelet starts a container again; None if that is not known."""
    if not fault.ended_at:
        return None
    if fault.backoff_s is not None:
        return fault.ended_at + fault.backoff_s
    if not fault.restarts or fault.ran_s >= _BACKOFF_RESET_S:
        return None  # at once
    return fault.ended_at + _backoff_s(fault.restarts)


def _backoff_s(restarts: int) -> float:
    """Return how long the kubelet waits before it starts a container once more."""
    return min(_FIRST_BACKOFF_S * 2.0 ** min(restarts - 1, 10), _MAX_BACKOFF_S)


def _reason(pod: Pod, code: ReasonCode, **parameters: Any) -> Reason:
    return Reason(code=code, pod=pod.name, namespace=pod.namespace, **parameters)


def shorten_start(message: str) -> str:
    """Return the beginning of a message, for texts whose cause comes first."""
    line = one_line(message)
    if len(line) <= _MAX_DETAIL:
        return line
    words, space, _ = line[:_MAX_DETAIL].rpartition(" ")
    return f"{words if space else line[: _MAX_DETAIL - 1]}…"


def shorten_end(message: str) -> str:
    """Return the end of a message: runtimes and registries wrap the cause in what they did."""
    line = one_line(message)
    if len(line) <= _MAX_DETAIL:
        return line
    tail = line[1 - _MAX_DETAIL :]
    for separator in (": ", " "):  # between a cause and what wraps it, else between words
        _, found, rest = tail.partition(separator)
        if found and len(rest) >= _MIN_DETAIL:
            return f"…{rest}"
    return f"…{tail}"
