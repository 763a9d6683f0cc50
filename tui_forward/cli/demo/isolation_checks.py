"""Checks that a bad connection does not affect others."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

from tui_forward.cli.demo import traffic
from tui_forward.cli.demo.check_result import CheckResult, require
from tui_forward.cli.demo.environment import (
    CLOSED_PORT,
    ECHO,
    LATE,
    NEVER_READS,
    RESETS,
    SOURCE,
    DemoEnvironment,
    DemoForward,
    wait_until,
)
from tui_forward.common.formatting import milliseconds
from tui_forward.model import Connection, ConnectionState, ForwardState, LocalAddress

STALLED = 5
_SETTLE_S = 5.0


async def _closed_connection(forward: DemoForward) -> Connection:
    """Return the latest connection of a forward, once it is closed."""
    connections: tuple[Connection, ...] = ()

    async def closed() -> bool:
        nonlocal connections
        connections = await forward.connections()
        return bool(connections) and connections[-1].state is ConnectionState.CLOSED

    require(await wait_until(closed, _SETTLE_S), "the connection was not closed")
    return connections[-1]


async def _require_ready(forward: DemoForward) -> None:
    """Require that a bad connection did not affect its forward."""
    state = (await forward.status()).state
    require(state is ForwardState.READY, f"the forward is {state.value}")


async def check_refused_connection(demo: DemoEnvironment) -> CheckResult:
    """Check that a closed port fails one connection only, with a reason."""
    async with demo.open_forward(ECHO) as echo, demo.open_forward(CLOSED_PORT) as closed:
        async with traffic.connect(echo.address) as neighbor:
            with contextlib.suppress(ConnectionResetError):
                async with traffic.connect(closed.address) as client:
                    data = await client.receive()
                    require(not data, f"got {data[:20]!r} from a closed port")
            ended = await _closed_connection(closed)
            require(ended.failed and ended.close_reason, "the failed connection has no reason")
            await neighbor.send(b"still there?")
            await neighbor.receive_exactly(12)
        await _require_ready(closed)
        await _require_ready(echo)
    return CheckResult(f"“{ended.close_reason}”; forward and neighbors unaffected")


async def check_reset_connection(demo: DemoEnvironment) -> CheckResult:
    """Check that a reset by the application reaches its client only."""
    async with demo.open_forward(RESETS) as forward:
        with contextlib.suppress(ConnectionResetError):
            async with traffic.connect(forward.address) as client:
                data = await client.receive()
                require(not data, f"got {data[:20]!r} from a port that resets")
        ended = await _closed_connection(forward)
        await _require_ready(forward)
    return CheckResult(f"“{ended.close_reason or 'closed'}”; forward unaffected")


async def check_late_reply(demo: DemoEnvironment) -> CheckResult:
    """Check that a reply arrives 3 s after the client closed its side."""
    async with demo.open_forward(LATE) as forward, traffic.connect(forward.address) as client:
        await client.send(b"hello 3\n")
        began = time.perf_counter()
        client.close_write()
        reply = await client.receive_line()
        seconds = time.perf_counter() - began
        require(reply == b"late hello", f"got {reply!r} after {seconds:.1f} s")
    return CheckResult(f"after {seconds:.1f} s, where kubectl loses it", {"reply_s": seconds})


async def _exchange_s(address: LocalAddress) -> float:
    """Return the time of one short exchange on a new connection."""
    began = time.perf_counter()
    async with traffic.connect(address) as client:
        await client.send(b"1000\n")
        await client.receive_exactly(1000)
    return time.perf_counter() - began


async def check_stalled_reader(demo: DemoEnvironment) -> CheckResult:
    """Check that clients that stop reading do not slow down others on the same forward."""
    async with demo.open_forward(SOURCE) as forward, contextlib.AsyncExitStack() as stack:
        await _exchange_s(forward.address)
        undisturbed = await traffic.median_s(40, lambda: _exchange_s(forward.address))
        for _ in range(STALLED):
            client = await stack.enter_async_context(traffic.connect(forward.address))
            await client.send(b"%d\n" % (1 << 34))
            await client.receive_exactly(100_000)
        await _wait_for_full_buffers(forward, from_pod=True)
        return await _compare_neighbors(forward.address, _exchange_s, undisturbed, "readers")


async def check_stalled_server(demo: DemoEnvironment) -> CheckResult:
    """Check that servers that stop reading do not slow down others in the same pod."""
    async with (
        demo.open_forward(NEVER_READS) as stuck,
        demo.open_forward(ECHO) as forward,
        contextlib.AsyncExitStack() as stack,
    ):
        await traffic.echo(forward.address)
        undisturbed = await traffic.median_s(40, lambda: traffic.echo(forward.address))
        senders = []
        for _ in range(STALLED):
            client = await stack.enter_async_context(traffic.connect(stuck.address))
            senders.append(asyncio.create_task(client.send(bytes(64_000_000))))
        try:
            await _wait_for_full_buffers(stuck, from_pod=False)
            return await _compare_neighbors(forward.address, traffic.echo, undisturbed, "servers")
        finally:
            for sender in senders:
                sender.cancel()
            await asyncio.gather(*senders, return_exceptions=True)


async def _wait_for_full_buffers(forward: DemoForward, *, from_pod: bool) -> None:
    """Wait until no byte moves, because all buffers between the two ends are full."""
    deadline = time.monotonic() + _SETTLE_S
    before = -1
    while time.monotonic() < deadline:
        counted = await forward.byte_counts()
        now = counted[0] if from_pod else counted[1]
        if now == before:
            return
        before = now
        await asyncio.sleep(0.15)


async def _compare_neighbors(
    address: LocalAddress,
    exchange: Callable[[LocalAddress], Awaitable[float]],
    undisturbed: float,
    stalled: str,
) -> CheckResult:
    async with asyncio.timeout(10):
        disturbed = await traffic.median_s(40, lambda: exchange(address))
    # A neighbor that a stall affects waits for seconds; other programs cost milliseconds.
    require(
        disturbed <= 2 * undisturbed + 0.2,
        f"neighbors took {milliseconds(disturbed)} instead of {milliseconds(undisturbed)}",
    )
    return CheckResult(
        f"{STALLED} stalled {stalled}: neighbors {milliseconds(disturbed)}, "
        f"undisturbed {milliseconds(undisturbed)}",
        {"disturbed_s": disturbed, "undisturbed_s": undisturbed, "stalled": STALLED},
    )
