"""Kubeconfig files for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tui_forward.kube import ClusterClient, KubeconfigSource


def kubeconfig(
    server: str,
    *,
    user: dict[str, Any] | None = None,
    cluster: dict[str, Any] | None = None,
    name: str = "test",
    namespace: str = "",
) -> dict[str, Any]:
    context: dict[str, Any] = {"cluster": name, "user": name}
    if namespace:
        context["namespace"] = namespace
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": {"server": server, **(cluster or {})}}],
        "users": [{"name": name, "user": user or {}}],
        "contexts": [{"name": name, "context": context}],
    }


def write(path: Path, content: dict[str, Any]) -> Path:
    path.write_text(json.dumps(content))  # JSON is YAML
    return path


def cluster_for(path: Path, **options: Any) -> ClusterClient:
    return ClusterClient(KubeconfigSource(path, environ={}, **options))


def text_of(path: Path) -> str:
    """Return the content of a file; separate because async tests may not read files."""
    return path.read_text()
