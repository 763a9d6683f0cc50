"""Live view of the scopes that front ends show. A view never waits: errors are part of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tui_forward.catalog.change_log import next_version
from tui_forward.catalog.informer import ScopeInformer
from tui_forward.common.tasks import spawn
from tui_forward.errors import ConfigError
from tui_forward.kube.client import ClusterClient
from tui_forward.model import (
    AccessOptions,
    ApiHealth,
    BlockedBy,
    CatalogScope,
    CatalogView,
    Pod,
    TargetKind,
)

_IDLE_S = 60.0


class _Entry:
    def __init__(self, informer: ScopeInformer) -> None:
        self.informer = informer
        self.retain_count = 0
        self.viewed_at = time.monotonic()


class Catalog:
    """Informers of scopes, started at the first view and dropped `idle_s` after the last one."""

    def __init__(
        self, cluster_of: Callable[[str, AccessOptions], ClusterClient], *, idle_s: float = _IDLE_S,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._on_change = on_change  # called after every change of a view
        self._cluster_of = cluster_of
        self._idle_s = idle_s
        self._entries: dict[CatalogScope, _Entry] = {}
        self._stopping: set[asyncio.Task[None]] = set()
        self._sweep: asyncio.TimerHandle | None = None

    @property
    def scopes(self) -> tuple[CatalogScope, ...]:
        """Return the scopes that are followed now."""
        return tuple(self._entries)

    def view(self, scope: CatalogScope, since: int = 0) -> CatalogView:
        """Return the content of a scope, or its changes since a version. Never waits or raises.

        Needs a running event loop. The view is complete if the changes since then are not all
        recorded.
        """
        try:
            return self._entry(scope).informer.view(since)
        except ConfigError as error:
            return CatalogView(
                scope=scope,
                version=next_version(),
                complete=True,
                health=ApiHealth(
                    context=scope.context,
                    options=scope.options,
                    ok=False,
                    code=error.code,
                    error=error.message,
                    short_error=error.short_message,
                    hint=error.hint,
                    blocked_by=BlockedBy.CONFIG,
                ),
            )

    async def wait(self, scope: CatalogScope, since: int) -> None:
        """Wait until the version is newer than `since`. Safe to cancel."""
        with self.retain(scope):
            await self._entry(scope).informer.wait(since)

    @contextmanager
    def retain(self, scope: CatalogScope) -> Iterator[None]:
        """Follow a scope while the context manager is open, even if it is not viewed."""
        entry = self._entry(scope)
        entry.retain_count += 1
        try:
            yield
        finally:
            entry.retain_count -= 1
            entry.viewed_at = time.monotonic()

    def pods_of(
        self, scope: CatalogScope, namespace: str, kind: TargetKind, name: str
    ) -> list[Pod]:
        """Return the pods behind an object, the preferred one first, or raise UsageError."""
        return self._entry(scope).informer.pods_of(namespace, kind, name)

    def refresh(self) -> None:
        """Check every connection now, after a sleep or a network change."""
        for entry in self._entries.values():
            entry.informer.refresh()

    async def close(self) -> None:
        """Stop following everything."""
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        entries, self._entries = list(self._entries.values()), {}
        await asyncio.gather(*(entry.informer.stop() for entry in entries))
        if self._stopping:
            await asyncio.wait(self._stopping)

    def _entry(self, scope: CatalogScope) -> _Entry:
        entry = self._entries.get(scope)
        if entry is None:
            informer = ScopeInformer(
                scope, self._cluster_of(scope.context, scope.options), self._on_change
            )
            informer.start()
            entry = self._entries[scope] = _Entry(informer)
            if self._sweep is None:
                self._sweep_later()
        entry.viewed_at = time.monotonic()
        return entry

    def _sweep_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._sweep = loop.call_later(max(self._idle_s / 4, 0.01), self._drop_idle)

    def _drop_idle(self) -> None:
        """Drop scopes that have not been viewed for `idle_s`."""
        now = time.monotonic()
        for scope, entry in list(self._entries.items()):
            if not entry.retain_count and now - entry.viewed_at > self._idle_s:
                del self._entries[scope]
                task = spawn(entry.informer.stop(), name="informer stop")
                self._stopping.add(task)
                task.add_done_callback(self._stopping.discard)
        self._sweep = None
        if self._entries:
            self._sweep_later()
