"""Reports the outcome of started forwards, once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Final

from textual.app import App

from tui_forward.model import Forward
from tui_forward.tui.controllers.notifier import Notifier
from tui_forward.tui.controllers.sampler import Sampler
from tui_forward.tui.viewmodel.toasts import is_settled, restored_toast, start_toast

WAIT_S: Final = 2.0  # for an outcome; then the state at that time is reported


class StartReporter:
    """Shows one notification for each start, when its outcome is known or has taken too long.

    Meanwhile the changes of state of these forwards are not reported.
    """

    def __init__(self, app: App[None], sampler: Sampler, notifier: Notifier) -> None:
        self._app = app
        self._sampler = sampler
        self._notifier = notifier
        self._pending: set[str] = set()
        self._known: list[frozenset[str]] = []  # forwards before each start that runs now

    def is_pending(self, forward: Forward) -> bool:
        """Return whether the outcome of a forward's start is still to be reported."""
        return forward.id in self._pending or any(forward.id not in known for known in self._known)

    @contextmanager
    def starting(self) -> Iterator[frozenset[str]]:
        """Treat forwards that appear as those of a start whose ids are not known yet.

        Yields the ids of those that are known before.
        """
        known = frozenset(forward.id for forward in self._sampler.snapshot.forwards)
        self._known.append(known)
        try:
            yield known
        finally:
            self._known.remove(known)

    def report(self, forward_ids: Collection[str], *, restored: bool = False) -> None:
        """Report the outcome of forwards that were started, or restored, together."""
        if forward_ids:
            self._pending.update(forward_ids)
            report = self._report(tuple(forward_ids), restored=restored)
            self._app.run_worker(report, group="start-outcome")

    async def _report(self, forward_ids: tuple[str, ...], *, restored: bool) -> None:
        def forwards() -> list[Forward]:
            return self._sampler.forwards(forward_ids)

        try:
            async with asyncio.timeout(WAIT_S):
                # Of a sample that has been examined for changes of state, while they are muted.
                await self._sampler.wait_for_sample()
                while len(forwards()) < len(forward_ids) or not all(map(is_settled, forwards())):
                    await self._sampler.wait_for_sample()
        except TimeoutError:
            pass
        finally:
            self._pending.difference_update(forward_ids)
        found = forwards()
        self._notifier.show(restored_toast(found) if restored else start_toast(found, time.time()))
