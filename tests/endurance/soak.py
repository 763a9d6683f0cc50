"""Mixed load with random faults.

Clients make short and long exchanges, uploads, downloads, resets, refused and half-closed
connections, and stop reading. Each connection moves a unique number of bytes, so that the counts
of client, engine and application can be compared.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from tests.endurance.clients import Client, connected, get_json
from tests.endurance.engine_process import ForwardHandle, running_forward
from tests.endurance.pod_watch import NAMESPACE, PodWatch
from tests.support.cluster_process import ClusterProcess
from tui_forward.model import Event, EventKind, ForwardState, TransportChoice
from tui_forward.session import Session

ECHO, SINK, SOURCE, RESETS, SLOW, BYE, COUNTERS, CLOSED = (
    7000, 7001, 7002, 7004, 7005, 7007, 7009, 7999,
)  # fmt: skip
PORTS = (ECHO, SINK, SOURCE, RESETS, SLOW, BYE, CLOSED)
_CLIENTS = 24
_CONNECTION_TIMEOUT_S = 30.0
_RECOVERY_TIMEOUT_S = 45.0


@dataclass(frozen=True)
class ConnectionBytes:
    """Bytes that a client counted on one successful connection."""

    port: int
    sent: int
    received: int


@dataclass
class ByteTotals:
    """Byte counts of clients and engine.

    Attributes:
        clients: Successful connections by the engine's name of the client.
        failures: Number of failed connections by error.
        refused: Number of refused local connects.
        engine: Byte counts that the engine reported, by client.
        gaps: Number of missed events.
    """

    clients: dict[str, list[ConnectionBytes]] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    engine: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    gaps: int = 0
    connections: int = 0

    def find_missing_in_engine(self) -> list[str]:
        """Return connections that client and engine counted differently."""
        wrong = []
        for name, tallies in self.clients.items():
            seen = Counter(self.engine.get(name, ()))
            expected = Counter((one.sent, one.received) for one in tallies)
            for numbers, count in (expected - seen).items():
                wrong.append(f"{name}: sent and received {numbers} ({count}×), engine: {seen}")
        return wrong


class ClientMix:
    """Random clients of several forwards.

    Args:
        lines: Forwards by remote port.
        seed: Seed of all random choices.
    """

    def __init__(self, lines: dict[int, list[ForwardHandle]], seed: int) -> None:
        self.totals = ByteTotals()
        self._lines = lines
        self._random = random.Random(seed)
        self._serial = itertools.count(1)

    async def run(self, until: float) -> None:
        """Run clients until a monotonic time."""
        async with asyncio.TaskGroup() as group:
            for _ in range(_CLIENTS):
                group.create_task(self._client(until))

    async def _client(self, until: float) -> None:
        turns: list[tuple[int, Callable[[Client], Awaitable[None]]]] = [
            (ECHO, self._echo), (ECHO, self._echo), (ECHO, self._chat), (SINK, self._upload),
            (SOURCE, self._download), (SOURCE, self._stops_reading), (ECHO, self._never_reads),
            (RESETS, self._is_reset), (SLOW, self._slow), (BYE, self._bye),
            (CLOSED, self._is_refused), (SOURCE, self._resets), (ECHO, self._leaves),
        ]  # fmt: skip
        while time.monotonic() < until:
            port, turn = self._random.choice(turns)
            line = self._random.choice(self._lines[port])
            await self._turn(port, line, turn)
            await asyncio.sleep(self._random.random() * 0.05)

    async def _turn(
        self, port: int, line: ForwardHandle, turn: Callable[[Client], Awaitable[None]]
    ) -> None:
        self.totals.connections += 1
        try:
            async with asyncio.timeout(_CONNECTION_TIMEOUT_S + 30), connected(line.port) as client:
                name = client.name
                await turn(client)
                tally = ConnectionBytes(port, client.sent, client.received)
        except ConnectionRefusedError:
            self.totals.refused += 1
        except (OSError, TimeoutError) as error:
            self.totals.failures[f"{turn.__name__}: {type(error).__name__}"] += 1
        else:
            if turn in (self._echo, self._chat, self._upload, self._download, self._slow):
                self.totals.clients.setdefault(f"{line.id} {name}", []).append(tally)

    def _size(self, most: int) -> int:
        """Return a size that no other connection uses."""
        return self._random.randrange(most) // 4096 * 4096 + next(self._serial) % 4096 + 1

    # Exchanges that succeed without faults; they are counted.

    async def _echo(self, client: Client) -> None:
        data = self._random.randbytes(self._size(60_000))
        await client.send(data)
        if await client.receive_exactly(len(data)) != data:
            raise AssertionError("the echo differs")

    async def _chat(self, client: Client) -> None:
        for _ in range(self._random.randrange(3, 30)):
            data = self._random.randbytes(self._size(2000))
            await client.send(data)
            if await client.receive_exactly(len(data)) != data:
                raise AssertionError("the echo differs")
            await asyncio.sleep(self._random.random() * 0.02)

    async def _upload(self, client: Client) -> None:
        size = self._size(3_000_000)
        await client.send(b"%d\n" % size + bytes(size))
        expected = b"%d\n" % size
        if await client.receive_exactly(len(expected)) != expected:
            raise AssertionError("the pod counted differently")

    async def _download(self, client: Client) -> None:
        size = self._size(3_000_000)
        await client.send(b"%d\n" % size)
        await client.receive_exactly(size)
        if await client.receive():
            raise AssertionError("unexpected bytes")

    async def _slow(self, client: Client) -> None:
        await client.send(b"5 0.05\n")
        await client.receive_exactly(5)

    # Exchanges that end in another way.

    async def _stops_reading(self, client: Client) -> None:
        await client.send(b"%d\n" % (1 << 40))
        await client.receive_exactly(1000)
        await asyncio.sleep(self._random.random() * 3)

    async def _never_reads(self, client: Client) -> None:
        end = time.monotonic() + self._random.random() * 3
        while time.monotonic() < end:
            client.send_available(bytes(65536))
            await asyncio.sleep(0.01)
        if self._random.random() < 0.5:
            client.reset()

    async def _is_reset(self, client: Client) -> None:
        with contextlib.suppress(ConnectionError):
            await client.send(b"x")
            await client.receive_all()

    async def _bye(self, client: Client) -> None:
        await client.receive_all()

    async def _is_refused(self, client: Client) -> None:
        with contextlib.suppress(ConnectionError):
            await client.send(b"GET / HTTP/1.1\r\n\r\n")
            await client.receive_all()

    async def _resets(self, client: Client) -> None:
        await client.send(b"%d\n" % (1 << 30))
        await client.receive_exactly(self._random.randrange(1, 100_000))
        client.reset()

    async def _leaves(self, client: Client) -> None:
        await client.send(b"hello")
        client.send_eof()


# --------------------------------------------------------------------------------------
# Faults
# --------------------------------------------------------------------------------------


async def random_fault(cluster: ClusterProcess, pods: PodWatch, chance: random.Random) -> str:
    """Inject a random fault; return its name."""
    name = chance.choice(
        [
            "delete",
            "crash",
            "hop",
            "cut",
            "cut",
            "connections",
            "stall",
            "compact",
            "token",
            "delay",
        ]
    )
    hop = chance.choice(["apiserver", "kubelet", "runtime"])
    match name:
        case "delete":
            pod = await pods.wait_for_ready_pod()
            grace = chance.choice([0, 1])
            await cluster.fault("delete-pod", namespace=NAMESPACE, pod=pod.name, grace=grace)
            await pods.wait_for_ready_pod(but=pod.uid)
        case "crash":
            pod = await pods.wait_for_ready_pod()
            await cluster.fault("crash-pod", namespace=NAMESPACE, pod=pod.name)
        case "hop":
            kill, down_s = chance.random() < 0.5, chance.random()
            await cluster.fault("restart-component", component=hop, kill=kill, down_s=down_s)
        case "cut":
            await cluster.fault("cut", component=hop)
        case "connections":
            await cluster.fault("cut", component="runtime", what="connections")
        case "stall":
            await cluster.fault("stall", component=hop, for_s=chance.choice([1.0, 3.0, 12.0]))
        case "compact":
            await cluster.fault("compact")
            await cluster.fault("cut", component="apiserver", what="watches")
        case "token":
            await cluster.fault("rotate-token", user="admin-tokenfile")
        case "delay":
            await cluster.fault("delay", component="kubelet", seconds=0.05)
            await asyncio.sleep(2)
            await cluster.fault("delay", component="kubelet", seconds=0)
    return f"{name} {hop}" if name in ("hop", "cut", "stall") else name


async def inject_faults(
    cluster: ClusterProcess, pods: PodWatch, seed: int, until: float, every_s: float
) -> list[str]:
    """Inject faults until a monotonic time; return their names."""
    chance = random.Random(seed)
    happened = []
    while time.monotonic() + every_s < until:
        await asyncio.sleep(every_s * (0.5 + chance.random()))
        happened.append(await random_fault(cluster, pods, chance))
    await cluster.fault("clear")
    return happened


# --------------------------------------------------------------------------------------
# Together
# --------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def start_forwards(session: Session) -> AsyncIterator[dict[int, list[ForwardHandle]]]:
    """Start forwards to every port with several transports and credentials; wait until ready."""
    async with contextlib.AsyncExitStack() as stack:
        lines: dict[int, list[ForwardHandle]] = {port: [] for port in PORTS}

        async def add(port: int, transport: TransportChoice, context: str) -> None:
            line = running_forward(
                session,
                port,
                transport=transport,
                context=context,
                ready=False,
                queue_timeout_s=60.0,
            )
            lines[port].append(await stack.enter_async_context(line))

        for port in PORTS:
            await add(port, TransportChoice.AUTO, "minicluster")
        for port in (ECHO, SOURCE):
            await add(port, TransportChoice.WEBSOCKET, "minicluster")
            await add(port, TransportChoice.CHANNELS, "minicluster")
        await add(ECHO, TransportChoice.SPDY, "admin-tokenfile")
        for line in itertools.chain.from_iterable(lines.values()):
            await line.wait_until_ready()
        yield lines


@contextlib.asynccontextmanager
async def record_connections(session: Session, totals: ByteTotals) -> AsyncIterator[None]:
    """Record the engine's byte counts of each connection that ends."""
    last = 0

    def record(event: Event) -> None:
        nonlocal last
        if last:
            totals.gaps += event.sequence - last - 1
        last = event.sequence
        ended = event.connection
        if event.event is EventKind.CONNECTION_CLOSED and ended is not None:
            numbers = (ended.bytes_to_pod, ended.bytes_from_pod)
            totals.engine.setdefault(f"{event.forward} {ended.client}", []).append(numbers)

    async def listen() -> None:
        async for event in session.events():
            record(event)

    task = asyncio.create_task(listen())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def wait_until_idle(lines: dict[int, list[ForwardHandle]]) -> None:
    """Wait until every forward is ready again and has no connection left."""
    for line in itertools.chain.from_iterable(lines.values()):
        await line.wait_until(
            lambda forward: (
                forward.state is ForwardState.READY and not forward.counters.connections_open
            ),
            "ready, with no connection left",
            _RECOVERY_TIMEOUT_S,
        )


async def read_pod_counters(session: Session, port: int) -> Counter[tuple[int, int]]:
    """Return the application's counts of each connection: received and sent."""
    async with running_forward(session, COUNTERS) as line:
        counters = await get_json(line.port, f"/counters?port={port}")
    return Counter((one["received"], one["sent"]) for one in counters["records"])


async def find_missing_in_pod(session: Session, totals: ByteTotals) -> list[str]:
    """Return connections that client and application counted differently.

    Valid only if the pod was not replaced meanwhile, since its counters end with it.
    """
    wrong = []
    for port in (ECHO, SINK, SOURCE):
        counted = await read_pod_counters(session, port)
        expected = Counter(
            (one.sent, one.received)
            for tallies in totals.clients.values()
            for one in tallies
            if one.port == port
        )
        wrong += [
            f"port {port}: {numbers} ({count}×)" for numbers, count in (expected - counted).items()
        ]
    return wrong
