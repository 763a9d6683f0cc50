"""Bytes of a file as text with numbered lines. No I/O.

Files come from editors of all systems: UTF-8 with and without a byte order mark, UTF-16 and UTF-32,
Latin-1, and lines that end with LF, CR LF or CR.
"""

from __future__ import annotations

import codecs
import re
from functools import cached_property
from typing import Final

from tui_forward.errors import TuiForwardError
from tui_forward.profiles.importers.located_values import Node, parse_values

# The longer marks first: that of UTF-16 is the begin of that of UTF-32.
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"), (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)  # fmt: skip
_SAMPLE_BYTES: Final = 4096
_LINE_END: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
# Colors and other sequences of terminals, as recordings and copies of output have them.
_ESCAPES: Final = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
# A necessary condition of YAML with more than one value; it spares prose and histories the parser.
_YAML: Final = re.compile(r"^[ \t]*(?:- |[^\s:#][^:\n]{0,200}:(?:[ \t]|$)|[\[{])", re.MULTILINE)


def decode(content: bytes) -> str:
    """Return the text of a file; bytes that are not UTF-8 and have no mark are Latin-1."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, errors="replace")
    sample = content[:_SAMPLE_BYTES]
    # Without a mark every second byte of a Western UTF-16 text is zero.
    for encoding, zeros, letters in (("utf-16-le", sample[1::2], sample[::2]),
                                     ("utf-16-be", sample[::2], sample[1::2])):  # fmt: skip
        if len(zeros) > 1 and zeros.count(0) > 0.7 * len(zeros) and letters.count(0) == 0:
            return content.decode(encoding, errors="replace")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        # Windows-1252 is Latin-1 with typographic characters instead of control characters.
        return content.decode("cp1252", errors="replace")


class SourceText:
    """A text that readers are tried on; parsed at most once."""

    def __init__(self, text: str) -> None:
        text = text.removeprefix("\ufeff")
        if "\x1b" in text:
            text = _ESCAPES.sub("", text)
        self.text = _LINE_END.sub("\n", text)
        self.lines = self.text.split("\n")

    @cached_property
    def _parsed(self) -> list[Node] | TuiForwardError:
        try:
            if not _YAML.search(self.text):
                return []
            return parse_values(self.text)
        except TuiForwardError as error:
            return error

    @property
    def values(self) -> list[Node]:
        """Values of JSON or YAML; empty if it is neither."""
        return self._parsed if isinstance(self._parsed, list) else []

    def values_with(self, key: str) -> list[Node]:
        """Return the values if the text has a key at all, so that others need no parser."""
        return self.values if key in self.text else []

    @property
    def parse_problem(self) -> str:
        """Why it is neither JSON nor YAML; empty if it is."""
        return self._parsed.message if isinstance(self._parsed, TuiForwardError) else ""
