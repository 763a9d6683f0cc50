"""The `scale` subresource of workloads."""

from __future__ import annotations

from tui_forward.minicluster.apiserver.resources import Object
from tui_forward.minicluster.apiserver.store import Item
from tui_forward.minicluster.apiserver.tables import format_selector


def to_scale(item: Item) -> Object:
    """Return the Scale of a workload."""
    body = item.copy()
    metadata = {
        name: body["metadata"][name]
        for name in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    }
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": metadata,
        "spec": {"replicas": body["spec"].get("replicas", 1)},
        "status": {
            "replicas": body.get("status", {}).get("replicas", 0),
            "selector": format_selector(body["spec"].get("selector")),
        },
    }
