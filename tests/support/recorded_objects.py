"""API objects of the recorded faults, rebuilt so that an API server can serve them."""

from __future__ import annotations

from typing import Any

from tests.support.recorded_faults import load_fault

NAMESPACE = "faults"
Object = dict[str, Any]


def _expand(recorded: Object) -> Object:
    """Return an object with nested keys in place of those with dots."""
    expanded: Object = {}
    for key, value in recorded.items():
        *parents, last = key.split(".")
        node = expanded
        for parent in parents:
            node = node.setdefault(parent, {})
        node[last] = value
    return expanded


def pod_object(fault: str, **spec: Any) -> Object:
    """Return the pod of a fault; its labels select it by name, and `spec` completes its spec."""
    recorded = _expand(load_fault(fault)["objects"]["pod"])
    metadata: Object = {
        key: recorded.pop(key)
        for key in ("name", "deletionTimestamp", "deletionGracePeriodSeconds")
        if key in recorded
    }
    metadata |= {
        "namespace": NAMESPACE,
        "uid": f"uid-{metadata['name']}",
        "labels": {"app": metadata["name"]},
    }
    names = [one["name"] for one in recorded.get("containerStatuses", [{"name": "c"}])]
    inits = [one["name"] for one in recorded.get("initContainerStatuses", [])]
    full = {
        "containers": [{"name": name} for name in names],
        "initContainers": [{"name": name} for name in inits],
        **recorded.pop("spec", {}),
        **spec,
    }
    return {"metadata": metadata, "spec": full, "status": recorded}


def service_object(fault: str, name: str) -> Object:
    """Return the service of a fault."""
    return {
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": load_fault(fault)["objects"]["service"],
    }


def node_object(fault: str, name: str) -> Object:
    """Return the node of a fault."""
    recorded = load_fault(fault)["objects"]["node"]
    conditions = [{**one, "lastTransitionTime": one["since"]} for one in recorded["conditions"]]
    spec = {key: recorded[key] for key in ("unschedulable", "taints")}
    return {"metadata": {"name": name}, "spec": spec, "status": {"conditions": conditions}}


def event_objects(fault: str, pod: str) -> list[Object]:
    """Return the events of a pod, in the order of their recording."""
    return [
        {
            "metadata": {"name": f"{pod}.{number}", "namespace": NAMESPACE},
            "involvedObject": {"name": pod, "uid": f"uid-{pod}"},
            "type": event["type"],
            "reason": event["reason"],
            "message": event["message"],
            "lastTimestamp": f"2026-11-29T13:00:{number:02}Z",
        }
        for number, event in enumerate(load_fault(fault)["objects"].get("events", ()))
    ]
