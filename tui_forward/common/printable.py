"""Text of any origin as printable text. Pure.

Names of files, objects and contexts, and messages of servers and plugins may have characters that
act on a terminal or reorder what it shows: control characters (C0 and C1, ESC), line breaks,
bidirectional controls and characters without width.
"""

from __future__ import annotations

import re

# Quickly found candidates; `str.isprintable` decides about characters outside ASCII.
_SUSPECT = re.compile(r"[^\x20-\x7e]")


def escape_unprintable(text: str) -> str:
    r"""Return a text with unprintable characters as escapes: `\n`, `\x1b`, `\u202e`.

    Unlike `one_line`, it shows where the characters are: for paths and names.
    """
    return text if text.isprintable() else _SUSPECT.sub(_escape, text)


def blank_unprintable(text: str) -> str:
    """Return a text with each unprintable character as a space, so of the same length."""
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def one_line(text: str) -> str:
    """Return a text with unprintable characters as spaces and its white space collapsed."""
    return " ".join(blank_unprintable(text).split())


def escape_json(data: bytes) -> bytes:
    r"""Return JSON in which unprintable characters are escapes: `\u001b`, `\u202e`.

    They are in its strings only, as white space between tokens is kept.
    """
    if data.isascii() and b"\x7f" not in data:
        return data
    return _SUSPECT.sub(_escape_in_json, data.decode()).encode()


def _escape(match: re.Match[str]) -> str:
    letter = match[0]
    return letter if letter.isprintable() else repr(letter)[1:-1]


def _escape_in_json(match: re.Match[str]) -> str:
    letter = match[0]
    if letter.isprintable() or letter in " \t\r\n":
        return letter
    units = letter.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
