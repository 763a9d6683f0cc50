"""The programs under test, each as a process that forwards some ports of one pod."""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.support.cluster_process import REPOSITORY

OURS = "tui-forward"
KUBECTL_WEBSOCKET = "kubectl ws"
KUBECTL_SPDY = "kubectl spdy"
KR8S = "kr8s"
FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+) -> (\d+)")


@dataclass(frozen=True)
class Forwarder:
    """A program that can forward ports.

    Attributes:
        name: Heading of its column.
        command: argv; `{target}` and `{namespace}` are filled in, `:PORT` for each
            remote port follows.
        environment: Additional environment variables.
    """

    name: str
    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)

    def start(
        self, kubeconfig: Path, namespace: str, target: str, ports: tuple[int, ...]
    ) -> Running:
        """Start it and wait until it reports its local ports.

        Raises:
            RuntimeError: It ended, or did not say so within 30 s.
        """
        argv = [part.format(target=target, namespace=namespace) for part in self.command]
        process = subprocess.Popen(
            [*argv, *(f":{port}" for port in ports)],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "KUBECONFIG": str(kubeconfig), **self.environment},
        )
        try:
            local_ports = _read_ports(process, len(ports))
        except BaseException:
            process.kill()
            process.wait()
            raise
        return Running(self, process, local_ports)


@dataclass
class Running:
    """A running forwarder."""

    forwarder: Forwarder
    process: subprocess.Popen[bytes]
    ports: dict[int, int]  # remote -> local

    @property
    def alive(self) -> bool:
        """Return whether the process runs."""
        return self.process.poll() is None

    def cpu_s(self) -> float:
        """Return the CPU seconds used so far, user and system."""
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    def peak_bytes(self) -> int:
        """Return the peak resident size so far (Linux)."""
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
        return 0

    def stop(self) -> None:
        """Stop it: SIGTERM, then SIGKILL."""
        if self.alive:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()


def _read_ports(process: subprocess.Popen[bytes], count: int) -> dict[int, int]:
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    deadline = time.monotonic() + 30
    text = ""
    while time.monotonic() < deadline:
        select.select([process.stdout], [], [], 0.2)
        text += (process.stdout.read() or b"").decode(errors="replace")
        found = {int(remote): int(local) for local, remote in FORWARDING.findall(text)}
        if len(found) == count:
            _drain(process.stdout.fileno())
            return found
        if process.poll() is not None:
            break
    raise RuntimeError(f"{process.args!r} did not begin to forward: {text[:200]!r}")


def _drain(fd: int) -> None:
    """Read its output ("Handling connection for ...") so that its pipe never fills up."""
    os.set_blocking(fd, True)

    def read() -> None:
        with contextlib.suppress(OSError):
            while os.read(fd, 65536):
                pass

    threading.Thread(target=read, daemon=True).start()


def newest_kubectl() -> str | None:
    """Return the kubectl on PATH; the 1.20 that CI unpacks is too old to compare with."""
    return shutil.which("kubectl")


def forwarders() -> list[Forwarder]:
    """Return the forwarders found on this machine, ours first."""
    ours = (sys.executable, "-m", "tui_forward", "forward", "-n", "{namespace}", "{target}")
    found = [
        Forwarder(OURS, ours),
        Forwarder(f"{OURS} ws", (*ours, "--transport", "websocket")),
    ]
    if kubectl := newest_kubectl():
        command = (kubectl, "port-forward", "-n", "{namespace}", "{target}")
        found.append(
            Forwarder(KUBECTL_WEBSOCKET, command, {"KUBECTL_PORT_FORWARD_WEBSOCKETS": "true"})
        )
        found.append(Forwarder(KUBECTL_SPDY, command, {"KUBECTL_PORT_FORWARD_WEBSOCKETS": "false"}))
    with contextlib.suppress(ImportError):
        import kr8s  # noqa: F401

        found.append(
            Forwarder(
                KR8S,
                (sys.executable, "-m", "tests.bench.kr8s_forward", "{namespace}", "{target}"),
            )
        )
    return found
