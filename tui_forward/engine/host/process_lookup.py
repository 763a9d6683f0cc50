"""Names of client processes for connections, found in the background."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

from tui_forward.common.blocking_call import run_in_thread
from tui_forward.common.tasks import spawn
from tui_forward.engine.host.socket_owners import SocketPair, find_client_processes

_log = logging.getLogger(__name__)

_MAX_PENDING = 4096


class HasClientProcess(Protocol):
    """Object that the name is written to: a connection's record."""

    process: str


class ClientProcessLookup:
    """Finds client processes a batch at a time, each connection once.

    Nothing is looked up until `request` is called, which front ends cause by showing
    connections: a forward that is not shown costs nothing. `lookup` blocks; it runs in a thread.
    """

    def __init__(
        self,
        lookup: Callable[[Sequence[SocketPair]], Mapping[SocketPair, str]] = find_client_processes,
    ) -> None:
        self._lookup = lookup
        self._pending: dict[int, tuple[SocketPair, HasClientProcess]] = {}
        self._requested: set[int] = set()
        self._task: asyncio.Task[None] | None = None

    def request(self, connection_id: int, pair: SocketPair, record: HasClientProcess) -> None:
        """Set `record.process` soon, if it can be found. Cheap, idempotent."""
        if connection_id in self._requested or len(self._pending) >= _MAX_PENDING:
            return
        self._requested.add(connection_id)
        self._pending[connection_id] = (pair, record)
        if self._task is None:
            self._task = spawn(self._run(), name="client process lookup")

    def forget(self, connection_id: int) -> None:
        """Drop a connection that has ended."""
        self._requested.discard(connection_id)
        self._pending.pop(connection_id, None)

    async def _run(self) -> None:
        try:
            while self._pending:
                batch = list(self._pending.values())
                self._pending.clear()
                try:
                    lookup = partial(self._lookup, [pair for pair, _ in batch])
                    names = await run_in_thread(lookup, name="client processes")
                except Exception:  # noqa: BLE001 - only for display: /proc may contain anything
                    _log.exception("looking up client processes failed")
                    continue
                for pair, record in batch:
                    record.process = names.get(pair, "")
        finally:
            self._task = None

    async def close(self) -> None:
        """Wait for a look-up that is under way (a thread cannot be stopped); start no other."""
        self._pending.clear()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
