"""kubectl as a process, for each version on this machine."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kube.kubectl_peer import GO_SETTINGS
from tests.support.cluster_process import ClusterProcess

TIMEOUT_S = 60.0
# Debian's kubernetes-client, unpacked because it conflicts with another kubectl.
DEBIAN_KUBECTL = Path(__file__).parents[2] / ".cache/kubectl-1.20/usr/bin/kubectl"


def wait_for(condition: Callable[[], Any], what: str, timeout_s: float = TIMEOUT_S) -> Any:
    """Poll a condition of another process until it is true; return its value."""
    deadline = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"timeout while waiting for {what}"
        time.sleep(0.02)
    return found


def kubectls() -> list[Any]:
    """Return every kubectl of this machine as test parameters.

    None is asked for its version: each worker that collects tests calls this.
    """
    on_path = shutil.which("kubectl")
    found = {"current": Path(on_path)} if on_path else {}
    if DEBIAN_KUBECTL.exists():
        found["1.20"] = DEBIAN_KUBECTL
    if not found:
        skip = pytest.mark.skip(reason="no kubectl on this machine")
        return [pytest.param(Path("/nowhere"), marks=skip, id="none")]
    return [pytest.param(path, id=version) for version, path in found.items()]


class Kubectl:
    """A kubectl with its own home.

    Tests with the same kubectl and cluster share its cache of what the API server serves, without
    which a command takes twice as long.
    """

    def __init__(self, path: Path, running: ClusterProcess, home: Path) -> None:
        cache = str(running.folder / ("cache" + str(path).replace("/", "-")))
        self.path = path
        self.running = running
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "KUBECONFIG": str(running.kubeconfig),
            "KUBECACHEDIR": cache,
            **GO_SETTINGS,
        }
        self._base = [str(path), "--cache-dir", cache]

    def run(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._base, *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
            input=stdin,
        )

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        done = self.run(*arguments, stdin=stdin)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def rows(self, *arguments: str) -> dict[str, list[str]]:
        """Return the rows of a printed table by their first column."""
        lines = self(*arguments, "--no-headers").splitlines()
        return {line.split()[0]: line.split()[1:] for line in lines}

    @contextlib.contextmanager
    def port_forward(
        self, *arguments: str, websockets: bool | None = None
    ) -> Iterator[KubectlPortForward]:
        environment = dict(self._environment)
        if websockets is not None:
            environment["KUBECTL_PORT_FORWARD_WEBSOCKETS"] = str(websockets).lower()
        process = subprocess.Popen(
            [*self._base, "port-forward", "--address", "127.0.0.1", *arguments],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        forward = KubectlPortForward(process)
        try:
            wait_for(lambda: forward.ports or process.poll() is not None, "the port-forward")
            assert forward.ports, forward.output
            yield forward
        finally:
            forward.stop()


class KubectlPortForward:
    """A running `kubectl port-forward`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.output: list[str] = []
        self.ports: list[int] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output.append(line)
            if found := re.match(r"Forwarding from 127\.0\.0\.1:(\d+) ->", line):
                self.ports.append(int(found[1]))

    def connect(self, index: int = 0) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.ports[index]), TIMEOUT_S)

    def exchange(self, data: bytes, size: int, index: int = 0) -> bytes:
        """Send data and read `size` bytes."""
        with self.connect(index) as connection:
            connection.sendall(data)
            return read_exactly(connection, size)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(TIMEOUT_S)
        self._reader.join(TIMEOUT_S)
        assert self.process.stdout is not None
        self.process.stdout.close()


def read_exactly(connection: socket.socket, size: int) -> bytes:
    """Read `size` bytes, or fewer at the end of file."""
    data = bytearray()
    while len(data) < size and (chunk := connection.recv(min(1 << 20, size - len(data)))):
        data += chunk
    return bytes(data)
