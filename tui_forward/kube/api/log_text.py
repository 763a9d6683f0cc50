"""What a container has written, made fit for a screen. Pure.

Containers write for terminals, for files and by accident: colours, progress bars, bytes that
are no text. None of it may reach the terminal of whoever reads the log.
"""

from __future__ import annotations

import re

_TAB = 8
# ECMA-48, section 5: CSI sequences; OSC, DCS and their like up to their terminator; two-byte
# escapes. No part can begin within another, so that looking for them takes linear time. One
# that does not end stays as text, without its escape character.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x80-\x9f]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-Z\\`-~]"
)


def strip_control_characters(text: str) -> str:
    """One line without escape sequences and control characters; tabs become spaces."""
    if text.isprintable():
        return text
    text = _ESCAPES.sub("", text.rstrip("\r")).expandtabs(_TAB)
    return "".join(char if char.isprintable() else " " if char.isspace() else "" for char in text)


def split_log_lines(body: bytes) -> tuple[str, ...]:
    """The lines of a log, oldest first; bytes that are no UTF-8 become U+FFFD."""
    lines = body.decode("utf-8", "replace").split("\n")
    if not lines[-1]:
        lines.pop()  # the end of the last line is not a line
    return tuple(strip_control_characters(line) for line in lines)
