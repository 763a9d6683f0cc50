"""What a credential plugin tells the user while it runs, as text that is safe to show."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable

from tui_forward.common.redaction import redact

_MAX_LINES = 20
_MAX_LINE = 1500  # characters; URLs of identity providers are long
_MAX_TEXT = 4000
# Escape sequences: OSC (a link has its address in one), CSI, and those of two characters.
_OSC = re.compile(r"\x1b\](?:8;[^;\x07\x1b]*;([^\x07\x1b]*)|[^\x07\x1b]*)(?:\x07|\x1b\\|$)")
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]?|\x1b[ -/]*[0-~]?")


def clean_line(line: str, secrets: Iterable[str]) -> str:
    """Return a line of a plugin without escape sequences, control characters and secrets.

    Of a line that the plugin has overwritten (a progress display) the last version is kept. The
    address of a terminal link follows its text.
    """
    last = next((part for part in reversed(line.split("\r")) if part.strip()), "")
    last = _OSC.sub(lambda found: f" {found[1]} " if found[1] else " ", last)
    return redact(_ESCAPES.sub("", last)[-_MAX_LINE:], secrets, limit=_MAX_LINE)


class LoginText:
    """The latest lines, oldest first, of a bounded size."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=_MAX_LINES)

    def add(self, line: str) -> None:
        """Append a cleaned line."""
        if line and (not self._lines or self._lines[-1] != line):
            self._lines.append(line)
            while sum(map(len, self._lines)) > _MAX_TEXT:
                self._lines.popleft()

    def __str__(self) -> str:
        return "\n".join(self._lines)
