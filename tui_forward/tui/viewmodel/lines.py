"""Lines of styled text that are built for a width: rules, wrapped sentences. Pure.

Every cell of such a line has no gap, so that a line can have one background.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len

from tui_forward.common.printable import blank_unprintable
from tui_forward.tui.viewmodel.cell_layout import truncate
from tui_forward.tui.viewmodel.header import HeaderCell

Line = tuple[HeaderCell, ...]

_EDGE: Final = "─"


def part(text: str, style: str = "") -> HeaderCell:
    """Return a part of a line without a gap before it."""
    return HeaderCell(text, style, gap="")


def natural(text: str, width: int, *, middle: bool = False) -> str:
    """Return a text in at most `width` cells; control characters become spaces."""
    clean = blank_unprintable(text)
    return truncate(clean, max(0, min(cell_len(clean), width)), middle=middle)


def rule_line(title: Sequence[HeaderCell], note: str, width: int) -> Line:
    """Return a rule of `width` cells: the title at the left, a note at the right if it fits."""
    room = width - 4  # edges and spaces around the title
    if room < 1:
        return (part(_EDGE * max(0, width), "rule"),)
    shown: list[HeaderCell] = []
    used = 0
    for cell in title:
        text = natural(cell.text, room - used, middle=True)
        used += cell_len(text)
        if text:
            shown.append(part(text, cell.style))
    right = f" {natural(note, width)} " if note else ""
    if used + cell_len(right) + 6 > width:
        right = ""
    fill = width - 3 - used - cell_len(right) - bool(right)
    line = [part(f"{_EDGE} ", "rule"), *shown, part(f" {_EDGE * fill}", "rule")]
    if right:
        line += [part(right, "dim"), part(_EDGE, "rule")]
    return tuple(line)


def sentence_lines(label: str, text: str, style: str, width: int, most: int) -> list[Line]:
    """Return a sentence behind a label, wrapped to at most `most` lines; the last one is cut."""
    room = width - cell_len(label)
    if most < 1 or not text:
        return []
    if room < 8:
        return [(part(natural(text, width), style),)]
    words = blank_unprintable(text)
    wrapped = textwrap.wrap(words, room, max_lines=most, placeholder="…")
    # Wide letters take two cells, of which `textwrap` does not know.
    fitted = [natural(one, room) for one in wrapped]
    indent = " " * cell_len(label)
    return [
        (part(label if not number else indent, "dim"), part(one, style))
        for number, one in enumerate(fitted)
    ]
