"""Commands that provide credentials: no terminal, bounded output."""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Self

from tui_forward.errors import AuthError
from tui_forward.model import ReasonCode

_log = logging.getLogger(__name__)

_MAX_STDERR_BYTES = 64 * 1024
# A child of the command may keep its pipes open after the command itself has exited.
_DRAIN_S = 0.5
# An incomplete line that stays so for this long is a prompt.
_PROMPT_S = 0.3
_MAX_LINE_BYTES = 8 * 1024

# Called with each line of stderr, and what stdout has received until then.
OnLine = Callable[[str, bytes], None]


class CompletedCommand(NamedTuple):
    """Result of a command."""

    code: int  # negative for a signal
    output: bytes  # cut at the limit
    stderr: str  # its end; may contain secrets


async def run_command(
    command: Sequence[str],
    environ: Mapping[str, str],
    *,
    what: str,
    timeout_s: float,
    output_limit: int,
    hint: str,
    has_terminal: bool = False,
    on_line: OnLine | None = None,
) -> CompletedCommand:
    """Run a command to its end. Canceling kills it and its children.

    Only the name, the duration and the exit code are logged: arguments, environment and output may
    contain secrets. `environ` is its whole environment, `what` the command in error texts,
    `output_limit` is in bytes, `hint` is the advice when it cannot be started. `on_line` gets what
    it writes to stderr while it runs, and must not raise. With `has_terminal` it has stdin and
    stderr of this process instead. AuthError: it cannot be started, or takes too long.
    """
    started = time.monotonic()
    output, stderr = bytearray(), bytearray()
    async with _Pipe() as stdout_pipe, _Pipe() as stderr_pipe:
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                env=environ,
                stdin=None if has_terminal else asyncio.subprocess.DEVNULL,
                stdout=stdout_pipe.write_fd,
                stderr=None if has_terminal else stderr_pipe.write_fd,
                # A session of its own: it has no access to the terminal and its Ctrl-C.
                start_new_session=not has_terminal,
            )
        except (OSError, ValueError) as error:  # ValueError: a null character in an argument
            reason = (error.strerror if isinstance(error, OSError) else "") or type(error).__name__
            _log.warning("%s cannot be run: %s", what, reason)
            raise AuthError(
                f"{what} cannot be run: {reason}", code=ReasonCode.AUTH_PLUGIN_FAILED, hint=hint
            ) from error
        stdout_pipe.close_write_end()
        stderr_pipe.close_write_end()
        lines = _Lines(lambda line: on_line(line, bytes(output)) if on_line else None)
        readers = [
            asyncio.create_task(_read_output(stdout_pipe.reader, output, output_limit)),
            asyncio.create_task(_read_stderr(stderr_pipe.reader, stderr, lines)),
        ]
        try:
            async with asyncio.timeout(timeout_s):
                code = await process.wait()
            await asyncio.wait(readers, timeout=_DRAIN_S)
        except TimeoutError:
            _log.warning("%s: no result after %g s", what, timeout_s)
            raise AuthError(
                f"{what} did not answer within {timeout_s:g} s",
                code=ReasonCode.AUTH_PLUGIN_FAILED,
                hint="It may be waiting for a login: run kubectl once in a terminal",
            ) from None
        finally:
            await _kill(process, with_children=not has_terminal)
            for reader in readers:
                reader.cancel()
            await asyncio.wait(readers)
        lines.flush()
    level = logging.WARNING if code else logging.DEBUG
    _log.log(level, "%s: exit code %d, %.3f s", what, code, time.monotonic() - started)
    return CompletedCommand(code, bytes(output), stderr.decode("utf-8", "replace"))


class _Pipe:
    """A pipe from a command.

    Not asyncio's: with those, `Process.wait` also waits for children that have them open.
    """

    def __init__(self) -> None:
        self.reader = asyncio.StreamReader()
        self.write_fd = -1
        self._transport: asyncio.BaseTransport | None = None

    async def __aenter__(self) -> Self:
        read_fd, self.write_fd = os.pipe()
        read_end = os.fdopen(read_fd, "rb", buffering=0)
        try:
            self._transport, _ = await asyncio.get_running_loop().connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(self.reader), read_end
            )
        except BaseException:
            read_end.close()
            self.close_write_end()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close_write_end()
        if self._transport is not None:
            self._transport.close()

    def close_write_end(self) -> None:
        """Close the end that the command has a copy of. Idempotent."""
        write_fd, self.write_fd = self.write_fd, -1
        if write_fd >= 0:
            os.close(write_fd)


class _Lines:
    """Splits what arrives in pieces into lines of bounded length."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    @property
    def has_rest(self) -> bool:
        """Whether there is an incomplete line."""
        return bool(self._rest)

    def feed(self, data: bytes) -> None:
        """Add bytes."""
        *complete, self._rest = (self._rest + self._decoder.decode(data)).split("\n")
        for line in complete:
            self._on_line(line)
        if len(self._rest) > _MAX_LINE_BYTES:
            self.flush()

    def flush(self) -> None:
        """Pass on an incomplete line."""
        rest, self._rest = self._rest, ""
        if rest:
            self._on_line(rest)


async def _read_output(stream: asyncio.StreamReader, content: bytearray, limit: int) -> None:
    """Keep the first bytes of a stream; discard the rest, so that the writer can end."""
    while chunk := await stream.read(65536):
        if len(content) < limit:
            content += chunk[: limit - len(content)]


async def _read_stderr(stream: asyncio.StreamReader, content: bytearray, lines: _Lines) -> None:
    """Keep the last bytes of a stream, and pass on its lines."""
    while True:
        try:
            async with asyncio.timeout(_PROMPT_S if lines.has_rest else None):
                chunk = await stream.read(65536)
        except TimeoutError:
            lines.flush()
            continue
        if not chunk:
            return
        content += chunk
        del content[:-_MAX_STDERR_BYTES]
        lines.feed(chunk)


async def _kill(process: asyncio.subprocess.Process, *, with_children: bool) -> None:
    """Kill a command that still runs."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if with_children:
                # Its session is its own, so this reaches no other process.
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
        # A killed process ends at once; shielded because of a possible cancellation.
        await asyncio.shield(process.wait())
