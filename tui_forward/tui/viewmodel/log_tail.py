"""Bounded tail of an untrusted log file, which may be rotated, truncated, removed or binary."""

from __future__ import annotations

import os
from collections import deque
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from tui_forward.common.printable import blank_unprintable
from tui_forward.daemon import log_record

MAX_LINES: Final = 2000
MAX_BYTES: Final = 1024 * 1024
_MAX_LINE_LENGTH = 4000
_FINGERPRINT_BYTES = 64
_MILLISECOND_LENGTH = len("2026-01-02T03:04:05.678")


class LogLevel(IntEnum):
    """Level of a line; values are those of `logging`."""

    TRACE = 5
    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40
    CRITICAL = 50


class LogLine(msgspec.Struct, frozen=True):
    """One line."""

    number: int
    level: LogLevel  # level of its record; a traceback has several lines
    text: str  # without line end and control characters, at most 4,000 characters


def sanitize_terminal_text(text: str) -> str:
    """Replace control and direction characters so that the text is safe on a terminal."""
    text = blank_unprintable(text.expandtabs(4))
    return text if len(text) <= _MAX_LINE_LENGTH else f"{text[: _MAX_LINE_LENGTH - 1]}…"


class LogTail:
    """Last lines of a file, read incrementally."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem = ""  # why the file cannot be read; empty if it can
        self.hint = ""
        self._lines: deque[LogLine] = deque(maxlen=MAX_LINES)
        self._numbers = 0
        self._file: tuple[int, int] | None = None  # device and inode
        self._fingerprint = b""  # first bytes, because inodes are reused
        self._offset = 0
        self._rest = b""  # incomplete last line

    @property
    def lines(self) -> tuple[LogLine, ...]:
        """Return the last lines, oldest first; at most `MAX_LINES`."""
        return tuple(self._lines)

    def read(self) -> bool:
        """Read new lines, never raising; return whether `lines` or `problem` changed."""
        before = (self._numbers, self.problem)
        try:
            with self.path.open("rb") as stream:
                self._read(stream)
        except FileNotFoundError:
            self.problem = f"No log file at {self.path}"
            self.hint = "It appears when the engine writes one"
        except OSError as error:
            self.problem = f"Cannot read the log {self.path}: "
            self.problem += error.strerror or type(error).__name__
            self.hint = "Make it a readable file"
        else:
            self.problem = self.hint = ""
        return before != (self._numbers, self.problem)

    def _read(self, stream: BinaryIO) -> None:
        status = os.fstat(stream.fileno())
        file = (status.st_dev, status.st_ino)
        head = stream.read(_FINGERPRINT_BYTES)
        if file != self._file or not head.startswith(self._fingerprint):
            self._read_rotated()
            self._start_file(file)
        elif status.st_size < self._offset:
            self._start_file(file)  # truncated, and possibly rewritten
        self._fingerprint = head
        self._read_lines(stream, status.st_size)

    def _start_file(self, file: tuple[int, int]) -> None:
        self._flush()
        self._file, self._offset, self._fingerprint = file, 0, b""

    def _read_rotated(self) -> None:
        """Read the remaining lines of the previous file after rotation."""
        if self._file is None:
            return
        old = self.path.with_name(f"{self.path.name}.1")
        try:
            with old.open("rb") as stream:
                status = os.fstat(stream.fileno())
                same = (status.st_dev, status.st_ino) == self._file
                if same and stream.read(_FINGERPRINT_BYTES).startswith(self._fingerprint):
                    self._read_lines(stream, status.st_size)
        except OSError:
            return

    def _read_lines(self, stream: BinaryIO, size: int) -> None:
        skipped = size - self._offset > MAX_BYTES
        if skipped:
            self._flush()
            self._offset = size - MAX_BYTES
        stream.seek(self._offset)
        data = stream.read(min(MAX_BYTES, max(0, size - self._offset)))
        self._offset += len(data)
        if skipped:
            data = data.partition(b"\n")[2]  # the first line is incomplete
        *complete, self._rest = (self._rest + data).split(b"\n")
        for line in complete[-MAX_LINES:]:
            self._add(line)
        if len(self._rest) > 4 * _MAX_LINE_LENGTH:
            self._flush()

    def _flush(self) -> None:
        if self._rest:
            self._add(self._rest)
        self._rest = b""

    def _add(self, line: bytes) -> None:
        entry = log_record.decode_entry(line)
        if entry is None:  # not a record of the engine
            self._append(line.decode("utf-8", "replace").rstrip("\r"), LogLevel.INFO)
            return
        level = LogLevel.__members__.get(entry.level.upper(), LogLevel.INFO)
        at = entry.time[:_MILLISECOND_LENGTH].replace("T", " ")
        part = entry.logger.removeprefix("tui_forward.")
        self._append(f"{at} {entry.level.upper()} {part}: {entry.message}", level)
        for more in entry.exception.splitlines():
            self._append(more, level)

    def _append(self, text: str, level: LogLevel) -> None:
        self._numbers += 1
        self._lines.append(LogLine(self._numbers, level, sanitize_terminal_text(text)))
