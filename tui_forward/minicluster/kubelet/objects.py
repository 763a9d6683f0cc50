"""Kubernetes objects as the kubelet handles them: decoded JSON."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]


def full_name(pod: Object) -> str:
    """Return `name_namespace`, the form of a pod's name in a kubelet's messages."""
    metadata = pod["metadata"]
    return f"{metadata['name']}_{metadata['namespace']}"
