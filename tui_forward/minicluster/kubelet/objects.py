"""Kubernetes objects as the kubelet handles them, and labels that identify them in the runtime."""

from __future__ import annotations

from typing import Any

POD_NAME = "io.kubernetes.pod.name"
POD_NAMESPACE = "io.kubernetes.pod.namespace"
POD_UID = "io.kubernetes.pod.uid"
CONTAINER_NAME = "io.kubernetes.container.name"
RESTART_COUNT = "io.kubernetes.container.restartCount"

Object = dict[str, Any]


def full_name(pod: Object) -> str:
    """Return `name_namespace`, the form of a pod's name in a kubelet's messages."""
    metadata = pod["metadata"]
    return f"{metadata['name']}_{metadata['namespace']}"
