"""The end of a log file, followed: bounded, whatever becomes of the file meanwhile.

Knows files and lines of text, and no widget. The file is never held open, so that it can be
rotated on every system. What is in it is nobody's promise: it may be no text at all.
"""

from __future__ import annotations

import os
from collections import deque
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import BinaryIO, Final

from tui_forward.daemon import log_record as log_record

MAX_LINES: Final = 2000
MAX_BYTES: Final = 1024 * 1024
_LONGEST_LINE = 4000
_FINGERPRINT_BYTES = 64
_TO_THE_MILLISECOND = len("2026-01-02T03:04:05.678")


class LogLevel(IntEnum):
    """How grave a line is, as `logging` counts."""

    TRACE = 5
    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40
    CRITICAL = 50


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line.

    Attributes:
        number: Grows by one from line to line; tells lines apart.
        level: Of the record it belongs to; a traceback is of several lines.
        text: Without line end and control characters, at most 4,000 characters.
    """

    number: int
    level: LogLevel
    text: str


def sanitize_terminal_text(text: str) -> str:
    """Text that a terminal can be shown: nothing in it moves a cursor or changes a direction."""
    text = text.expandtabs(4)
    if not text.isprintable():
        text = "".join(character if character.isprintable() else " " for character in text)
    return text if len(text) <= _LONGEST_LINE else f"{text[: _LONGEST_LINE - 1]}…"


class LogTail:
    """Remembers the last lines of a file, and how far it has been read.

    Attributes:
        trouble: Why the file cannot be read now, in words; empty while it can.
        hint: What to do about it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.trouble = ""
        self.hint = ""
        self._lines: deque[LogLine] = deque(maxlen=MAX_LINES)
        self._numbers = 0
        self._file: tuple[int, int] | None = None  # device and inode
        self._fingerprint = b""  # first bytes: inodes are used again
        self._offset = 0
        self._rest = b""  # of a line that is not complete yet

    @property
    def lines(self) -> tuple[LogLine, ...]:
        """The last lines, oldest first; at most 2,000."""
        return tuple(self._lines)

    def read(self) -> bool:
        """Look what is new. Blocks for as long as the disk takes; never raises.

        Returns:
            Whether `lines` or `trouble` differ from before.
        """
        before = (self._numbers, self.trouble)
        try:
            with self.path.open("rb") as stream:
                self._read(stream)
        except FileNotFoundError:
            self.trouble = f"There is no log at {self.path}"
            self.hint = "It appears here as soon as the engine writes one"
        except OSError as error:
            self.trouble = f"The log {self.path} cannot be read: "
            self.trouble += error.strerror or type(error).__name__
            self.hint = "Make it a file that you may read"
        else:
            self.trouble = self.hint = ""
        return before != (self._numbers, self.trouble)

    def _read(self, stream: BinaryIO) -> None:
        status = os.fstat(stream.fileno())
        file = (status.st_dev, status.st_ino)
        head = stream.read(_FINGERPRINT_BYTES)
        if file != self._file or not head.startswith(self._fingerprint):
            self._read_rotated()
            self._begin(file)
        elif status.st_size < self._offset:
            self._begin(file)  # emptied, and perhaps written again
        self._fingerprint = head
        self._take(stream, status.st_size)

    def _begin(self, file: tuple[int, int]) -> None:
        self._flush()
        self._file, self._offset, self._fingerprint = file, 0, b""

    def _read_rotated(self) -> None:
        """What was written to the old file before it was moved away."""
        if self._file is None:
            return
        old = self.path.with_name(f"{self.path.name}.1")
        try:
            with old.open("rb") as stream:
                status = os.fstat(stream.fileno())
                same = (status.st_dev, status.st_ino) == self._file
                if same and stream.read(_FINGERPRINT_BYTES).startswith(self._fingerprint):
                    self._take(stream, status.st_size)
        except OSError:
            return

    def _take(self, stream: BinaryIO, size: int) -> None:
        skipped = size - self._offset > MAX_BYTES
        if skipped:
            self._flush()
            self._offset = size - MAX_BYTES
        stream.seek(self._offset)
        data = stream.read(min(MAX_BYTES, max(0, size - self._offset)))
        self._offset += len(data)
        if skipped:
            data = data.partition(b"\n")[2]  # the first line has lost its beginning
        *complete, self._rest = (self._rest + data).split(b"\n")
        for line in complete[-MAX_LINES:]:
            self._add(line)
        if len(self._rest) > 4 * _LONGEST_LINE:
            self._flush()

    def _flush(self) -> None:
        if self._rest:
            self._add(self._rest)
        self._rest = b""

    def _add(self, line: bytes) -> None:
        said = log_record.decode_entry(line)
        if said is None:  # somebody else's
            self._append(line.decode("utf-8", "replace").rstrip("\r"), LogLevel.INFO)
            return
        level = LogLevel.__members__.get(said.level.upper(), LogLevel.INFO)
        at = said.time[:_TO_THE_MILLISECOND].replace("T", " ")
        part = said.logger.removeprefix("tui_forward.")
        self._append(f"{at} {said.level.upper()} {part}: {said.message}", level)
        for more in said.exception.splitlines():
            self._append(more, level)

    def _append(self, text: str, level: LogLevel) -> None:
        self._numbers += 1
        self._lines.append(LogLine(self._numbers, level, sanitize_terminal_text(text)))
