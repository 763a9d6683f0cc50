"""Client of the shim, for the runtime: starts the shim if needed and mirrors its state."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec.structs import replace

from tui_forward.minicluster.runtime import shim_protocol

# Files in the state folder of a runtime.
SOCKET, LOG = "shim.sock", "shim.log"

_MAX_LINE_BYTES = 64 * 1024 * 1024
_START_TIMEOUT_S = 15.0
_REPLY_TIMEOUT_S = 30.0


class ShimClient:
    """Mirror of the shim's sandboxes and containers, and the requests that change them.

    If the shim is lost, so is every pod: the mirror is emptied and a new shim is started.
    """

    def __init__(self, state_dir: str, owner_pid: int) -> None:
        self._folder = Path(state_dir)
        self._owner_pid = owner_pid
        # By id; entries are replaced, never changed in place.
        self.sandboxes: dict[str, shim_protocol.Sandbox] = {}
        self.containers: dict[str, shim_protocol.Container] = {}
        # Called with (old, new) when a container changed; None if absent.
        self.on_container: Callable[
            [shim_protocol.Container | None, shim_protocol.Container | None], None
        ] = lambda _old, _new: None
        self._changed = asyncio.Event()
        self._replies: dict[int, asyncio.Future[str]] = {}
        self._seq = 0
        self._writer: asyncio.StreamWriter | None = None
        self._task: asyncio.Task[None] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0  # of the shim
        self._closed = False

    @property
    def _socket(self) -> str:
        return str(self._folder / SOCKET)

    def containers_of(self, sandbox_id: str) -> list[shim_protocol.Container]:
        """Return the containers of a sandbox."""
        return [each for each in self.containers.values() if each.sandbox_id == sandbox_id]

    async def start(self) -> None:
        """Connect, after starting a shim if none runs. Raises `ShimError`: it did not start."""
        reader = await self._connect()
        self._task = asyncio.create_task(self._run(reader), name="shim-client")

    async def end_shim(self) -> None:
        """End the shim with all pods, for good: no other shim is started. Raises as `request`."""
        self._closed = True
        await self.request(shim_protocol.Shutdown())

    async def close(self) -> None:
        """Disconnect; the shim and its pods keep running."""
        self._closed = True
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._writer is not None:
            self._writer.close()

    async def _connect(self) -> asyncio.StreamReader:
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                return await self._connect_or_spawn()
        except TimeoutError as error:
            message = f"the shim did not start within {_START_TIMEOUT_S:.0f} s"
            raise shim_protocol.ShimError(message) from error

    async def _connect_or_spawn(self) -> asyncio.StreamReader:
        spawned = False
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(
                    self._socket, limit=_MAX_LINE_BYTES
                )
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
                    f"the shim exited with code {self._process.returncode}",
                    hint=f"See {self._folder / LOG}",
                )
            await asyncio.sleep(0.01)
        snapshot = shim_protocol.decode_message(line)
        if not isinstance(snapshot, shim_protocol.Snapshot):
            raise shim_protocol.ShimError("unexpected first message from the shim")
        self._writer = writer
        self._pid = snapshot.pid
        self._notify()
        self.sandboxes = {sandbox.id: sandbox for sandbox in snapshot.sandboxes}
        self.containers = {container.id: container for container in snapshot.containers}
        return reader

    def _spawn(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-P", "-m", "tui_forward.minicluster.runtime.shim"]
        command += ["--socket", self._socket, "--owner-pid", str(self._owner_pid)]
        log = (self._folder / LOG).open("ab")
        with log:
            # A new session, so that signals to this process group do not end the pods.
            self._process = subprocess.Popen(
                command,
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
                    self._apply(shim_protocol.decode_message(line))
            except (OSError, ValueError, msgspec.MsgspecError) as error:
                sys.stderr.write(f"shim connection: {error!r}\n")
            self._clear()
            if self._closed:
                return
            try:
                reader = await self._connect()
            except (OSError, shim_protocol.ShimError) as error:
                sys.stderr.write(f"cannot restart the shim: {error}\n")
                return

    def _clear(self) -> None:
        """Empty the mirror: without the shim there are no pods."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if self._pid:
            with contextlib.suppress(ChildProcessError):  # an earlier runtime has forked it
                os.waitpid(self._pid, os.WNOHANG)
        for reply in self._replies.values():
            if not reply.done():
                reply.set_result("the shim is not running")
        self._replies.clear()
        containers, self.containers = self.containers, {}
        self.sandboxes = {}
        for container in containers.values():
            self.on_container(container, None)
        self._notify()

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def _apply(self, message: shim_protocol.AnyMessage) -> None:
        match message:
            case shim_protocol.Reply():
                reply = self._replies.pop(message.seq, None)
                if reply is not None and not reply.done():
                    reply.set_result(message.error)
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
            case shim_protocol.Snapshot():
                pass
        self._notify()

    async def request(self, request: shim_protocol.Request) -> None:
        """Send a request and wait for its reply. Cancellation does not undo the request.

        Waits for a shim that is being restarted.

        Raises `ShimError`: the request failed, or the shim is not running.
        """
        await self.wait_for(lambda: self._writer is not None, _START_TIMEOUT_S)
        if self._writer is None:
            raise shim_protocol.ShimError("the shim is not running")
        if isinstance(request, shim_protocol.StopSandbox | shim_protocol.RemoveSandbox):
            self._mark_stopped(request.id)
        self._seq += 1
        request.seq = self._seq
        reply: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._replies[request.seq] = reply
        try:
            self._writer.write(shim_protocol.encode(request) + b"\n")
            async with asyncio.timeout(_REPLY_TIMEOUT_S):
                error = await reply
        except OSError as failure:  # TimeoutError is an OSError
            raise shim_protocol.ShimError(f"no reply from the shim: {failure}") from failure
        finally:
            self._replies.pop(request.seq, None)
        if error:
            raise shim_protocol.ShimError(error)

    def _mark_stopped(self, sandbox_id: str) -> None:
        """Stop dialing into a sandbox: its shim is about to release the namespace."""
        sandbox = self.sandboxes.get(sandbox_id)
        if sandbox is not None:
            self.sandboxes[sandbox_id] = replace(sandbox, ready=False, netns="")

    async def wait_for(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until a condition of the mirror holds; return False after the timeout."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not condition():
                    await self._changed.wait()
        return condition()
