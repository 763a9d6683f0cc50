"""Reflector of one resource: list, then watch, and again after any failure.

Items are never dropped because of an error: a new list is compared with them, and only the
differences are reported. Used for the narrow sets behind a single forward as well as for
whole namespaces.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import aclosing
from typing import Generic

from tui_forward.common.retry_pacer import RetryPacer
from tui_forward.common.tasks import spawn_restarting
from tui_forward.errors import (
    ApiError,
    AuthError,
    ConfigError,
    TransportError,
    TuiForwardError,
)
from tui_forward.kube.api.limits import MAX_LIST_OBJECTS, Account, measure
from tui_forward.kube.api.pager import PAGE_LIMIT
from tui_forward.kube.api.resources import Item, Resource
from tui_forward.kube.api.watch import WatchEventType
from tui_forward.kube.client import ClusterClient
from tui_forward.model import Namespace, ReasonCode

Key = tuple[str, str]
# Called once per change, in order, with the previous and the new item.
OnChange = Callable[[Item | None, Item | None], None]

_FIRST_DELAY_S = 0.2
_LONGEST_DELAY_S = 15.0
# Credentials that the user must renew: their files are watched; this interval is for those
# stored elsewhere (the cache of an exec plugin).
_CREDENTIALS_RETRY_S = 20.0
# Where watch is forbidden or not supported.
_POLL_S = 2.0
_POLL_LARGE_S = 10.0
# Longest pause that a server can ask for (`Retry-After`).
_MAX_RETRY_AFTER_S = 60.0
# RBAC rules may change.
_FORBIDDEN_RETRY_S = 60.0
# A list that is larger than is accepted will hardly have shrunk.
_TOO_LARGE_RETRY_S = 60.0


def key_of(item: Item) -> Key:
    """Return namespace and name; the namespace of a Namespace is empty."""
    return ("" if isinstance(item, Namespace) else item.namespace, item.name)


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
        name: str = "",
        on_change: OnChange[Item],
        on_status: Callable[[], None],
    ) -> None:
        self._cluster = cluster
        self.resource = resource
        self.namespace = namespace
        self._labels = label_selector
        self._name = name
        self._on_change = on_change
        self._on_status = on_status
        self.items: dict[Key, Item] = {}
        self._account = Account(resource.describe("list", namespace), cluster.server)
        self.synced = False
        self.error: TuiForwardError | None = None
        self._version = ""
        self._failures = 0
        self._can_list = True
        self._can_watch = True
        self._following: asyncio.Task[None] | None = None
        self._runner: asyncio.Task[None] | None = None
        self._refresh_requested = False

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
        self._account.close()

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
            # 410: the watch history is gone, so list again and report the differences.
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
            field_selector=f"metadata.name={self._name}" if self._name else "",
            limit=PAGE_LIMIT,
        )
        async with aclosing(pages):
            async for page in pages:
                if page.restarted:
                    seen.clear()
                for item in page.items:
                    seen.add(key_of(item))
                    self._store(item)
                version = page.resource_version
                if not page.last:
                    self._on_status()
        self._remove(self.items.keys() - seen)
        self._succeeded()
        return version

    async def _get(self) -> str:
        try:
            item = await self._cluster.get(self.resource, self.namespace, self._name)
        except ApiError as error:
            if not error.not_found:
                raise
            self._remove(list(self.items))
            self._succeeded()
            return ""
        self._store(item)
        self._remove(self.items.keys() - {key_of(item)})
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
            events = self._cluster.watch(
                self.resource,
                self.namespace,
                resource_version=self._version,
                label_selector=self._labels,
                field_selector=f"metadata.name={self._name}" if self._name else "",
            )
            async with aclosing(events):
                up = False
                async for event in events:
                    if not up:
                        up = True
                        self._succeeded()
                        continue
                    has_events = True
                    if event.resource_version:
                        self._version = event.resource_version
                    if event.item is None:
                        continue
                    if event.type is WatchEventType.DELETED:
                        self._remove([key_of(event.item)])
                    else:
                        self._store(event.item)
        except ApiError as error:
            if not error.forbidden and error.status != 405:
                raise
            self._can_watch = False
            return
        if not has_events and asyncio.get_running_loop().time() - started_at < 1.0:
            # Back off from a server that ends every watch immediately.
            self._failures += 1
            await asyncio.sleep(self._delay())

    async def _poll(self) -> None:
        is_large = not self._name and len(self.items) > PAGE_LIMIT
        await asyncio.sleep(self._jittered(_POLL_LARGE_S if is_large else _POLL_S))
        self._version = ""

    # Items -----------------------------------------------------------------------------

    def _store(self, item: Item) -> None:
        key = key_of(item)
        previous = self.items.get(key)
        if previous is not None and previous.resource_version == item.resource_version:
            return
        known = [previous] if previous is not None else []
        if len(self.items) >= MAX_LIST_OBJECTS and not known:
            raise self._account.error(f"there are more than {MAX_LIST_OBJECTS} objects")
        self._account.hold(measure([item]) - measure(known))
        self.items[key] = item
        self._on_change(previous, item)

    def _remove(self, keys: set[Key] | list[Key]) -> None:
        for key in list(keys):
            previous = self.items.pop(key, None)
            if previous is not None:
                self._account.hold(-measure([previous]))
                self._on_change(previous, None)

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
        return random.uniform(longest / 2, longest)

    @staticmethod
    def _jittered(seconds: float) -> float:
        return random.uniform(0.8 * seconds, 1.2 * seconds)
