"""How a front end comes by its session: connect to the engine process, or start one.

    session = await connect(kubeconfig)

Two front ends that start at once may both start an engine process; the lock lets one of
them serve, the other ends, and both front ends connect to the same.
"""

from __future__ import annotations

import asyncio
import logging
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import msgspec

from tui_forward.daemon import session_store as session_store
from tui_forward.daemon import unix_socket as unix_socket
from tui_forward.daemon.remote_session import EngineRefusedError, RemoteSession
from tui_forward.errors import ConfigError, TransportError, UsageError
from tui_forward.session import Session

# Imports of the engine and the Kubernetes client on a slow, cold machine.
_READY_S = 30.0
_LONGEST_COMPLAINT = 2000
_ATTEMPTS = 3

_log = logging.getLogger(__name__)


class ReadyMessage(msgspec.Struct, omit_defaults=True):
    """The one line an engine process prints, as JSON, before it lets go of its output.

    Attributes:
        ready: It serves, or another one does already.
        pid: The process.
        staying: Connections that stay with the engine whose place it has taken.
        error: Why it cannot serve.
        hint: What to do about it.
    """

    ready: bool
    pid: int = 0
    staying: int = 0
    error: str = ""
    hint: str = ""


async def connect(
    kubeconfig: str | None = None,
    *,
    context: str = "",
    socket_path: Path | None = None,
    idle_timeout_s: float = 0.0,
    environ: Mapping[str, str] | None = None,
    arguments: Sequence[str] = (),
) -> Session:
    """A session in the engine process for a kubeconfig; starts the process if none runs.

    Where there are no unix sockets (Windows), a session in this process.

    Args:
        kubeconfig: `--kubeconfig`; default: as kubectl.
        context: What counts as the current context of an engine that is started here.
        socket_path: Where the engine listens; default: one place per kubeconfig.
        idle_timeout_s: How long an engine that is started here goes on without front ends.
        environ: Its environment; default: this process's.
        arguments: More arguments for `python -m tui_forward.daemon`.

    Raises:
        ConfigError: There is no safe place for the socket.
        EngineRefusedError: The engine that runs is of another version.
        TransportError: No engine could be started, with what it said.
    """
    if sys.platform == "win32":
        from tui_forward.session.local import LocalSession

        return LocalSession(kubeconfig, context=context)
    environment = dict(os.environ if environ is None else environ)
    path = socket_path or unix_socket.default_socket_path(kubeconfig, environment)
    unix_socket.ensure_private_dir(path)
    deadline = time.monotonic() + _READY_S
    for attempt in range(1, _ATTEMPTS + 1):
        if path.exists():
            try:
                return await RemoteSession.open(path)
            except EngineRefusedError:
                raise
            except TransportError as error:
                # A socket that was left behind, or an engine that is just ending: it may
                # still hold the lock, and the new one waits for that.
                _log.debug("starting an engine: %s", error)
        command = _command(path, kubeconfig, context, idle_timeout_s, environment)
        await _start([*command, *arguments], environment, deadline)
        try:
            return await RemoteSession.open(path)
        except EngineRefusedError:
            raise
        except TransportError:
            # It was another front end's engine and has ended since. Seldom, and not for long.
            if attempt == _ATTEMPTS:
                raise
    raise AssertionError("the last attempt returns or raises")


