"""Container logs as plain text. No I/O.

Logs contain colors, progress bars and binary data. None of it may reach the user's terminal.
"""

from __future__ import annotations

import re

_TAB = 8
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


def split_log_lines(body: bytes) -> tuple[str, ...]:
    """Return the lines of a log, oldest first; bytes that are not UTF-8 become U+FFFD."""
    lines = body.decode("utf-8", "replace").split("\n")
    if not lines[-1]:
        lines.pop()  # after the last line feed
    return tuple(strip_control_characters(line) for line in lines)
