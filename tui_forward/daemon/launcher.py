"""Connects a client to the engine process, and starts or replaces that process.

    session = await connect(kubeconfig)

Two clients that start at the same time may both start an engine process. Its lock lets one of the
two serve; the other ends, and both clients connect to the same engine.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import subprocess
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO

import msgspec

from tui_forward.common.blocking_call import run_in_thread
from tui_forward.common.bounded_file import may_exist
from tui_forward.common.child_process import (
    python_module_command,
    without_relative_python_path,
)
from tui_forward.common.user_folders import absolute_path, home_dir
from tui_forward.daemon import session_store, unix_socket
from tui_forward.daemon.engine_record import find_running_engine, unreachable_error
from tui_forward.daemon.other_engines import running_socket
from tui_forward.daemon.readiness import ReadyMessage
from tui_forward.daemon.remote_session import RemoteSession
from tui_forward.daemon.rpc_client import EngineRefusedError
from tui_forward.daemon.unix_socket import SocketLock
from tui_forward.errors import ConfigError, TransportError, UsageError
from tui_forward.model import Caller
from tui_forward.session.callers import make_caller

# Time for imports of the engine and the Kubernetes client on a slow machine with cold caches.
_READY_S = 30.0
_MAX_STDERR = 2000
# More than an engine takes to restore its socket, see `socket_guard`.
_RESTORE_S = 10.0
_POLL_S = 0.02
_ATTEMPTS = 3

_log = logging.getLogger(__name__)


async def connect(
    kubeconfig: str | None = None, *, context: str = "", socket_path: Path | None = None,
    idle_timeout_s: float = 0.0, environ: Mapping[str, str] | None = None,
    arguments: Sequence[str] = (),
) -> RemoteSession:  # fmt: skip
    """Open a session in the engine process of a kubeconfig; start the process if none is running.

    `context`, `idle_timeout_s`, `environ` and `arguments` (more of `python -m tui_forward.daemon`)
    are those of an engine that is started here; credential plugins run in `environ` for the
    requests of this session, whichever engine it is. Raise ConfigError if there is no safe folder
    for the socket, EngineRefusedError if the version or the user of the running engine differs, and
    TransportError, which quotes the engine's error, if none could be started.
    """
    environment = dict(os.environ if environ is None else environ)
    caller = make_caller(environment)
    deadline = time.monotonic() + _READY_S
    for attempt in range(1, _ATTEMPTS + 1):
        path = socket_path or await find_engine_socket(kubeconfig, environment)
        unix_socket.ensure_private_dir(path)
        if may_exist(path):
            try:
                return await RemoteSession.open(path, caller=caller)
            except EngineRefusedError:
                raise
            except TransportError as error:
                # A stale socket, or an engine that is ending: it may still hold the lock, for
                # which the new one waits.
                _log.debug("starting an engine: %s", error)
        command = _engine_command(path, kubeconfig, context, idle_timeout_s, environment)
        await _start([*command, *arguments], environment, deadline)
        try:
            return await RemoteSession.open(path, caller=caller)
        except EngineRefusedError:
            raise
        except TransportError:
            # Another client's engine served the socket and has ended since.
            if attempt == _ATTEMPTS:
                raise
    raise AssertionError("the last attempt returns or raises")


async def connect_to_running(path: Path, *, caller: Caller | None = None) -> RemoteSession | None:
    """Open a session in the engine process that serves a socket; None if none does.

    Starts nothing. `caller` is whose environment credential plugins run in, for this session. Raise
    EngineRefusedError as `connect` does, and TransportError if an engine holds the socket but does
    not respond.
    """
    try:
        return await RemoteSession.open(path, caller=caller)
    except EngineRefusedError:
        raise
    except TransportError as error:
        if isinstance(error.__cause__, TimeoutError):
            raise
        # Otherwise there is no socket, or it is stale, or its engine is ending.
    return None


async def connect_if_running(
    kubeconfig: str | None = None,
    *,
    socket_path: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> RemoteSession | None:
    """Open a session in the engine process of a kubeconfig, if one is running or should be.

    An engine that was set to keep running and is gone (it was killed a moment ago, or the machine
    was rebooted) is started again. Errors are those of `connect`.
    """
    path = socket_path or await find_engine_socket(
        kubeconfig, os.environ if environ is None else environ
    )
    caller = make_caller(os.environ if environ is None else environ)
    session = await connect_to_running(path, caller=caller)
    if session is not None:
        return session
    saved = session_store.load_latest_session(
        session_store.session_file(path), session_store.fallback_file(path)
    )
    if not (saved.keep_running and saved.forwards):
        return None
    return await connect(kubeconfig, socket_path=path, environ=environ, arguments=["--restore"])


async def replace_engine(
    kubeconfig: str | None = None,
    *,
    socket_path: Path | None = None,
    environ: Mapping[str, str] | None = None,
    arguments: Sequence[str] = (),
) -> ReadyMessage:
    """Replace the running engine process with a new one, without closing a port.

    Raise UsageError if no engine is running, TransportError if it cannot be replaced, and
    continues.
    """
    environment = dict(os.environ if environ is None else environ)
    path = socket_path or await find_engine_socket(kubeconfig, environment)
    if not may_exist(path):
        raise UsageError("no engine is running", hint="there is nothing to restart")
    command = _engine_command(path, kubeconfig, "", 0.0, environment)
    command += [*arguments, "--take-over"]
    return await _start(command, environment, time.monotonic() + _READY_S)


def engine_socket(kubeconfig: str | None, environ: Mapping[str, str]) -> Path:
    """Return the socket of the engine process of a kubeconfig."""
    return running_socket(unix_socket.default_socket_path(kubeconfig, environ))


async def find_engine_socket(kubeconfig: str | None, environ: Mapping[str, str]) -> Path:
    """Return the socket of the engine process of a kubeconfig, and wait while it is restored.

    Raise TransportError if the engine runs and its socket is not restored: a second engine could
    not bind the ports of the first.
    """
    default = unix_socket.default_socket_path(kubeconfig, environ)
    started = time.monotonic()
    while True:
        engine = find_running_engine(default)
        if engine is None or SocketLock(Path(engine.socket)).is_held():
            return running_socket(default)
        # If it was killed, its parent starts the next one.
        timeout_s = _RESTORE_S if engine.processes[0].is_running else _READY_S
        if time.monotonic() - started > timeout_s:
            raise unreachable_error(engine)
        await asyncio.sleep(_POLL_S)


def _engine_command(
    path: Path, kubeconfig: str | None, context: str, idle_timeout_s: float, environ: dict[str, str]
) -> list[str]:
    command = [*python_module_command("tui_forward.daemon"), "--detach", "--socket", str(path)]
    command += ["--idle-timeout", str(idle_timeout_s)]
    if context:
        command += ["--context", context]
    # Absolute paths, because the engine runs in another folder.
    if kubeconfig:
        command += ["--kubeconfig", str(absolute_path(kubeconfig))]
    elif environ.get("KUBECONFIG"):
        files = unix_socket.kubeconfig_files(None, environ) or (home_dir() / ".kube" / "config",)
        environ["KUBECONFIG"] = os.pathsep.join(map(str, files))
    return command


async def _start(command: list[str], environ: Mapping[str, str], deadline: float) -> ReadyMessage:
    """Start an engine process and wait until an engine serves the socket.

    Raise ConfigError if the engine reports a hint, otherwise TransportError.
    """
    try:
        # This process only forks the engine and ends, so that the engine is not a child of the
        # client and outlives it.
        process = subprocess.Popen(  # noqa: ASYNC220 - fork and exec take a few ms, once
            command,
            env=without_relative_python_path(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise TransportError(f"cannot start the engine: {error.strerror or error}") from error
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        read_line = partial(_read_line, process.stdout, process.stderr, deadline)
        line, stderr = await run_in_thread(read_line, name="engine start")
        await run_in_thread(process.wait, name="engine start")
    try:
        message = msgspec.json.decode(line, type=ReadyMessage)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        from tui_forward.common.redaction import redact

        text = stderr.decode(errors="replace").strip()[-_MAX_STDERR:]
        cause = redact(text.splitlines()[-1]) if text else "no error message"
        if not line and time.monotonic() >= deadline:
            cause = f"not ready within {_READY_S:.0f} s"
        raise TransportError(
            f"the engine did not start: {cause}",
            hint="run `python -m tui_forward.daemon` to see all its messages",
        ) from None
    if message.ready:
        return message
    if message.hint:
        raise ConfigError(message.error, hint=message.hint)
    raise TransportError(f"the engine did not start: {message.error}")


def _read_line(stdout: IO[bytes], stderr: IO[bytes], deadline: float) -> tuple[bytes, bytes]:
    """Return the first line of stdout and what stderr received until then. Blocks."""
    line, errors = bytearray(), bytearray()
    open_pipes = {stdout.fileno(): line, stderr.fileno(): errors}
    while stdout.fileno() in open_pipes and not line.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0:
            break
        readable, _, _ = select.select(list(open_pipes), [], [], left)
        for descriptor in readable:
            data = os.read(descriptor, 65536)
            if not data:
                del open_pipes[descriptor]
            open_pipes.get(descriptor, bytearray()).extend(data)
    # A process that dies closes both pipes, and its last messages may still be in stderr.
    while stderr.fileno() in open_pipes and not line:
        readable, _, _ = select.select([stderr.fileno()], [], [], 0.2)
        data = os.read(stderr.fileno(), 65536) if readable else b""
        if not data:
            break
        errors += data
    return bytes(line), bytes(errors)
