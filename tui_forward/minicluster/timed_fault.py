"""A fault that ends by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class TimedFault:
    """Turns a fault on and off, as a request at a control socket asks."""

    def __init__(self, apply: Callable[[bool], None]) -> None:
        self._apply = apply
        self._timer: asyncio.TimerHandle | None = None

    def set(self, *, on: bool, for_s: object = None) -> None:
        """Turn it on or off; with a number, `on` ends after so many seconds."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._apply(on)
        if on and isinstance(for_s, int | float):
            self._timer = asyncio.get_running_loop().call_later(float(for_s), self._end)

    def _end(self) -> None:
        self._timer = None
        self._apply(False)
