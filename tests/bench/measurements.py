"""Measurements, each a function of one running forwarder.

The other end is the `toolbox` application of the embedded cluster: 7000 echoes, 7001 counts
what it is sent, 7002 sends what it is asked for, 7003 never reads. This side uses plain
blocking sockets, so that it costs as little as possible of the two cores everyone shares.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import statistics
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from tests.bench.forwarders import Running

ECHO, SINK, SOURCE, NEVER_READS = 7000, 7001, 7002, 7003
PORTS = (ECHO, SINK, SOURCE, NEVER_READS)
MIB = 1024 * 1024
GIB = 1024 * MIB
TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Transfer:
    """Result of a bulk transfer: MiB/s, CPU seconds per GiB, and share of a core.

    A forwarder that is far from a whole core was waiting for the cluster.
    """

    mib_s: float
    cpu_s_per_gib: float
    busy_percent: float


@dataclass(frozen=True)
class Spread:
    """Median and 99th percentile, in milliseconds."""

    p50_ms: float
    p99_ms: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Spread:
        """Create it from durations in seconds."""
        ordered = sorted(seconds)
        return cls(
            statistics.median(ordered) * 1e3,
            ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))] * 1e3,
        )


@contextlib.contextmanager
def connected(running: Running, port: int, timeout_s: float = TIMEOUT_S) -> Iterator[socket.socket]:
    """Open a connection through the forwarder."""
    with socket.create_connection(("127.0.0.1", running.ports[port]), timeout_s) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield sock


def download(running: Running, size: int) -> Transfer:
    """Receive `size` bytes from the pod over one connection."""
    buffer = bytearray(MIB)
    cpu, begin = running.cpu_s(), time.perf_counter()
    with connected(running, SOURCE) as sock:
        sock.sendall(b"%d\n" % size)
        left = size
        while left:
            count = sock.recv_into(buffer)
            if not count:
                raise ConnectionError(f"ended {left} bytes early")
            left -= count
    return _transfer(running, size, cpu, begin)


def upload(running: Running, size: int) -> Transfer:
    """Send `size` bytes to the pod over one connection until it has confirmed them."""
    piece = bytes(MIB)
    cpu, begin = running.cpu_s(), time.perf_counter()
    with connected(running, SINK) as sock:
        sock.sendall(b"%d\n" % size)
        for _ in range(size // MIB):
            sock.sendall(piece)
        if sock.recv(64) != b"%d\n" % size:
            raise ConnectionError("the pod counted something else")
    return _transfer(running, size, cpu, begin)


def _transfer(running: Running, size: int, cpu: float, begin: float) -> Transfer:
    seconds = time.perf_counter() - begin
    spent = running.cpu_s() - cpu
    return Transfer(size / MIB / seconds, spent * GIB / size, 100 * spent / seconds)


def connects(running: Running, count: int, *, pause_s: float = 0.0) -> Spread:
    """Connect and echo a byte, one connection after another, with pauses in between."""
    seconds = []
    for _ in range(count):
        time.sleep(pause_s)
        seconds.append(_connect(running))
    return Spread.of(seconds)


def _connect(running: Running, timeout_s: float = TIMEOUT_S) -> float:
    begin = time.perf_counter()
    with connected(running, ECHO, timeout_s) as sock:
        sock.sendall(b"x")
        if sock.recv(1) != b"x":
            raise ConnectionError("closed")
        return time.perf_counter() - begin


def round_trips(running: Running, count: int) -> Spread:
    """Echo single bytes on one open connection."""
    seconds = []
    with connected(running, ECHO) as sock:
        for _ in range(count):
            begin = time.perf_counter()
            sock.sendall(b"x")
            if sock.recv(1) != b"x":
                raise ConnectionError("closed")
            seconds.append(time.perf_counter() - begin)
    return Spread.of(seconds)


@dataclass(frozen=True)
class PingPong:
    """Result of request and answer in turns: answers per second, and the times to them."""

    per_s: float
    spread: Spread


def ping_pong(
    running: Running, connections: int, seconds: float, *, size: int, depth: int = 1
) -> PingPong:
    """Exchange messages of `size` bytes over open connections, `depth` on their way on each.

    With one on its way it is what clients of Redis or of an HTTP server with keep-alive do; many
    on one connection are what the streams of an HTTP/2 connection look like to a forwarder.
    """
    message = bytes(size)
    times: list[float] = []
    sent: dict[int, deque[float]] = {}
    missing: dict[int, int] = {}
    buffer = bytearray(64 * 1024)
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        begun = time.perf_counter()
        for _ in range(connections):
            sock = socket.create_connection(("127.0.0.1", running.ports[ECHO]), TIMEOUT_S)
            stack.callback(sock.close)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(sock, selectors.EVENT_READ)
            sent[sock.fileno()] = deque([time.perf_counter()] * depth)
            missing[sock.fileno()] = size
            sock.sendall(message * depth)
        deadline = begun + seconds
        while (left := deadline - time.perf_counter()) > 0:
            for key, _events in selector.select(left):
                sock = cast("socket.socket", key.fileobj)
                count = sock.recv_into(buffer)
                if not count:
                    raise ConnectionError("closed")
                now, answered = time.perf_counter(), 0
                missing[key.fd] -= count
                while missing[key.fd] <= 0:
                    missing[key.fd] += size
                    times.append(now - sent[key.fd].popleft())
                    sent[key.fd].append(now)
                    answered += 1
                if answered:
                    sock.sendall(message * answered)
        took_s = time.perf_counter() - begun
    if not times:
        raise TimeoutError(f"no answer within {seconds:g} s")
    return PingPong(len(times) / took_s, Spread.of(times))


@dataclass(frozen=True)
class Crowd:
    """Result of many concurrent connections: failures, and times to the first byte."""

    failed: int
    first_byte: Spread


def crowd(running: Running, count: int, timeout_s: float = 60.0) -> Crowd:
    """Open `count` connections as fast as possible; echo one byte on each.

    All stay open until the last has its answer.
    """
    times: list[float] = []
    failed = 0
    begun: dict[int, float] = {}
    sockets: dict[int, socket.socket] = {}
    with selectors.DefaultSelector() as selector:
        for _ in range(count):
            sock = socket.socket()
            sock.setblocking(False)
            sockets[sock.fileno()] = sock
            begun[sock.fileno()] = time.perf_counter()
            sock.connect_ex(("127.0.0.1", running.ports[ECHO]))
            selector.register(sock, selectors.EVENT_WRITE)
        waiting = set(sockets)
        deadline = time.perf_counter() + timeout_s
        while waiting and time.perf_counter() < deadline:
            for key, _events in selector.select(0.5):
                sock = sockets[key.fd]
                try:
                    if key.events == selectors.EVENT_WRITE:
                        sock.send(b"x")
                        selector.modify(sock, selectors.EVENT_READ)
                        continue
                    if sock.recv(1) != b"x":
                        raise ConnectionError("closed")
                    times.append(time.perf_counter() - begun[key.fd])
                except OSError:
                    failed += 1
                selector.unregister(sock)
                waiting.discard(key.fd)
        failed += len(waiting)
    for sock in sockets.values():
        sock.close()
    return Crowd(failed, Spread.of(times or [float("nan")]))


def beside_stalled(running: Running, port: int, count: int, probes: int) -> Spread | None:
    """Measure connections while `count` others are stalled; None on a timeout.

    Args:
        running: The forwarder.
        port: `SOURCE`: these others ask for data and never read it. `NEVER_READS`: they send
            data that the pod never reads.
        count: How many stand still.
        probes: How many connections are made meanwhile.
    """
    stalled = []
    try:
        for _ in range(count):
            sock = socket.create_connection(("127.0.0.1", running.ports[port]), TIMEOUT_S)
            stalled.append(sock)
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError, ConnectionError):
                if port == SOURCE:
                    sock.send(b"%d\n" % GIB)
                else:
                    _fill(sock)
        if port == SOURCE:
            time.sleep(1.0)  # let them fill every buffer on the way; nothing tells when that is
        with contextlib.suppress(OSError):
            return Spread.of([_connect(running, timeout_s=3.0) for _ in range(probes)])
        return None
    finally:
        for sock in stalled:
            sock.close()


def _fill(sock: socket.socket) -> None:
    """Send until the connection is stalled for half a second."""
    piece = bytes(256 * 1024)
    last = time.perf_counter()
    while time.perf_counter() - last < 0.5:
        try:
            if sock.send(piece):
                last = time.perf_counter()
        except BlockingIOError:
            time.sleep(0.01)


def settle(seconds: float) -> None:
    """Let a forwarder finish what it does by itself; nothing tells when that is."""
    time.sleep(seconds)


def recovers(running: Running, within_s: float = 10.0) -> bool:
    """Return whether a connection works after the stalled ones have ended."""
    deadline = time.perf_counter() + within_s
    while time.perf_counter() < deadline and running.alive:
        with contextlib.suppress(OSError):
            _connect(running, timeout_s=2.0)
            return True
        time.sleep(0.05)
    return False
