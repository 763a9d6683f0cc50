"""What the demonstration puts to the test, one function per claim.

Each returns its figures in words and for machines, and raises when the claim does not hold.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from tui_forward.cli.demo import traffic
from tui_forward.cli.demo.environment import (
    COUNTERS,
    ECHO,
    LATE,
    NEVER_READS,
    NOBODY,
    RESETS,
    SINK,
    SOURCE,
    DemoEnvironment,
    DemoForward,
    wait_until,
)
from tui_forward.common.formatting import format_bytes, milliseconds, pluralize
from tui_forward.model import (
    Connection,
    ConnectionState,
    ForwardState,
    LocalAddress,
    Pod,
    TransportChoice,
)

Figures = dict[str, float | int | str]

BULK = 32 * 1000 * 1000
STALLED = 5
_SETTLE_S = 5.0
# A hop that restarts may take this long until a connection that waits for it is served.
_OUTAGE_S = 15.0


class CheckFailedError(Exception):
    """A claim does not hold; the message says what was seen instead."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a test has to say when its claim held."""

    words: str
    figures: Figures = field(default_factory=dict)


def require(condition: object, otherwise: str) -> None:
    """Raise `Broken` unless the condition holds."""
    if not condition:
        raise CheckFailedError(otherwise)


async def check_cluster_listing(stage: DemoEnvironment) -> CheckResult:
    """Namespaces and pods are known soon after the start."""
    began = time.perf_counter()
    await stage.listed()
    seconds = time.perf_counter() - began
    await stage.toolbox()
    ready = sum(pod.ready for pod in stage.pods.values())
    return CheckResult(
        f"{pluralize(len(stage.pods), 'pod')} ({ready} ready) in "
        f"{pluralize(len(stage.namespaces), 'namespace')}, {milliseconds(seconds)}",
        {"pods": len(stage.pods), "namespaces": len(stage.namespaces), "list_s": seconds},
    )


async def check_byte_counts(stage: DemoEnvironment, transport: TransportChoice) -> CheckResult:
    """Bytes go both ways unchanged, and both ends count the same."""
    async with (
        stage.forwarded(ECHO, transport=transport) as echo,
        stage.forwarded(SOURCE, transport=transport) as source,
        stage.forwarded(SINK, transport=transport) as sink,
        stage.forwarded(COUNTERS, transport=transport) as counters,
    ):
        used = (await echo.forward()).transport
        require(used is transport, f"asked for {transport.value}, got {used}")
        await traffic.echo(echo.address)  # the first one may still warm something up
        first_byte = await traffic.median_s(30, lambda: traffic.echo(echo.address))
        await traffic.echo(echo.address, bytes(range(256)) * 256)
        before = [await stage.counted_by_pod(counters, port) for port in (SOURCE, SINK)]
        down = await traffic.download(source.address, BULK)
        up = await traffic.upload(sink.address, BULK)
        after = [await stage.counted_by_pod(counters, port) for port in (SOURCE, SINK)]
        for line, then, now in zip((source, sink), before, after, strict=True):
            pod = (now[0] - then[0], now[1] - then[1])
            await counters_settle(line, pod)
    return CheckResult(
        f"first byte {milliseconds(first_byte)}"
        f" · ↓ {format_bytes(BULK / down)}/s ↑ {format_bytes(BULK / up)}/s"
        " · counters equal the pod's",
        {
            "first_byte_s": first_byte,
            "download_bytes_per_s": BULK / down,
            "upload_bytes_per_s": BULK / up,
        },
    )


async def counters_settle(line: DemoForward, pod: tuple[int, int]) -> None:
    """The last bytes may still be on their way into a counter when a client has them."""
    ours = (0, 0)

    async def equal() -> bool:
        nonlocal ours
        ours = await line.counted()
        return ours == pod

    require(
        await wait_until(equal, _SETTLE_S),
        f"counted {ours} bytes from and to the pod, the pod counted {pod}",
    )


async def closed_connection(line: DemoForward) -> Connection:
    """The latest connection of a forward, once it has ended."""
    connections: tuple[Connection, ...] = ()

    async def closed() -> bool:
        nonlocal connections
        connections = await line.connections()
        return bool(connections) and connections[-1].state is ConnectionState.CLOSED

    require(await wait_until(closed, _SETTLE_S), "the connection did not end")
    return connections[-1]


async def still_ready(line: DemoForward) -> None:
    """A forward that a bad connection did not harm."""
    state = (await line.forward()).state
    require(state is ForwardState.READY, f"the forward is {state.value}")


async def check_refused_connection(stage: DemoEnvironment) -> CheckResult:
    """A port nobody listens on costs one connection, with the reason shown."""
    async with stage.forwarded(ECHO) as echo, stage.forwarded(NOBODY) as nobody:
        async with traffic.connected(echo.address) as neighbour:
            with contextlib.suppress(ConnectionResetError):
                async with traffic.connected(nobody.address) as client:
                    data = await client.receive()
                    require(not data, f"got {data[:20]!r} from a port nobody listens on")
            ended = await closed_connection(nobody)
            require(ended.failed and ended.close_reason, "the connection did not say why it failed")
            await neighbour.send(b"still there?")
            await neighbour.receive_exactly(12)
        await still_ready(nobody)
        await still_ready(echo)
    return CheckResult(f"“{ended.close_reason}”; forward and neighbours live on")


