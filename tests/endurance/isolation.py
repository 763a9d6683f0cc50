"""Connections that stand still, and what the others notice of them: nothing."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from tests.endurance.clients import TIMEOUT_S, Client, connected, download, echo
from tests.endurance.engine_process import MIB, EngineProcess, ForwardHandle

ECHO, SOURCE, SLOW = 7000, 7002, 7005
_PIECE = bytes(256 * 1024)
# Nothing has moved for so long: whatever is between the two ends is full.
_STILL_S = 0.6
_FILL_S = 20.0


async def slow_once(port: int) -> float:
    """One byte of an application that answers at once if it is asked kindly."""
    began = time.perf_counter()
    async with asyncio.timeout(TIMEOUT_S), connected(port) as client:
        await client.send(b"1 0\n")
        if await client.receive_exactly(1) != b".":
            raise ConnectionError("something else came")
    return time.perf_counter() - began


async def download_once(port: int) -> float:
    """A short answer."""
    return await download(port, 1000)


@dataclass(frozen=True)
class StallKind:
    """A way of standing still.

    Attributes:
        port: Where in the toolbox.
        begin: Makes a fresh connection into one that will stand still.
        push: Whether the client sends without end.
        exchange: What a neighbour on the same forward does.
    """

    what: str
    port: int
    begin: Callable[[Client], Awaitable[object]]
    push: bool
    exchange: Callable[[int], Awaitable[float]]


async def _ask_for_much(client: Client) -> None:
    await client.send(b"%d\n" % (1 << 40))
    await client.receive_exactly(100_000)


async def _ask_for_patience(client: Client) -> None:
    # It answers with a byte every 1000 s, and reads nothing meanwhile.
    await client.send(b"1000 1000\n")
    await client.receive_exactly(1)


async def _say_hello(client: Client) -> None:
    await client.send(b"x")
    await client.receive_exactly(1)


READERS = StallKind("readers that stopped", SOURCE, _ask_for_much, False, download_once)
SERVERS = StallKind("servers that stopped reading", SLOW, _ask_for_patience, True, slow_once)
BOTH = StallKind("echoes nobody reads", ECHO, _say_hello, True, echo)
KINDS = (READERS, SERVERS, BOTH)


@contextlib.asynccontextmanager
async def stalled_connections(
    line: ForwardHandle, kind: StallKind, count: int
) -> AsyncIterator[list[Client]]:
    """`count` connections that do not move any more; closed at the end."""
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(line.port)) for _ in range(count)]
        await asyncio.gather(*(kind.begin(client) for client in clients))
        still_since, before = time.monotonic(), (0, 0)
        deadline = still_since + _FILL_S
        while time.monotonic() - still_since < _STILL_S:
            assert time.monotonic() < deadline, f"{kind.what}: something still moves: {before}"
            if kind.push:
                for client in clients:
                    while client.send_available(_PIECE):
                        pass
            await asyncio.sleep(0.05)
            counters = (await line.forward()).counters
            now = (counters.bytes_from_pod, counters.bytes_to_pod)
            if now != before:
                still_since, before = time.monotonic(), now
        yield clients


@dataclass(frozen=True)
class NeighborLatency:
    """Neighbours of connections that stand still; times are medians.

    Attributes:
        same_s: Neighbours on the same forward, before and meanwhile.
        other_s: Neighbours on another forward, before and meanwhile.
        grown: By how much the engine's memory grew at most.
        kept: By how much it was larger after they had ended.
    """

    what: str
    count: int
    same_s: tuple[float, float]
    other_s: tuple[float, float]
    grown: int
    kept: int

    def row(self) -> str:
        """One line of the table of figures."""
        return (
            f"{self.count} {self.what:30} same forward {_pair(self.same_s)}   other forward "
            f"{_pair(self.other_s)}   memory +{self.grown / MIB:.1f} MiB, "
            f"afterwards {self.kept / MIB:+.1f}"
        )


def _pair(seconds: tuple[float, float]) -> str:
    before, meanwhile = seconds
    return f"{before * 1e3:5.1f} → {meanwhile * 1e3:5.1f} ms (×{meanwhile / before:.2f})"


async def _median(times: int, once: Callable[[], Awaitable[float]]) -> float:
    return statistics.median([await once() for _ in range(times)])


async def measure_neighbors(
    running: EngineProcess,
    line: ForwardHandle,
    other: ForwardHandle,
    kind: StallKind,
    *,
    count: int,
    probes: int,
) -> NeighborLatency:
    """Measure neighbours without and with connections that stand still, and after them.

    Args:
        running: The engine, for its memory.
        line: A forward to `kind.port`.
        other: A forward to the echo.
        kind: How they stand still.
        count: How many.
        probes: How many neighbours each time.

    Raises:
        OSError: A neighbour was harmed.
    """

    async def both() -> tuple[float, float]:
        return (
            await _median(probes, lambda: kind.exchange(line.port)),
            await _median(probes, lambda: echo(other.port)),
        )

    await both()
    before = await both()
    rss = running.footprint().rss
    with running.measure_peak_rss() as peak:
        async with stalled_connections(line, kind, count) as clients:
            meanwhile = await both()
            for client in clients if kind.push else ():
                # A client that only closes, behind data that nobody reads, is given up as
                # late as somebody might still read them.
                client.reset()
        grown = peak() - rss
    await line.wait_until(
        lambda forward: forward.counters.connections_open == 0, "the end of all connections"
    )
    await both()
    return NeighborLatency(
        kind.what,
        count,
        (before[0], meanwhile[0]),
        (before[1], meanwhile[1]),
        grown,
        running.footprint().rss - rss,
    )
