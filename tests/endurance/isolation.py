"""Stalled connections and the latency of their neighbors."""

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
# After this time without progress, all buffers on the path are full.
_STALLED_S = 0.6
_FILL_TIMEOUT_S = 20.0


async def slow_once(port: int) -> float:
    """Request one byte without delay from the slow application."""
    began = time.perf_counter()
    async with asyncio.timeout(TIMEOUT_S), connected(port) as client:
        await client.send(b"1 0\n")
        if await client.receive_exactly(1) != b".":
            raise ConnectionError("unexpected response")
    return time.perf_counter() - began


async def download_once(port: int) -> float:
    """Download 1000 bytes."""
    return await download(port, 1000)


@dataclass(frozen=True)
class StallKind:
    """Cause of a stalled connection.

    Attributes:
        port: Port of the toolbox.
        begin: Prepares a new connection so that it will stall.
        push: Whether the client sends as much as it can.
        exchange: Measures a neighbor on the same forward.
    """

    what: str
    port: int
    begin: Callable[[Client], Awaitable[object]]
    push: bool
    exchange: Callable[[int], Awaitable[float]]


async def _request_large_download(client: Client) -> None:
    await client.send(b"%d\n" % (1 << 40))
    await client.receive_exactly(100_000)


async def _request_slow_response(client: Client) -> None:
    # It sends a byte every 1000 s and reads nothing.
    await client.send(b"1000 1000\n")
    await client.receive_exactly(1)


async def _echo_byte(client: Client) -> None:
    await client.send(b"x")
    await client.receive_exactly(1)


READERS = StallKind("readers that stopped", SOURCE, _request_large_download, False, download_once)
SERVERS = StallKind("servers that stopped reading", SLOW, _request_slow_response, True, slow_once)
BOTH = StallKind("echoes that are not read", ECHO, _echo_byte, True, echo)
KINDS = (READERS, SERVERS, BOTH)


@contextlib.asynccontextmanager
async def stalled_connections(
    line: ForwardHandle, kind: StallKind, count: int
) -> AsyncIterator[list[Client]]:
    """Open `count` connections and wait until they stall; close them at the end."""
    async with contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(line.port)) for _ in range(count)]
        await asyncio.gather(*(kind.begin(client) for client in clients))
        stalled_since, before = time.monotonic(), (0, 0)
        deadline = stalled_since + _FILL_TIMEOUT_S
        while time.monotonic() - stalled_since < _STALLED_S:
            assert time.monotonic() < deadline, f"{kind.what}: still making progress: {before}"
            if kind.push:
                for client in clients:
                    while client.send_available(_PIECE):
                        pass
            await asyncio.sleep(0.05)
            counters = (await line.forward()).counters
            now = (counters.bytes_from_pod, counters.bytes_to_pod)
            if now != before:
                stalled_since, before = time.monotonic(), now
        yield clients


@dataclass(frozen=True)
class NeighborLatency:
    """Latency of neighbors of stalled connections (medians) and memory of the engine.

    Attributes:
        same_s: Neighbors on the same forward, before and during the stall.
        other_s: Neighbors on another forward, before and during the stall.
        grown: Peak growth of the engine's memory, bytes.
        kept: Growth that remains after the connections have ended, bytes.
    """

    what: str
    count: int
    same_s: tuple[float, float]
    other_s: tuple[float, float]
    grown: int
    kept: int

    def row(self) -> str:
        """Return a row of the result table."""
        return (
            f"{self.count} {self.what:30} same forward {_pair(self.same_s)}   other forward "
            f"{_pair(self.other_s)}   memory +{self.grown / MIB:.1f} MiB, "
            f"afterwards {self.kept / MIB:+.1f}"
        )


def _pair(seconds: tuple[float, float]) -> str:
    before, during = seconds
    return f"{before * 1e3:5.1f} → {during * 1e3:5.1f} ms (×{during / before:.2f})"


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
    """Measure neighbors before, during and after a stall.

    Args:
        running: The engine.
        line: A forward to `kind.port`.
        other: A forward to the echo.
        kind: Cause of the stall.
        count: How many connections stall.
        probes: Neighbors per median.

    Raises:
        OSError: A neighbor failed.
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
            during = await both()
            for client in clients if kind.push else ():
                # A connection that is only closed stays open until its unread data is read
                # or times out.
                client.reset()
        grown = peak() - rss
    await line.wait_until(
        lambda forward: forward.counters.connections_open == 0, "the end of all connections"
    )
    await both()
    return NeighborLatency(
        kind.what,
        count,
        (before[0], during[0]),
        (before[1], during[1]),
        grown,
        running.footprint().rss - rss,
    )
