"""Model objects for pure tests."""

from __future__ import annotations

from typing import Any

from tui_forward.model import (
    ContainerFault,
    DeclaredPort,
    OwnerRef,
    Pod,
    PortProtocol,
    Service,
    Target,
    TargetKind,
    Workload,
)

HTTP = DeclaredPort(number=8080, name="http", container="main")
DNS = DeclaredPort(number=53, name="dns", protocol=PortProtocol.UDP, container="main")


def pod(name: str = "web-1", **fields: Any) -> Pod:
    """A pod that is running and ready, except for `fields`."""
    defaults: dict[str, Any] = {
        "namespace": "shop",
        "name": name,
        "uid": f"uid-{name}",
        "resource_version": "1",
        "phase": "Running",
        "status": "Running",
        "ready": True,
        "ready_since": 1000.0,
        "created_at": 900.0,
        "node": "node-a",
        "labels": {"app": "web"},
        "ports": (HTTP, DNS),
    }
    if fields.get("phase", "Running") != "Running":
        defaults |= {"ready": False, "status": fields["phase"]}
    return Pod(**{**defaults, **fields})


def down(name: str = "main", **fields: Any) -> ContainerFault:
    """A container that does not run."""
    return ContainerFault(name=name, **fields)


def service(*ports: DeclaredPort, **fields: Any) -> Service:
    defaults: dict[str, Any] = {
        "namespace": "shop",
        "name": "web",
        "cluster_ip": "10.0.0.1",
        "selector": "app=web",
        "ports": ports or (DeclaredPort(number=80, name="www", target="http"),),
    }
    return Service(**{**defaults, **fields})


def workload(kind: TargetKind = TargetKind.DEPLOYMENT, **fields: Any) -> Workload:
    defaults: dict[str, Any] = {
        "namespace": "shop",
        "name": "web",
        "kind": kind,
        "selector": "app=web",
        "replicas": 2,
    }
    return Workload(**{**defaults, **fields})


def target(
    kind: TargetKind = TargetKind.DEPLOYMENT, name: str = "web", port: str = "80", **fields: Any
) -> Target:
    return Target(context="test", namespace="shop", kind=kind, name=name, port=port, **fields)


def owner(kind: str, name: str = "web") -> OwnerRef:
    return OwnerRef(kind, name)