async def connect_if_running(
    kubeconfig: str | None = None,
    *,
    socket_path: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> RemoteSession | None:
    """A session in the engine process for a kubeconfig, if one runs or should.

    One whose forwards were to go on, and which is not there (it was killed a moment ago, or the
    machine was started anew), is begun again.

    Args:
        kubeconfig: `--kubeconfig`; default: as kubectl.
        socket_path: Where the engine listens; default: one place per kubeconfig.
        environ: What says where that is; default: this process's.

    Raises:
        ConfigError: There is no safe place for the socket.
        EngineRefusedError: The engine that runs is of another version.
        TransportError: It does not answer, or cannot be begun again.
    """
    if sys.platform == "win32":
        return None
    path = socket_path or unix_socket.default_socket_path(
        kubeconfig, os.environ if environ is None else environ
    )
    try:
        if path.exists():
            return await RemoteSession.open(path)
    except EngineRefusedError:
        raise
    except TransportError as error:
        if isinstance(error.__cause__, TimeoutError):
            raise  # one is there, and does not answer
        # Else it is a socket that was left behind, or an engine that is just ending.
    before = session_store.load_session(session_store.session_file(path))
    if not (before.keep_running and before.forwards):
        return None
    session = await connect(kubeconfig, socket_path=path, environ=environ, arguments=["--resume"])
    assert isinstance(session, RemoteSession)
    return session


def _command(
    path: Path, kubeconfig: str | None, context: str, idle_timeout_s: float, environ: dict[str, str]
) -> list[str]:
    command = [sys.executable, "-m", "tui_forward.daemon", "--detach", "--socket", str(path)]
    command += ["--idle-timeout", str(idle_timeout_s)]
    if context:
        command += ["--context", context]
    # The engine lives in another folder: relative names must not change their meaning.
    if kubeconfig:
        command += ["--kubeconfig", str(Path(kubeconfig).expanduser().absolute())]
    elif environ.get("KUBECONFIG"):
        files = unix_socket.kubeconfig_files(None, environ) or (Path.home() / ".kube" / "config",)
        environ["KUBECONFIG"] = os.pathsep.join(map(str, files))
    return command


async def replace_engine(
    kubeconfig: str | None = None,
    *,
    socket_path: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> ReadyMessage:
    """Put a new engine process in the place of the one that runs; no port is closed in between.

    Args:
        kubeconfig: `--kubeconfig`; default: as kubectl.
        socket_path: Where the engine listens; default: one place per kubeconfig.
        environ: The new one's environment; default: this process's.

    Raises:
        UsageError: None runs.
        TransportError: It cannot be replaced; it goes on.
    """
    environment = dict(os.environ if environ is None else environ)
    path = socket_path or unix_socket.default_socket_path(kubeconfig, environment)
    if sys.platform == "win32" or not path.exists():
        raise UsageError("no engine runs", hint="there is nothing to begin anew")
    command = _command(path, kubeconfig, "", 0.0, environment)
    return await _start([*command, "--take-over"], environment, time.monotonic() + _READY_S)


async def _start(command: list[str], environ: Mapping[str, str], deadline: float) -> ReadyMessage:
    """Start an engine process and wait until somebody serves the socket.

    Raises:
        ConfigError: As it says.
        TransportError: It did not come up.
    """
    try:
        # The process that is started here only makes the engine and ends, so that the
        # engine is nobody's child and outlives this process or not, as it sees fit.
        process = subprocess.Popen(  # noqa: ASYNC220 - fork and exec: a few ms, once
            command,
            env=dict(environ),
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
        said, complained = await asyncio.to_thread(
            _read_line, process.stdout, process.stderr, deadline
        )
        await asyncio.to_thread(process.wait)
    try:
        readiness = msgspec.json.decode(said, type=ReadyMessage)
    except (msgspec.DecodeError, UnicodeDecodeError):
        text = complained.decode(errors="replace").strip()[-_LONGEST_COMPLAINT:]
        last = text.splitlines()[-1] if text else "it said nothing"
        if not said and time.monotonic() >= deadline:
            last = f"it was not ready within {_READY_S:.0f} s"
        raise TransportError(
            f"the engine did not start: {last}",
            hint="run `python -m tui_forward.daemon` to see everything it says",
        ) from None
    if readiness.ready:
        return readiness
    if readiness.hint:
        raise ConfigError(readiness.error, hint=readiness.hint)
    raise TransportError(f"the engine did not start: {readiness.error}")


def _read_line(out: IO[bytes], err: IO[bytes], deadline: float) -> tuple[bytes, bytes]:
    """The first line of one pipe and what came through the other until then; blocks."""
    line, complaints = bytearray(), bytearray()
    open_pipes = {out.fileno(): line, err.fileno(): complaints}
    while out.fileno() in open_pipes and not line.endswith(b"\n"):
        left = deadline - time.monotonic()
        if left <= 0:
            break
        readable, _, _ = select.select(list(open_pipes), [], [], left)
        for descriptor in readable:
            data = os.read(descriptor, 65536)
            if not data:
                del open_pipes[descriptor]
            open_pipes.get(descriptor, bytearray()).extend(data)
    # A process that dies closes both: take the rest of what it had to say.
    while err.fileno() in open_pipes and not line:
        readable, _, _ = select.select([err.fileno()], [], [], 0.2)
        data = os.read(err.fileno(), 65536) if readable else b""
        if not data:
            break
        complaints += data
    return bytes(line), bytes(complaints)
