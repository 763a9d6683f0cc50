"""Running somebody else's command for credentials: no terminal, bounded output, bounded time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from tui_forward.errors import AuthError

_MAX_COMPLAINT_BYTES = 64 * 1024


class CompletedCommand(NamedTuple):
    """What a command left behind.

    Attributes:
        code: Exit code, negative for a signal.
        output: Standard output, cut at the limit.
        complaint: Standard error, cut at a limit; may hold secrets.
    """

    code: int
    output: bytes
    complaint: str


async def run_command(
    command: Sequence[str],
    environ: Mapping[str, str],
    *,
    what: str,
    timeout_s: float,
    output_limit: int,
    hint: str,
) -> CompletedCommand:
    """Run a command to its end. Cancelling kills it and everything it started.

    Args:
        command: Program and arguments.
        environ: Its whole environment.
        what: The command in words, for errors.
        timeout_s: How long it may run.
        output_limit: How much of its output is kept.
        hint: What to do when it cannot be started.

    Raises:
        AuthError: It cannot be started, or takes too long.
    """
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            # A session of its own: the terminal and its Ctrl-C are not the command's.
            start_new_session=os.name == "posix",
        )
    except NotImplementedError:
        # asyncio's selector loop on Windows, which the rest of the program needs there.
        return await _run_in_thread(command, environ, what, timeout_s, output_limit, hint)
    except OSError as error:
        raise AuthError(f"{what} cannot be run: {error.strerror or error}", hint=hint) from error
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(timeout_s):
            output, complaint = await asyncio.gather(
                _bounded(process.stdout, output_limit),
                _bounded(process.stderr, _MAX_COMPLAINT_BYTES),
            )
            code = await process.wait()
    except TimeoutError:
        raise _too_slow(what, timeout_s) from None
    finally:
        await _end(process)
    return CompletedCommand(code, output, complaint.decode("utf-8", "replace"))


async def _run_in_thread(
    command: Sequence[str],
    environ: Mapping[str, str],
    what: str,
    timeout_s: float,
    output_limit: int,
    hint: str,
) -> CompletedCommand:
    """The same where asyncio has no subprocesses: a thread waits for the command."""
    try:
        process = subprocess.Popen(  # noqa: ASYNC220 - there is nothing else here
            command,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except OSError as error:
        raise AuthError(f"{what} cannot be run: {error.strerror or error}", hint=hint) from error
    waiting = asyncio.create_task(asyncio.to_thread(process.communicate))
    try:
        done, _ = await asyncio.wait({waiting}, timeout=timeout_s)
        if not done:
            raise _too_slow(what, timeout_s)
        output, complaint = waiting.result()
    finally:
        if process.poll() is None:
            process.kill()
        # Its pipes end with it, and so does the thread.
        await asyncio.shield(asyncio.wait({waiting}))
    limited = complaint[:_MAX_COMPLAINT_BYTES].decode("utf-8", "replace")
    return CompletedCommand(process.returncode, output[:output_limit], limited)


def _too_slow(what: str, timeout_s: float) -> AuthError:
    return AuthError(
        f"{what} did not answer within {timeout_s:g} s",
        hint="It may be waiting for a login: run kubectl once in a terminal",
    )


async def _bounded(stream: asyncio.StreamReader, limit: int) -> bytes:
    """What a stream says up to a limit; the rest is read and dropped, so the writer can end."""
    kept = bytearray()
    while chunk := await stream.read(65536):
        if len(kept) < limit:
            kept += chunk[: limit - len(kept)]
    return bytes(kept)


async def _end(process: asyncio.subprocess.Process) -> None:
    """Make sure the command is gone, whatever ended the wait for it."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if os.name == "posix":
                # Its session is its own, so this reaches what it started and nothing else.
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
        # A killed process ends at once; shielded, since we may be under cancellation.
        await asyncio.shield(process.wait())
    # A grandchild may hold the pipes open; their transport must not outlive us.
    transport: asyncio.SubprocessTransport | None = getattr(process, "_transport", None)
    if transport is not None:
        transport.close()
