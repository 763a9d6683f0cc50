"""Measurement of how stalled connections affect their neighbors."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from tests.endurance import toolbox
from tests.endurance.clients import TIMEOUT_S, Client, connected, download, echo, exchange
from tests.endurance.engine_process import (
    MIB,
    EngineProcess,
    ForwardHandle,
    open_session,
    running_engine,
    running_forward,
)
from tests.support.cluster_process import ClusterProcess
from tui_forward.engine.limits import Limits
from tui_forward.model import TransportChoice

_CHUNK = bytes(256 * 1024)
# When no byte has moved for this long, every buffer on the path is full.
_STALLED_AFTER_S = 0.6
_FILL_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class StallKind:
    """One kind of stalled connections.

    Attributes:
        port: Port of the toolbox.
        start: Makes a new connection stall, at once or when its buffers are full.
        sends: Whether the client sends endlessly.
        probe: Exchange of a neighbor on the same forward; returns its seconds.
        exchange: Exchange on an open connection, which stays open; None if the port has none.
    """

    name: str
    port: int
    start: Callable[[Client], Awaitable[object]]
    sends: bool
    probe: Callable[[int], Awaitable[float]]
    exchange: Callable[[Client], Awaitable[None]] | None = None


async def _start_large_download(client: Client) -> None:
    await client.send(b"%d\n" % (1 << 40))
    await client.receive_exactly(100_000)


async def _pause_server(client: Client) -> None:
    # The server sends a byte every 1000 s, and reads nothing in between.
    await client.send(b"1000 1000\n")
    await client.receive_exactly(1)


async def _start_echo(client: Client) -> None:
    await client.send(b"x")
    await client.receive_exactly(1)


async def _download_briefly(port: int) -> float:
    return await download(port, 1000)


async def _receive_one_byte(port: int) -> float:
    return await exchange(port, b"1 0\n", b".")


async def _download_and_keep(client: Client) -> None:
    await client.send(b"1000 keep\n")
    await client.receive_exactly(1000)


async def _echo_and_keep(client: Client) -> None:
    await client.send(b"0123456789")
    assert await client.receive_exactly(10) == b"0123456789"


STOPPED_READERS = StallKind(
    "stopped readers", toolbox.SOURCE, _start_large_download, False, _download_briefly,
    _download_and_keep,
)  # fmt: skip
STOPPED_SERVERS = StallKind("stopped servers", toolbox.SLOW, _pause_server, True, _receive_one_byte)
UNREAD_ECHOES = StallKind("unread echoes", toolbox.ECHO, _start_echo, True, echo, _echo_and_keep)
KINDS = (STOPPED_READERS, STOPPED_SERVERS, UNREAD_ECHOES)


@contextlib.asynccontextmanager
async def stalled_connections(
    handle: ForwardHandle, kind: StallKind, count: int
) -> AsyncIterator[list[Client]]:
    """Open connections and wait until all have stalled; close them at the end."""
    async with contextlib.AsyncExitStack() as stack:
        clients = []
        for number in range(1, count + 1):
            client = await stack.enter_async_context(connected(handle.port))
            clients.append(client)
            await kind.start(client)
            # On a busy machine a connection that waits too long shares the tunnel of another one,
            # which may then not keep it from being read.
            await handle.wait_for_tunnels(min(number + 1, Limits().own_tunnels))
        unchanged_since, before = time.monotonic(), (0, 0)
        deadline = unchanged_since + _FILL_TIMEOUT_S
        while time.monotonic() - unchanged_since < _STALLED_AFTER_S:
            assert time.monotonic() < deadline, f"{kind.name}: bytes still move: {before}"
            if kind.sends:
                for client in clients:
                    # One that shares a tunnel may have been ended, which `failures` reports.
                    with contextlib.suppress(ConnectionError):
                        while client.send_available(_CHUNK):
                            pass
            await asyncio.sleep(0.05)
            counters = (await handle.status()).counters
            now = (counters.bytes_from_pod, counters.bytes_to_pod)
            if now != before:
                unchanged_since, before = time.monotonic(), now
        yield clients


@contextlib.asynccontextmanager
async def sharing_connections(
    handle: ForwardHandle, kind: StallKind, count: int
) -> AsyncIterator[list[Client]]:
    """Open connections at the same time, which then share tunnels; close them at the end."""
    async with contextlib.AsyncExitStack() as stack:
        opening = (stack.enter_async_context(connected(handle.port)) for _ in range(count))
        clients = await asyncio.gather(*opening)
        await exchange_on_all(clients, kind)
        yield clients


async def exchange_on_all(clients: list[Client], kind: StallKind) -> float:
    """Make an exchange on all connections at once; return the seconds until the last answer."""
    if not clients:
        return 0.0
    assert kind.exchange is not None
    began = time.perf_counter()
    async with asyncio.timeout(TIMEOUT_S):
        await asyncio.gather(*map(kind.exchange, clients))
    return time.perf_counter() - began


@dataclass(frozen=True)
class Latency:
    """Median seconds of an exchange without and with stalled connections.

    Attributes:
        fastest: Seconds of the fastest one with stalled connections, which another load of the
            machine delays less.
    """

    before: float
    during: float
    fastest: float

    def __str__(self) -> str:
        ratio = self.during / self.before
        return f"{self.before * 1e3:5.1f} → {self.during * 1e3:5.1f} ms (×{ratio:.2f})"


@dataclass(frozen=True)
class NeighborLatency:
    """Latency of neighbors of stalled connections, and the cost to the engine.

    Attributes:
        same: Neighbors on the same forward.
        other: Neighbors on another forward.
        sharers: All connections of the same forward that share tunnels, at once.
        peak_growth: Peak growth of the engine's memory, in bytes.
        retained: Growth of the engine's memory after all connections have ended.
        failures: Reasons of failed connections of the forward with the stalled connections.
        log_errors: Errors that the engine has logged.
    """

    name: str
    count: int
    same: Latency
    other: Latency
    sharers: Latency
    peak_growth: int
    retained: int
    failures: tuple[str, ...]
    log_errors: str

    def row(self) -> str:
        """Return one line of the printed table."""
        return (
            f"{self.count} {self.name:20} same forward {self.same}   other forward {self.other}   "
            + (f"sharers {self.sharers}   " if self.sharers.before else "")
            + f"memory +{self.peak_growth / MIB:.1f} MiB, afterwards {self.retained / MIB:+.1f} MiB"
        )


async def measure_neighbors(
    cluster: ClusterProcess,
    kind: StallKind,
    *,
    count: int,
    probes: int,
    sharers: int = 0,
    transport: TransportChoice = TransportChoice.AUTO,
) -> NeighborLatency:
    """Measure neighbors before and during a stall, with an engine of its own.

    Args:
        count: Number of stalled connections.
        probes: Number of exchanges per median.
        sharers: Number of open connections that were opened at once before.

    Raises:
        OSError: A neighbor failed.
    """
    with running_engine(cluster.kubeconfig) as engine:
        async with (
            open_session(engine) as session,
            running_forward(session, kind.port, transport=transport) as same,
            running_forward(session, toolbox.ECHO, transport=transport) as other,
        ):
            return await _measure(engine, same, other, kind, count, probes, sharers)


async def _measure(
    engine: EngineProcess,
    same: ForwardHandle,
    other: ForwardHandle,
    kind: StallKind,
    count: int,
    probes: int,
    sharers: int,
) -> NeighborLatency:
    async def probe_both() -> tuple[list[float], list[float]]:
        return (
            [await kind.probe(same.port) for _ in range(probes)],
            [await echo(other.port) for _ in range(probes)],
        )

    await probe_both()
    same_before, other_before = await probe_both()
    rss_before = engine.footprint().rss
    memory_growth = engine.track_memory_growth()
    async with contextlib.AsyncExitStack() as stack:
        sharing = await stack.enter_async_context(sharing_connections(same, kind, sharers))
        sharers_before = await exchange_on_all(sharing, kind)
        clients = await stack.enter_async_context(stalled_connections(same, kind, count))
        same_during, other_during = await probe_both()
        sharers_during = await exchange_on_all(sharing, kind)
        for client in clients if kind.sends else ():
            # After a close, the engine would keep unread data until the half-close timeout.
            client.reset()
    peak_growth = memory_growth()
    await same.wait_until_unused()
    await probe_both()
    return NeighborLatency(
        name=kind.name,
        count=count,
        same=_compare(same_before, same_during),
        other=_compare(other_before, other_during),
        sharers=_compare([sharers_before], [sharers_during]),
        peak_growth=peak_growth,
        retained=engine.footprint().rss - rss_before,
        failures=await same.failures(),
        log_errors=engine.log_errors(),
    )


def _compare(before: list[float], during: list[float]) -> Latency:
    return Latency(statistics.median(before), statistics.median(during), min(during))
