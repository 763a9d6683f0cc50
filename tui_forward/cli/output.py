"""Lines on stdout and stderr, written so that a slow or absent reader harms nothing.

A forward runs in the same event loop that reports on it. A terminal that is scrolled back
or a pipe nobody reads blocks a write for ever, so a thread of its own writes, and what it
cannot get rid of is bounded.
"""

from __future__ import annotations

import os
import select
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import TextIO

from tui_forward.errors import TuiForwardError

_MAX_LINES = 10_000
_FLUSH_S = 1.0

Write = Callable[[bytes], None]


def use_color(stream: TextIO) -> bool:
    """Whether to colour what goes to a stream (https://no-color.org)."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


def supports_unicode(stream: TextIO) -> bool:
    """Whether a stream can show ticks, bars and box lines."""
    try:
        "✓✗─│↓↑●".encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return os.environ.get("TERM") != "linux"


def style(text: str, code: str, *, color: bool) -> str:
    """Text in an SGR style ("1;31"), or as it is."""
    return f"\x1b[{code}m{text}\x1b[0m" if color else text


def error_lines(error: TuiForwardError, *, color: bool = False) -> list[str]:
    """How every error is shown: one sentence, and a hint where there is one."""
    lines = [f"{style('error:', '1;31', color=color)} {one_line(error.message)}"]
    if error.hint:
        lines.append(f"{style('hint:', '1', color=color)}  {one_line(error.hint)}")
    return lines


def one_line(text: str) -> str:
    """Text from anywhere (a server's message, a file's name), made fit for one line.

    Control characters could move the cursor or retitle the terminal.
    """
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def print_error(error: TuiForwardError) -> None:
    """Show an error on stderr."""
    try:
        for line in error_lines(error, color=use_color(sys.stderr)):
            print(line, file=sys.stderr)  # noqa: T201 - stderr is where talk goes
        sys.stderr.flush()
    except OSError:
        return  # nobody listens any more: nothing left to say


def fd_writer(fd: int) -> Write:
    """Writes all of its argument to a file descriptor.

    Not through `sys.stdout`: a daemon thread blocked inside its lock would abort the
    interpreter at exit.
    """

    def write(data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(fd, view) :]
            except BlockingIOError:  # somebody who shares the pipe made it non-blocking
                select.select([], [fd], [])

    return write


class Output:
    """Writes lines to stdout and stderr in order, from a thread of its own.

    Args:
        stdout: Writes bytes to standard output.
        stderr: Writes bytes to standard error.
        on_broken: Called once, from the writing thread, when the reader of stdout has gone.
        max_lines: How many lines wait for a slow reader before the oldest are dropped.
    """

    def __init__(
        self,
        stdout: Write | None = None,
        stderr: Write | None = None,
        *,
        on_broken: Callable[[], None] | None = None,
        max_lines: int = _MAX_LINES,
    ) -> None:
        self._writers: dict[bool, Write | None] = {
            True: stdout or fd_writer(1),
            False: stderr or fd_writer(2),
        }
        self._on_broken = on_broken
        self._lines: deque[tuple[bool, bytes]] = deque(maxlen=max_lines)
        self._wake = threading.Condition()
        self._closed = False
        self.broken = False
        self._thread = threading.Thread(target=self._run, name="output", daemon=True)
        self._thread.start()

    def out(self, line: str | bytes) -> None:
        """One line of data. Never blocks."""
        self._put(True, line)

    def err(self, line: str) -> None:
        """One line of talk. Never blocks."""
        self._put(False, line)

    def _put(self, data: bool, line: str | bytes) -> None:
        raw = line.encode("utf-8", "replace") if isinstance(line, str) else line
        with self._wake:
            if not self._closed:
                self._lines.append((data, raw + b"\n"))
                self._wake.notify_all()

    def close(self, timeout_s: float = _FLUSH_S) -> None:
        """Write what is left, but wait no longer than `timeout_s` for whoever reads it."""
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
                data, raw = self._lines.popleft()
                batch = [raw]
                while self._lines and self._lines[0][0] is data:
                    batch.append(self._lines.popleft()[1])
            write = self._writers[data]
            if write is None:
                continue
            try:
                write(b"".join(batch))
            except OSError:
                # The reader is gone. Without stderr the work goes on; without stdout there
                # is nobody to work for.
                self._writers[data] = None
                if data:
                    self.broken = True
                    if self._on_broken is not None:
                        self._on_broken()
