"""Standard streams that are missing, full or closed do not harm a command.

A closed descriptor 0, 1 or 2 (`>&-`) would be reused for the next socket or file, into which
messages would then be written. Messages on stderr are dropped if they cannot be written; data on
stdout that cannot be written is an error.
"""

from __future__ import annotations

import io
import os
import select
import sys
from typing import Any, TextIO

from tui_forward.common.ascii_symbols import REPLACE_SYMBOLS
from tui_forward.common.terminal_encoding import terminal_encoding
from tui_forward.errors import TuiForwardError


class OutputError(TuiForwardError):
    """Data could not be written to stdout."""


class OutputClosedError(OutputError):
    """The reader of stdout has gone, which is not a failure: `tui-forward ls | head -1`."""


class _BlockingFile(io.FileIO):
    """File whose writes wait, also if a process that shares it made it non-blocking."""

    def write(self, data: Any) -> int:
        while True:
            written: int | None = super().write(data)
            if written is not None:
                return written
            select.select([], [self], [])


class _DataFile(_BlockingFile):
    """Stdout; raises OutputError once if it cannot be written, and drops what follows."""

    _failed = False

    def write(self, data: Any) -> int:
        # The interpreter flushes buffers at exit, and would report another error.
        if self._failed:
            return len(data)
        try:
            return super().write(data)
        except OSError as error:
            self._failed = True
            kind = OutputClosedError if isinstance(error, BrokenPipeError) else OutputError
            cause = (error.strerror or str(error)).lower()
            raise kind(f"cannot write to stdout: {cause}") from error


class _MessageFile(_BlockingFile):
    """Stderr; drops what cannot be written."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(data)


def secure_standard_streams() -> None:
    """Open missing standard streams on /dev/null, and handle write errors of the others.

    Streams that were replaced, as test runners do, stay.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free number, which is this one.
            os.open(os.devnull, os.O_RDWR)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - lasts as long as the process
    if sys.stdout is None or sys.stdout is sys.__stdout__:
        sys.stdout = _text_stream(_DataFile(1, "w", closefd=False), sys.stdout)
    if sys.stderr is None or sys.stderr is sys.__stderr__:
        sys.stderr = _text_stream(_MessageFile(2, "w", closefd=False), sys.stderr, is_message=True)


def _text_stream(
    raw: io.FileIO, replaced: TextIO | None, *, is_message: bool = False
) -> io.TextIOWrapper:
    """Return a stream with the encoding of the terminal, or of the stream that it replaces.

    Characters that the encoding lacks are replaced: in Latin-1 or code page 437, in files without a
    UTF-8 locale, and in names of files that are not UTF-8.
    """
    encoding = replaced.encoding if replaced is not None else "utf-8"
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=terminal_encoding(encoding) if raw.isatty() else encoding,
        errors=REPLACE_SYMBOLS,
        line_buffering=is_message or raw.isatty(),
    )
