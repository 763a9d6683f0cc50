"""Mixed load with random faults, whose byte counts are compared afterwards.

Clients do everything that real clients do: short and long exchanges, uploads, downloads, stopped
readers, resets, refusals, half-closes. Each connection moves a number of bytes of its own, so
that the counts of client, engine and application can be compared.
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

from tests.endurance import toolbox
from tests.endurance.clients import Client, connected, get_json
from tests.endurance.engine_process import MIB, ForwardHandle, running_forward
from tests.endurance.pod_watch import PodWatch
from tests.support.cluster_process import ClusterProcess
from tui_forward.errors import TuiForwardError
from tui_forward.model import Event, EventKind, ForwardState, TransportChoice
from tui_forward.session import Session

_PORTS = (
    toolbox.ECHO, toolbox.SINK, toolbox.SOURCE, toolbox.RESET, toolbox.SLOW, toolbox.BYE,
    toolbox.CLOSED,
)  # fmt: skip
MIN_CLIENTS = 20
"""Number of clients whose bytes are compared after a load."""
_CLIENT_TIMEOUT_S = 60.0
# More than the engine and the sockets of its client hold, so that the tunnel stalls. All sockets on
# the path to the pod hold ten times as much, which takes processor time.
_UNREAD_BYTES = 6 * MIB
_RECOVERY_TIMEOUT_S = 45.0
# Restarts of one container, which the kubelet delays longer and longer; changes of readiness.
_CRASHES = 3
_FLAPS = 4

Forwards = dict[int, list[ForwardHandle]]
"""Forwards by the port of the toolbox they lead to."""


@dataclass(frozen=True)
class ConnectionBytes:
    """Bytes that a client counted on one successful connection."""

    port: int
    sent: int
    received: int


@dataclass
class ByteTotals:
    """Counts of a load.

    Attributes:
        clients: Successful connections, by forward and address of the client.
        failures: Number of failed connections, by behavior and error.
        refused: Refused local connects.
        engine: Bytes sent and received of each connection that the engine reports as closed, by
            forward and address of the client.
        missed_events: Events that the session skipped.
    """

    clients: dict[str, list[ConnectionBytes]] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    engine: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    missed_events: int = 0
    connections: int = 0

    def find_engine_differences(self) -> list[str]:
        """Describe the connections of which client and engine counted different bytes."""
        differences = []
        for name, connections in self.clients.items():
            reported = Counter(self.engine.get(name, ()))
            counted = Counter((each.sent, each.received) for each in connections)
            for numbers, count in (counted - reported).items():
                differences.append(
                    f"{name}: sent and received {numbers} ({count}×), engine reports {reported}"
                )
        return differences


class ClientMix:
    """Clients of several forwards, each with a random behavior.

    Args:
        forwards: The forwards to connect to.
        seed: Seed of all random choices.
        concurrent: Number of clients at a time.
        min_clients: Number of clients whose bytes are compared, at least.
    """

    def __init__(self, forwards: Forwards, seed: int, concurrent: int, min_clients: int) -> None:
        self.totals = ByteTotals()
        self._forwards = forwards
        self._concurrent = concurrent
        self._min_clients = min_clients
        self._random = random.Random(seed)
        self._serials = itertools.count(1)

    async def run(self, deadline: float) -> None:
        """Keep clients running until a deadline (monotonic), or until enough were served."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._concurrent):
                group.create_task(self._run_clients(deadline))

    async def _run_clients(self, deadline: float) -> None:
        compared: list[tuple[int, Callable[[Client], Awaitable[None]]]] = [
            (toolbox.ECHO, self._exchange),
            (toolbox.ECHO, self._exchange),
            (toolbox.ECHO, self._exchange_repeatedly),
            (toolbox.SINK, self._upload),
            (toolbox.SOURCE, self._download),
            (toolbox.SLOW, self._download_slowly),
        ]
        behaviors = [
            *compared * 2,
            (toolbox.SOURCE, self._stop_reading),
            (toolbox.ECHO, self._send_without_reading),
            (toolbox.RESET, self._get_reset),
            (toolbox.BYE, self._receive_until_eof),
            (toolbox.CLOSED, self._get_refused),
            (toolbox.SOURCE, self._reset_during_download),
            (toolbox.ECHO, self._half_close),
        ]
        while time.monotonic() < deadline or len(self.totals.clients) < self._min_clients:
            port, behavior = self._random.choice(behaviors)
            await self._run_client(port, self._random.choice(self._forwards[port]), behavior)
            await asyncio.sleep(self._random.random() * 0.05)

    async def _run_client(
        self, port: int, forward: ForwardHandle, behavior: Callable[[Client], Awaitable[None]]
    ) -> None:
        self.totals.connections += 1
        try:
            async with asyncio.timeout(_CLIENT_TIMEOUT_S), connected(forward.port) as client:
                name = client.name
                await behavior(client)
                counted = ConnectionBytes(port, client.sent, client.received)
        except ConnectionRefusedError:
            self.totals.refused += 1
        except (OSError, TimeoutError) as error:
            description = f"{behavior.__name__}: {type(error).__name__}"
            self.totals.failures[description] += 1
        else:
            if behavior in (
                self._exchange, self._exchange_repeatedly, self._upload, self._download,
                self._download_slowly,
            ):  # fmt: skip
                self.totals.clients.setdefault(f"{forward.id} {name}", []).append(counted)

    def _unique_size(self, limit: int) -> int:
        """Return a number of bytes that no other connection moves."""
        return self._random.randrange(limit) // 4096 * 4096 + next(self._serials) % 4096 + 1

    # Behaviors that succeed without faults; their bytes are compared.

    async def _exchange(self, client: Client, limit: int = 60_000) -> None:
        data = self._random.randbytes(self._unique_size(limit))
        await client.send(data)
        if await client.receive_exactly(len(data)) != data:
            raise AssertionError("the echo is different")

    async def _exchange_repeatedly(self, client: Client) -> None:
        for _ in range(self._random.randrange(3, 30)):
            await self._exchange(client, limit=2000)
            await asyncio.sleep(self._random.random() * 0.02)

    async def _upload(self, client: Client) -> None:
        size = self._unique_size(1_000_000)
        line = b"%d\n" % size
        await client.send(line + bytes(size))
        if await client.receive_exactly(len(line)) != line:
            raise AssertionError("the pod received another number of bytes")

    async def _download(self, client: Client) -> None:
        size = self._unique_size(1_000_000)
        await client.send(b"%d\n" % size)
        await client.receive_exactly(size)
        if await client.receive():
            raise AssertionError("the pod sent more than requested")

    async def _download_slowly(self, client: Client) -> None:
        await client.send(b"5 0.05\n")
        await client.receive_exactly(5)

    # Behaviors that end early or fail; their bytes are not compared.

    async def _stop_reading(self, client: Client) -> None:
        await client.send(b"%d\n" % _UNREAD_BYTES)
        await client.receive_exactly(1000)
        await asyncio.sleep(self._random.random() * 3)

    async def _send_without_reading(self, client: Client) -> None:
        end = time.monotonic() + self._random.random() * 3
        while time.monotonic() < end:
            if client.sent < _UNREAD_BYTES:
                client.send_available(bytes(65536))
            await asyncio.sleep(0.01)
        if self._random.random() < 0.5:
            client.reset()

    async def _get_reset(self, client: Client) -> None:
        with contextlib.suppress(ConnectionError):
            await client.send(b"x")
            await client.receive_all()

    async def _receive_until_eof(self, client: Client) -> None:
        await client.receive_all()

    async def _get_refused(self, client: Client) -> None:
        with contextlib.suppress(ConnectionError):
            await client.send(b"GET / HTTP/1.1\r\n\r\n")
            await client.receive_all()

    async def _reset_during_download(self, client: Client) -> None:
        await client.send(b"%d\n" % (1 << 30))
        await client.receive_exactly(self._random.randrange(1, 100_000))
        client.reset()

    async def _half_close(self, client: Client) -> None:
        await client.send(b"hello")
        client.send_eof()


