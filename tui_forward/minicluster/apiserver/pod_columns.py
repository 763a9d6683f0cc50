"""The cells of a pod's table row: READY, STATUS, RESTARTS and others.

The rules are those of `printPod` in Kubernetes' `pkg/printers`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from tui_forward.minicluster.apiserver import timestamps
from tui_forward.minicluster.apiserver.resources import Object


class _Metadata(msgspec.Struct):
    name: str
    created: str = msgspec.field(name="creationTimestamp", default="")
    deleted: str = msgspec.field(name="deletionTimestamp", default="")


class _Container(msgspec.Struct):
    name: str
    restart_policy: str = msgspec.field(name="restartPolicy", default="")


class _Gate(msgspec.Struct):
    condition: str = msgspec.field(name="conditionType")


class _Spec(msgspec.Struct):
    containers: list[_Container] = []
    inits: list[_Container] = msgspec.field(name="initContainers", default_factory=list)
    node: str = msgspec.field(name="nodeName", default="")
    gates: list[_Gate] = msgspec.field(name="readinessGates", default_factory=list)


class _Pod(msgspec.Struct):
    """The fields of a pod that its row requires; decoding a whole pod takes much longer."""

    metadata: _Metadata
    spec: _Spec
    status: Object = {}


decode_pod = msgspec.json.Decoder(_Pod).decode


def _is_sidecar(container: _Container | None) -> bool:
    return container is not None and container.restart_policy == "Always"


def pod_cells(pod: _Pod, now: float) -> list[Any]:
    """Return the cells of a pod's row."""
    metadata, spec, status = pod.metadata, pod.spec, pod.status
    conditions = {c["type"]: c for c in status.get("conditions") or ()}
    inits = {c.name: c for c in spec.inits}
    total = len(spec.containers) + sum(map(_is_sidecar, spec.inits))
    ready = restarts = 0
    last_restart = 0.0
    reason = status.get("reason") or status.get("phase", "")
    scheduled = conditions.get("PodScheduled")
    if scheduled and scheduled.get("reason") == "SchedulingGated":
        reason = "SchedulingGated"

    initializing = False
    for index, each in enumerate(status.get("initContainerStatuses") or ()):
        restarts += each.get("restartCount", 0)
        last_restart = max(last_restart, _finished_at(each.get("lastState")))
        state = each.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting") or {}
        if terminated and terminated.get("exitCode") == 0:
            continue
        if _is_sidecar(inits.get(each["name"])) and each.get("started"):
            ready += bool(each.get("ready"))
            continue
        initializing = True
        if terminated:
            reason = "Init:" + (terminated.get("reason") or _exit_text(terminated))
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
            last_restart = max(last_restart, _finished_at(each.get("lastState")))
            state = each.get("state") or {}
            waiting, terminated = state.get("waiting") or {}, state.get("terminated")
            if waiting.get("reason"):
                reason = waiting["reason"]
            elif terminated:
                reason = terminated.get("reason") or _exit_text(terminated)
            elif each.get("ready") and "running" in state:
                running_ready = True
                ready += 1
        if reason == "Completed" and running_ready:
            is_ready = conditions.get("Ready", {}).get("status") == "True"
            reason = "Running" if is_ready else "NotReady"

    if metadata.deleted:
        if status.get("reason") == "NodeLost":
            reason = "Unknown"
        elif status.get("phase") not in ("Failed", "Succeeded"):
            reason = "Terminating"

    restarts_text = str(restarts)
    if restarts and last_restart:
        restarts_text = f"{restarts} ({timestamps.format_duration(now - last_restart)} ago)"
    gates = spec.gates
    open_gates = sum(conditions.get(gate.condition, {}).get("status") == "True" for gate in gates)
    return [
        metadata.name,
        f"{ready}/{total}",
        reason,
        restarts_text,
        timestamps.format_age(metadata.created, now),
        status.get("podIP") or "<none>",
        spec.node or "<none>",
        status.get("nominatedNodeName") or "<none>",
        f"{open_gates}/{len(gates)}" if gates else "<none>",
    ]


def _finished_at(state: Object | None) -> float:
    terminated = (state or {}).get("terminated") or {}
    return timestamps.parse_rfc3339(terminated.get("finishedAt"))


def _exit_text(terminated: Object) -> str:
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"
