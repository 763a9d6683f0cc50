"""One process of the chain, as the supervisor sees it: started, watched, restarted, ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

import tui_forward
from tui_forward.errors import TransportError

READY_TIMEOUT_S = 30.0
END_TIMEOUT_S = 5.0
# A hop that ends by itself is started again after this; longer each time it happens at once.
RESTART_S = 0.3
RESTART_MAX_S = 5.0
# A hop that lived this long has recovered.
STEADY_S = 10.0
LOG_TAIL = 4000


class ComponentProcess:
    """See the module.

    Args:
        name: For messages and its log file ("kubelet-node-a").
        module: What `python -m` runs.
        config: Path of its configuration file.
        log: Path of the file that takes its stderr.
        on_ready: Called with each ready line, before `start` returns.
        environment: Added to its environment.

    Attributes:
        ready: The latest ready line; empty while it does not run.
        restarts: How often it ended by itself and was started again.
    """

    def __init__(
        self,
        name: str,
        module: str,
        config: Path,
        log: Path,
        on_ready: Callable[[dict[str, Any]], None] | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.name = name
        self.ready: dict[str, Any] = {}
        self.restarts = 0
        self._module = module
        self._config = config
        self._log = log
        self._on_ready = on_ready
        self._environment = environment or {}
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self._wanted = False
        self._lock = asyncio.Lock()

    @property
    def pid(self) -> int | None:
        """Of the process, if it runs."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def start(self) -> None:
        """Start it and wait until it serves; does nothing when it runs.

        Raises:
            TransportError: It ended, or did not become ready in time; its last words are in
                the message.
        """
        async with self._lock:
            self._wanted = True
            if self.pid is None:
                await self._launch()

    async def stop(self, *, kill: bool = False) -> None:
        """End it and wait until it has ended; by force when it takes too long, or on wish."""
        self._wanted = False
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()  # it may be starting the hop again at this moment
            await asyncio.gather(watch, return_exceptions=True)
        async with self._lock:
            await self._end(kill=kill)

    async def restart(self, *, down_s: float = 0.0, kill: bool = False) -> None:
        """End it, leave it down for a while, and start it again.

        Raises:
            TransportError: As `start`.
        """
        await self.stop(kill=kill)
        await asyncio.sleep(down_s)
        await self.start()

    async def _launch(self) -> None:
        environment = {**os.environ, **self._environment}
        # The package may be on the path only because of where we were started.
        root = str(Path(tui_forward.__file__).parent.parent)
        paths = [root, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
        environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
        with self._log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                self._module,
                "--config",
                str(self._config),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=environment,
                # Ctrl-C in a terminal goes to the whole group; here the supervisor decides.
                start_new_session=True,
            )
        self._process = process
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                self.ready = await self._ready_line(process)
        except TimeoutError:
            await self._end(kill=True)
            raise TransportError(
                f"{self.name} did not become ready within {READY_TIMEOUT_S:.0f} s{self._tail()}"
            ) from None
        except BaseException:
            await self._end(kill=True)
            raise
        if self._on_ready is not None:
            self._on_ready(self.ready)
        self._watch = asyncio.ensure_future(self._watched(process))

    async def _ready_line(self, process: asyncio.subprocess.Process) -> dict[str, Any]:
        assert process.stdout is not None
        line = await process.stdout.readline()
        with contextlib.suppress(msgspec.MsgspecError):
            ready = msgspec.json.decode(line, type=dict[str, Any])
            if ready.get("ready"):
                return ready
        await process.wait()
        raise TransportError(
            f"{self.name} ended with code {process.returncode} before it served{self._tail()}"
        )

    def _tail(self) -> str:
        with contextlib.suppress(OSError):
            text = self._log.read_text(errors="replace")[-LOG_TAIL:].strip()
            if text:
                return f"; its last words:\n{text}"
        return ""

    async def _watched(self, process: asyncio.subprocess.Process) -> None:
        """Start it again when it ends without having been asked to; `stop` cancels this."""
        started = time.monotonic()
        code = await process.wait()
        if not self._wanted:
            return
        pause = RESTART_S
        while True:
            self.restarts += 1
            sys.stderr.write(f"{self.name} ended with code {code}; starting it again\n")
            if time.monotonic() - started < STEADY_S:
                pause = min(pause * 2, RESTART_MAX_S)
            await asyncio.sleep(pause)
            async with self._lock:
                if self.pid is not None:
                    return
                try:
                    await self._launch()
                except TransportError as error:
                    sys.stderr.write(f"{error}\n")
                    continue
            return

    async def _end(self, *, kill: bool) -> None:
        process, self._process = self._process, None
        self.ready = {}
        if process is None:
            return
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL if kill else signal.SIGTERM)
            try:
                async with asyncio.timeout(END_TIMEOUT_S):
                    await process.wait()
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if process.stdin is not None:
            process.stdin.close()
