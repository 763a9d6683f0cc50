"""The cluster proxy beside a forward to the same service.

    python -m tests.bench.proxy_benchmark

The engine runs in this process, the clients in another one, the cluster in its own. The two sides
take turns, so that a busy machine slows both down; a ratio is of medians, and processor time is
that of the engine. Numbers of DESIGN: a cold target at most 1.2 times a cold forward, a warm one at
most 1.1 times, 2,000 connections at once without a failure, 1,000 services known.
"""

from __future__ import annotations

import asyncio
import resource
import socket
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import kubernetes.client
import kubernetes.config

from tests.support.cluster_process import ONE_NODE, running_cluster
from tui_forward.common import event_loop
from tui_forward.engine.host.file_limit import raise_file_limit
from tui_forward.model import ForwardSpec, ProxySpec, Target, TargetKind
from tui_forward.session.local import LocalSession

MIB = 1024 * 1024
SERVICES = 1000
USED = 50
CONNECTIONS = 2000
COLD_ROUNDS = 10
WARM_ROUNDS = 5
CONNECTS = 60
DOWNLOAD = 64 * MIB
ECHO, SOURCE = 7, 7002
_TIMEOUT_S = 60.0

Open = Callable[[int, str, int], socket.socket]


# In the process of the clients ----------------------------------------------------------


def open_plain(port: int, host: str, number: int) -> socket.socket:
    """Connect to a forward."""
    del host, number
    return socket.create_connection(("127.0.0.1", port), _TIMEOUT_S)


def open_socks(port: int, host: str, number: int) -> socket.socket:
    """Connect through the proxy, waiting for each of its answers, as curl does."""
    sock = socket.create_connection(("127.0.0.1", port), _TIMEOUT_S)
    sock.sendall(b"\x05\x01\x00")
    assert sock.recv(2) == b"\x05\x00"
    name = host.encode()
    sock.sendall(b"\x05\x01\x00\x03" + bytes((len(name),)) + name + number.to_bytes(2, "big"))
    reply = sock.recv(10)
    if reply[1:2] != b"\0":
        raise ConnectionError(f"reply {reply!r}")
    return sock


def first_byte(
    open_socket: Open, port: int, host: str, number: int = ECHO, data: bytes = b"x"
) -> float:
    """Return the seconds from connect to the echo of the first byte of the data."""
    started = time.perf_counter()
    with open_socket(port, host, number) as sock:
        sock.sendall(data)
        assert sock.recv(1) == data[:1]
        return time.perf_counter() - started


def first_bytes(
    open_socket: Open, port: int, host: str, count: int, data: bytes = b"x"
) -> list[float]:
    """Return `first_byte` of connections one after the other."""
    return [first_byte(open_socket, port, host, data=data) for _ in range(count)]


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
        name = host.encode()
        request = b"\x05\x01\x00\x03" + bytes((len(name),)) + name + ECHO.to_bytes(2, "big")
        sock.sendall(b"\x05\x01\x00" + request + b"x")
    for sock in sockets:
        answer = b""
        try:
            while len(answer) < 13 and (data := sock.recv(64)):
                answer += data
        except OSError:
            pass
        failed += answer[3:4] != b"\0" or answer[12:] != b"x"
    duration = time.perf_counter() - started
    for sock in sockets:
        sock.close()
    return failed, duration


# In the process of the engine -----------------------------------------------------------


def create_services(kubeconfig: Path) -> None:
    """Create services that all lead to the same pod."""
    config: Any = kubernetes.config
    api: Any = kubernetes.client.CoreV1Api(config.new_client_from_config(str(kubeconfig)))
    ports = [{"name": "echo", "port": ECHO, "targetPort": "echo"}]
    for number in range(SERVICES):
        spec = {"selector": {"app": "echo"}, "ports": ports}
        api.create_namespaced_service(
            "shop", {"metadata": {"name": f"many-{number}"}, "spec": spec}
        )


