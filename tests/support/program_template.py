"""The process that `forked_program` forks programs from: it has imported what they need.

`python -P -m tests.support.program_template DESCRIPTOR MODULE FILLER` serves requests on a socket
that listens, until the process that started it has ended or closed its stdin. One thread and no
event loop: only then is a fork safe. MODULE is one of the programs. The argument and the variable
FILLER are space for the commands and environments of programs, which other processes read.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import os
import selectors
import signal
import socket
import struct
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from tests.support.forked_cluster import exit_at_once, start_server
from tests.support.forked_program import (
    CLUSTER,
    LAUNCHING,
    LENGTH_SIZE,
    STREAMS,
    ForkedProcess,
    Request,
)
from tui_forward.daemon import launcher
from tui_forward.minicluster import fork_server_client

_PACKAGE: Final = Path(__file__).parents[2] / "tui_forward"
# Programs that are forked do not use these parts, which import large libraries.
_LEFT_OUT = frozenset(
    {"api", "commands/demo.py", "commands/mcp.py", "demo", "mcp", "minicluster",
     "official_client.py"}
)  # fmt: skip
_CLUSTER_MODULES = (
    "encodings.idna", "grpc._utilities", "uvloop", f"{CLUSTER}.__main__", f"{CLUSTER}.fork_server",
)  # fmt: skip
# What the program imports where it needs it.
_LIBRARIES = (
    "aiohttp", "encodings.idna", "psutil", "ruamel.yaml", "uvloop", "watchfiles", "yaml",
)  # fmt: skip
_READ_SIZE: Final = 65536


class _Template:
    """Forks programs on request, and reports their process IDs and exits."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._wakeup, self._wakeup_writer = socket.socketpair()
        self._wakeup.setblocking(False)
        self._wakeup_writer.setblocking(False)
        self._clients: dict[int, socket.socket] = {}  # by the process that each waits for

    def run(self) -> Request | None:
        """Serve until the end of stdin, then return None; in a forked process, its request."""
        signal.set_wakeup_fd(self._wakeup_writer.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        gc.collect()
        gc.freeze()
        with selectors.DefaultSelector() as selector:
            for readable in (self._wakeup, self._listener, sys.stdin.fileno()):
                selector.register(readable, selectors.EVENT_READ)
            while True:
                ready = [key.fileobj for key, _ in selector.select()]
                if self._wakeup in ready:
                    self._wakeup.recv(_READ_SIZE)
                    self._report_exits()
                if self._listener in ready and (request := self._serve()) is not None:
                    return request
                if sys.stdin.fileno() in ready:
                    return None

    def _serve(self) -> Request | None:
        """Fork a program for the next client; return the request in the program only."""
        client, _ = self._listener.accept()
        length, descriptors, *_ = socket.recv_fds(client, LENGTH_SIZE, STREAMS)
        data = client.recv(int.from_bytes(length, "big"), socket.MSG_WAITALL)
        pid = os.fork()
        if pid:
            for descriptor in descriptors:
                os.close(descriptor)
            self._clients[pid] = client
            return None
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _enter_mounts(client)
        for sock in (self._listener, self._wakeup, self._wakeup_writer, *self._clients.values()):
            sock.close()
        request = msgspec.json.decode(data, type=Request)
        _become(request, descriptors)
        with client:
            client.sendall(os.getpid().to_bytes(LENGTH_SIZE, "big"))
        return request

    def _report_exits(self) -> None:
        for pid in list(self._clients):
            exited, status = os.waitpid(pid, os.WNOHANG)
            if exited:
                with self._clients.pop(pid) as client, contextlib.suppress(OSError):
                    client.sendall(status.to_bytes(LENGTH_SIZE, "big"))


def _enter_mounts(client: socket.socket) -> None:
    """See the file systems that a client sees; those of `unshare -m` are its own."""
    credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, _, _ = struct.unpack("3i", credentials)
    mounts = Path(f"/proc/{pid}/ns/mnt")
    if not mounts.samefile("/proc/self/ns/mnt"):
        with mounts.open() as file:
            error = ctypes.CDLL(None, use_errno=True).setns(file.fileno(), 0)
        assert error == 0, os.strerror(ctypes.get_errno())


def _become(request: Request, descriptors: Sequence[int]) -> None:
    """Take over streams, session, terminal, folder, environment and command of a program."""
    if request.new_session or request.terminal:
        os.setsid()
    if request.terminal:  # the first that a session leader opens controls it
        descriptors = [os.open(request.terminal, os.O_RDWR), *descriptors]
        descriptors[1:1] = [descriptors[0], descriptors[0]]
    for number, descriptor in enumerate(descriptors[:STREAMS]):
        os.dup2(descriptor, number)
    for descriptor in set(descriptors):
        os.close(descriptor)
    os.chdir(request.folder)
    _replace_environment_and_command(request)
    encoding, _, errors = request.environ.get("PYTHONIOENCODING", "").partition(":")
    errors = errors or ("strict" if encoding else "")
    # As Python does: lines of stderr are buffered, those of the others where there is a terminal.
    for name, mode, buffering in (("stdin", "r", -1), ("stdout", "w", -1), ("stderr", "w", 1)):
        old = getattr(sys, name)
        wanted = "" if name == "stderr" else errors
        file = open(  # noqa: SIM115
            old.fileno(), mode, buffering, encoding or old.encoding, wanted or old.errors,
            closefd=False,
        )  # fmt: skip
        setattr(sys, name, file)
        setattr(sys, f"__{name}__", file)


def _replace_environment_and_command(request: Request) -> None:
    os.environ.clear()
    os.environ.update(request.environ)
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    # The first of these fields is the third in proc(5).
    command_start, command_end, environ_start, environ_end = map(int, fields[45:49])
    # With another last byte than 0, this is a title: one string.
    _write(command_start, command_end, " ".join(request.command), end_bytes=b"\0.")
    variables = "\0".join(f"{name}={value}" for name, value in request.environ.items())
    _write(environ_start, environ_end, variables, end_bytes=b"\0\0")


def _write(start: int, end: int, text: str, *, end_bytes: bytes) -> None:
    """Write text and the last bytes of a part of the memory."""
    size = end - start - len(end_bytes)
    data = os.fsencode(text)
    assert len(data) <= size, f"{len(data)} bytes do not fit into {size}"
    ctypes.memmove(start, data.ljust(size, b"\0") + end_bytes, end - start)


def _modules() -> Iterator[str]:
    """Yield the modules of the program, which imports most of them at its start."""
    for path in _PACKAGE.rglob("[a-z_]*.py"):
        name = path.relative_to(_PACKAGE.parent).with_suffix("")
        if not _LEFT_OUT.intersection((*name.parts, path.name, f"{path.parent.name}/{path.name}")):
            yield ".".join(name.parts).removesuffix(".__init__")


def main() -> int:
    """Run the template, and in its forks a program; return the exit code."""
    is_cluster = sys.argv[2] == CLUSTER
    for module in _CLUSTER_MODULES if is_cluster else (*_LIBRARIES, *_modules()):
        with contextlib.suppress(ModuleNotFoundError):  # uvloop
            importlib.import_module(module)
    listener = socket.socket(fileno=int(sys.argv[1]))
    path = Path(listener.getsockname())
    ForkedProcess.template = lambda _: path
    vars(launcher)["subprocess"] = LAUNCHING
    vars(fork_server_client)["start_server"] = start_server
    request = _Template(listener).run()
    if request is None:
        return 0
    program = importlib.import_module(f"{request.module}.__main__")
    sys.argv = [str(program.__file__), *request.arguments]
    try:
        code = program.main()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    exit_at_once(code)
    return code


if __name__ == "__main__":
    sys.exit(main())
