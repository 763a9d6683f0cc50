"""Reflectors that several forwards share: same question, one watch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Generic, cast

from tui_forward.catalog.reflector import Reflector
from tui_forward.errors import TransportError, TuiForwardError
from tui_forward.kube.api.resources import AnyItem, Item, Resource
from tui_forward.kube.client import ClusterClient

Question = tuple[str, str, str, str]


class ReflectorHandle(Generic[Item]):
    """One user's share in a reflector. `release` it when done."""

    def __init__(
        self, sharing: _SharedReflector[Item], question: Question, listener: Callable[[], None]
    ) -> None:
        self._sharing = sharing
        self.question = question
        self._listener = listener
        sharing.listeners.append(listener)

    def __iter__(self) -> Iterator[Item]:
        return iter(self._sharing.reflector.items.values())

    @property
    def synced(self) -> bool:
        """Whether what is known is (or once was) the whole answer."""
        return self._sharing.reflector.synced

    @property
    def error(self) -> TuiForwardError | None:
        """Why the answer may be out of date, if it may."""
        return self._sharing.reflector.error

    def get(self, namespace: str, name: str) -> Item | None:
        """One object, if it is known."""
        return self._sharing.reflector.items.get((namespace, name))

    def refresh(self) -> None:
        """Look again, now."""
        self._sharing.reflector.refresh()

    def release(self) -> None:
        """Give the share back. Idempotent."""
        if self._listener in self._sharing.listeners:
            self._sharing.listeners.remove(self._listener)
            if not self._sharing.listeners:
                self._sharing.close()


class _SharedReflector(Generic[Item]):
    def __init__(
        self,
        cluster: ClusterClient,
        resource: Resource[Item],
        question: Question,
        closed: Callable[[Question, Reflector[Item]], None],
    ) -> None:
        self.listeners: list[Callable[[], None]] = []
        self._question = question
        self._closed = closed
        _, namespace, labels, name = question
        self.reflector: Reflector[Item] = Reflector(
            cluster,
            resource,
            namespace,
            label_selector=labels,
            name=name,
            on_change=lambda _old, _new: self._tell(),
            on_status=self._tell,
        )

    def _tell(self) -> None:
        for listener in [*self.listeners]:
            listener()

    def close(self) -> None:
        self._closed(self._question, self.reflector)


class SharedReflectors:
    """The reflectors of one cluster that targets need, each asked for once.

    Args:
        cluster: Whom they ask.
    """

    def __init__(self, cluster: ClusterClient) -> None:
        self.cluster = cluster
        self._sharings: dict[Question, _SharedReflector[AnyItem]] = {}
        self._stopping: set[asyncio.Task[None]] = set()

    def acquire(
        self,
        resource: Resource[Item],
        namespace: str,
        listener: Callable[[], None],
        *,
        label_selector: str = "",
        name: str = "",
    ) -> ReflectorHandle[Item]:
        """Follow something; `listener` is called after every change of the answer."""
        question = (resource.plural, namespace, label_selector, name)
        sharing = cast("_SharedReflector[Item] | None", self._sharings.get(question))
        if sharing is None:
            sharing = _SharedReflector(self.cluster, resource, question, self._close)
            self._sharings[question] = cast("_SharedReflector[AnyItem]", sharing)
            sharing.reflector.start()
        return ReflectorHandle(sharing, question, listener)

    def refresh(self) -> None:
        """Make every connection prove itself: after a sleep, a change of network."""
        for sharing in [*self._sharings.values()]:
            sharing.reflector.refresh(relist=False)

    @property
    def unreachable(self) -> TransportError | None:
        """Why the API server cannot be reached, if none of the watches can."""
        errors = [sharing.reflector.error for sharing in self._sharings.values()]
        troubles = [error for error in errors if isinstance(error, TransportError)]
        return troubles[0] if troubles and len(troubles) == len(errors) else None

    def _close(self, question: Question, reflector: Reflector[Item]) -> None:
        self._sharings.pop(question, None)
        task = asyncio.create_task(reflector.stop())
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    async def close(self) -> None:
        """Stop them all."""
        reflectors = [sharing.reflector for sharing in self._sharings.values()]
        self._sharings.clear()
        await asyncio.gather(*(reflector.stop() for reflector in reflectors))
        if self._stopping:
            await asyncio.wait(self._stopping)
