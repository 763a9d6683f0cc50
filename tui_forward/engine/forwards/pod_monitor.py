"""Histories of the pods that connections of one forward lead to."""

from __future__ import annotations

import time
from collections.abc import Callable
from weakref import WeakValueDictionary

from tui_forward.engine.connections.pod_history import PodHistory
from tui_forward.engine.context import TargetWatch
from tui_forward.model import PodRef


class PodMonitor:
    """Keeps a history of each pod while a connection holds it."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._watch: TargetWatch | None = None
        self._histories: WeakValueDictionary[tuple[PodRef, int], PodHistory] = WeakValueDictionary()

    def observe(self, watch: TargetWatch) -> None:
        """Take reports from a watch, in place of the one before."""
        self._watch = watch
        watch.observe(self._update)
        self._update()

    def follow(self, ref: PodRef, port: int) -> PodHistory:
        """Return the history of a pod, of which one port is used; it is kept while referenced."""
        history = self._histories.get((ref, port))
        if history is None:
            history = self._histories[ref, port] = PodHistory(ref, port)
            if self._watch is not None:
                history.update(self._watch.find_pod(ref), time.monotonic())
        return history

    def _update(self) -> None:
        watch = self._watch
        histories = list(self._histories.values())
        if watch is None or not histories:
            return
        now = time.monotonic()
        for history in histories:
            history.update(watch.find_pod(history.ref), now)
        self._on_change()
