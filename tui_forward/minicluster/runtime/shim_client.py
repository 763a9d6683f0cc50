"""The runtime's end of the shim's socket: starts the shim if need be, mirrors what it knows."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from tui_forward.minicluster.runtime import shim_protocol as shim_protocol

_LINE_LIMIT = 64 * 1024 * 1024
_START_S = 15.0
_ANSWER_S = 30.0


class ShimClient:
    """A mirror of the shim's sandboxes and containers, and a way to change them.

    If the shim itself is lost, so is every pod: the mirror empties and a new shim is started.

    Args:
        state_dir: Folder of the shim's socket and log.
        owner_pid: Whose end ends the shim.

    Attributes:
        sandboxes: By id; entries are replaced, never changed in place.
        containers: By id; likewise.
        on_container: Called with (old, new) whenever a container changed; None for absent.
    """

    def __init__(self, state_dir: str, owner_pid: int) -> None:
        self._folder = Path(state_dir)
        self._owner_pid = owner_pid
        self.sandboxes: dict[str, shim_protocol.Sandbox] = {}
        self.containers: dict[str, shim_protocol.Container] = {}
        self.on_container: Callable[
            [shim_protocol.Container | None, shim_protocol.Container | None], None
        ] = lambda _old, _new: None
        self._changed = asyncio.Event()
        self._answers: dict[int, asyncio.Future[str]] = {}
        self._seq = 0
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    @property
    def _socket(self) -> str:
        return str(self._folder / "shim.sock")

    async def start(self) -> None:
        """Connect, after starting a shim if none is there.

        Raises:
            ShimError: It does not come up.
        """
        reader = await self._connect()
        self._task = asyncio.create_task(self._run(reader), name="shim-client")

    async def close(self) -> None:
        """Disconnect; the shim and its pods live on."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._writer is not None:
            self._writer.close()

    async def _connect(self) -> asyncio.StreamReader:
        try:
            async with asyncio.timeout(_START_S):
                return await self._reach()
        except TimeoutError as error:
            raise shim_protocol.ShimError(
                f"the shim does not come up within {_START_S:.0f} s"
            ) from error

    async def _reach(self) -> asyncio.StreamReader:
        spawned = False
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(self._socket, limit=_LINE_LIMIT)
                line = await reader.readline()
                if line:
                    break
            except (FileNotFoundError, ConnectionError):
                pass
            if not spawned:
                self._spawn()
                spawned = True
            elif self._process is not None and self._process.poll() is not None:
                raise shim_protocol.ShimError(
                    f"the shim ended with exit code {self._process.returncode}",
                    hint=f"See {self._folder / 'shim.log'}",
                )
            await asyncio.sleep(0.01)
        hello = shim_protocol.decode_message(line)
        if not isinstance(hello, shim_protocol.Hello):
            raise shim_protocol.ShimError("the shim did not say hello")
        self._writer = writer
        self.sandboxes = {sandbox.id: sandbox for sandbox in hello.sandboxes}
        self.containers = {container.id: container for container in hello.containers}
        return reader

    def _spawn(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        log = (self._folder / "shim.log").open("ab")
        with log:
            # A session of its own: what ends this process must not end the pods.
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    *("-m", "tui_forward.minicluster.runtime.shim"),
                    *("--socket", self._socket),
                    *("--owner-pid", str(self._owner_pid)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )

    async def _run(self, reader: asyncio.StreamReader) -> None:
        while True:
            try:
                while line := await reader.readline():
                    self._take(shim_protocol.decode_message(line))
            except (OSError, ValueError, msgspec.MsgspecError) as error:
                sys.stderr.write(f"shim connection: {error!r}\n")
            self._lost()
            if self._closed:
                return
            try:
                reader = await self._connect()
            except (OSError, shim_protocol.ShimError) as error:
                sys.stderr.write(f"no shim, no pods: {error}\n")
                return

    def _lost(self) -> None:
        """Without the shim there are no pods."""
        for answer in self._answers.values():
            if not answer.done():
                answer.set_result("the shim is gone")
        self._answers.clear()
        containers, self.containers = self.containers, {}
        self.sandboxes = {}
        for container in containers.values():
            self.on_container(container, None)
        self._notify()

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _take(self, message: shim_protocol.AnyMessage) -> None:
        match message:
            case shim_protocol.Reply():
                answer = self._answers.pop(message.seq, None)
                if answer is not None and not answer.done():
                    answer.set_result(message.error)
                return
            case shim_protocol.SandboxChanged():
                self.sandboxes[message.sandbox.id] = message.sandbox
            case shim_protocol.SandboxRemoved():
                self.sandboxes.pop(message.id, None)
            case shim_protocol.ContainerChanged():
                new = message.container
                old = self.containers.get(new.id)
                self.containers[new.id] = new
                self.on_container(old, new)
            case shim_protocol.ContainerRemoved():
                old = self.containers.pop(message.id, None)
                if old is not None:
                    self.on_container(old, None)
            case shim_protocol.Hello():
                pass
        self._notify()

    async def ask(self, request: shim_protocol.Request) -> None:
        """Have something done. Cancellation drops the answer, not the request.

        Raises:
            ShimError: It cannot be done, or the shim is gone.
        """
        if self._writer is None:
            raise shim_protocol.ShimError("the shim is gone")
        self._seq += 1
        request.seq = self._seq
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._answers[request.seq] = answer
        try:
            self._writer.write(shim_protocol.encode(request) + b"\n")
            async with asyncio.timeout(_ANSWER_S):
                error = await answer
        except OSError as failure:  # TimeoutError is one
            raise shim_protocol.ShimError(f"the shim does not answer: {failure}") from failure
        finally:
            self._answers.pop(request.seq, None)
        if error:
            raise shim_protocol.ShimError(error)

    async def wait_for(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until something is true of the mirror; False when time ran out first."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not condition():
                    await self._changed.wait()
        return condition()