async def check_reset_connection(stage: DemoEnvironment) -> CheckResult:
    """A reset by the application reaches the client, and nobody else."""
    async with stage.forwarded(RESETS) as line:
        with contextlib.suppress(ConnectionResetError):
            async with traffic.connected(line.address) as client:
                data = await client.receive()
                require(not data, f"got {data[:20]!r} from a port that resets")
        ended = await closed_connection(line)
        await still_ready(line)
    return CheckResult(f"“{ended.close_reason or 'closed'}”; the forward lives on")


async def check_late_reply(stage: DemoEnvironment) -> CheckResult:
    """An answer 3 s after the client's end of file still arrives."""
    async with stage.forwarded(LATE) as line, traffic.connected(line.address) as client:
        await client.send(b"hello 3\n")
        began = time.perf_counter()
        client.end_sending()
        answer = await client.line()
        seconds = time.perf_counter() - began
        require(answer == b"late hello", f"got {answer!r} after {seconds:.1f} s")
    return CheckResult(f"after {seconds:.1f} s, where kubectl loses it", {"reply_s": seconds})


async def _neighbour_s(address: LocalAddress) -> float:
    """One short exchange on a connection of its own."""
    began = time.perf_counter()
    async with traffic.connected(address) as client:
        await client.send(b"1000\n")
        await client.receive_exactly(1000)
    return time.perf_counter() - began


async def check_stalled_reader(stage: DemoEnvironment) -> CheckResult:
    """Clients that stop reading slow down no neighbour on the same forward."""
    async with stage.forwarded(SOURCE) as line, contextlib.AsyncExitStack() as stack:
        await _neighbour_s(line.address)
        quiet = await traffic.median_s(40, lambda: _neighbour_s(line.address))
        for _ in range(STALLED):
            client = await stack.enter_async_context(traffic.connected(line.address))
            await client.send(b"%d\n" % (1 << 34))
            await client.receive_exactly(100_000)
        await _buffers_fill(line, from_pod=True)
        return await _beside(line.address, _neighbour_s, quiet, "readers")


async def check_stalled_server(stage: DemoEnvironment) -> CheckResult:
    """Servers that stop reading slow down no neighbour in the same pod."""
    async with (
        stage.forwarded(NEVER_READS) as stuck,
        stage.forwarded(ECHO) as line,
        contextlib.AsyncExitStack() as stack,
    ):
        await traffic.echo(line.address)
        quiet = await traffic.median_s(40, lambda: traffic.echo(line.address))
        senders = []
        for _ in range(STALLED):
            client = await stack.enter_async_context(traffic.connected(stuck.address))
            senders.append(asyncio.create_task(client.send(bytes(64_000_000))))
        try:
            await _buffers_fill(stuck, from_pod=False)
            return await _beside(line.address, traffic.echo, quiet, "servers")
        finally:
            for sender in senders:
                sender.cancel()
            await asyncio.gather(*senders, return_exceptions=True)


async def _buffers_fill(line: DemoForward, *, from_pod: bool) -> None:
    """Wait until nothing moves any more: everything between the two ends is full."""
    deadline = time.monotonic() + _SETTLE_S
    before = -1
    while time.monotonic() < deadline:
        counted = await line.counted()
        now = counted[0] if from_pod else counted[1]
        if now == before:
            return
        before = now
        await asyncio.sleep(0.15)


async def _beside(
    address: LocalAddress,
    exchange: Callable[[LocalAddress], Awaitable[float]],
    quiet: float,
    who: str,
) -> CheckResult:
    async with asyncio.timeout(10):
        beside = await traffic.median_s(40, lambda: exchange(address))
    # Within twice, and a little for the noise of a busy machine.
    require(
        beside <= 2 * quiet + 0.003,
        f"neighbours took {milliseconds(beside)} instead of {milliseconds(quiet)}",
    )
    return CheckResult(
        f"{STALLED} stopped {who}: neighbours {milliseconds(beside)}, "
        f"undisturbed {milliseconds(quiet)}",
        {"beside_s": beside, "undisturbed_s": quiet, "stalled": STALLED},
    )


# --------------------------------------------------------------------------------------
# Pods that go away
# --------------------------------------------------------------------------------------


@dataclass(slots=True)
class Load:
    """Short connections, as busy clients make them."""

    address: LocalAddress
    served: list[tuple[float, float]] = field(default_factory=list)  # began, ended (wall clock)
    lost: list[tuple[float, str]] = field(default_factory=list)  # began, why
    refused: int = 0

    async def hammer(self) -> None:
        """One connection after the other, until cancelled."""
        while True:
            await self._once()
            await asyncio.sleep(0)

    async def arrive(self) -> None:
        """A new connection every now and then, whatever became of the others."""
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(self._once())
                await asyncio.sleep(_ARRIVAL_S)

    async def _once(self) -> None:
        began = time.time()
        try:
            async with asyncio.timeout(20):
                await traffic.echo(self.address)
        except ConnectionRefusedError:
            self.refused += 1
        except (OSError, TimeoutError) as error:
            self.lost.append((began, str(error) or type(error).__name__))
        else:
            self.served.append((began, time.time()))


