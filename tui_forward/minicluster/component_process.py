"""A component of the cluster as a process that the supervisor controls."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tui_forward.errors import TransportError
from tui_forward.minicluster.fork_server_client import (
    ForkedProcess,
    ForkServerClient,
    read_log_tail,
)

READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0
# Delay before a crashed component is restarted; it doubles with each quick crash.
RESTART_DELAY_S = 0.3
MAX_RESTART_DELAY_S = 5.0
# A component that has run this long does not count as crashed quickly.
STABLE_AFTER_S = 10.0


class ComponentProcess:
    """Starts and stops a component, and restarts it when it crashes."""

    def __init__(
        self,
        name: str,
        component: str,
        config: Path,
        log: Path,
        fork_server: ForkServerClient,
        on_ready: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self.name = name
        # The latest ready line; empty while the component is stopped.
        self.ready: dict[str, Any] = {}
        self.restarts = 0  # number of restarts after crashes
        self._component = component
        self._config = config
        self._log = log
        self._fork_server = fork_server
        self._on_ready = on_ready
        self._process: ForkedProcess | None = None
        self._monitor: asyncio.Task[None] | None = None
        self._should_run = False
        self._lock = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """Process ID; None while it is stopped."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def start(self) -> None:
        """Start the component and wait until it is ready; do nothing if it runs.

        Raises `TransportError`: it did not become ready; the message contains the end of its log.
        """
        async with self._lock:
            self._should_run = True
            if self.pid is None:
                await self._launch()

    async def stop(self, *, kill: bool = False) -> None:
        """Stop the component and wait for its exit; kill it after a timeout or if `kill`."""
        self._should_run = False
        monitor, self._monitor = self._monitor, None
        if monitor is not None:
            monitor.cancel()  # it may be restarting the component
            await asyncio.gather(monitor, return_exceptions=True)
        async with self._lock:
            await self._terminate(kill=kill)

    def pause(self) -> None:
        """Freeze the process: it keeps its connections and answers nothing. Idempotent."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Undo `pause`. Idempotent."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    async def restart(self, *, down_s: float = 0.0, kill: bool = False) -> None:
        """Stop the component, wait, and start it again. Raises the errors of `start`."""
        await self.stop(kill=kill)
        await asyncio.sleep(down_s)
        await self.start()

    async def _launch(self) -> None:
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                process = self._process = await self._fork_server.fork(
                    self.name, self._component, self._config, self._log
                )
                self.ready = await self._read_ready_line(process)
        except TimeoutError:
            await self._terminate(kill=True)
            raise TransportError(
                f"{self.name} did not become ready within {READY_TIMEOUT_S:.0f} s"
                f"{read_log_tail(self._log)}"
            ) from None
        except BaseException:
            await self._terminate(kill=True)
            raise
        if self._on_ready is not None:
            self._on_ready(self.ready)
        self._monitor = asyncio.ensure_future(self._restart_on_crash(process))

    async def _read_ready_line(self, process: ForkedProcess) -> dict[str, Any]:
        line = await process.stdout.readline()
        with contextlib.suppress(msgspec.MsgspecError):
            ready = msgspec.json.decode(line, type=dict[str, Any])
            if ready.get("ready"):
                return ready
        await process.wait()
        raise TransportError(
            f"{self.name} exited with code {process.returncode} before it was ready"
            f"{read_log_tail(self._log)}"
        )

    async def _restart_on_crash(self, process: ForkedProcess) -> None:
        """Restart the component when it exits; `stop` cancels this."""
        started = time.monotonic()
        code = await process.wait()
        if not self._should_run:
            return
        delay_s = RESTART_DELAY_S
        while True:
            self.restarts += 1
            sys.stderr.write(f"{self.name} exited with code {code}; restarting it\n")
            if time.monotonic() - started < STABLE_AFTER_S:
                delay_s = min(delay_s * 2, MAX_RESTART_DELAY_S)
            await asyncio.sleep(delay_s)
            async with self._lock:
                if self.pid is not None:
                    return
                try:
                    await self._launch()
                except TransportError as error:
                    sys.stderr.write(f"{error}\n")
                    continue
            return

    async def _terminate(self, *, kill: bool) -> None:
        process, self._process = self._process, None
        self.ready = {}
        if process is None:
            return
        if process.returncode is None:
            process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            process.send_signal(signal.SIGCONT)  # it may be paused
            try:
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await process.wait()
            except TimeoutError:
                process.send_signal(signal.SIGKILL)
                await process.wait()
        process.close_stdin()
