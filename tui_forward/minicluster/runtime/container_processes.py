"""Processes of containers: forked from the shim, with their logs and exit codes.

Logs are in the CRI's format, `<time> <stream> <F|P> <text>` per line; the kubelet reads them. A
log is bounded: at `MAX_LOG_BYTES` the file is renamed to `<name>.old`, replacing an older one.
"""

from __future__ import annotations

import contextlib
import functools
import os
import selectors
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, NoReturn

from tui_forward.minicluster.runtime import netns
from tui_forward.minicluster.runtime.apps import registry
from tui_forward.minicluster.runtime.apps.context import AppContext
from tui_forward.minicluster.runtime.shim_protocol import Container, StartContainer

MAX_LOG_BYTES = 4 * 1024 * 1024
MAX_LINE = 16 * 1024


class ContainerProcesses:
    """The running containers of a node."""

    def __init__(
        self, selector: selectors.BaseSelector, on_change: Callable[[Container], None]
    ) -> None:
        self._selector = selector
        self._on_change = on_change
        self._containers: dict[int, Container] = {}
        self._logs: dict[str, LogWriter] = {}
        self._pipes: dict[str, tuple[_Pipe, ...]] = {}
        # Where the kernel has no death signal, containers detect the end of the shim by the end
        # of this pipe.
        self._lifeline = os.pipe()

    def start(
        self,
        container: Container,
        request: StartContainer,
        context: AppContext,
        namespace: int | None,
    ) -> None:
        """Start the process of a container."""
        out, err, status = os.pipe(), os.pipe(), os.pipe()
        pid = os.fork()
        if pid == 0:
            self._run_app(request.app, context, namespace, out[1], err[1], status[1])
        for _, writer in (out, err, status):
            os.close(writer)
        container.pid = pid
        container.started_at = time.time_ns()
        self._containers[pid] = container
        log = self._logs[container.id] = LogWriter(container.log_path)
        self._pipes[container.id] = (
            _Pipe(self._selector, out[0], functools.partial(log.write, "stdout")),
            _Pipe(self._selector, err[0], functools.partial(log.write, "stderr")),
            _Pipe(self._selector, status[0], functools.partial(self._update_status, container)),
        )
        self._on_change(container)

    def _run_app(
        self,
        app: str,
        context: AppContext,
        namespace: int | None,
        stdout: int,
        stderr: int,
        status: int,
    ) -> NoReturn:
        """Run the application in the forked process, and exit."""
        code = 70
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            if namespace is not None:
                netns.enter(namespace)
            stdin = os.open(os.devnull, os.O_RDONLY)
            os.dup2(stdin, 0)
            os.dup2(stdout, 1)
            os.dup2(stderr, 2)
            lifeline = self._lifeline[0]
            low, high = sorted((status, lifeline))
            os.closerange(3, low)
            os.closerange(low + 1, high)
            os.closerange(high + 1, os.sysconf("SC_OPEN_MAX"))
            code = registry.run(app, context, status=status, lifeline=lifeline)
        except BaseException as error:  # noqa: BLE001 - no code of the shim may run in here
            with contextlib.suppress(OSError):
                os.write(2, f"{app}: {error!r}\n".encode())
        finally:
            os._exit(code)

    def _update_status(self, container: Container, data: bytes) -> None:
        """Apply what an application reports: the addresses of its ports, and that it is ready."""
        for line in data.decode().splitlines():
            words = line.split()
            if words == ["ready"]:
                container.ready = True
            elif words == ["out-of-memory"]:
                container.reason = "OOMKilled"
            elif len(words) == 3:
                container.listening[int(words[0])] = (words[1], int(words[2]))
        self._on_change(container)

    def send_signal(self, container: Container, number: int) -> None:
        """Signal the process group of a container; no effect if it has exited."""
        if container.pid <= 0:
            return
        with contextlib.suppress(ProcessLookupError):
            try:
                os.killpg(container.pid, number)
            except ProcessLookupError:  # the process has not created its group yet
                os.kill(container.pid, number)

    def kill(self, container: Container) -> None:
        """Kill a running container and wait until it has exited."""
        pid = container.pid
        self.send_signal(container, signal.SIGKILL)
        try:
            _, status = os.waitpid(pid, 0)
        except ChildProcessError:
            status = 0
        self._handle_exit(pid, status)

    def kill_all(self) -> None:
        """Kill all running containers and wait until they have exited."""
        running = list(self._containers.values())
        for container in running:
            self.send_signal(container, signal.SIGKILL)
        for container in running:
            self.kill(container)

    def reap(self) -> None:
        """Collect the exit codes of containers that have exited."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._handle_exit(pid, status)

    def _handle_exit(self, pid: int, status: int) -> None:
        container = self._containers.pop(pid, None)
        if container is None:
            return
        # Processes it forked are killed too, as all processes of a container with its init.
        with contextlib.suppress(OSError):
            os.killpg(pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(status)
        container.pid = 0
        container.ready = False
        container.listening = {}
        container.finished_at = time.time_ns()
        container.exit_code = code if code >= 0 else 128 - code
        for pipe in self._pipes.pop(container.id, ()):
            while pipe.read():
                pass
            pipe.close()
        log = self._logs.pop(container.id, None)
        if log is not None:
            log.close()
        self._on_change(container)


class _Pipe:
    """The read end of a pipe from a container."""

    def __init__(
        self, selector: selectors.BaseSelector, descriptor: int, on_data: Callable[[bytes], None]
    ) -> None:
        os.set_blocking(descriptor, False)
        self._selector = selector
        self._descriptor = descriptor
        self._on_data = on_data
        self._closed = False
        selector.register(descriptor, selectors.EVENT_READ, self.read)

    def read(self) -> bool:
        """Read once; return False when nothing is left now or ever."""
        # The selector may have reported the pipe before it was closed.
        if self._closed:
            return False
        try:
            data = os.read(self._descriptor, 65536)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if data:
            self._on_data(data)
            return True
        self.close()
        return False

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._selector.unregister(self._descriptor)
            os.close(self._descriptor)


def _timestamp(at_ns: int) -> bytes:
    """Return RFC 3339 with nanoseconds, as Go writes it."""
    seconds, rest = divmod(at_ns, 1_000_000_000)
    stamp = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{stamp}.{rest:09d}Z".encode()


class LogWriter:
    """Log of one container."""

    def __init__(self, path: str) -> None:
        self._path = Path(path) if path else None
        self._file: BinaryIO | None = None
        self._size = 0
        self._partial: dict[str, bytes] = {}
        self._open()

    def _open(self) -> None:
        if self._path is None:
            return
        # A log that cannot be opened must not end the container.
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("ab", buffering=0)
            self._size = os.fstat(self._file.fileno()).st_size

    def write(self, stream: str, data: bytes) -> None:
        """Write output in any chunks; `stream` is "stdout" or "stderr"."""
        *lines, rest = (self._partial.get(stream, b"") + data).split(b"\n")
        stamp = _timestamp(time.time_ns()) + b" " + stream.encode()
        out = [stamp + b" F " + line + b"\n" for line in lines]
        while len(rest) > MAX_LINE:
            out.append(stamp + b" P " + rest[:MAX_LINE] + b"\n")
            rest = rest[MAX_LINE:]
        self._partial[stream] = rest
        self._append(b"".join(out))

    def close(self) -> None:
        """Write unfinished lines and close the file."""
        for stream, rest in self._partial.items():
            if rest:
                stamp = _timestamp(time.time_ns()) + b" " + stream.encode()
                self._append(stamp + b" F " + rest + b"\n")
        self._partial.clear()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _append(self, data: bytes) -> None:
        if self._file is None or not data:
            return
        # On a full disk, lines are lost and the container continues.
        with contextlib.suppress(OSError):
            self._file.write(data)
            self._size += len(data)
            if self._size > MAX_LOG_BYTES and self._path is not None:
                self._file.close()
                self._file = None
                self._path.replace(self._path.with_name(self._path.name + ".old"))
                self._open()
