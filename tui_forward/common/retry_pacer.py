"""The pause of a loop that retries, whatever ends its turns."""

from __future__ import annotations

import asyncio

from tui_forward.common.jitter import JITTER

# A turn that lasts so long is no failure to pause after.
_STABLE_S = 2.0
# So many short turns in a row are no failures either: a fallback, a new list after an old watch.
_FREE_TURNS = 2
_MAX_DOUBLINGS = 10


class RetryPacer:
    """Keeps a pause before each turn of a loop if the turns before were short.

    Await `next_turn` once per turn, at its beginning. The pause doubles from `first_s` to
    `longest_s` while turns stay short, and is drawn from its upper half.
    """

    def __init__(self, *, first_s: float, longest_s: float) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._began_at: float | None = None
        self._short_turns = 0

    async def next_turn(self) -> None:
        """Wait until the next turn may begin. Safe to cancel."""
        loop = asyncio.get_running_loop()
        if self._began_at is not None:
            is_short = loop.time() - self._began_at < _STABLE_S
            self._short_turns = self._short_turns + 1 if is_short else 0
        if (excess := self._short_turns - _FREE_TURNS) > 0:
            longest = min(self._longest_s, self._first_s * 2 ** min(excess - 1, _MAX_DOUBLINGS))
            await asyncio.sleep(JITTER.uniform(longest / 2, longest))
        self._began_at = loop.time()
