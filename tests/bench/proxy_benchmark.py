"""The cluster proxy beside a forward to the same service, kubectl and other SOCKS5 servers.

    python -m tests.bench.proxy_benchmark [--json FILE]

The engine runs in this process, the clients in another one, the cluster in its own. All ways take
turns, so that a busy machine slows them down alike; a ratio is of medians. Processor time is that
of all processes on the way except the cluster's. Numbers of DESIGN: a cold target at most 1.2 times
a cold forward, a warm one at most 1.1 times, 2,000 connections at once without a failure, 1,000
services known.

SOCKS5 costs a client two round trips to its proxy before it may send anything. What they take is
measured with servers that do nothing else, and the ratio is shown with and without it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import kubernetes.client
import kubernetes.config

from tests.bench import proxy_clients
from tests.bench.proxy_clients import (
    DOWNLOAD,
    ECHO,
    MIB,
    SOURCE,
    Samples,
    Way,
    open_plain,
    open_socks,
    open_socks_at_once,
)
from tests.bench.proxy_peers import NOTHING, NOTHING_SOCKS, running_peers
from tests.bench.result_table import say
from tests.support.cluster_process import ONE_NODE, running_cluster
from tui_forward.common import event_loop
from tui_forward.common.garbage import collect_garbage_rarely
from tui_forward.model import ForwardSpec, ProxySpec, Target, TargetKind
from tui_forward.session.local import LocalSession

SERVICES = 1000
USED = 50
CONNECTIONS = 2000
COLD_ROUNDS = 10
DOWNLOADS = 8
WARM_ROUNDS = 100
WARM_BATCHES = 8
FORWARD, SOCKS, SOCKS_AT_ONCE, LOCALHOST = (
    "forward",
    "proxy, SOCKS5",
    "proxy, SOCKS5 in one packet",
    "proxy, name of localhost",
)


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
            await self.run(proxy_clients.first_byte, Way("", open_plain, port), b"x")
            forwards.append(time.perf_counter() - started)
            started = time.perf_counter()
            way = Way("", open_socks, self.proxy_port, host=f"many-{200 + number}.shop")
            await self.run(proxy_clients.first_byte, way, b"x")
            targets.append(time.perf_counter() - started)
        return statistics.median(forwards), statistics.median(targets)

    async def warm(self, peers: Sequence[Way]) -> dict[str, Samples]:
        """Measure the first byte on all ways; all send the same request of HTTP."""
        port = await self.start_forward("shop", "echo", ECHO)
        own = (os.getpid(),)
        ways = (
            Way(FORWARD, open_plain, port, own),
            Way(SOCKS, open_socks, self.proxy_port, own, "echo.shop"),
            Way(SOCKS_AT_ONCE, open_socks_at_once, self.proxy_port, own, "echo.shop"),
            Way(LOCALHOST, open_plain, self.proxy_port, own),
            *peers,
        )
        host = f"echo.shop.localhost:{self.proxy_port}"
        fields = "User-Agent: curl/8.14.1\r\nAccept: */*\r\n"
        request = f"GET / HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n".encode()
        await self.run(proxy_clients.compare, ways, request, 2, 1)  # warms up
        found: dict[str, Samples] = await self.run(
            proxy_clients.compare, ways, request, WARM_ROUNDS, WARM_BATCHES
        )
        return found

    async def throughput(self) -> list[tuple[list[float], list[float]]]:
        """Return the seconds of downloads, and those of the engine's processor, on both ways."""
        port = await self.start_forward("ops", "toolbox", SOURCE)
        sides = ((open_plain, port), (open_socks, self.proxy_port))
        results: list[tuple[list[float], list[float]]] = [([], []) for _ in sides]
        for round_number in range(1 + DOWNLOADS):  # the first one warms up
            for at in (0, 1) if round_number % 2 else (1, 0):
                how, number = sides[at]
                before = time.process_time()
                duration = await self.run(proxy_clients.download, how, number, "toolbox.ops")
                if round_number:
                    results[at][0].append(duration)
                    results[at][1].append(time.process_time() - before)
        return results


