"""What the cluster proxy is compared with: kubectl, SOCKS5 servers in front of it, and nothing.

None of them is a dependency: one that is not installed or does not start costs only its row.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path

from tests.bench.forwarders import KUBECTL_SPDY, Running, forwarders
from tests.bench.proxy_clients import ECHO, Way, open_plain, open_socks
from tests.bench.result_table import say

KUBECTL = "kubectl"
NOTHING, NOTHING_SOCKS = "an echo server here", "the same, with SOCKS5"
_START_S = 20.0
# Arguments of SOCKS5 servers: one in C (a package of Debian) and one in Python (of PyPI).
_SERVERS = {
    "microsocks": ("-i", "127.0.0.1", "-p", "{port}"),
    "pproxy": ("-l", "socks5://127.0.0.1:{port}"),
}


@contextlib.contextmanager
def running_peers(kubeconfig: Path) -> Iterator[list[Way]]:
    """Start what there is; yield the ways through them."""
    with contextlib.ExitStack() as stack:
        ways = stack.enter_context(running_echo_servers())
        try:
            kubectl = _start_kubectl(kubeconfig)
        except (OSError, RuntimeError) as error:
            say(f"{KUBECTL}: {error}")
            yield ways
            return
        stack.callback(kubectl.stop)
        (port,) = kubectl.ports.values()  # by the port of the pod
        pid = kubectl.process.pid
        ways.append(Way(KUBECTL, open_plain, port, (pid,)))
        for name in _SERVERS:
            try:
                own_port, own_pid = stack.enter_context(_running_server(name))
            except (OSError, RuntimeError) as error:
                say(f"{name}: {error}")
                continue
            label = f"{KUBECTL} and {name}"
            ways.append(Way(label, open_socks, own_port, (pid, own_pid), "127.0.0.1", port))
        yield ways


def _start_kubectl(kubeconfig: Path) -> Running:
    for forwarder in forwarders():
        if forwarder.name == KUBECTL_SPDY:
            return forwarder.start(kubeconfig, "shop", "svc/echo", (ECHO,))
    raise RuntimeError("not installed")


def _command(name: str, port: int) -> list[str]:
    path = shutil.which(name)
    if path is None:
        raise RuntimeError("not installed")
    return [path, *(argument.format(port=port) for argument in _SERVERS[name])]


@contextlib.contextmanager
def _running_server(name: str) -> Iterator[tuple[int, int]]:
    """Run a SOCKS5 server; yield its port and process id. RuntimeError: it does not listen."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        _command(name, port), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + _START_S
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), _START_S).close()
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("did not start")
            time.sleep(0.02)
        yield port, process.pid
    finally:
        process.kill()
        process.wait()


# What a SOCKS5 handshake costs by itself --------------------------------------------------


@contextlib.contextmanager
def running_echo_servers() -> Iterator[list[Way]]:
    """Run two echo servers in a process each; one of them asks for a SOCKS5 handshake before."""
    with contextlib.ExitStack() as stack:
        ways = []
        for name, how in ((NOTHING, open_plain), (NOTHING_SOCKS, open_socks)):
            listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            process = get_context("spawn").Process(
                target=_serve, args=(listening, how is open_socks), daemon=True
            )
            process.start()
            stack.callback(process.join)
            stack.callback(process.kill)
            assert process.pid is not None
            port = listening.getsockname()[1]
            ways.append(Way(name, how, port, (process.pid,), "echo.shop"))
        yield ways


def _serve(listening: socket.socket, with_socks: bool) -> None:
    """Serve one connection after the other, without any check."""
    while True:
        sock, _ = listening.accept()
        with sock, contextlib.suppress(OSError):
            if with_socks:
                sock.recv(512)
                sock.sendall(b"\x05\x00")
                sock.recv(512)
                sock.sendall(b"\x05\x00\x00\x01" + bytes(6))
            while data := sock.recv(4096):
                sock.sendall(data)
