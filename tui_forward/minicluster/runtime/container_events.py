"""Stream of container events, as `GetContainerEvents` sends it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

from tui_forward.minicluster.cri import api_pb2 as cri
from tui_forward.minicluster.runtime import shim_protocol
from tui_forward.minicluster.runtime.cri_messages import container_status, sandbox_status
from tui_forward.minicluster.runtime.shim_client import ShimClient

_QUEUE_SIZE = 1000


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
