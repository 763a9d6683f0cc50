"""App whose background work lets keys and clicks go first."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from textual import events
from textual.app import App
from textual.message import Message
from textual.screen import Screen

T = TypeVar("T")

# Keys may change nothing on the screen, so that no frame follows.
_MAX_WAIT_S: Final = 0.05


class InputPriority:
    """Whether the frame that answers a key or a click is still to come."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._arrived_at = 0.0  # of the latest input without a frame; 0 if there is none
        self._is_handled = True
        self._painted = asyncio.Event()

    def note_arrival(self) -> None:
        """Note that the user has pressed a key; callable in any thread."""
        self._is_handled = False
        self._arrived_at = self._clock()

    def note_handled(self) -> None:
        """Note that the app has handled the input: the next frame shows its effect."""
        self._is_handled = True

    def note_painted(self) -> None:
        """Note that a frame was painted."""
        if self._is_handled:
            self._arrived_at = 0.0
            self._painted.set()

    async def wait(self) -> None:
        """Let all else that is ready run; if input has arrived, wait for its frame.

        Waits 50 ms at most. Cancellation safe.
        """
        await asyncio.sleep(0)  # until the loop has looked for input
        await asyncio.sleep(0)  # until it is read
        remaining_s = self._arrived_at + _MAX_WAIT_S - self._clock()
        if self._arrived_at and remaining_s > 0:
            self._painted.clear()
            try:
                async with asyncio.timeout(remaining_s):
                    await self._painted.wait()
            except TimeoutError:
                self._arrived_at = 0.0


class InputFirstApp(App[T]):
    """App that knows whether input waits; `TerminalDriver` tells when some arrives."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.input_priority = InputPriority()
        super().__init__(*args, **kwargs)

    def receive(self, message: Message) -> None:
        """Take a message of the driver; callable in any thread."""
        if isinstance(message, events.InputEvent) and not isinstance(message, events.MouseMove):
            self.input_priority.note_arrival()
        self.post_message(message)

    async def on_event(self, event: events.Event) -> None:
        """Note when input has been handled."""
        await super().on_event(event)
        if isinstance(event, events.InputEvent):
            self.input_priority.note_handled()

    def _display(self, screen: Screen[Any], renderable: Any) -> None:
        """Note that a frame was written."""
        super()._display(screen, renderable)
        if renderable is not None:
            self.input_priority.note_painted()
