"""Conversion of the shim's sandboxes and containers to messages of the CRI."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from tui_forward.minicluster.cri import api_pb2 as cri
from tui_forward.minicluster.runtime import shim_protocol
from tui_forward.minicluster.runtime.apps import registry


def image_id(image: str) -> str:
    """Return the digest of an application's image: stable, and different for each."""
    name = registry.find_app(image)
    return "sha256:" + hashlib.sha256(f"tui-forward/{name}".encode()).hexdigest()


def sandbox_config(sandbox: shim_protocol.Sandbox) -> cri.PodSandboxConfig:
    """Return the configuration a sandbox was created with."""
    return cri.PodSandboxConfig.FromString(sandbox.config)


def container_config(container: shim_protocol.Container) -> cri.ContainerConfig:
    """Return the configuration a container was created with."""
    return cri.ContainerConfig.FromString(container.config)


def sandbox_status(sandbox: shim_protocol.Sandbox) -> cri.PodSandboxStatus:
    """Return the status of a sandbox."""
    config = sandbox_config(sandbox)
    return cri.PodSandboxStatus(
        id=sandbox.id,
        metadata=config.metadata,
        state=cri.SANDBOX_READY if sandbox.ready else cri.SANDBOX_NOTREADY,
        created_at=sandbox.created_at,
        network=cri.PodSandboxNetworkStatus(ip=sandbox.ip) if sandbox.ready else None,
        labels=config.labels,
        annotations=config.annotations,
    )


def container_status(container: shim_protocol.Container) -> cri.ContainerStatus:
    """Return the status of a container."""
    config = container_config(container)
    if container.finished_at:
        state = cri.CONTAINER_EXITED
        reason = "Completed" if container.exit_code == 0 else "Error"
    elif container.started_at:
        state, reason = cri.CONTAINER_RUNNING, ""
    else:
        state, reason = cri.CONTAINER_CREATED, ""
    return cri.ContainerStatus(
        id=container.id,
        metadata=config.metadata,
        state=state,
        created_at=container.created_at,
        started_at=container.started_at,
        finished_at=container.finished_at,
        exit_code=container.exit_code,
        image=cri.ImageSpec(image=registry.full_reference(config.image.image)),
        image_ref=image_id(config.image.image),
        image_id=image_id(config.image.image),
        reason=reason,
        labels=config.labels,
        annotations=config.annotations,
        log_path=container.log_path,
    )


def select_sandbox(
    sandbox: shim_protocol.Sandbox, selector: cri.PodSandboxFilter
) -> cri.PodSandbox | None:
    """Return the list entry of a sandbox, None if the filter does not match it."""
    status = sandbox_status(sandbox)
    if selector.id and not sandbox.id.startswith(selector.id):
        return None
    if selector.HasField("state") and selector.state.state != status.state:
        return None
    if not _labels_match(selector.label_selector, status.labels):
        return None
    return cri.PodSandbox(
        id=sandbox.id,
        metadata=status.metadata,
        state=status.state,
        created_at=status.created_at,
        labels=status.labels,
        annotations=status.annotations,
    )


def select_container(
    container: shim_protocol.Container, selector: cri.ContainerFilter
) -> cri.Container | None:
    """Return the list entry of a container, None if the filter does not match it."""
    status = container_status(container)
    if selector.id and not container.id.startswith(selector.id):
        return None
    if selector.HasField("state") and selector.state.state != status.state:
        return None
    if selector.pod_sandbox_id and selector.pod_sandbox_id != container.sandbox_id:
        return None
    if not _labels_match(selector.label_selector, status.labels):
        return None
    return cri.Container(
        id=container.id,
        pod_sandbox_id=container.sandbox_id,
        metadata=status.metadata,
        image=status.image,
        image_ref=status.image_ref,
        image_id=status.image_id,
        state=status.state,
        created_at=status.created_at,
        labels=status.labels,
        annotations=status.annotations,
    )


def _labels_match(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in selector.items())
