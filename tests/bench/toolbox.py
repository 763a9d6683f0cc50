"""The pod that all benchmarks forward to, created with the official client."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import kubernetes.client
import kubernetes.config

NAMESPACE = "default"
NAME = "bench"
DEPLOYMENT = f"deploy/{NAME}"
_LABELS = {"app": NAME}


class Toolbox:
    """A Deployment of one `toolbox` pod."""

    def __init__(self, kubeconfig: Path) -> None:
        # Its type hints are those of the generator, not of what it takes and gives.
        config: Any = kubernetes.config
        config.load_kube_config(str(kubeconfig))
        self._core: Any = kubernetes.client.CoreV1Api()
        self._apps: Any = kubernetes.client.AppsV1Api()

    def create(self) -> str:
        """Create it and wait until it is ready; return the pod's name."""
        template = {
            "metadata": {"labels": _LABELS},
            "spec": {"containers": [{"name": "toolbox", "image": "local/toolbox"}]},
        }
        self._apps.create_namespaced_deployment(
            NAMESPACE,
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": NAME},
                "spec": {
                    "replicas": 1,
                    "selector": {"matchLabels": _LABELS},
                    "template": template,
                },
            },
        )
        return self.ready()[0]

    def ready(self, other_than: str = "") -> tuple[str, float]:
        """Wait for a ready pod; return its name and the time (`time.perf_counter`)."""
        deadline = time.perf_counter() + 30
        while time.perf_counter() < deadline:
            pods = self._core.list_namespaced_pod(NAMESPACE, label_selector=f"app={NAME}").items
            for pod in pods:
                conditions = (pod.status and pod.status.conditions) or []
                if (
                    pod.metadata.name != other_than
                    and pod.metadata.deletion_timestamp is None
                    and any(c.type == "Ready" and c.status == "True" for c in conditions)
                ):
                    return pod.metadata.name, time.perf_counter()
            time.sleep(0.005)
        raise TimeoutError("the toolbox pod did not become ready")

    def delete(self, pod: str) -> None:
        """Delete a pod; the Deployment replaces it."""
        self._core.delete_namespaced_pod(pod, NAMESPACE, grace_period_seconds=1)
