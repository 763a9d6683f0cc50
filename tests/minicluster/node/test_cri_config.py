"""CRI configuration of containers from Pod objects."""

from __future__ import annotations

import pytest

from tui_forward.minicluster.kubelet import cri_config


def test_environment_resolves_field_references() -> None:
    pod = {
        "metadata": {"name": "web-1", "namespace": "shop", "uid": "u"},
        "spec": {"nodeName": "node-a"},
    }
    spec = {
        "env": [
            {"name": "A", "value": "1"},
            {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        ]
    }
    variables = cri_config.environment(pod, spec, pod_ip="10.0.0.1", host_ip="192.0.2.2")
    assert variables == {"A": "1", "NAME": "web-1", "IP": "10.0.0.1", "SECRET": ""}


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (10, "10s"), (60, "1m0s"), (160.2, "2m40s")]
)
def test_go_duration_format(seconds: float, text: str) -> None:
    assert cri_config.go_duration(seconds) == text
