"""Processes of the program as forks of one that has imported it, which takes most of a start.

`ForkedProcess` is a `subprocess.Popen` for `python [-P] -m tui_forward…`, and for the daemon and
the embedded cluster. What such a process does, is and shows to others (streams, terminal, session,
folder, command, environment) is that of one that was started, but for the imports. One that depends
on how Python itself starts is started: on other systems than Linux, with a variable of Python or
with another encoding of texts than UTF-8.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, Final, Self

import msgspec

LENGTH_SIZE: Final = 4
STREAMS: Final = 3
_ROOT = Path(__file__).resolve().parents[2]
CLUSTER: Final = "tui_forward.minicluster"
_CLUSTER_MODULES = (CLUSTER, f"{CLUSTER}.runtime")
_MODULES = ("tui_forward", "tui_forward.daemon", *_CLUSTER_MODULES)
_COMMAND_SIZE = 4096
_ENVIRONMENT_SIZE = 32768
_LOCALE = ("LC_ALL", "LC_CTYPE", "LANG")
# Variables that make no difference after the start.
_HARMLESS = ("PYTHONDONTWRITEBYTECODE", "PYTHONIOENCODING", "PYTHONPATH", "PYTHONSAFEPATH")
_CLIENT = Path(__file__).with_name("fork_client.py")
# Python has read those of this process, and the template has them, too.
_AT_START = dict(os.environ)


class Request(msgspec.Struct):
    """A request to fork a program, after its length in bytes.

    Its standard streams come with it, unless it has a terminal. The answers are the process ID, and
    at its end the status as of `os.waitpid`.
    """

    command: Sequence[str]
    environ: Mapping[str, str]
    folder: str
    new_session: bool
    terminal: str = ""

    @property
    def module(self) -> str:
        return self.command[self.command.index("-m") + 1]

    @property
    def arguments(self) -> Sequence[str]:
        return self.command[self.command.index("-m") + 2 :]


class ForkedProcess(subprocess.Popen[Any]):
    """A process of the program, forked where that makes no difference.

    Args:
        command: The command.
        terminal: Path of the terminal that controls it and is its standard streams.
        options: Those of `subprocess.Popen`.
    """

    # Returns the socket of the template of a module.
    template: ClassVar[Callable[[str], Path] | None] = None
    _client: socket.socket | None = None

    def __init__(self, command: Sequence[str], *, terminal: str = "", **options: Any) -> None:
        self._terminal = terminal
        super().__init__(command, **options)

    def _execute_child(self, args: Any, executable: Any, preexec_fn: Any, *more: Any) -> None:
        pass_fds, folder, environ = more[1:4]
        pipes = more[7:13]
        environ = dict(os.environ if environ is None else environ)
        template = type(self).template
        if (
            template is None or executable is not None or preexec_fn is not None or pass_fds
            or not is_forkable(args, environ)
        ):  # fmt: skip
            assert not self._terminal
            super()._execute_child(args, executable, preexec_fn, *more)  # type: ignore[misc]
            return
        if not any(map(environ.get, _LOCALE)):
            environ["LC_CTYPE"] = "C.UTF-8"  # as Python does
        folder = os.fspath(folder or f"/proc/{os.getpid()}/cwd")  # which may be deleted
        request = Request(args, environ, folder, bool(more[-2]), self._terminal)
        reading, _, _, writing, _, error_writing = pipes
        streams = (reading, writing, error_writing)
        data = msgspec.json.encode(request)
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(template(request.module)))
        socket.send_fds(
            client, [len(data).to_bytes(LENGTH_SIZE, "big")],
            [number if stream < 0 else stream for number, stream in enumerate(streams)],
        )  # fmt: skip
        client.sendall(data)
        self.pid = int.from_bytes(client.recv(LENGTH_SIZE, socket.MSG_WAITALL), "big")
        self._child_created = True
        self._client = client
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        if self._client is None:
            return super()._try_wait(wait_flags)  # type: ignore[misc, no-any-return]
        if wait_flags & os.WNOHANG and not select.select([self._client], [], [], 0)[0]:
            return (0, 0)
        with self._client:
            status = int.from_bytes(self._client.recv(LENGTH_SIZE, socket.MSG_WAITALL), "big")
        return (self.pid, status)

    def _internal_poll(self, *args: Any, **options: Any) -> int | None:
        if self._client is None:
            return super()._internal_poll(*args, **options)  # type: ignore[misc, no-any-return]
        if self.returncode is None and self._waitpid_lock.acquire(False):  # type: ignore[attr-defined]
            try:
                if self.returncode is None:
                    pid, status = self._try_wait(os.WNOHANG)
                    if pid:
                        self._handle_exitstatus(status)  # type: ignore[attr-defined]
            finally:
                self._waitpid_lock.release()  # type: ignore[attr-defined]
        return self.returncode


def run(
    command: Sequence[str], *, input: str | None = None, capture_output: bool = False,  # noqa: A002
    timeout: float | None = None, check: bool = False, **options: Any,
) -> subprocess.CompletedProcess[Any]:  # fmt: skip
    """Do what `subprocess.run` does, with a `ForkedProcess`."""
    if input is not None:
        options["stdin"] = subprocess.PIPE
    if capture_output:
        options["stdout"] = options["stderr"] = subprocess.PIPE
    with ForkedProcess(command, **options) as process:
        try:
            stdout, stderr = process.communicate(input, timeout=timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(command, process.returncode, stdout, stderr)
    if check:
        done.check_returncode()
    return done


def forking_command(command: Sequence[str], mode: str) -> list[str]:
    """Return a command that forks what another would start; `mode` is that of `fork_client`."""
    template = ForkedProcess.template
    if template is None:
        return list(command)
    path = template(command[command.index("-m") + 1])
    return [sys.executable, "-ESs", str(_CLIENT), str(path), mode, *command]


def is_forkable(command: Sequence[object], environ: Mapping[str, str]) -> bool:
    """Return whether a fork of the template is what would be started."""
    words = list(command)
    if ForkedProcess.template is None:
        return False
    if words[:1] != [sys.executable] or "-m" not in words[1:3]:
        return False
    if words[words.index("-m") + 1] not in _MODULES:
        return False
    changed = {
        name for name in environ
        if name.startswith(("PYTHON", "TEXTUAL")) and name not in _HARMLESS
        and environ[name] != _AT_START.get(name)
    }  # fmt: skip
    locale = next((environ[name] for name in _LOCALE if environ.get(name)), "C.UTF-8")
    return not changed and locale.upper().replace("-", "").endswith("UTF8")


# What `launcher` needs of `subprocess`, to fork the engines that it starts.
LAUNCHING: Final = SimpleNamespace(
    Popen=ForkedProcess, PIPE=subprocess.PIPE, DEVNULL=subprocess.DEVNULL
)


class Template:
    """The processes that programs are forked from; a context manager that ends them.

    There is one for the embedded cluster, which imports gRPC, and one for all other programs.
    """

    def __init__(self) -> None:
        self._undo = contextlib.ExitStack()
        self._sockets: dict[bool, Path] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def socket(self, module: str) -> Path:
        """Return the path of the socket for a module, after starting its process the first time."""
        is_cluster = module in _CLUSTER_MODULES
        if is_cluster not in self._sockets:
            folder = Path(self._undo.enter_context(tempfile.TemporaryDirectory(prefix="tft-")))
            path = self._sockets[is_cluster] = folder / "socket"
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(str(path))
                listener.listen()
                process = self._undo.enter_context(
                    self._start(listener.fileno(), CLUSTER if is_cluster else module, folder)
                )
            assert process.stdin is not None
            self._undo.enter_context(process.stdin)
        return self._sockets[is_cluster]

    def _start(self, listener: int, module: str, folder: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", "-m", "tests.support.program_template", str(listener)]
        filler = {"FILLER": "-" * _ENVIRONMENT_SIZE, "LC_ALL": "C.UTF-8", "PYTHONPATH": str(_ROOT)}
        if module == CLUSTER:  # OpenSSL reads its configuration when it is loaded
            from tui_forward.minicluster.supervisor import OPENSSL_CONF  # imports cryptography

            (folder / "openssl.cnf").write_text(OPENSSL_CONF)
            filler["OPENSSL_CONF"] = str(folder / "openssl.cnf")
        return subprocess.Popen(
            [*command, module, "-" * _COMMAND_SIZE], env={**_AT_START, **filler},
            pass_fds=[listener], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
            start_new_session=True, cwd="/",
        )  # fmt: skip
