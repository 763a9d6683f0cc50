"""The keys of the dashboard in a terminal, on real forwards."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.processes import PROGRAM, exchange, wait_until
from tests.e2e.terminal import NEEDS_TMUX, Terminal, environment
from tests.support.cluster_process import ClusterProcess
from tests.support.engine_processes import engine_processes

pytestmark = NEEDS_TMUX


class _Client:
    """A client that sends and receives until its connection is closed."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.is_closed = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._socket.sendall(b"x" * 10_000)
                received = 0
                while received < 10_000:
                    chunk = self._socket.recv(65536)
                    if not chunk:
                        raise ConnectionResetError
                    received += len(chunk)
                if self.is_closed.wait(0.05):
                    break
        self.is_closed.set()

    def close(self) -> None:
        self.is_closed.set()
        self._thread.join(60)
        self._socket.close()


@contextlib.contextmanager
def _client(port: int) -> Iterator[_Client]:
    client = _Client(port)
    try:
        yield client
    finally:
        client.close()


def _click(terminal: Terminal, text: str) -> None:
    """Click the first letter of a text on the screen, as a terminal reports it."""
    lines = terminal.screen().splitlines()
    y, x = next((y, line.index(text)) for y, line in enumerate(lines) if text in line)
    place = f"\x1b[<0;{x + 1};{y + 1}"
    terminal.press("-l", f"{place}M{place}m")


@contextlib.contextmanager
def _taken_port() -> Iterator[int]:
    """Hold a port on both loopback addresses."""
    with socket.create_server(("127.0.0.1", 0)) as ipv4:
        port = int(ipv4.getsockname()[1])
        with contextlib.ExitStack() as stack:
            if socket.has_ipv6:
                with contextlib.suppress(OSError):  # the machine has no IPv6 address
                    ipv6 = socket.create_server(("::1", port), family=socket.AF_INET6)
                    stack.enter_context(ipv6)
            yield port


def _port_of(screen: str, target: str) -> int:
    found = re.search(rf"{re.escape(target)} +:(\d+)", screen)
    assert found, screen
    return int(found[1])


@pytest.mark.timeout(300)
def test_tasks_of_a_day_by_keys_and_mouse(
    tmp_path_factory: pytest.TempPathFactory, cluster: ClusterProcess, own_home: Path
) -> None:
    env = environment(own_home, KUBECONFIG=str(cluster.kubeconfig))
    with (
        Terminal(tmp_path_factory.mktemp("t"), 120, 36) as terminal,
        _taken_port() as used,
    ):
        terminal.start(*PROGRAM, "-n", "shop", **env)
        terminal.wait_for_text("[workloads] pods services · shop", "deploy/echo", "Running")

        # The first forward: one key.
        terminal.press("1")
        screen = terminal.wait_for_text("● ready", "deploy/echo:echo", "1/1")
        echo_port = _port_of(screen, "deploy/echo:echo")

        # Five services saved as a profile: ten keys and its name.
        terminal.press("t", "t")
        terminal.wait_for_text("[services]", "svc/echo", "svc/web")
        terminal.press("m", "m", "m", "m", "m", "1")
        terminal.wait_for_text("5 forwards:", "svc/gateway:", "svc/legacy:", "svc/payments:")
        terminal.press("W")
        terminal.wait_for_text("Save profile")
        terminal.press("-l", "day")
        terminal.press("Enter")
        profile = own_home / ".config/tui-forward/profiles/day.yaml"
        wait_until(profile.exists, "the profile")
        assert "svc/gateway" in profile.read_text()

        # The busiest connection: two keys.
        with _client(echo_port) as client:
            terminal.press("T")
            terminal.wait_for_text("━ connections of all forwards", "kB/s", "open 1")
            terminal.press("x")
            wait_until(client.is_closed.is_set, "the end of the connection")

        # Why one forward is blocked: one key.
        terminal.press("v")
        terminal.wait_for_text("Type a target and ports")
        terminal.press("-l", f"deploy/web {used}:http")
        terminal.press("Enter")
        terminal.wait_for_text("■1")
        terminal.press("!")
        terminal.wait_for_text("━ forwards", "port used by python")

        # The log of a container that crash-loops: a key on its row.
        terminal.press(":")
        terminal.wait_for_text("a name, a port, or a command")
        terminal.press("-l", "svc/payments")
        terminal.wait_for_text("svc/payments:http")
        terminal.press("Enter")
        terminal.wait_for_text(" ─── ", "pod payments-")
        terminal.press("l")
        terminal.wait_for_text("log of payments-", "crash-loop", "6 forwards")
        terminal.press("Escape")
        terminal.wait_for_text("━ forwards")

        # Jump, zoom, sort, selection, stop, undo.
        terminal.press(":")
        terminal.wait_for_text("a name, a port, or a command")
        terminal.press("-l", f"{echo_port}")
        terminal.wait_for_text("deploy/echo:echo")
        terminal.press("Enter")
        terminal.wait_for_text(f" :{echo_port} ─── ")
        terminal.press("z")
        terminal.wait_for_text("zoomed · problems first")
        terminal.press("Escape")
        terminal.wait_until_gone("zoomed")
        terminal.press("s")
        terminal.wait_for_text("sort by")
        terminal.press("t")
        terminal.wait_for_text("target▲")
        terminal.press("m", "m")
        terminal.wait_for_text("2 selected  p Pause")
        terminal.press("Escape")
        terminal.wait_until_gone("2 selected")
        legacy_port = _port_of(terminal.screen(), "svc/legacy:http")
        _click(terminal, "svc/legacy:")
        terminal.wait_for_text(f" :{legacy_port} ─── ")
        terminal.press("x")
        terminal.wait_for_text("Stopped svc/legacy:")
        terminal.wait_for_text("5 forwards:")
        terminal.press("u")
        terminal.wait_for_text("6 forwards:")

        terminal.press("q")
        terminal.wait_for_text("Keep 6 forwards running?")
        terminal.press("Enter")
        assert "Traceback" not in terminal.wait_for_text("ended with 0")
    assert engine_processes(own_home)
    assert exchange(echo_port, b"kept", answer=4) == b"kept"