async def measure(
    kubeconfig: Path, clients: ProcessPoolExecutor, peers: Sequence[Way]
) -> dict[str, object]:
    """Print all rows; return their figures."""
    session = LocalSession(kubeconfig, monitor_system=False)
    benchmark = Benchmark(session, clients)
    try:
        before = memory_mib()
        await benchmark.start_proxy()
        known_mib = memory_mib() - before
        show(f"{SERVICES} services known", f"{known_mib:.1f} MiB more")
        cold, cold_proxy = await benchmark.cold()
        show("cold first byte, ms", compare(cold * 1e3, cold_proxy * 1e3))
        plain, proxied = await benchmark.throughput()
        size = DOWNLOAD / MIB
        speeds = [size / statistics.median(seconds) for seconds, _ in (plain, proxied)]
        show("download, MiB/s", compare(*speeds))
        used = [statistics.median(cpu) * 1024 / size for _, cpu in (plain, proxied)]
        show("  CPU of the engine, s/GiB", compare(*used))
        warm = await benchmark.warm(peers)
        sys.stdout.write(warm_table(warm))
        hosts = [f"many-{number % USED}.shop" for number in range(CONNECTIONS)]
        failed, duration = await benchmark.run(
            proxy_clients.connect_at_once, benchmark.proxy_port, hosts
        )
        outcome = f"{failed} failed, {duration:.1f} s, memory {memory_mib():.0f} MiB"
        show(f"{CONNECTIONS} at once over {USED} services", outcome)
    finally:
        await session.close()
    return {
        "services_mib": known_mib,
        "cold_s": {"forward": cold, "proxy": cold_proxy},
        "download_s": {"forward": plain[0], "proxy": proxied[0]},
        "download_cpu_s": {"forward": plain[1], "proxy": proxied[1]},
        "warm": {name: vars(one) for name, one in warm.items()},
        "at_once": {"failed": failed, "seconds": duration, "memory_mib": memory_mib()},
    }


def warm_table(found: Mapping[str, Samples]) -> str:
    """Return a line for each way: median, quartiles, and ratios to the forward."""
    base = found[FORWARD]
    text = f"\n{'warm first byte':<34}{'ms':>7}{'quartiles':>15}{'×':>7}{'CPU, µs':>10}{'×':>7}\n"

    def line(name: str, first_bytes: Sequence[float], cpu: Sequence[float]) -> str:
        low, middle, high = (one * 1e3 for one in statistics.quantiles(first_bytes))
        ratio = middle / (statistics.median(base.first_bytes) * 1e3)
        cells = f"{name:<34}{middle:>7.2f}{f'{low:.2f}–{high:.2f}':>15}{ratio:>7.2f}"
        if cpu and base.cpu:
            used = statistics.median(cpu)
            cells += f"{used * 1e6:>10.0f}{used / statistics.median(base.cpu):>7.2f}"
        return f"{cells}\n"

    for name, one in found.items():
        if len(one.first_bytes) > 1:
            text += line(name, one.first_bytes, one.cpu)
        if one.failure:
            text += f"{name}: {one.failure}\n"
        if name == SOCKS and (handshake := _handshake_s(found)) is not None:
            without = [each - handshake for each in one.first_bytes]
            text += line("  without the handshake itself", without, ())
    return text + "\n"


def _handshake_s(found: Mapping[str, Samples]) -> float | None:
    """Return what a SOCKS5 handshake takes with a server that does nothing else."""
    plain, socks = (found[name].first_bytes for name in (NOTHING, NOTHING_SOCKS))
    return statistics.median(socks) - statistics.median(plain) if plain and socks else None


def compare(forward: float, proxy: float) -> str:
    """Return the figures of both sides, and their ratio."""
    return f"forward {forward:.2f}, proxy {proxy:.2f}, × {proxy / forward:.2f}"


def show(name: str, text: str) -> None:
    """Print a row at once."""
    sys.stdout.write(f"{name:<34}{text}\n")
    sys.stdout.flush()


def main() -> None:
    """Run it on an embedded cluster."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.proxy_benchmark")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures to a file")
    file: Path | None = parser.parse_args().json
    collect_garbage_rarely()  # as every process with an engine does
    with running_cluster(*ONE_NODE) as cluster:
        create_services(cluster.kubeconfig)
        with (
            running_peers(cluster.kubeconfig) as peers,
            ProcessPoolExecutor(1, mp_context=get_context("spawn")) as clients,
        ):
            say("; ".join(way.name for way in peers))
            result = event_loop.run(measure(cluster.kubeconfig, clients, peers))
    if file is not None:
        file.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
