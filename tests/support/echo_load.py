"""Clients of a forward that connect, exchange bytes and disconnect repeatedly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.fake_engine import echo
from tests.support.waiting import until

_CLIENTS = 6
_ANSWER_S = 40.0
_PAUSE_S = 0.02


class EchoLoad:
    """What clients of an echo server got until now."""

    def __init__(self) -> None:
        self.served = 0
        self.failures: list[str] = []

    async def serves(self, more: int) -> None:
        """Wait until so many more exchanges have succeeded."""
        goal = self.served + more
        await until(lambda: self.served >= goal, 60)


@asynccontextmanager
async def echo_load(port: int) -> AsyncIterator[EchoLoad]:
    """Run the clients; at the end they finish their exchanges."""
    load = EchoLoad()
    stop = asyncio.Event()

    async def client() -> None:
        while not stop.is_set():
            try:
                async with asyncio.timeout(_ANSWER_S):
                    assert await echo(port, b"some words") == b"some words"
                load.served += 1
            except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
                load.failures.append(repr(error))
            await asyncio.sleep(_PAUSE_S)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(_CLIENTS):
            tasks.create_task(client())
        try:
            yield load
        finally:
            stop.set()
