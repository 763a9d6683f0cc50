"""Pods of the recorded faults as API objects, and decoded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.support.recorded_faults import load_fault
from tui_forward.kube import PODS
from tui_forward.model import Pod

_METADATA = ("name", "deletionTimestamp", "deletionGracePeriodSeconds", "labels")


def recorded_pods(fault: str) -> Iterator[Pod | None]:
    """Yield the answers to GET of the fault's pod, in order; None for a 404."""
    for request in load_fault(fault)["requests"]:
        if request["what"].startswith("GET ") and "/pods/" in request["what"]:
            yield decode_recorded(request["pod"]) if "pod" in request else None


def decode_recorded(recorded: dict[str, Any]) -> Pod | None:
    """Decode a recorded pod; None if it is a Status."""
    if recorded.get("kind") == "Status":
        return None
    metadata: dict[str, Any] = {"uid": "u1", "namespace": "faults"}
    spec: dict[str, Any] = {}
    status: dict[str, Any] = {}
    for key, value in recorded.items():
        if key in _METADATA:
            metadata[key] = value
        elif key.startswith("spec."):
            spec[key.removeprefix("spec.")] = value
        else:
            status[key.removeprefix("status.")] = value
    if "containers" not in spec:
        spec["containers"] = [{"name": one["name"]} for one in status.get("containerStatuses", ())]
    raw = {"metadata": metadata, "spec": spec, "status": status}
    return PODS.decode(json.dumps(raw).encode())
