"""Lines on stdout and stderr, written so that a slow or absent reader does no harm.

A forward runs in the same event loop that reports on it. A suspended terminal or a pipe that is
not read blocks a write forever, so a thread writes, and its queue is bounded. Lines that cannot
be written (the reader has gone, the disk is full) are dropped: forwards outlive their output.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from tui_forward.common.ascii_symbols import REPLACE_SYMBOLS
from tui_forward.common.printable import one_line
from tui_forward.errors import TuiForwardError

if TYPE_CHECKING:
    import asyncio

_MAX_LINES = 10_000
_FLUSH_S = 1.0
# How long a line about a connection may wait for others. Each write takes the interpreter from the
# data path, which costs a sixth of the time of a connect.
_BATCH_S = 0.01

Write = Callable[[bytes], None]


def has_terminal() -> bool:
    """Return whether stdin and stdout are a terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def use_color(stream: TextIO) -> bool:
    """Return whether output to a stream has colors (https://no-color.org)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


def supports_unicode(stream: TextIO) -> bool:
    """Return whether a stream can show ticks, bars and box lines."""
    try:
        "✓✗─│↓↑●".encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return os.environ.get("TERM") != "linux"


def style(text: str, code: str, *, color: bool) -> str:
    """Return text in an SGR style ("1;31"), or unchanged without color."""
    return f"\x1b[{code}m{text}\x1b[0m" if color else text


def error_lines(error: TuiForwardError, *, color: bool = False) -> list[str]:
    """Return the lines that show an error: its message, and its hint if it has one."""
    lines = [f"{style('error:', '1;31', color=color)} {one_line(error.message)}"]
    if error.hint:
        lines.append(f"{style('hint:', '1', color=color)}  {one_line(error.hint)}")
    return lines


def print_error(error: TuiForwardError) -> None:
    """Print an error on stderr."""
    try:
        for line in error_lines(error, color=use_color(sys.stderr)):
            print(line, file=sys.stderr)  # noqa: T201 - the command line's messages
        sys.stderr.flush()
    except OSError:
        return  # stderr is closed


def fd_writer(fd: int) -> Write:
    """Return a function that writes bytes to a file descriptor.

    It bypasses `sys.stdout`, because a daemon thread that is blocked while it holds the lock of
    `sys.stdout` aborts the interpreter at exit.
    """

    def write(data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(fd, view) :]
            except BlockingIOError:  # a process that shares the pipe made it non-blocking
                select.select([], [fd], [])

    return write


def _encoding(stream: TextIO | None) -> str:
    return getattr(stream, "encoding", None) or "utf-8"


class Output:
    """Writes lines to stdout and stderr in order, from its own thread.

    The queue for a slow reader has `max_lines`; the oldest lines are dropped.
    """

    def __init__(
        self, stdout: Write | None = None, stderr: Write | None = None, *,
        max_lines: int = _MAX_LINES,
    ) -> None:  # fmt: skip
        self._writers = {True: stdout or fd_writer(1), False: stderr or fd_writer(2)}
        self._encodings = {True: _encoding(sys.stdout), False: _encoding(sys.stderr)}
        self._lines: deque[tuple[bool, bytes]] = deque(maxlen=max_lines)
        self._wake = threading.Condition()
        self._closed = False
        self._batch_timer: asyncio.TimerHandle | None = None
        self._thread = threading.Thread(target=self._run, name="output", daemon=True)
        self._thread.start()

    def out(self, line: str | bytes) -> None:
        """Write one line to stdout. Never blocks."""
        self._put(True, line)

    def out_soon(self, line: str | bytes) -> None:
        """Write one line to stdout in a moment, together with others; for a running event loop.

        In order with all other lines, and not later than the next one of `out` or `err`.
        """
        self._append(True, line)
        if self._batch_timer is None:
            import asyncio  # `--help` imports this module

            self._batch_timer = asyncio.get_running_loop().call_later(_BATCH_S, self._write_batch)

    def err(self, line: str) -> None:
        """Write one line to stderr. Never blocks."""
        self._put(False, line)

    def _put(self, is_data: bool, line: str | bytes) -> None:
        self._append(is_data, line)
        with self._wake:
            self._wake.notify_all()

    def _append(self, is_data: bool, line: str | bytes) -> None:
        if isinstance(line, str):
            line = line.encode(self._encodings[is_data], REPLACE_SYMBOLS)
        with self._wake:
            if not self._closed:
                self._lines.append((is_data, line + b"\n"))

    def _write_batch(self) -> None:
        self._batch_timer = None
        with self._wake:
            self._wake.notify_all()

    def close(self, timeout_s: float = _FLUSH_S) -> None:
        """Write what is queued; give up after `timeout_s` if a reader is too slow."""
        with self._wake:
            self._closed = True
            self._wake.notify_all()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._lines:
                    if self._closed:
                        return
                    self._wake.wait()
                is_data, raw = self._lines.popleft()
                batch = [raw]
                while self._lines and self._lines[0][0] is is_data:
                    batch.append(self._lines.popleft()[1])
            with contextlib.suppress(OSError):
                self._writers[is_data](b"".join(batch))
