"""Waiting of a queued connection, within its time limit."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from tui_forward.engine.connections.client_monitor import ClientMonitor
from tui_forward.errors import ForwardError
from tui_forward.model import Reason, ReasonCode

_LONG_WAIT_S: Final = 0.02

T = TypeVar("T")


class QueueWait:
    """Waits for a tunnel or a retry, and watches the client meanwhile.

    The time limit counts from the creation, over all waits.
    """

    __slots__ = ("_canceled", "_deadline", "_loop", "_monitor", "_timeout", "_timeout_s")

    def __init__(self, timeout_s: float, monitor: ClientMonitor) -> None:
        self._loop = asyncio.get_running_loop()
        self._timeout_s = timeout_s
        self._deadline = self._loop.time() + timeout_s
        self._monitor = monitor
        self._timeout: asyncio.Timeout | None = None
        self._canceled = False

    @property
    def is_over(self) -> bool:
        """Whether the deadline has passed."""
        return self._loop.time() >= self._deadline

    async def wait(self, waiting: Coroutine[Any, Any, T]) -> T | None:
        """Return what `waiting` returns, None after `cancel`; `ForwardError` at the deadline."""
        # Usually it takes no time at all, so the deadline is armed only when it does.
        timer = self._loop.call_later(_LONG_WAIT_S, self._watch)
        try:
            async with asyncio.timeout(None) as self._timeout:
                return await waiting
        except TimeoutError:
            if self._canceled:
                return None
            raise ForwardError(
                Reason(code=ReasonCode.CONNECTION_QUEUE_TIMEOUT, timeout_s=self._timeout_s)
            ) from None
        finally:
            self._timeout = None
            timer.cancel()
            self._monitor.unwatch_queued()

    def cancel(self) -> None:
        """End the present wait. Idempotent."""
        self._canceled = True
        if self._timeout is not None:
            self._timeout.reschedule(self._loop.time())

    def _watch(self) -> None:
        if self._timeout is not None and not self._canceled:
            self._timeout.reschedule(self._deadline)
            self._monitor.watch_queued()
