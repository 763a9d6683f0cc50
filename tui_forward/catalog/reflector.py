"""One resource, kept current: list, then watch, and again whatever happens in between.

What is known is never thrown away because of trouble: a new list is compared with it, and
only the differences are told. Used for the narrow sets behind a single forward as well as
for whole namespaces.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import aclosing
from typing import Generic

from tui_forward.errors import (
    ApiError,
    AuthError,
    ConfigError,
    TransportError,
    TuiForwardError,
)
from tui_forward.kube.api.pager import PAGE_LIMIT
from tui_forward.kube.api.resources import Item, Resource
from tui_forward.kube.api.watch import WatchEventType
from tui_forward.kube.client import ClusterClient
from tui_forward.model import Namespace

Key = tuple[str, str]
# Told once per change, in order: what was known, what is known now.
OnChange = Callable[[Item | None, Item | None], None]

_FIRST_DELAY_S = 0.2
_LONGEST_DELAY_S = 15.0
# Credentials that a person must renew: their files are watched, this is for those that
# live elsewhere (an exec plugin's cache).
_LOOK_FOR_CREDENTIALS_S = 20.0
# Where watching is forbidden or impossible.
_POLL_S = 2.0
_POLL_MANY_S = 10.0
# What RBAC forbids today may be allowed later.
_FORBIDDEN_AGAIN_S = 60.0


def key_of(item: Item) -> Key:
    """Namespace and name; a namespace has no namespace."""
    return ("" if isinstance(item, Namespace) else item.namespace, item.name)


class Reflector(Generic[Item]):
    """Follows one resource in one scope until stopped.

    Args:
        cluster: Whom to ask.
        resource: What to follow.
        namespace: Where; empty for everywhere.
        label_selector: Only objects with these labels.
        name: Only this object. It can then be followed by `get` where `list` is forbidden.
        on_change: Called in the event loop for every difference, as soon as it is known.
        on_status: Called when `synced` or `error` may have changed.
        wake: Set by the owner to be told of a person's return, a network change: asks anew.
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
        self.synced = False
        self.error: TuiForwardError | None = None
        self._version = ""
        self._failures = 0
        self._may_list = True
        self._may_watch = True
        self._following: asyncio.Task[None] | None = None
        self._runner: asyncio.Task[None] | None = None
        self._poked = False

    def start(self) -> None:
        """Begin. Needs a running event loop."""
        if self._runner is None:
            self._runner = asyncio.create_task(
                self._run(), name=f"reflect {self.resource.plural} {self.namespace}{self._name}"
            )

    async def stop(self) -> None:
        """End; afterwards nothing is called any more."""
        runner, self._runner = self._runner, None
        if runner is None:
            return
        runner.cancel()
        # The runner never raises anything else.
        await asyncio.wait({runner})

    def refresh(self, *, relist: bool = True) -> None:
        """Ask again now: give up any waiting, and a watch that may be dead.

        Args:
            relist: Also doubt what is known, not only the connection.
        """
        if relist:
            self._version = ""
        self._failures = 0
        self._poked = True
        if self._following is not None:
            self._following.cancel()

    async def _run(self) -> None:
        """Keep one `_follow` going; a poke replaces it."""
        following: asyncio.Task[None] | None = None
        try:
            while True:
                self._poked = False
                following = self._following = asyncio.create_task(self._follow())
                await asyncio.wait({following})
                if following.cancelled() and self._poked:
                    continue
                error = None if following.cancelled() else following.exception()
                if error is not None:
                    # A fault of ours. It must not end the picture, nor spin.
                    self._failed(
                        TuiForwardError(
                            f"{self.resource.plural} could not be followed: {error!r}",
                            hint="This is a fault in tui-forward; it is tried again",
                        )
                    )
                    await asyncio.sleep(self._delay())
        finally:
            self._following = None
            if following is not None and not following.done():
                following.cancel()
                await asyncio.wait({following})

    async def _follow(self) -> None:
        while True:
            revision = None
            try:
                revision = self._cluster.credentials_revision()
                if not self._version:
                    self._version = await self._list()
                await self._watch()
            except ApiError as error:
                await self._refused(error)
            except (AuthError, ConfigError) as error:
                self._failed(error)
                try:
                    async with asyncio.timeout(self._jittered(_LOOK_FOR_CREDENTIALS_S)):
                        await self._cluster.credentials_changed(revision)
                except TimeoutError:
                    pass
            except TransportError as error:
                # One broken connection is no news; a second failure in a row is.
                if self._failures or not self.synced:
                    self._failed(error)
                self._failures += 1
                await asyncio.sleep(self._delay())

    async def _refused(self, error: ApiError) -> None:
        if error.expired:
            # Not trouble: the history is gone, so list again and tell the difference.
            self._version = ""
            self._failures += 1
            if self._failures > 1:
                await asyncio.sleep(self._delay())
            return
        if error.forbidden and self._name and self._may_list:
            self._may_list = False
            return
        self._failed(error)
        self._failures += 1
        if error.forbidden:
            await asyncio.sleep(self._jittered(_FORBIDDEN_AGAIN_S))
            self._may_list = True
        else:
            await asyncio.sleep(self._delay())

    # Looking ---------------------------------------------------------------------------

    async def _list(self) -> str:
        if self._name and not self._may_list:
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
                    self._keep(item)
                version = page.resource_version
                if not page.last:
                    self._on_status()
        self._forget(self.items.keys() - seen)
        self._succeeded()
        return version

    async def _get(self) -> str:
        try:
            item = await self._cluster.get(self.resource, self.namespace, self._name)
        except ApiError as error:
            if not error.not_found:
                raise
            self._forget(list(self.items))
            self._succeeded()
            return ""
        self._keep(item)
        self._forget(self.items.keys() - {key_of(item)})
        self._succeeded()
        return item.resource_version

    async def _watch(self) -> None:
        """Follow until the watch ends; without the right (or a version) to, wait a while."""
        if not self._may_watch or not self._version:
            await self._poll()
            return
        began = asyncio.get_running_loop().time()
        heard = False
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
                    heard = True
                    if event.resource_version:
                        self._version = event.resource_version
                    if event.item is None:
                        continue
                    if event.type is WatchEventType.DELETED:
                        self._forget([key_of(event.item)])
                    else:
                        self._keep(event.item)
        except ApiError as error:
            if not error.forbidden and error.status != 405:
                raise
            self._may_watch = False
            return
        if not heard and asyncio.get_running_loop().time() - began < 1.0:
            # A server that ends every watch at once must not be asked in a tight loop.
            self._failures += 1
            await asyncio.sleep(self._delay())

    async def _poll(self) -> None:
        many = not self._name and len(self.items) > PAGE_LIMIT
        await asyncio.sleep(self._jittered(_POLL_MANY_S if many else _POLL_S))
        self._version = ""

    # Knowing ---------------------------------------------------------------------------

    def _keep(self, item: Item) -> None:
        key = key_of(item)
        known = self.items.get(key)
        if known is not None and known.resource_version == item.resource_version:
            return
        self.items[key] = item
        self._on_change(known, item)

    def _forget(self, keys: set[Key] | list[Key]) -> None:
        for key in list(keys):
            known = self.items.pop(key, None)
            if known is not None:
                self._on_change(known, None)

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
