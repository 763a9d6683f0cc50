"""Runs the user's commands one at a time, each against a fresh snapshot."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tui_forward.errors import TuiForwardError
from tui_forward.session import Session
from tui_forward.tui.controllers.notifier import Notifier
from tui_forward.tui.controllers.sampler import Sampler
from tui_forward.tui.controllers.session_timeout import session_timeout

_MAX_COMMANDS = 64

Command = Callable[[], Awaitable[None]]


class CommandQueue:
    """Queue of commands, run in order so that a double key press toggles twice."""

    def __init__(self, session: Session, sampler: Sampler, notifier: Notifier) -> None:
        self._session = session
        self._sampler = sampler
        self._notifier = notifier
        self._commands: asyncio.Queue[tuple[Command, bool]] = asyncio.Queue(_MAX_COMMANDS)

    def enqueue(self, command: Command, *, is_batch: bool = False) -> None:
        """Run a command after those enqueued before; beep if there are too many.

        A batch limits the time of each of its steps (`session.batch`), any other command is
        canceled when it takes too long.
        """
        try:
            self._commands.put_nowait((command, is_batch))
        except asyncio.QueueFull:
            self._notifier.bell()

    async def run(self) -> None:
        """Run commands until canceled; a command that fails is reported."""
        while True:
            command, is_batch = await self._commands.get()
            try:
                if is_batch:
                    await command()
                async with session_timeout():
                    if not is_batch:
                        await command()
                    self._sampler.snapshot = await self._session.snapshot()
            except TuiForwardError as error:
                self._notifier.error(error)
            self._sampler.request_sample()
