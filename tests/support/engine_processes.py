"""Sandbox for real engine processes, with the kubeconfig of an unreachable cluster."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

import psutil

from tests.support.waiting import until
from tui_forward.daemon import connect, session_store
from tui_forward.daemon.reconnecting_session import ReconnectingSession
from tui_forward.daemon.remote_session import RemoteSession
from tui_forward.errors import ConfigError

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: here
contexts: [{name: here, context: {cluster: here, user: me, namespace: shop}}]
clusters: [{name: here, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: me, user: {token: secret-token-0123}}]
"""


def engine_processes(path: Path) -> list[psutil.Process]:
    """Return engines and their parents whose command contains a path, the oldest first."""
    found = []
    for pid in psutil.pids():
        with contextlib.suppress(psutil.Error):
            command = _command(pid)
            if b"tui_forward.daemon" in command and os.fsencode(path) in command:
                process = psutil.Process(pid)
                found.append((process.create_time(), process))
    return [process for _, process in sorted(found, key=lambda each: each[0])]


def _command(pid: int) -> bytes:
    """Return the command of a process; empty if it has ended.

    Tests ask for those of all processes all the time, which with psutil takes ten times as long.
    """
    if sys.platform == "linux":
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123 - see above
                return file.read()
        except OSError:
            return b""
    return os.fsencode(" ".join(psutil.Process(pid).cmdline()))


class EngineSandbox:
    """Kubeconfig and socket of engines that a test starts."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o700)
        self.socket = folder / "e.sock"
        self.kubeconfig = folder / "config"
        self.kubeconfig.write_text(KUBECONFIG)
        self.log = folder / "log"
        self.refuses = False

    async def open(self, *arguments: str) -> RemoteSession:
        if self.refuses:
            raise ConfigError("no engine today")
        return await connect(
            str(self.kubeconfig),
            socket_path=self.socket,
            arguments=["--log", str(self.log), *arguments],
        )

    async def open_reconnecting(self) -> ReconnectingSession:
        return ReconnectingSession(await self.open(), lambda: self.open("--restore"))

    def saved(self) -> session_store.SavedSession:
        """Return what is in the session file now."""
        return session_store.load_session(session_store.session_file(self.socket))

    async def wait_saved(self, count: int = 1) -> None:
        """Wait until so many forwards are saved, with their ports: each is saved before, too."""

        def is_saved() -> bool:
            forwards = self.saved().forwards
            return len(forwards) == count and all(one.spec.local_port for one in forwards)

        await until(is_saved)

    def engines(self) -> list[psutil.Process]:
        return engine_processes(self.socket)
