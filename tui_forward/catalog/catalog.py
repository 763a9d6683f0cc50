"""The live picture of the clusters a person looks at.

A scope is opened by looking at it and dropped when nobody has looked for a while. Looking
never waits: trouble is part of the picture.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tui_forward.catalog.change_log import next_version
from tui_forward.catalog.informer import ScopeInformer
from tui_forward.errors import ConfigError
from tui_forward.kube.client import ClusterClient
from tui_forward.model import (
    ApiHealth,
    BlockedBy,
    CatalogScope,
    CatalogView,
    Pod,
    TargetKind,
)

_IDLE_S = 60.0


class _Entry:
    def __init__(self, live: ScopeInformer) -> None:
        self.live = live
        self.holds = 0
        self.asked_at = time.monotonic()


class Catalog:
    """Live scopes, opened when first looked at.

    Args:
        cluster_of: The cluster of a context; may raise ConfigError.
        idle_s: How long a scope that nobody looks at or holds is kept.
    """

    def __init__(
        self, cluster_of: Callable[[str], ClusterClient], *, idle_s: float = _IDLE_S
    ) -> None:
        self._cluster_of = cluster_of
        self._idle_s = idle_s
        self._entries: dict[CatalogScope, _Entry] = {}
        self._stopping: set[asyncio.Task[None]] = set()
        self._sweep: asyncio.TimerHandle | None = None

    @property
    def scopes(self) -> tuple[CatalogScope, ...]:
        """The scopes that are followed now."""
        return tuple(self._entries)

    def view(self, scope: CatalogScope, since: int = 0) -> CatalogView:
        """The picture of a scope, or its changes since a version. Never waits, never raises.

        Needs a running event loop. The first call for a scope begins to follow it.

        Args:
            scope: What to look at; its context must not be empty.
            since: Version of an earlier view; a complete view is the answer where the
                changes since then are not all known.
        """
        try:
            return self._entry(scope).live.view(since)
        except ConfigError as error:
            return CatalogView(
                scope=scope,
                version=next_version(),
                complete=True,
                health=ApiHealth(
                    context=scope.context,
                    ok=False,
                    error=error.message,
                    hint=error.hint,
                    blocked_by=BlockedBy.CONFIG,
                ),
            )

    async def wait(self, scope: CatalogScope, since: int) -> None:
        """Wait until there is something newer than `since`. Safe to cancel.

        Raises:
            ConfigError: The scope's context cannot be used.
        """
        with self.retain(scope):
            await self._entry(scope).live.wait(since)

    @contextmanager
    def retain(self, scope: CatalogScope) -> Iterator[None]:
        """Keep a scope followed, looked at or not.

        Raises:
            ConfigError: The scope's context cannot be used.
        """
        entry = self._entry(scope)
        entry.holds += 1
        try:
            yield
        finally:
            entry.holds -= 1
            entry.asked_at = time.monotonic()

    def pods_of(
        self, scope: CatalogScope, namespace: str, kind: TargetKind, name: str
    ) -> list[Pod]:
        """The pods behind an object, the one a forward would take first.

        Raises:
            ConfigError: The scope's context cannot be used.
            UsageError: A selector cannot be understood.
        """
        return self._entry(scope).live.pods_of(namespace, kind, name)

    def refresh(self) -> None:
        """Ask again now, on fresh connections: after a sleep or a change of network."""
        for entry in self._entries.values():
            entry.live.refresh()

    async def close(self) -> None:
        """Stop following everything."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        entries, self._entries = list(self._entries.values()), {}
        await asyncio.gather(*(entry.live.stop() for entry in entries))
        if self._stopping:
            await asyncio.wait(self._stopping)

    def _entry(self, scope: CatalogScope) -> _Entry:
        entry = self._entries.get(scope)
        if entry is None:
            live = ScopeInformer(scope, self._cluster_of(scope.context))
            live.start()
            entry = self._entries[scope] = _Entry(live)
            if self._sweep is None:
                self._sweep_later()
        entry.asked_at = time.monotonic()
        return entry

    def _sweep_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweep = loop.call_later(max(self._idle_s / 4, 0.01), self._drop_idle)

    def _drop_idle(self) -> None:
        """Drop what nobody has looked at for long enough."""
        now = time.monotonic()
        for scope, entry in list(self._entries.items()):
            if not entry.holds and now - entry.asked_at > self._idle_s:
                del self._entries[scope]
                task = asyncio.create_task(entry.live.stop())
                self._stopping.add(task)
                task.add_done_callback(self._stopping.discard)
        self._sweep = None
        if self._entries:
            self._sweep_later()
