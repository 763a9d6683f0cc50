"""Container logs as plain text. No I/O.

Logs contain colors, progress bars and binary data. None of it may reach the user's terminal.
"""

from __future__ import annotations

import re

from tui_forward.kube.timestamps import parse_rfc3339

_TAB = 8
# As a kubelet writes it, in the zone of its node, before each line: RFC 3339 with nanoseconds,
# without zeros at the end.
_TIME = re.compile(
    r"(?P<second>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(?P<fraction>\d{1,9}))?"
    r"(?P<zone>Z|[+-]\d\d:\d\d)(?: |\Z)"
)
# ECMA-48, section 5: CSI sequences; OSC, DCS and their like up to their terminator; two-byte
# escapes. No part can begin within another, so that matching takes linear time. An unfinished
# sequence stays as text, without its escape character.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x80-\x9f]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-Z\\`-~]"
)


def strip_control_characters(text: str) -> str:
    """Return a line without escape sequences and control characters; tabs become spaces."""
    if text.isprintable():
        return text
    text = _ESCAPES.sub("", text.rstrip("\r")).expandtabs(_TAB)
    return "".join(char if char.isprintable() else " " if char.isspace() else "" for char in text)


def split_log_lines(body: bytes) -> tuple[tuple[str, str], ...]:
    """Return time and text of the lines of a log, oldest first.

    The time is empty where a line does not begin with one. Bytes that are not UTF-8 become U+FFFD.
    """
    lines = body.decode("utf-8", "replace").split("\n")
    if not lines[-1]:
        lines.pop()  # after the last line feed
    return tuple(map(_split_line, lines))


def _split_line(line: str) -> tuple[str, str]:
    found = _TIME.match(line)
    at, text = (found[0].rstrip(), line[found.end() :]) if found else ("", line)
    return at, strip_control_characters(text)


def log_time_ns(at: str) -> int:
    """Return the time of a line in nanoseconds since the epoch; 0 without one."""
    found = _TIME.match(at)
    if found is None:
        return 0
    seconds = parse_rfc3339(f"{found['second']}{found['zone']}")
    return int(seconds) * 10**9 + int((found["fraction"] or "").ljust(9, "0") or 0)


def later_lines(lines: tuple[tuple[str, str], ...], since: str) -> tuple[tuple[str, str], ...]:
    """Return the lines after the time of the last one that is known already."""
    after = log_time_ns(since)
    return tuple(line for line in lines if not after or log_time_ns(line[0]) > after)
