"""The text of a screenshot, to see what differs between two."""

from __future__ import annotations

import difflib
import html
import re
from collections import defaultdict

_TEXT = re.compile(r'<text [^>]*?x="([\d.]+)" y="([\d.]+)"[^>]*>(.*?)</text>', re.DOTALL)
_MAX_LINES = 24


def text_lines(svg: str) -> list[str]:
    """Return the lines of the screen, in order, without the space between columns."""
    rows: dict[float, list[tuple[float, str]]] = defaultdict(list)
    for x, y, text in _TEXT.findall(svg):
        shown = html.unescape(text).replace("\xa0", " ").strip()
        if shown:
            rows[float(y)].append((float(x), shown))
    return ["  ".join(text for _, text in sorted(rows[y])) for y in sorted(rows)]


def describe_difference(before: str, after: str) -> list[str]:
    """Return the lines that differ, as a diff; if none does, where the files do."""
    lines = difflib.unified_diff(text_lines(before), text_lines(after), n=0, lineterm="")
    found = [line for line in lines if not line.startswith(("---", "+++", "@@"))]
    if found:
        return found[:_MAX_LINES]
    for old, new in zip(before.splitlines(), after.splitlines(), strict=False):
        if old != new:
            return ["the text is the same, the style is not:", f"-{old[:300]}", f"+{new[:300]}"]
    return ["one has more lines than the other"]
