"""Reflectors shared by several forwards: one watch per query."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Generic, cast

from tui_forward.catalog.reflector import Reflector
from tui_forward.common.tasks import spawn
from tui_forward.errors import TransportError, TuiForwardError
from tui_forward.kube.api.resources import AnyItem, Item, Resource
from tui_forward.kube.client import ClusterClient

# Resource, namespace, label selector, field selector, name.
Query = tuple[str, str, str, str, str]


class ReflectorHandle(Generic[Item]):
    """Handle of a shared reflector. `release` it when done."""

    def __init__(
        self, shared: _SharedReflector[Item], query: Query, listener: Callable[[], None]
    ) -> None:
        self._shared = shared
        self.query = query
        self._listener = listener
        shared.listeners.append(listener)

    def __iter__(self) -> Iterator[Item]:
        return iter(self._shared.reflector.items.values())

    @property
    def synced(self) -> bool:
        """Return whether the items are, or once were, complete."""
        return self._shared.reflector.synced

    @property
    def error(self) -> TuiForwardError | None:
        """Return why the items may be out of date, if there is an error."""
        return self._shared.reflector.error

    def get(self, namespace: str, name: str) -> Item | None:
        """Return an object, if it is known."""
        return self._shared.reflector.items.get((namespace, name))

    def refresh(self) -> None:
        """List and watch again now."""
        self._shared.reflector.refresh()

    def release(self) -> None:
        """Release the reflector, which stops with its last handle. Idempotent."""
        if self._listener in self._shared.listeners:
            self._shared.listeners.remove(self._listener)
            if not self._shared.listeners:
                self._shared.close()


class _SharedReflector(Generic[Item]):
    def __init__(
        self,
        cluster: ClusterClient,
        resource: Resource[Item],
        query: Query,
        closed: Callable[[Query, Reflector[Item]], None],
    ) -> None:
        self.listeners: list[Callable[[], None]] = []
        self._query = query
        self._closed = closed
        _, namespace, labels, fields, name = query
        self.reflector: Reflector[Item] = Reflector(
            cluster,
            resource,
            namespace,
            label_selector=labels,
            field_selector=fields,
            name=name,
            on_change=lambda _old, _new: self._notify(),
            on_status=self._notify,
        )

    def _notify(self) -> None:
        for listener in [*self.listeners]:
            listener()

    def close(self) -> None:
        self._closed(self._query, self.reflector)


class SharedReflectors:
    """The reflectors of one cluster that targets use, one per query."""

    def __init__(self, cluster: ClusterClient) -> None:
        self.cluster = cluster
        self._shared: dict[Query, _SharedReflector[AnyItem]] = {}
        self._stopping: set[asyncio.Task[None]] = set()

    def acquire(
        self,
        resource: Resource[Item],
        namespace: str,
        listener: Callable[[], None],
        *,
        label_selector: str = "",
        field_selector: str = "",
        name: str = "",
    ) -> ReflectorHandle[Item]:
        """Follow a resource; `listener` is called after every change."""
        query = (resource.plural, namespace, label_selector, field_selector, name)
        shared = cast("_SharedReflector[Item] | None", self._shared.get(query))
        if shared is None:
            shared = _SharedReflector(self.cluster, resource, query, self._close)
            self._shared[query] = cast("_SharedReflector[AnyItem]", shared)
            shared.reflector.start()
        return ReflectorHandle(shared, query, listener)

    def refresh(self) -> None:
        """Reconnect every watch, after a sleep or a network change."""
        for shared in [*self._shared.values()]:
            shared.reflector.refresh(relist=False)

    @property
    def unreachable(self) -> TransportError | None:
        """Return why the API server is unreachable, if every watch fails."""
        errors = [shared.reflector.error for shared in self._shared.values()]
        transport_errors = [error for error in errors if isinstance(error, TransportError)]
        return (
            transport_errors[0]
            if transport_errors and len(transport_errors) == len(errors)
            else None
        )

    def _close(self, query: Query, reflector: Reflector[Item]) -> None:
        self._shared.pop(query, None)
        task = spawn(reflector.stop(), name="reflector stop")
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    async def close(self) -> None:
        """Stop all reflectors."""
        reflectors = [shared.reflector for shared in self._shared.values()]
        self._shared.clear()
        await asyncio.gather(*(reflector.stop() for reflector in reflectors))
        if self._stopping:
            await asyncio.wait(self._stopping)
