"""Reflector of one resource: list, then watch, and again after any failure.

Items are never dropped because of an error: a new list is compared with them, and only the
differences are reported. Used for the narrow sets behind a single forward as well as for
whole namespaces.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Generic

from tui_forward.catalog.item_store import ItemStore, Key, OnChange, key_of
from tui_forward.common.jitter import JITTER
from tui_forward.common.retry_pacer import RetryPacer
from tui_forward.common.tasks import spawn_restarting
from tui_forward.errors import (
    ApiError,
    AuthError,
    ConfigError,
    TransportError,
    TuiForwardError,
)
from tui_forward.kube.api.limits import Account
from tui_forward.kube.api.pager import PAGE_LIMIT
from tui_forward.kube.api.resources import Item, Resource
from tui_forward.kube.api.watch import WatchEvent, WatchEventType
from tui_forward.kube.client import ClusterClient
from tui_forward.model import ReasonCode

_FIRST_DELAY_S = 0.2
_LONGEST_DELAY_S = 15.0
# Credentials that the user must renew: their files are watched; this interval is for those
# stored elsewhere (the cache of an exec plugin).
_CREDENTIALS_RETRY_S = 20.0
# Where watch is forbidden or not supported.
_POLL_S = 2.0
_POLL_LARGE_S = 10.0
# Longest pause that a server can ask for (`Retry-After`).
_MAX_RETRY_AFTER_S = 300.0
# RBAC rules may change.
_FORBIDDEN_RETRY_S = 60.0
# A list that is larger than is accepted will hardly have shrunk.
_TOO_LARGE_RETRY_S = 60.0
# A server that sends initial objects, and then nothing, does not know that a bookmark is due.
_INITIAL_EVENTS_SILENCE_S = 15.0
# It has answered, and does not want to be asked for initial events again.
_WATCH_LIST_REFUSALS = frozenset({400, 404, 405, 406, 415, 422, 501})


class Reflector(Generic[Item]):
    """Follows one resource in one scope until stopped.

    An empty namespace means all. A single `name` can be followed by `get` where `list` is
    forbidden. `on_change` is called in the event loop for every difference, `on_status` when
    `synced` or `error` may have changed.
    """

    def __init__(
        self,
        cluster: ClusterClient,
        resource: Resource[Item],
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        name: str = "",
        on_change: OnChange[Item],
        on_status: Callable[[], None],
    ) -> None:
        self._cluster = cluster
        self.resource = resource
        self.namespace = namespace
        self._labels = label_selector
        self._fields = f"metadata.name={name}" if name else field_selector
        self._name = name
        self._on_status = on_status
        account = Account(resource.describe("list", namespace), cluster.server)
        self._store: ItemStore[Item] = ItemStore(account, on_change)
        self.synced = False
        self.error: TuiForwardError | None = None
        self._version = ""
        self._failures = 0
        self._can_list = True
        self._can_watch = True
        self._prefers_watch_list = False  # for the next list
        self._following: asyncio.Task[None] | None = None
        self._runner: asyncio.Task[None] | None = None
        self._refresh_requested = False

    @property
    def items(self) -> dict[Key, Item]:
        """Return the objects that are known now, by namespace and name."""
        return self._store.items

    def start(self) -> None:
        """Start to follow. Needs a running event loop."""
        if self._runner is None:
            self._runner = spawn_restarting(
                self._run, name=f"reflect {self.resource.plural} {self.namespace}{self._name}"
            )

    async def stop(self) -> None:
        """Stop to follow. Afterwards no callback is called."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        runner.cancel()
        # The runner raises nothing but CancelledError.
        await asyncio.wait({runner})
        self._store.close()

    def refresh(self, *, relist: bool = True) -> None:
        """Retry now: end a backoff, and replace a watch that may be dead; `relist`: list, too."""
        if relist:
            self._version = ""
        self._failures = 0
        self._refresh_requested = True
        if self._following is not None:
            self._following.cancel()

    async def _run(self) -> None:
        """Run `_follow` until it is canceled; `refresh` restarts it."""
        following: asyncio.Task[None] | None = None
        try:
            while True:
                self._refresh_requested = False
                following = self._following = asyncio.create_task(self._follow())
                await asyncio.wait({following})
                if following.cancelled() and self._refresh_requested:
                    continue
                error = None if following.cancelled() else following.exception()
                if error is not None:
                    # An internal error must neither end the reflector nor spin.
                    self._failed(
                        TuiForwardError(
                            f"{self.resource.plural} could not be followed: {error!r}",
                            hint="This is a bug in tui-forward; it is retried",
                        )
                    )
                    self._failures += 1
                    await asyncio.sleep(self._delay())
        finally:
            self._following = None
            if following is not None and not following.done():
                following.cancel()
                await asyncio.wait({following})

    async def _follow(self) -> None:
        pacer = RetryPacer(first_s=_FIRST_DELAY_S, longest_s=_LONGEST_DELAY_S)
        while True:
            # Whatever the server does: end each watch at once, forget each version, say nothing.
            await pacer.next_turn()
            revision = None
            try:
                revision = self._cluster.credentials_revision()
                if not self._version and self._takes_watch_list():
                    await self._watch_list()
                    continue
                if not self._version:
                    self._version = await self._list()
                await self._watch()
            except ApiError as error:
                await self._handle_api_error(error)
            except (AuthError, ConfigError) as error:
                self._failed(error)
                try:
                    async with asyncio.timeout(self._jittered(_CREDENTIALS_RETRY_S)):
                        await self._cluster.credentials_changed(revision)
                except TimeoutError:
                    pass
            except TransportError as error:
                # Report only the second failure in a row.
                if self._failures or not self.synced:
                    self._failed(error)
                self._failures += 1
                await asyncio.sleep(self._delay())

    async def _handle_api_error(self, error: ApiError) -> None:
        if error.expired:
            # 410: the watch history is gone, so list again and report the differences. All
            # clients of a server may do so at once; a watch costs it less memory than pages.
            self._prefers_watch_list = bool(self._version)
            self._version = ""
            self._failures += 1
            if self._failures > 1:
                await asyncio.sleep(self._delay())
            return
        if error.forbidden and self._name and self._can_list:
            self._can_list = False
            return
        self._failed(error)
        self._failures += 1
        if error.code is ReasonCode.API_RESPONSE_TOO_LARGE:
            await asyncio.sleep(self._jittered(_TOO_LARGE_RETRY_S))
        elif error.forbidden:
            await asyncio.sleep(self._jittered(_FORBIDDEN_RETRY_S))
            self._can_list = True
        else:
            asked_s = min(error.retry_after_s or 0.0, _MAX_RETRY_AFTER_S)
            await asyncio.sleep(max(asked_s, self._delay()))

    # Requests --------------------------------------------------------------------------

    async def _list(self) -> str:
        if self._name and not self._can_list:
            return await self._get()
        seen: set[Key] = set()
        version = ""
        pages = self._cluster.list_pages(
            self.resource,
            self.namespace,
            label_selector=self._labels,
            field_selector=self._fields,
            limit=PAGE_LIMIT,
        )
        async with aclosing(pages):
            async for page in pages:
                if page.restarted:
                    seen.clear()
                for item in page.items:
                    seen.add(key_of(item))
                    self._store.put(item, page.item_bytes)
                version = page.resource_version
                if not page.last:
                    self._on_status()
        self._store.remove(self.items.keys() - seen)
        self._succeeded()
        return version

    async def _get(self) -> str:
        try:
            item = await self._cluster.get(self.resource, self.namespace, self._name)
        except ApiError as error:
            if not error.not_found:
                raise
            self._store.remove(list(self.items))
            self._succeeded()
            return ""
        self._store.put(item)
        self._store.remove(self.items.keys() - {key_of(item)})
        self._succeeded()
        return item.resource_version

    async def _watch(self) -> None:
        """Follow until the watch ends; poll if watch is forbidden or there is no version."""
        if not self._can_watch or not self._version:
            await self._poll()
            return
        started_at = asyncio.get_running_loop().time()
        has_events = False
        try:
            events = self._events(resource_version=self._version)
            async with aclosing(events):
                up = False
                async for event in events:
                    if not up:
                        up = True
                        self._succeeded()
                        continue
                    has_events = True
                    self._apply(event)
        except ApiError as error:
            if not error.forbidden and error.status != 405:
                raise
            self._can_watch = False
            return
        if not has_events and asyncio.get_running_loop().time() - started_at < 1.0:
            # Back off from a server that ends every watch immediately.
            self._failures += 1
            await asyncio.sleep(self._delay())

    def _takes_watch_list(self) -> bool:
        """Return whether the next list is to be a watch with initial events; asked once per list.

        Not for many objects over a slow network: a watch is never compressed.
        """
        preferred, self._prefers_watch_list = self._prefers_watch_list, False
        is_heavy = self._cluster.is_slow and len(self.items) > PAGE_LIMIT
        return preferred and self._can_watch and self._cluster.offers_watch_list and not is_heavy

    async def _watch_list(self) -> None:
        """Receive all objects and then follow them, in one watch; return when it ends.

        If it ends or fails before all objects are known, `_version` stays empty, and they are
        listed. Raises what `ClusterClient.watch` does, except for refusals.
        """
        loop = asyncio.get_running_loop()
        seen: set[Key] = set()
        up = complete = False
        events = self._events(resource_version="", send_initial_events=True)
        try:
            async with asyncio.timeout(None) as silence, aclosing(events):
                async for event in events:
                    if complete:
                        self._apply(event)
                        continue
                    if not event.ends_initial_events:
                        silence.reschedule(loop.time() + _INITIAL_EVENTS_SILENCE_S)
                        up = True
                        self._receive_initial(event, seen)
                        continue
                    complete = True
                    silence.reschedule(None)
                    self._store.remove(self.items.keys() - seen)
                    self._version = event.resource_version
                    self._succeeded()
        except TimeoutError:
            self._cluster.offers_watch_list = False
        except ApiError as error:
            if complete or (error.status not in _WATCH_LIST_REFUSALS and not error.forbidden):
                raise
            if not up and not error.forbidden:
                self._cluster.offers_watch_list = False

    def _receive_initial(self, event: WatchEvent[Item], seen: set[Key]) -> None:
        if event.item is None:
            return
        key = key_of(event.item)
        if event.type is WatchEventType.DELETED:
            seen.discard(key)
            self._store.remove([key])
        else:
            seen.add(key)
            self._store.put(event.item)

    def _events(
        self, *, resource_version: str, send_initial_events: bool = False
    ) -> AsyncGenerator[WatchEvent[Item], None]:
        return self._cluster.watch(
            self.resource,
            self.namespace,
            resource_version=resource_version,
            label_selector=self._labels,
            field_selector=self._fields,
            send_initial_events=send_initial_events,
        )

    def _apply(self, event: WatchEvent[Item]) -> None:
        if event.resource_version:
            self._version = event.resource_version
        if event.item is None:
            return
        if event.type is WatchEventType.DELETED:
            self._store.remove([key_of(event.item)])
        else:
            self._store.put(event.item)

    async def _poll(self) -> None:
        is_large = not self._name and len(self.items) > PAGE_LIMIT
        await asyncio.sleep(self._jittered(_POLL_LARGE_S if is_large else _POLL_S))
        self._version = ""

    # Status ----------------------------------------------------------------------------

    def _succeeded(self) -> None:
        self._failures = 0
        if not self.synced or self.error is not None:
            self.synced = True
            self.error = None
            self._on_status()

    def _failed(self, error: TuiForwardError) -> None:
        self.error = error
        self._on_status()

    def _delay(self) -> float:
        longest = min(_LONGEST_DELAY_S, _FIRST_DELAY_S * 2 ** min(self._failures, 10))
        return JITTER.uniform(longest / 2, longest)

    @staticmethod
    def _jittered(seconds: float) -> float:
        return JITTER.uniform(0.8 * seconds, 1.2 * seconds)