@contextlib.asynccontextmanager
async def under_load(address: LocalAddress, workers: int) -> AsyncIterator[Load]:
    """`workers` clients hammer an address, and others arrive besides."""
    load = Load(address)
    tasks = [asyncio.create_task(load.hammer()) for _ in range(workers)]
    tasks.append(asyncio.create_task(load.arrive()))
    try:
        yield load
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


WORKERS = 8
_ARRIVAL_S = 0.025


async def survives(
    stage: DemoEnvironment, harm: Callable[[Pod], Awaitable[object]], *, replaced: bool
) -> CheckResult:
    """Under load, a pod or its container ends; every connection that can be served is."""
    async with stage.forwarded(ECHO) as line, under_load(line.address, WORKERS) as load:
        pod = await stage.toolbox()
        await wait_until(lambda: _served(load, 100), _SETTLE_S)
        require(load.served, "no connection was served at all")
        harmed_at = time.time()
        await harm(pod)

        def again() -> bool:
            for other in stage.pods.values():
                if replaced and other.uid != pod.uid and _same_family(other, pod) and other.ready:
                    return True
                if not replaced and other.uid == pod.uid and other.restarts > pod.restarts:
                    return other.ready
            return False

        ready_at = await stage.until(again, "the pod to be ready again")
        held = await _held_are_served(load, harmed_at)
        # Long enough for anything that was delayed to show up as a failure.
        await asyncio.sleep(0.3)
        forward = await line.forward()
    require(not load.refused, f"{load.refused} local connections were refused")
    late = [(began, why) for began, why in load.lost if began > ready_at]
    require(not late, f"{len(late)} connections failed after the pod was ready: {late[:1]}")
    require(
        len(load.lost) <= WORKERS + 2,
        f"{len(load.lost)} connections failed, more than can have been under way: {load.lost[-1:]}",
    )
    # The next connection to be served once the API server called the pod ready.
    after = min((ended for _, ended in load.served if ended >= ready_at), default=0.0) - ready_at
    require(after >= 0, "no connection was served after the pod was ready")
    outage = max(ended - began for began, ended in held)
    moved = f" · now {forward.pod.name}" if replaced and forward.pod else ""
    cut = f", {len(load.lost)} cut with the pod" if load.lost else ""
    return CheckResult(
        f"{len(load.served)} served, 0 refused{cut} · held {milliseconds(outage)} at most, first "
        f"byte {milliseconds(after)} after ready{moved}",
        {
            "served": len(load.served),
            "refused": load.refused,
            "cut": len(load.lost),
            "longest_held_s": outage,
            "first_byte_after_ready_s": after,
        },
    )


def _same_family(pod: Pod, other: Pod) -> bool:
    return pod.namespace == other.namespace and pod.owner == other.owner


async def _served(load: Load, count: int) -> bool:
    return len(load.served) >= count


async def _held_are_served(load: Load, since: float) -> list[tuple[float, float]]:
    """Connections that outlived the outage: those that took longest since it began."""
    seen = len(load.served) + WORKERS
    await wait_until(lambda: _served(load, seen), _SETTLE_S)
    held = sorted(
        (pair for pair in load.served if pair[1] > since), key=lambda pair: pair[0] - pair[1]
    )[:WORKERS]
    require(held, "no connection was served after the outage")
    return held


async def check_pod_deleted(stage: DemoEnvironment) -> CheckResult:
    """The pod is deleted; the forward moves to its replacement."""

    async def delete(pod: Pod) -> object:
        return await stage.control.request(
            "delete-pod", namespace=pod.namespace, pod=pod.name, grace=0
        )

    return await survives(stage, delete, replaced=True)


async def check_container_crash(stage: DemoEnvironment) -> CheckResult:
    """The container ends and is restarted; the pod stays."""

    async def crash(pod: Pod) -> object:
        return await stage.control.request("crash-pod", namespace=pod.namespace, pod=pod.name)

    return await survives(stage, crash, replaced=False)


async def check_component_restart(stage: DemoEnvironment, hop: str) -> CheckResult:
    """A hop of the chain restarts; connections wait for it."""
    async with stage.forwarded(ECHO) as line:
        await traffic.echo(line.address)
        began = time.perf_counter()
        await stage.control.request("restart-hop", hop=hop)
        try:
            async with asyncio.timeout(_OUTAGE_S):
                held = await traffic.echo(line.address)
        except (OSError, TimeoutError) as error:
            now = await line.forward()
            raise CheckFailedError(
                f"{str(error) or 'no answer'} after {time.perf_counter() - began:.1f} s; "
                f"the forward is {now.state.value}: {now.reason}"
            ) from error
        seconds = time.perf_counter() - began
    return CheckResult(
        f"working again after {seconds:.1f} s", {"outage_s": seconds, "held_s": held}
    )
