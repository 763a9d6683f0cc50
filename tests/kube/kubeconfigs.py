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
    """Return a kubeconfig; by default with a token, and without verification of loopback."""
    context: dict[str, Any] = {"cluster": name, "user": name}
    if server.startswith("https://127.0.0.1:"):
        # For tests of something else than TLS; credentials are sent by https:// only.
        settings = cluster or {}
        if not any(key.startswith("certificate-authority") for key in settings):
            cluster = {"insecure-skip-tls-verify": True, **settings}
    if namespace:
        context["namespace"] = namespace
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [{"name": name, "cluster": {"server": server, **(cluster or {})}}],
        "users": [{"name": name, "user": {"token": "t"} if user is None else user}],
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
