"""Client of the fork server, for the supervisor: starts it, and components through it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Protocol

import msgspec

from tui_forward.errors import TransportError
from tui_forward.minicluster.fork_server_protocol import (
    MAX_MESSAGE_SIZE,
    Exited,
    Forked,
    ForkRequest,
    FromServer,
    encode,
)

# The code of components whose exit cannot be reported because the fork server is lost.
LOST_EXIT_CODE = -1
# Characters of a log in error messages.
LOG_TAIL_SIZE = 4000


def read_log_tail(log: Path) -> str:
    """Return the end of a log as an addition to an error message; empty if there is none."""
    with contextlib.suppress(OSError):
        text = log.read_text(errors="replace")[-LOG_TAIL_SIZE:].strip()
        if text:
            return f"; end of its log:\n{text}"
    return ""


class ForkedProcess:
    """A component as a child process of the fork server.

    Attributes:
        returncode: None while it runs; negative: the signal that ended it.
        stdout: What it prints.
    """

    def __init__(self, pid: int, stdin: IO[bytes], stdout: asyncio.StreamReader) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.stdout = stdout
        self._stdin = stdin
        self._exited = asyncio.Event()

    async def wait(self) -> int:
        """Wait for its exit and return its code."""
        await self._exited.wait()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal; do nothing if the process has exited."""
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def set_exit_code(self, code: int) -> None:
        """Record its exit."""
        self.returncode = code
        self._exited.set()

    def close_stdin(self) -> None:
        """Close its stdin, at whose end it ends. Idempotent."""
        self._stdin.close()


class ServerProcess(Protocol):
    """The process of a fork server."""

    async def wait(self) -> int:
        """Wait for its exit and return its code."""
        ...


async def start_server(
    stderr: IO[bytes], environment: Mapping[str, str]
) -> tuple[ServerProcess, socket.socket]:
    """Start a fork server; return it with this end of its socket.

    `environment` has all its variables.
    """
    client, for_server = socket.socketpair()
    with for_server:
        server = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-P", "-m", "tui_forward.minicluster.fork_server"),  # -P: no current folder
            *("--socket", str(for_server.fileno())),
            pass_fds=(for_server.fileno(),),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=stderr,
            env=environment,
            start_new_session=True,
        )
    return server, client


class ForkServerClient:
    """Starts a fork server, and processes through it."""

    def __init__(self) -> None:
        self.lost = asyncio.Event()  # set when the server has ended
        self._log = Path()
        self._server: ServerProcess | None = None
        self._socket: socket.socket | None = None
        self._received = b""
        self._processes: dict[int, ForkedProcess] = {}
        self._exited_early: dict[int, int] = {}  # codes by process ID
        self._forked: asyncio.Future[int] | None = None
        self._lock = asyncio.Lock()

    async def start(self, log: Path, environment: Mapping[str, str]) -> None:
        """Start the server, which imports for a moment; requests wait for that.

        `environment` adds to this process's for all components.
        """
        self._log = log
        variables = {**os.environ, **environment}
        # The package may be importable only because of the current folder, which `-P` excludes.
        root = str(Path(__file__).parents[2])
        paths = [root, *filter(os.path.isabs, variables.get("PYTHONPATH", "").split(os.pathsep))]
        variables["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
        with log.open("ab") as stderr:
            self._server, self._socket = await start_server(stderr, variables)
        self._socket.setblocking(False)
        asyncio.get_running_loop().add_reader(self._socket, self._receive)

    async def close(self) -> None:
        """End the server; components that still run end with it. Idempotent."""
        self._end()
        if self._server is not None:
            await self._server.wait()

    async def fork(self, name: str, component: str, config: Path, log: Path) -> ForkedProcess:
        """Start a component (of `fork_server.COMPONENTS`), whose stderr is added to `log`.

        If this is canceled, the process is killed. Raises `TransportError`: the server has ended.
        """
        forking = asyncio.ensure_future(self._fork(name, component, config, log))
        try:
            return await asyncio.shield(forking)
        except asyncio.CancelledError:
            forking.add_done_callback(_kill)
            raise

    async def _fork(self, name: str, component: str, config: Path, log: Path) -> ForkedProcess:
        request = ForkRequest(name, component, str(config))
        stdin_of_child, stdin = _open_pipe()
        stdout, stdout_of_child = _open_pipe()
        try:
            with stdin_of_child, stdout_of_child, log.open("ab") as stderr:
                files = (stdin_of_child, stdout_of_child, stderr)
                async with self._lock:
                    pid = await self._send(request, [file.fileno() for file in files])
            reader = asyncio.StreamReader()
            await asyncio.get_running_loop().connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(reader), stdout
            )
        except BaseException:
            stdin.close()
            stdout.close()
            raise
        process = self._processes[pid] = ForkedProcess(pid, stdin, reader)
        if (code := self._exited_early.pop(pid, None)) is not None:
            self._set_exit_code(pid, code)
        return process

    async def _send(self, request: ForkRequest, descriptors: list[int]) -> int:
        """Send a request and return the process ID of the reply."""
        if self._socket is None:
            raise self._ended_error()
        self._forked = asyncio.get_running_loop().create_future()
        try:
            socket.send_fds(self._socket, [encode(request)], descriptors)
            return await self._forked
        except OSError as error:
            raise self._ended_error() from error

    def _receive(self) -> None:
        assert self._socket is not None
        try:
            data = self._socket.recv(MAX_MESSAGE_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end()
            self.lost.set()
            return
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            match msgspec.json.decode(line, type=FromServer):
                case Forked(pid):
                    if self._forked is not None and not self._forked.done():
                        self._forked.set_result(pid)
                case Exited(pid, code) if pid in self._processes:
                    self._set_exit_code(pid, code)
                case Exited(pid, code):
                    self._exited_early[pid] = code

    def _set_exit_code(self, pid: int, code: int) -> None:
        self._processes.pop(pid).set_exit_code(code)

    def _end(self) -> None:
        """End the connection, and with it all that waits for the server."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None
        for pid in [*self._processes]:
            self._set_exit_code(pid, LOST_EXIT_CODE)
        if self._forked is not None and not self._forked.done():
            self._forked.set_exception(self._ended_error())

    def _ended_error(self) -> TransportError:
        return TransportError(f"the fork server has ended{read_log_tail(self._log)}")


def _kill(forking: asyncio.Future[ForkedProcess]) -> None:
    """Kill the process of a request that was canceled."""
    if not forking.cancelled() and forking.exception() is None:
        forking.result().send_signal(signal.SIGKILL)
        forking.result().close_stdin()


def _open_pipe() -> tuple[IO[bytes], IO[bytes]]:
    reader, writer = os.pipe()
    return os.fdopen(reader, "rb", buffering=0), os.fdopen(writer, "wb", buffering=0)
