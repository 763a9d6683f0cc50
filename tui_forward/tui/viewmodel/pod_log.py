"""Lines of a container's log as they are shown: bounded, with times, JSON on demand. Pure."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from tui_forward.tui.viewmodel.log_tail import LogLevel, LogLine, sanitize_terminal_text

MAX_LINES: Final = 20_000
MAX_CHARACTERS: Final = 8 * 1024 * 1024
_MAX_JSON: Final = 64 * 1024  # of a line that is made readable
_MAX_JSON_LINES: Final = 200  # of one line
_TIME_LENGTH: Final = len("2026-01-02T03:04:05.678")
_LEVEL: Final = re.compile(
    r"\b(?:(fatal|critical|panic|error|err|severe)|(warn|warning)|(debug|trace))\b", re.IGNORECASE
)
_LEVEL_WITHIN: Final = 200  # characters at the beginning of a line


class LogOptions(msgspec.Struct, frozen=True):
    """How lines are shown."""

    with_time: bool = False
    pretty_json: bool = False
    only_matches: str = ""  # a text that lines must have, in any case


class PodLogLines:
    """The latest lines of a log, in the order in which they were written."""

    def __init__(self) -> None:
        self._lines: deque[tuple[int, str, str]] = deque()  # number, time, text
        self._characters = 0
        self._number = 0
        self.last_time = ""  # of the last line that has one

    def __len__(self) -> int:
        """Return the number of lines."""
        return len(self._lines)

    def add(self, lines: Iterable[tuple[str, str]]) -> bool:
        """Append times and texts; the oldest lines make room. Return whether there were any."""
        before = self._number
        for at, text in lines:
            self._number += 1
            self._lines.append((self._number, at, text))
            self._characters += len(text)
            self.last_time = at or self.last_time
        while len(self._lines) > MAX_LINES or self._characters > MAX_CHARACTERS:
            self._characters -= len(self._lines.popleft()[2])
        return self._number > before

    def clear(self) -> None:
        """Forget all lines."""
        self._lines.clear()
        self._characters = 0
        self.last_time = ""

    def shown(self, options: LogOptions) -> tuple[LogLine, ...]:
        """Return the lines to show."""
        wanted = options.only_matches.lower()
        return tuple(
            line
            for number, at, text in self._lines
            if not wanted or wanted in text.lower()
            for line in _shown(number, at, text, options)
        )

    def text(self) -> str:
        """Return all lines with their times, to save them."""
        return "".join(f"{at} {text}\n" if at else f"{text}\n" for _, at, text in self._lines)


def _shown(number: int, at: str, text: str, options: LogOptions) -> Iterator[LogLine]:
    level = _level(text)
    head = f"{_time(at)}  " if options.with_time and at else ""
    parts = _pretty(text) if options.pretty_json else [text]
    for place, part in enumerate(parts[:_MAX_JSON_LINES]):
        shown = f"{head if not place else ' ' * len(head)}{part}"
        yield LogLine(number * _MAX_JSON_LINES + place, level, sanitize_terminal_text(shown))


def _pretty(text: str) -> list[str]:
    """Return a line that is a JSON object as several, else as it is."""
    stripped = text.strip()
    if not stripped.startswith("{") or len(stripped) > _MAX_JSON:
        return [text]
    try:
        value = json.loads(stripped)
    except (ValueError, RecursionError):
        return [text]
    return json.dumps(value, ensure_ascii=False, indent=2).splitlines()


def _level(text: str) -> LogLevel:
    found = _LEVEL.search(text[:_LEVEL_WITHIN])
    if found is None:
        return LogLevel.INFO
    if found[1]:
        return LogLevel.ERROR
    return LogLevel.WARNING if found[2] else LogLevel.DEBUG


def _time(at: str) -> str:
    """Return `2026-01-02T03:04:05.678901234Z` as `03:04:05.678`."""
    return at[:_TIME_LENGTH].partition("T")[2].rstrip("Z").ljust(12)
