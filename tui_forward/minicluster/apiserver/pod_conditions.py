"""Conditions of a pod's status."""

from __future__ import annotations

from tui_forward.minicluster.apiserver import timestamps
from tui_forward.minicluster.apiserver.resources import Object


def set_pod_condition(
    status: Object, kind: str, value: str, reason: str = "", message: str = ""
) -> None:
    """Set a condition; its transition time changes only with its status."""
    conditions: list[Object] = status.setdefault("conditions", [])
    condition: Object = {
        "type": kind,
        "status": value,
        "lastProbeTime": None,
        "lastTransitionTime": timestamps.now(),
    }
    if reason:
        condition["reason"] = reason
    if message:
        condition["message"] = message
    for index, before in enumerate(conditions):
        if before["type"] == kind:
            if before["status"] == value:
                condition["lastTransitionTime"] = before["lastTransitionTime"]
            conditions[index] = condition
            return
    conditions.append(condition)