def memory_mib() -> float:
    """Return the memory of this process, at its largest."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Benchmark:
    """A session with a proxy, and forwards to the same services."""

    def __init__(self, session: LocalSession, clients: ProcessPoolExecutor) -> None:
        self._session = session
        self._clients = clients
        self.proxy_port = 0

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run a function in the process of the clients."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._clients, partial(function, *arguments))

    async def start_proxy(self) -> None:
        """Start the proxy; return when it knows the services."""
        await self._session.start_proxy(ProxySpec(namespace="shop", port=0))
        while True:
            (info,) = (await self._session.snapshot()).proxies
            if info.services >= SERVICES:
                self.proxy_port = info.listening[0].port
                return
            await asyncio.sleep(0.01)

    async def start_forward(self, namespace: str, name: str, port: int) -> int:
        """Start a forward to a service; return its port once it listens."""
        target = Target(
            context="", namespace=namespace, kind=TargetKind.SERVICE, name=name, port=str(port)
        )
        spec = ForwardSpec(target=target, local_port=0, addresses=("127.0.0.1",))
        forward_id = await self._session.start(spec)
        while True:
            forwards = (await self._session.snapshot()).forwards
            (forward,) = (one for one in forwards if one.id == forward_id)
            if forward.listening:
                return forward.listening[0].port
            await asyncio.sleep(0.001)

    async def cold(self) -> tuple[float, float]:
        """Return the times of a first byte through a forward, and a target, just opened."""
        forwards, targets = [], []
        for number in range(COLD_ROUNDS):
            started = time.perf_counter()
            port = await self.start_forward("shop", f"many-{100 + number}", ECHO)
            await self.run(first_byte, open_plain, port, "")
            forwards.append(time.perf_counter() - started)
            started = time.perf_counter()
            await self.run(first_byte, open_socks, self.proxy_port, f"many-{200 + number}.shop")
            targets.append(time.perf_counter() - started)
        return statistics.median(forwards), statistics.median(targets)

    async def warm(self) -> list[tuple[float, float]]:
        """Return time and processor time of a first byte, each side in turns.

        The sides are a forward, SOCKS5 and a name of localhost; processor time is the engine's.
        """
        port = await self.start_forward("shop", "echo", ECHO)
        request = f"GET / HTTP/1.1\r\nHost: echo.shop.localhost:{self.proxy_port}\r\n\r\n".encode()
        sides = (
            (open_plain, port, b"x"),
            (open_socks, self.proxy_port, b"x"),
            (open_plain, self.proxy_port, request),
        )
        times: list[list[tuple[float, float]]] = [[] for _ in sides]
        for _ in range(1 + WARM_ROUNDS):  # the first one warms up
            for at, (how, number, data) in enumerate(sides):
                before = time.process_time()
                found = await self.run(first_bytes, how, number, "echo.shop", CONNECTS, data)
                cpu_s = (time.process_time() - before) / CONNECTS
                times[at].append((statistics.median(found), cpu_s))
        return [
            (
                statistics.median(one for one, _ in side[1:]),
                statistics.median(cpu for _, cpu in side[1:]),
            )
            for side in times
        ]

    async def throughput(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Return seconds, and processor seconds of the engine, of a download on both ways."""
        port = await self.start_forward("ops", "toolbox", SOURCE)
        sides = ((open_plain, port), (open_socks, self.proxy_port))
        results: tuple[list[tuple[float, float]], ...] = ([], [])
        for _ in range(4):
            for at, (how, number) in enumerate(sides):
                before = time.process_time()
                duration = await self.run(download, how, number, "toolbox.ops")
                results[at].append((duration, time.process_time() - before))
        one, other = (min(side, key=lambda pair: pair[1]) for side in results)
        return one, other


async def measure(kubeconfig: Path, clients: ProcessPoolExecutor) -> None:
    """Print all rows."""
    session = LocalSession(kubeconfig, monitor_system=False)
    benchmark = Benchmark(session, clients)
    try:
        before = memory_mib()
        await benchmark.start_proxy()
        show(f"{SERVICES} services known", f"{memory_mib() - before:.1f} MiB more")
        cold, cold_proxy = await benchmark.cold()
        show("cold first byte, ms", compare(cold * 1e3, cold_proxy * 1e3))
        (plain, cpu), *others = await benchmark.warm()
        for name, (own, own_cpu) in zip(("SOCKS5", "localhost"), others, strict=True):
            show(f"warm first byte, {name}, ms", compare(plain * 1e3, own * 1e3))
            show("  CPU of the engine, µs", compare(cpu * 1e6, own_cpu * 1e6))
        (seconds, cpu), (seconds_proxy, cpu_proxy) = await benchmark.throughput()
        size = DOWNLOAD / MIB
        show("download, MiB/s", compare(size / seconds, size / seconds_proxy))
        show("  CPU of the engine, s/GiB", compare(cpu * 1024 / size, cpu_proxy * 1024 / size))
        hosts = [f"many-{number % USED}.shop" for number in range(CONNECTIONS)]
        failed, duration = await benchmark.run(connect_at_once, benchmark.proxy_port, hosts)
        outcome = f"{failed} failed, {duration:.1f} s, memory {memory_mib():.0f} MiB"
        show(f"{CONNECTIONS} at once over {USED} services", outcome)
    finally:
        await session.close()


def compare(forward: float, proxy: float) -> str:
    """Return the figures of both sides, and their ratio."""
    return f"forward {forward:.2f}, proxy {proxy:.2f}, × {proxy / forward:.2f}"


def show(name: str, text: str) -> None:
    """Print a row at once."""
    sys.stdout.write(f"{name:<34}{text}\n")
    sys.stdout.flush()


def main() -> None:
    """Run it on an embedded cluster."""
    with running_cluster(*ONE_NODE) as cluster:
        create_services(cluster.kubeconfig)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as clients:
            event_loop.run(measure(cluster.kubeconfig, clients))


if __name__ == "__main__":
    main()