# --------------------------------------------------------------------------------------
# Faults
# --------------------------------------------------------------------------------------


async def inject_random_fault(cluster: ClusterProcess, pods: PodWatch, rng: random.Random) -> str:
    """Inject a fault; return its name."""
    name = rng.choice(
        ["delete", "crash", "crash-loop", "flap", "restart", "cut", "cut", "connections", "stall",
         "compact", "token", "delay"]
    )  # fmt: skip
    component = rng.choice(["apiserver", "kubelet", "runtime"])
    match name:
        case "delete":
            pod = await pods.wait_for_ready_pod()
            grace_s = rng.choice([0, 1])
            await cluster.fault(
                "delete-pod", namespace=toolbox.NAMESPACE, pod=pod.name, grace=grace_s
            )
            await pods.wait_for_ready_pod(exclude_uid=pod.uid)
        case "crash":
            pod = await pods.wait_for_ready_pod()
            await cluster.fault("crash-pod", namespace=toolbox.NAMESPACE, pod=pod.name)
        case "crash-loop":
            pod = await pods.wait_for_ready_pod()
            for _ in range(_CRASHES):
                # While the container is down, there is nothing to crash.
                with contextlib.suppress(TuiForwardError):
                    await cluster.fault("crash-pod", namespace=toolbox.NAMESPACE, pod=pod.name)
                await asyncio.sleep(rng.random())
        case "flap":
            pod = await pods.wait_for_ready_pod()
            for ready in [False, True] * _FLAPS:
                await cluster.fault(
                    "not-ready", namespace=toolbox.NAMESPACE, pod=pod.name, ready=ready
                )
                await asyncio.sleep(0.3 * rng.random())
        case "restart":
            kill, down_s = rng.random() < 0.5, rng.random()
            await cluster.fault("restart-component", component=component, kill=kill, down_s=down_s)
        case "cut":
            await cluster.fault("cut", component=component)
        case "connections":
            await cluster.fault("cut", component="runtime", what="connections")
        case "stall":
            await cluster.fault("stall", component=component, for_s=rng.choice([1.0, 3.0, 12.0]))
        case "compact":
            await cluster.fault("compact")
            await cluster.fault("cut", component="apiserver", what="watches")
        case "token":
            await cluster.fault("rotate-token", user="admin-tokenfile")
        case "delay":
            await cluster.fault("delay", component="kubelet", seconds=0.05)
            await asyncio.sleep(2)
            await cluster.fault("delay", component="kubelet", seconds=0)
    return f"{name} {component}" if name in ("restart", "cut", "stall") else name


