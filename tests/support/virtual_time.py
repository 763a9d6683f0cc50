"""An event loop in which idle time passes at once, and what its timers did meanwhile."""

from __future__ import annotations

import asyncio
import selectors
import sys
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

# Real time for answers of other threads and sockets before virtual time passes.
_GRACE_S = 0.005


class VirtualTime:
    """Makes the time of the running loop pass at once while nothing happens.

    `fired` counts the timers that fired, by the function that had set them; those of tests do not
    count.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fired: Counter[str] = Counter()
        loop: Any = asyncio.get_running_loop()
        real_time, real_call_at = loop.time, loop.call_at
        real_select = loop._selector.select
        self._skipped_s = 0.0

        def select(timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
            if timeout is None or timeout <= 0:
                return list(real_select(timeout))
            events = list(real_select(min(timeout, _GRACE_S)))
            if not events:
                self._skipped_s += timeout
            return events

        def call_at(when: float, callback: Callable[..., object], *args: Any, **kw: Any) -> Any:
            name = _setter()

            def fire(*args: Any) -> None:
                self.fired.update([name] if name else ())
                callback(*args)

            return real_call_at(when, fire, *args, **kw)

        monkeypatch.setattr(loop._selector, "select", select)
        monkeypatch.setattr(loop, "time", lambda: real_time() + self._skipped_s)
        monkeypatch.setattr(loop, "call_at", call_at)

    async def pass_seconds(self, seconds: float) -> None:
        """Let time pass; count the timers of this time only."""
        self.fired.clear()
        await asyncio.sleep(seconds)


def _setter() -> str:
    """Return the innermost function of the program, else of Textual, that sets a timer now."""
    frame: FrameType | None = sys._getframe()
    found = ""
    while frame is not None:
        file = frame.f_code.co_filename
        if "/tui_forward/" in file:
            return frame.f_code.co_qualname
        if not found and "/textual/" in file:
            found = f"textual: {frame.f_code.co_qualname}"
        frame = frame.f_back
    return found
