"""Commands that provide credentials: no terminal, bounded output, bounded time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tui_forward.errors import AuthError
from tui_forward.model import ReasonCode

_log = logging.getLogger(__name__)

_MAX_STDERR_BYTES = 64 * 1024


class CompletedCommand(NamedTuple):
    """Result of a command."""

    code: int  # negative for a signal
    output: bytes  # cut at the limit
    stderr: str  # cut at a limit; may contain secrets


def find_executable(command: str, path: str | None) -> str | None:
    """Return the path of a command, looked up in absolute folders of a PATH only; None if absent.

    Like Go's exec.LookPath: nothing is run from the current folder.
    """
    if os.sep in command and not Path(command).is_absolute():
        return None
    folders = (path or os.defpath).split(os.pathsep)
    safe_path = os.pathsep.join(folder for folder in folders if Path(folder).is_absolute())
    return shutil.which(command, path=safe_path)


async def run_command(
    command: Sequence[str],
    environ: Mapping[str, str],
    *,
    what: str,
    timeout_s: float,
    output_limit: int,
    hint: str,
) -> CompletedCommand:
    """Run a command to its end. Canceling kills it and its children.

    Only the name, the duration and the exit code are logged: arguments, environment and output may
    contain secrets. `environ` is its whole environment, `what` the command in error texts,
    `output_limit` is in bytes, `hint` is the advice when it cannot be started. AuthError: it cannot
    be started, or takes too long.
    """
    started = time.monotonic()
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            # A session of its own: it has no access to the terminal and its Ctrl-C.
            start_new_session=True,
        )
    except (OSError, ValueError) as error:  # ValueError: a null character in an argument
        reason = (error.strerror if isinstance(error, OSError) else "") or type(error).__name__
        _log.warning("%s cannot be run: %s", what, reason)
        raise AuthError(
            f"{what} cannot be run: {reason}", code=ReasonCode.AUTH_PLUGIN_FAILED, hint=hint
        ) from error
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(timeout_s):
            output, stderr = await asyncio.gather(
                _read_bounded(process.stdout, output_limit),
                _read_bounded(process.stderr, _MAX_STDERR_BYTES),
            )
            code = await process.wait()
    except TimeoutError:
        _log.warning("%s: no result after %g s", what, timeout_s)
        raise AuthError(
            f"{what} did not answer within {timeout_s:g} s",
            code=ReasonCode.AUTH_PLUGIN_FAILED,
            hint="It may be waiting for a login: run kubectl once in a terminal",
        ) from None
    finally:
        await _kill(process)
    level = logging.WARNING if code else logging.DEBUG
    _log.log(level, "%s: exit code %d, %.3f s", what, code, time.monotonic() - started)
    return CompletedCommand(code, output, stderr.decode("utf-8", "replace"))


async def _read_bounded(stream: asyncio.StreamReader, limit: int) -> bytes:
    """Return the first bytes of a stream; discard the rest, so that the writer can end."""
    content = bytearray()
    while chunk := await stream.read(65536):
        if len(content) < limit:
            content += chunk[: limit - len(content)]
    return bytes(content)


async def _kill(process: asyncio.subprocess.Process) -> None:
    """Kill a command that still runs, and its children."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            # Its session is its own, so this reaches its children and no other process.
            os.killpg(process.pid, signal.SIGKILL)
        # A killed process ends at once; shielded because of a possible cancellation.
        await asyncio.shield(process.wait())
    # A grandchild may hold the pipes open; their transport must be closed.
    transport: asyncio.SubprocessTransport | None = getattr(process, "_transport", None)
    if transport is not None:
        transport.close()