async def inject_random_faults(
    cluster: ClusterProcess, pods: PodWatch, *, seed: int, deadline: float, interval_s: float
) -> list[str]:
    """Inject faults until a deadline (monotonic); return their names."""
    rng = random.Random(seed)
    faults = []
    while time.monotonic() + interval_s < deadline:
        await asyncio.sleep(interval_s * (0.5 + rng.random()))
        faults.append(await inject_random_fault(cluster, pods, rng))
    await cluster.fault("clear")
    return faults


# --------------------------------------------------------------------------------------
# Forwards and their counts
# --------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def running_forwards(session: Session) -> AsyncIterator[Forwards]:
    """Start forwards to every port with several transports and credentials, and wait for them."""
    async with contextlib.AsyncExitStack() as stack:
        forwards: Forwards = {port: [] for port in _PORTS}

        async def add(port: int, transport: TransportChoice, context: str = "minicluster") -> None:
            forward = running_forward(
                session,
                port,
                transport=transport,
                context=context,
                ready=False,
                queue_timeout_s=60.0,
            )
            forwards[port].append(await stack.enter_async_context(forward))

        for port in _PORTS:
            await add(port, TransportChoice.AUTO)
        for port in (toolbox.ECHO, toolbox.SOURCE):
            await add(port, TransportChoice.WEBSOCKET)
            await add(port, TransportChoice.CHANNELS)
        await add(toolbox.ECHO, TransportChoice.SPDY, "admin-tokenfile")
        for forward in itertools.chain.from_iterable(forwards.values()):
            await forward.wait_until_ready()
        yield forwards


@contextlib.asynccontextmanager
async def record_connections(session: Session, totals: ByteTotals) -> AsyncIterator[None]:
    """Record the bytes of every connection that the engine reports as closed."""
    last = 0

    def record(event: Event) -> None:
        nonlocal last
        if last:
            totals.missed_events += event.sequence - last - 1
        last = event.sequence
        connection = event.connection
        if event.event is EventKind.CONNECTION_CLOSED and connection is not None:
            numbers = (connection.bytes_to_pod, connection.bytes_from_pod)
            name = f"{event.forward} {connection.client}"
            totals.engine.setdefault(name, []).append(numbers)

    async def record_events() -> None:
        async for event in session.events():
            record(event)

    task = asyncio.create_task(record_events())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def wait_until_idle(forwards: Forwards) -> None:
    """Wait until every forward is ready and has no open connection."""
    for forward in itertools.chain.from_iterable(forwards.values()):
        await forward.wait_until(
            lambda forward: (
                forward.state is ForwardState.READY and not forward.counters.connections_open
            ),
            "ready without open connections",
            _RECOVERY_TIMEOUT_S,
        )


async def find_pod_differences(session: Session, totals: ByteTotals) -> list[str]:
    """Describe the connections of which client and application counted different bytes.

    Valid only for a load during which the pod ran: its counters end with it.
    """
    differences = []
    for port in (toolbox.ECHO, toolbox.SINK, toolbox.SOURCE):
        async with running_forward(session, toolbox.COUNTERS) as forward:
            counters = await get_json(forward.port, f"/counters?port={port}")
        reported = Counter((each["received"], each["sent"]) for each in counters["records"])
        counted = Counter(
            (each.sent, each.received)
            for connections in totals.clients.values()
            for each in connections
            if each.port == port
        )
        differences += [
            f"port {port}: {numbers} ({count}×)" for numbers, count in (counted - reported).items()
        ]
    return differences
