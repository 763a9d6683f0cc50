"""The embedded cluster as people start it, and the clients strangers wrote."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tui_forward.minicluster.control_socket import ControlClient

PATIENCE_S = 30.0
# Where Debian's kubernetes-client is unpacked, as it collides with another kubectl.
UNPACKED = Path(__file__).parents[2] / ".cache/kubectl-1.20/usr/bin/kubectl"


def wait_for(condition: Callable[[], Any], what: str, timeout_s: float = PATIENCE_S) -> Any:
    """Wait for something another process does, and give it."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)
    return found


@dataclass
class Running:
    """A cluster in processes of its own."""

    kubeconfig: Path
    control: ControlClient
    folder: Path
    server: str
    process: subprocess.Popen[bytes]

    def family(self) -> list[psutil.Process]:
        """Every process of the cluster."""
        return psutil.Process(self.process.pid).children(recursive=True)


def start(*options: str) -> Running:
    """Start a cluster and wait until it is ready."""
    command = [sys.executable, "-m", "tui_forward.minicluster", "--json", *options]
    command += ["--parent-pid", str(os.getpid())]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"the cluster ended with {process.wait()}"
    ready = json.loads(line)
    return Running(
        Path(ready["kubeconfig"]),
        ControlClient(ready["control"]),
        Path(ready["dir"]),
        ready["server"],
        process,
    )


def end(running: Running) -> None:
    """End a cluster in order."""
    running.process.terminate()
    try:
        running.process.wait(PATIENCE_S)
    finally:
        if running.process.poll() is None:
            running.process.kill()
            running.process.wait()
        assert running.process.stdout is not None
        running.process.stdout.close()


@contextlib.contextmanager
def running_cluster(*options: str) -> Iterator[Running]:
    """A cluster for one test."""
    running = start(*options)
    try:
        yield running
    finally:
        end(running)


# -- kubectl -----------------------------------------------------------------------------------


def kubectls() -> list[Any]:
    """Every kubectl of this machine, as parameters."""
    found: dict[str, Path] = {}
    for path in (Path(shutil.which("kubectl") or "/nowhere"), UNPACKED):
        if path.exists():
            text = subprocess.run(
                [path, "version", "--client"], capture_output=True, text=True, check=False
            ).stdout
            if version := re.search(r"v1\.(\d+)", text):
                found.setdefault(f"1.{version[1]}", path)
    if not found:
        skip = pytest.mark.skip(reason="no kubectl on this machine")
        return [pytest.param(Path("/nowhere"), marks=skip, id="none")]
    return [pytest.param(path, id=version) for version, path in found.items()]


class Kubectl:
    """A kubectl with a cache and a home of its own."""

    def __init__(self, path: Path, running: Running, home: Path) -> None:
        self.path = path
        self.running = running
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "KUBECONFIG": str(running.kubeconfig),
            "KUBECACHEDIR": str(home / "cache"),
        }
        self._base = [str(path), "--cache-dir", str(home / "cache")]

    def run(self, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._base, *words],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
            input=stdin,
        )

    def __call__(self, *words: str, stdin: str | None = None) -> str:
        done = self.run(*words, stdin=stdin)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def rows(self, *words: str) -> dict[str, list[str]]:
        """A printed table by its first column."""
        lines = self(*words, "--no-headers").splitlines()
        return {line.split()[0]: line.split()[1:] for line in lines}

    @contextlib.contextmanager
    def forward(self, *words: str, websockets: bool | None = None) -> Iterator[Forward]:
        environment = dict(self._environment)
        if websockets is not None:
            environment["KUBECTL_PORT_FORWARD_WEBSOCKETS"] = str(websockets).lower()
        process = subprocess.Popen(
            [*self._base, "port-forward", "--address", "127.0.0.1", *words],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        forward = Forward(process)
        try:
            wait_for(lambda: forward.ports or process.poll() is not None, "the forward")
            assert forward.ports, forward.said
            yield forward
        finally:
            forward.end()


class Forward:
    """A running `kubectl port-forward`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []
        self.ports: list[int] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            if found := re.match(r"Forwarding from 127\.0\.0\.1:(\d+) ->", line):
                self.ports.append(int(found[1]))

    def connect(self, index: int = 0) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.ports[index]), PATIENCE_S)

    def ask(self, data: bytes, size: int, index: int = 0) -> bytes:
        """Send, and read so many bytes."""
        with self.connect(index) as connection:
            connection.sendall(data)
            return read(connection, size)

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        assert self.process.stdout is not None
        self.process.stdout.close()


def read(connection: socket.socket, size: int) -> bytes:
    """So many bytes, or what there is until the end."""
    data = bytearray()
    while len(data) < size and (chunk := connection.recv(min(1 << 20, size - len(data)))):
        data += chunk
    return bytes(data)
