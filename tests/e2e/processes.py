"""Processes of the program, started and stopped by tests."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import psutil

from tests.support.forked_program import ForkedProcess

PROGRAM = (sys.executable, "-m", "tui_forward")
TIMEOUT_S = 60.0
# Conditions read the process table or start processes; polling faster slows down what is awaited.
_POLL_S = 0.05
_PAUSES_PER_CHECK = 4
_MAX_POLL_S = 0.25


def wait_until(
    condition: Callable[[], object],
    what: str,
    timeout_s: float = TIMEOUT_S,
    *,
    state: Callable[[], str] = str,
) -> None:
    """Wait until a condition of another process holds; `state` describes it as it is then."""
    deadline = time.monotonic() + timeout_s
    while True:
        began = time.monotonic()
        if condition():
            return
        now = time.monotonic()
        assert now < deadline, f"timed out waiting for {what} {state()}"
        time.sleep(min(max(_POLL_S, _PAUSES_PER_CHECK * (now - began)), _MAX_POLL_S))


class Process:
    """A running program whose output is read continuously; `is_forked`: where that is possible."""

    def __init__(self, *command: str, is_forked: bool = True, **options: Any) -> None:
        popen = ForkedProcess if is_forked else subprocess.Popen
        self.popen: subprocess.Popen[str] = popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, **options,
        )  # fmt: skip
        self.out: list[str] = []
        self.err: list[str] = []
        assert self.popen.stdout is not None
        assert self.popen.stderr is not None
        self._readers = [
            threading.Thread(target=_read, args=pair)
            for pair in ((self.popen.stdout, self.out), (self.popen.stderr, self.err))
        ]
        for reader in self._readers:
            reader.start()

    def wait_for_output(self, *texts: str) -> None:
        """Wait until every text has appeared on stdout or stderr."""

        def has_appeared() -> bool:
            lines = [*self.out, *self.err]
            found = all(any(text in line for line in lines) for text in texts)
            assert found or self.popen.poll() is None, f"exited early: {self.output()}"
            return found

        wait_until(has_appeared, f"{texts} in", state=self.output)

    def output(self) -> str:
        return f"stdout {self.out} stderr {self.err}"

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait; return the exit code."""
        if self.popen.poll() is None:
            self.popen.send_signal(number)
        return self.wait()

    def wait(self, timeout_s: float = TIMEOUT_S) -> int:
        """Wait for the exit; return the exit code."""
        try:
            code = self.popen.wait(timeout_s)
        finally:
            if self.popen.poll() is None:
                self.popen.kill()
                self.popen.wait()
            for reader in self._readers:
                reader.join(5)
            for stream in (self.popen.stdout, self.popen.stderr):
                if stream is not None:
                    stream.close()
        assert "Traceback" not in "\n".join([*self.out, *self.err]), self.output()
        return code

    @property
    def events(self) -> list[dict[str, Any]]:
        """Return the events that `--json` printed."""
        return [json.loads(line) for line in self.out]

    def local_ports(self) -> list[int]:
        """Return the ports of "Forwarding from 127.0.0.1:PORT -> …" lines."""
        return [
            int(line.split()[2].rpartition(":")[2])
            for line in self.out
            if line.startswith("Forwarding from 127.0.0.1:")
        ]


def _read(stream: IO[str], lines: list[str]) -> None:
    with contextlib.suppress(ValueError):  # closed by `wait`
        for line in stream:
            lines.append(line.rstrip("\n"))  # noqa: PERF401 - read by other threads meanwhile


def dashboards(home: Path) -> list[psutil.Process]:
    """Return the dashboard processes of a home folder."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            command = process.cmdline()
            if command[1:3] == ["-m", "tui_forward"] and process.environ().get("HOME") == str(home):
                found.append(process)
    return found


@contextlib.contextmanager
def program(*arguments: str, **options: Any) -> Iterator[Process]:
    """Run `tui-forward ARGUMENTS…`; stop it at the end."""
    process = Process(*PROGRAM, *arguments, **options)
    try:
        yield process
    finally:
        process.stop()


def exchange(
    port: int, data: bytes, *, host: str = "127.0.0.1", answer: int | None = None
) -> bytes:
    """Connect, send, and return `answer` bytes, or all until end of file."""
    with socket.create_connection((host, port), timeout=TIMEOUT_S) as sock:
        sock.sendall(data)
        received = bytearray()
        while answer is None or len(received) < answer:
            chunk = sock.recv(65536)
            if not chunk:
                break
            received += chunk
    return bytes(received)


def http_get(port: int, path: str = "/") -> tuple[int, bytes]:
    """Return status and body of a GET request."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    head, _, body = exchange(port, request.encode()).partition(b"\r\n\r\n")
    return int(head.split()[1]), body


def descendants(pid: int) -> list[psutil.Process]:
    """Return all descendants of a process."""
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def all_ended(processes: list[psutil.Process]) -> bool:
    """Return whether all processes have ended."""
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return environment variables with another home folder and without a kubeconfig."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("KUBE")}
    return {**inherited, "HOME": str(home), **more}
