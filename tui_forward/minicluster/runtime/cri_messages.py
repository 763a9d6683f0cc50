"""Conversion of the shim's sandboxes, containers and their changes to messages of the CRI."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator

from tui_forward.minicluster.cri import api_pb2 as cri
from tui_forward.minicluster.runtime import shim_protocol
from tui_forward.minicluster.runtime.apps import registry
from tui_forward.minicluster.runtime.shim_client import ShimClient

_QUEUE_SIZE = 1000


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
        reason = container.reason or ("Completed" if container.exit_code == 0 else "Error")
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
        message=container.message,
        labels=config.labels,
        annotations=config.annotations,
        log_path=container.log_path,
    )


def select_sandbox(
    sandbox: shim_protocol.Sandbox, selector: cri.PodSandboxFilter
) -> cri.PodSandbox | None:
    """Return the list entry of a sandbox, None if the filter does not match it."""
    status = sandbox_status(sandbox)
    if not _matches(selector, status):
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
    is_in_sandbox = selector.pod_sandbox_id in ("", container.sandbox_id)
    if not is_in_sandbox or not _matches(selector, status):
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


def _matches(
    selector: cri.PodSandboxFilter | cri.ContainerFilter,
    status: cri.PodSandboxStatus | cri.ContainerStatus,
) -> bool:
    return (
        status.id.startswith(selector.id)
        and (not selector.HasField("state") or selector.state.state == status.state)
        and all(status.labels.get(key) == value for key, value in selector.label_selector.items())
    )


class ContainerEvents:
    """Sends changes of the shim's containers to subscribers."""

    def __init__(self, shim: ShimClient) -> None:
        self._shim = shim
        self._subscribers: set[asyncio.Queue[cri.ContainerEventResponse]] = set()
        shim.on_container = self._publish

    async def subscribe(self) -> AsyncIterator[cri.ContainerEventResponse]:
        """Yield events from now on, without end."""
        queue: asyncio.Queue[cri.ContainerEventResponse] = asyncio.Queue(_QUEUE_SIZE)
        self._subscribers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            self._subscribers.discard(queue)

    def _publish(
        self, old: shim_protocol.Container | None, new: shim_protocol.Container | None
    ) -> None:
        if new is None:
            kind = cri.CONTAINER_DELETED_EVENT
        elif old is None:
            kind = cri.CONTAINER_CREATED_EVENT
        elif new.finished_at != old.finished_at:
            kind = cri.CONTAINER_STOPPED_EVENT
        elif new.started_at != old.started_at:
            kind = cri.CONTAINER_STARTED_EVENT
        else:
            return
        container = new or old
        if container is None or not self._subscribers:
            return
        sandbox = self._shim.sandboxes.get(container.sandbox_id)
        event = cri.ContainerEventResponse(
            container_id=container.id,
            container_event_type=kind,
            created_at=time.time_ns(),
            pod_sandbox_status=sandbox_status(sandbox) if sandbox else None,
            containers_statuses=[
                container_status(other) for other in self._shim.containers_of(container.sandbox_id)
            ],
        )
        for queue in self._subscribers:
            if queue.full():
                queue.get_nowait()  # subscribers relist periodically and can miss events
            queue.put_nowait(event)
