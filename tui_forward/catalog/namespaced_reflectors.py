"""Objects of all namespaces for users who may list them in some namespaces only.

A role that allows no list of all namespaces at once gets a reflector for each namespace where it
allows one; what the other namespaces have stays unknown, and is named.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, Generic

from tui_forward.catalog.item_store import Key, OnChange, key_of
from tui_forward.catalog.reflector import Reflector
from tui_forward.common.tasks import spawn, spawn_restarting
from tui_forward.errors import ApiError, TuiForwardError
from tui_forward.kube.api.resources import Item, Resource
from tui_forward.kube.client import ClusterClient

_log = logging.getLogger(__name__)

# Each namespace needs a connection for its watch.
MAX_NAMESPACES: Final = 20
# Namespaces that are tried, and how many at once.
MAX_CANDIDATES: Final = 1000
_TRIED_AT_ONCE: Final = 4
# RBAC rules may change; there may be hundreds of refusals to check.
_REFUSED_RETRY_S = 600.0


class NamespacedReflectors(Generic[Item]):
    """Follows one resource in all namespaces, or in each where that is allowed, until stopped.

    `candidates` returns the namespaces to try, the most important first, and `are_known` whether
    no more are to be expected soon. `on_change` and `on_status` are those of `Reflector`.
    """

    def __init__(
        self,
        cluster: ClusterClient,
        resource: Resource[Item],
        *,
        candidates: Callable[[], Sequence[str]],
        are_known: Callable[[], bool] = lambda: True,
        on_change: OnChange[Item],
        on_status: Callable[[], None],
    ) -> None:
        self.resource = resource
        self.namespace = ""
        self.items: dict[Key, Item] = {}
        self._cluster = cluster
        self._candidates = candidates
        self._are_known = are_known
        self._on_change = on_change
        self._on_status = on_status
        self._all: Reflector[Item] = Reflector(
            cluster, resource, on_change=self._changed, on_status=self._status_changed
        )
        self._by_namespace: dict[str, Reflector[Item]] = {}
        self._refused: set[str] = set()
        self._beyond_limit: set[str] = set()
        self._search: asyncio.Task[None] | None = None
        self._is_complete = False  # each candidate has been tried
        self._stopped = False
        self._wake = asyncio.Event()
        self._stopping: set[asyncio.Task[None]] = set()

    # State ----------------------------------------------------------------------------

    @property
    def synced(self) -> bool:
        """Return whether the objects that can be listed are, or once were, complete."""
        if self._search is None:
            return self._all.synced
        followed = self._by_namespace.values()
        settled = all(one.synced or one.error for one in followed)
        return self._is_complete and settled and any(one.synced for one in followed)

    @property
    def error(self) -> TuiForwardError | None:
        """Return why objects may be missing or out of date, apart from refusals of some."""
        if self._search is None:
            return self._all.error
        if not self._by_namespace:
            return self._all.error if self._is_complete else None
        errors = (one.error for one in self._by_namespace.values())
        return next((error for error in errors if error and not _is_refusal(error)), None)

    @property
    def only_in(self) -> tuple[str, ...]:
        """Return the namespaces that are listed one by one; none if all are at once."""
        return tuple(sorted(name for name, one in self._by_namespace.items() if one.synced))

    @property
    def forbidden_in(self) -> tuple[str, ...]:
        """Return the namespaces where the user may not list, if there are others."""
        return tuple(sorted(self._refused)) if self.only_in else ()

    @property
    def beyond_limit(self) -> tuple[str, ...]:
        """Return the namespaces that are not followed because there are too many."""
        return tuple(sorted(self._beyond_limit))

    # Following ------------------------------------------------------------------------

    def start(self) -> None:
        """Start to follow. Needs a running event loop."""
        self._all.start()

    async def stop(self) -> None:
        """Stop to follow. Afterwards no callback is called."""
        self._stopped = True
        search, self._search = self._search, None
        if search is not None:
            search.cancel()
            await asyncio.wait({search})
        await asyncio.gather(self._all.stop(), *(one.stop() for one in self._by_namespace.values()))
        if self._stopping:
            await asyncio.wait(self._stopping)

    def refresh(self, *, relist: bool = True) -> None:
        """Retry now; see `Reflector.refresh`."""
        for one in (self._all, *self._by_namespace.values()):
            one.refresh(relist=relist)

    def update_namespaces(self) -> None:
        """Look at the candidates again."""
        self._wake.set()

    def _status_changed(self) -> None:
        if self._stopped:
            return
        if _is_refusal(self._all.error):
            if self._search is None:
                self._is_complete = False
                self._search = spawn_restarting(
                    self._try_namespaces, name=f"namespaces of {self.resource.plural}"
                )
        elif self._search is not None and self._all.synced and self._all.error is None:
            self._leave_namespaces()
        if any(_is_refusal(one.error) for one in self._by_namespace.values()):
            self._wake.set()
        self._on_status()

    def _leave_namespaces(self) -> None:
        """Replace the reflectors of single namespaces by the one of all: it is allowed now."""
        if self._search is not None:
            self._search.cancel()
            self._search = None
        for namespace in [*self._by_namespace]:
            self._drop(namespace)
        self._refused.clear()
        self._beyond_limit.clear()
        self._replace(self._all.items, lambda _: True)

    # Single namespaces ------------------------------------------------------------------

    async def _try_namespaces(self) -> None:
        """Follow each candidate where that is allowed; canceled when it is no longer needed."""
        tried_all = False
        while True:
            self._wake.clear()
            are_known = self._are_known()
            candidates = self._candidates()[:MAX_CANDIDATES]
            self._drop_lost(candidates)
            untried = [one for one in candidates if one not in self._by_namespace]
            if any(one not in self._refused for one in untried) and not self._by_namespace:
                self._is_complete = False
            self._beyond_limit.clear()
            slots = asyncio.Semaphore(_TRIED_AT_ONCE)
            async with asyncio.TaskGroup() as group:
                for namespace in untried:
                    if tried_all or namespace not in self._refused:
                        group.create_task(self._try(namespace, slots))
            self._replace({}, lambda key: key[0] not in self._by_namespace)
            if are_known and not self._is_complete and self._by_namespace:
                _log.warning(
                    "not allowed to list %s in all namespaces; shown are %d of %d",
                    self.resource.plural, len(self._by_namespace), len(candidates),
                )  # fmt: skip
            self._is_complete = self._is_complete or are_known
            self._on_status()
            tried_all = False
            try:
                async with asyncio.timeout(_REFUSED_RETRY_S):
                    await self._wake.wait()
            except TimeoutError:
                tried_all = True

    async def _try(self, namespace: str, slots: asyncio.Semaphore) -> None:
        """Follow one namespace, unless it is refused."""
        async with slots:
            if len(self._by_namespace) >= MAX_NAMESPACES:
                self._beyond_limit.add(namespace)
                return
            settled = asyncio.Event()

            def status_changed() -> None:
                if reflector.synced or reflector.error is not None:
                    settled.set()
                self._status_changed()

            reflector = Reflector(
                self._cluster,
                self.resource,
                namespace,
                on_change=self._changed,
                on_status=status_changed,
            )
            self._by_namespace[namespace] = reflector
            reflector.start()
            await settled.wait()
            if _is_refusal(reflector.error):
                self._drop(namespace)
                self._refused.add(namespace)
                return
            self._refused.discard(namespace)
            self._replace(reflector.items, lambda key: key[0] == namespace)

    def _drop_lost(self, candidates: Collection[str]) -> None:
        """Stop to follow namespaces that are gone, or where the role no longer allows it."""
        self._refused.intersection_update(candidates)
        for namespace, reflector in [*self._by_namespace.items()]:
            is_refused = _is_refusal(reflector.error)
            if is_refused:
                self._refused.add(namespace)
            if is_refused or namespace not in candidates:
                self._drop(namespace)
        self._replace({}, lambda key: key[0] not in self._by_namespace)

    def _drop(self, namespace: str) -> None:
        task = spawn(self._by_namespace.pop(namespace).stop(), name="reflector stop")
        self._stopping.add(task)
        task.add_done_callback(self._stopping.discard)

    # Objects ----------------------------------------------------------------------------

    def _changed(self, old: Item | None, new: Item | None) -> None:
        item = new if new is not None else old
        assert item is not None
        self._put(key_of(item), new)

    def _replace(self, items: Mapping[Key, Item], within: Callable[[Key], bool]) -> None:
        """Report the differences to other objects of some namespaces."""
        for key in [key for key in self.items if within(key) and key not in items]:
            self._put(key, None)
        for key, item in [*items.items()]:
            self._put(key, item)

    def _put(self, key: Key, item: Item | None) -> None:
        previous = self.items.get(key)
        if item is not None:
            self.items[key] = item
            # The same object from another list is no change.
            if previous is not None and previous.resource_version == item.resource_version:
                return
        elif previous is None:
            return
        else:
            del self.items[key]
        self._on_change(previous, item)


def _is_refusal(error: TuiForwardError | None) -> bool:
    return isinstance(error, ApiError) and error.forbidden
