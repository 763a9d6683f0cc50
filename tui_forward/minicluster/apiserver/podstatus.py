"""What kubectl shows of a pod: READY, STATUS, RESTARTS.

The rules are those of the real printer (`printPod` of kubernetes' `pkg/printers`).
"""

from __future__ import annotations

from typing import Any

from . import clock

Object = dict[str, Any]


def _restartable_init(container: Object) -> bool:
    return container.get("restartPolicy") == "Always"


def pod_cells(pod: Object, at: float) -> list[Any]:
    """The cells of a pod's row."""
    metadata, spec, status = pod["metadata"], pod["spec"], pod.get("status") or {}
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    containers = spec.get("containers") or ()
    inits = {c["name"]: c for c in spec.get("initContainers") or ()}
    total = len(containers) + sum(map(_restartable_init, inits.values()))
    ready = restarts = 0
    last_restart = 0.0
    reason = status.get("reason") or status.get("phase", "")
    scheduled = conditions.get("PodScheduled")
    if scheduled and scheduled.get("reason") == "SchedulingGated":
        reason = "SchedulingGated"

    initializing = False
    for index, each in enumerate(status.get("initContainerStatuses") or ()):
        restarts += each.get("restartCount", 0)
        last_restart = max(last_restart, _finished(each.get("lastState")))
        state = each.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting") or {}
        if terminated and terminated.get("exitCode") == 0:
            continue
        if _restartable_init(inits.get(each["name"], {})) and each.get("started"):
            ready += bool(each.get("ready"))
            continue
        initializing = True
        if terminated:
            reason = "Init:" + (terminated.get("reason") or _exit(terminated))
        elif waiting.get("reason") not in (None, "", "PodInitializing"):
            reason = "Init:" + waiting["reason"]
        else:
            reason = f"Init:{index}/{len(inits)}"
        break

    if not initializing:
        running_ready = False
        statuses = status.get("containerStatuses") or ()
        for each in reversed(statuses):
            restarts += each.get("restartCount", 0)
            last_restart = max(last_restart, _finished(each.get("lastState")))
            state = each.get("state") or {}
            waiting, terminated = state.get("waiting") or {}, state.get("terminated")
            if waiting.get("reason"):
                reason = waiting["reason"]
            elif terminated:
                reason = terminated.get("reason") or _exit(terminated)
            elif each.get("ready") and "running" in state:
                running_ready = True
                ready += 1
        if reason == "Completed" and running_ready:
            is_ready = conditions.get("Ready", {}).get("status") == "True"
            reason = "Running" if is_ready else "NotReady"

    if metadata.get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            reason = "Unknown"
        elif status.get("phase") not in ("Failed", "Succeeded"):
            reason = "Terminating"

    shown = str(restarts)
    if restarts and last_restart:
        shown = f"{restarts} ({clock.human_duration(at - last_restart)} ago)"
    gates = spec.get("readinessGates") or ()
    open_gates = sum(
        conditions.get(gate["conditionType"], {}).get("status") == "True" for gate in gates
    )
    return [
        metadata["name"],
        f"{ready}/{total}",
        reason,
        shown,
        clock.age(metadata.get("creationTimestamp"), at),
        status.get("podIP") or "<none>",
        spec.get("nodeName") or "<none>",
        status.get("nominatedNodeName") or "<none>",
        f"{open_gates}/{len(gates)}" if gates else "<none>",
    ]


def _finished(state: Object | None) -> float:
    terminated = (state or {}).get("terminated") or {}
    return clock.seconds(terminated.get("finishedAt"))


def _exit(terminated: Object) -> str:
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"
