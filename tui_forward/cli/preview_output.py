"""The preview of a profile as a table. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from rich.cells import cell_len

from tui_forward.common.printable import one_line
from tui_forward.profiles.preview import Preview

_HEAD = ("", "NAME", "CONTEXT", "NAMESPACE", "TARGET", "LOCAL", "EFFECT")
_GAP = "  "


def preview_lines(preview: Preview) -> list[str]:
    """Return a head and a line for each forward; no line at all without forwards."""
    rows = [
        (
            line.mark.value, line.name, line.context, line.namespace, line.target, line.local,
            line.effect_text,
        )
        for line in preview.lines
    ]  # fmt: skip
    if not rows:
        return []
    table = [_HEAD, *(tuple(one_line(cell) for cell in row) for row in rows)]
    widths = [max(map(cell_len, column)) for column in zip(*table, strict=True)]
    lines = []
    for row in table:
        cells = (
            cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)
        )
        lines.append(_GAP.join(cells).rstrip())
    return lines


def preview_notes(preview: Preview) -> Iterator[str]:
    """Yield which connections would be closed, and which forwards would be blocked."""
    yield from filter(None, (preview.closing_text(), preview.conflict_text()))
