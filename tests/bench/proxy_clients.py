"""Clients of the cluster proxy, of forwards and of other programs, for a process of their own."""

from __future__ import annotations

import contextlib
import random
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tui_forward.engine.host.file_limit import raise_file_limit

MIB = 1024 * 1024
DOWNLOAD = 64 * MIB
ECHO, SOURCE = 7, 7002
_TIMEOUT_S = 60.0
_SETTLE_S = 0.2  # after which a program has closed its side of connections
_GREETING = b"\x05\x01\x00"

Open = Callable[[int, str, int], socket.socket]


def open_plain(port: int, host: str, number: int) -> socket.socket:
    """Connect to a local port that leads to one destination."""
    del host, number
    return socket.create_connection(("127.0.0.1", port), _TIMEOUT_S)


def open_socks(port: int, host: str, number: int) -> socket.socket:
    """Connect through a SOCKS5 proxy, waiting for each of its answers, as curl does."""
    return _open_through_socks(port, _GREETING, _encode_request(host, number))


def open_socks_at_once(port: int, host: str, number: int) -> socket.socket:
    """Connect through a SOCKS5 proxy, with greeting and request in one packet."""
    return _open_through_socks(port, _GREETING + _encode_request(host, number), b"")


def _open_through_socks(port: int, first: bytes, second: bytes) -> socket.socket:
    sock = open_plain(port, "", 0)
    try:
        sock.sendall(first)
        if (answer := _receive(sock, 2)) != b"\x05\x00":
            raise ConnectionError(f"answer {answer!r}")
        if second:
            sock.sendall(second)
        reply = _receive(sock, 10)
        if reply[1]:
            raise ConnectionError(f"reply {reply!r}")
        if reply[3] == 3:  # a name: pproxy returns that of the request
            _receive(sock, reply[4] - 3)
    except BaseException:
        sock.close()
        raise
    return sock


def _encode_request(host: str, number: int) -> bytes:
    name = host.encode()
    return b"\x05\x01\x00\x03" + bytes((len(name),)) + name + number.to_bytes(2, "big")


def _receive(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = sock.recv(count - len(data))
        if not part:
            raise ConnectionError("closed")
        data += part
    return data


@dataclass(frozen=True)
class Way:
    """One way to the echo server.

    Attributes:
        name: What the table calls it.
        open: Connects.
        port: Local port to connect to.
        host: What a proxy is asked for, and `number`, its port.
        pids: The processes on the way, whose processor time counts.
    """

    name: str
    open: Open
    port: int
    pids: tuple[int, ...] = ()
    host: str = ""
    number: int = ECHO


@dataclass
class Samples:
    """What was measured of one way, and why not more."""

    first_bytes: list[float]  # seconds
    cpu: list[float]  # seconds for each connection
    failure: str = ""


def first_byte(way: Way, data: bytes) -> float:
    """Return the seconds from connect to the first byte of the echo; reads all of it."""
    started = time.perf_counter()
    with way.open(way.port, way.host, way.number) as sock:
        sock.sendall(data)
        first = _receive(sock, 1)
        duration = time.perf_counter() - started
        if first + _receive(sock, len(data) - 1) != data:
            raise ConnectionError("the echo differs")
        return duration


def compare(ways: Sequence[Way], data: bytes, rounds: int, batches: int) -> dict[str, Samples]:
    """Measure all ways in turns; one that fails is left out from then on.

    First single connections in random order, then batches for the processor time.
    """
    found = {way.name: Samples([], []) for way in ways}
    order = random.Random(7)

    def measure(way: Way, connects: int) -> None:
        samples = found[way.name]
        if samples.failure:
            return
        try:
            before = _cpu_s(way.pids)
            times = [first_byte(way, data) for _ in range(connects)]
            if connects == 1:
                samples.first_bytes += times
                return
            time.sleep(_SETTLE_S)
            samples.cpu.append((_cpu_s(way.pids) - before) / connects)
        except OSError as error:
            samples.failure = str(error)

    for _ in range(rounds):
        for way in order.sample(ways, len(ways)):
            measure(way, 1)
    for _ in range(batches):
        for way in order.sample(ways, len(ways)):
            measure(way, 20)
    return found


def _cpu_s(pids: Sequence[int]) -> float:
    """Return the processor time that processes have used so far (clock_getcpuclockid(3), Linux)."""
    return sum(time.clock_gettime(~pid << 3 | 2) for pid in pids)


def download(open_socket: Open, port: int, host: str) -> float:
    """Return the seconds of a download."""
    buffer = bytearray(MIB)
    left = DOWNLOAD
    with open_socket(port, host, SOURCE) as sock:
        started = time.perf_counter()
        sock.sendall(b"%d\n" % DOWNLOAD)
        while left > 0:
            count = sock.recv_into(buffer)
            assert count
            left -= count
        return time.perf_counter() - started


def connect_at_once(port: int, hosts: Sequence[str]) -> tuple[int, float]:
    """Return how many of these connections failed, and the seconds of all. They stay open."""
    raise_file_limit()
    sockets, failed, started = [], 0, time.perf_counter()
    for _ in hosts:
        sock = socket.socket()
        sock.settimeout(_TIMEOUT_S)
        sock.connect(("127.0.0.1", port))
        sockets.append(sock)
    for sock, host in zip(sockets, hosts, strict=True):
        sock.sendall(_GREETING + _encode_request(host, ECHO) + b"x")
    for sock in sockets:
        answer = b""
        with contextlib.suppress(OSError):
            answer = _receive(sock, 13)
        failed += answer[3:4] != b"\0" or answer[12:] != b"x"
    duration = time.perf_counter() - started
    for sock in sockets:
        sock.close()
    return failed, duration
