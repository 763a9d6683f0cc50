"""Lines of the preview of a profile: a table of forwards, and what their changes mean. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from tui_forward.profiles.preview import Mark, Preview, PreviewLine
from tui_forward.tui.viewmodel.cell_layout import Column, fit, longest_cell, natural_widths
from tui_forward.tui.viewmodel.context_names import context_cell
from tui_forward.tui.viewmodel.row_layout import Part, place_cells
from tui_forward.tui.viewmodel.rows import Cell, Row

_COLUMNS: Final = (
    Column("", 1),
    Column("context", 7, max_width=24, shrink_to=8),
    Column("ns", 2, max_width=24, shrink_to=6),
    Column("target", 6, max_width=80, is_name=True),
    Column("local", 5, max_width=28),
    Column("effect", 6, max_width=64, prose=True),
)
_WITHOUT_EFFECT: Final = _COLUMNS[:-1]
_INDENT: Final = "    "  # of an effect on a line of its own
_MARK_STYLES: Final = {
    Mark.ADDED: "ok", Mark.CHANGED: "warn", Mark.REMOVED: "bad", Mark.SAME: "dim",
}  # fmt: skip


class TextLine(msgspec.Struct, frozen=True):
    """Parts of a line; their styles are meanings, see `rows`."""

    parts: tuple[Part, ...] = ()
    mark: Mark | None = None  # of its forward


def summary_line(preview: Preview) -> TextLine:
    """Return `2 added · 1 changed · 2 port conflicts`."""
    parts: list[Part] = []
    for mark, text in preview.counts():
        if parts:
            parts.append(Part(" · ", "dim"))
        parts.append(Part(text, "bad" if mark is None else _MARK_STYLES[mark]))
    return TextLine(tuple(parts))


def table_lines(preview: Preview, width: int) -> Iterator[TextLine]:
    """Yield head and lines of the forwards in a width.

    Effects that do not fit beside the other columns are on lines of their own.
    """
    if not preview.lines:
        return
    rows = [_cells(line) for line in preview.lines]
    longest = [longest_cell([row[at].text for row in rows]) for at in range(len(_COLUMNS))]
    natural = natural_widths(_COLUMNS, longest)
    fits = sum(natural) + len(natural) - 1 <= width
    columns: Sequence[Column] = _COLUMNS if fits else _WITHOUT_EFFECT
    layout = fit(columns, width, longest[: len(columns)])

    def place(cells: Sequence[Cell]) -> tuple[Part, ...]:
        parts: list[Part] = []
        x = 0
        for placed in place_cells(Row(tuple(cells[: len(columns)])), columns, layout, width):
            parts += [Part(" " * (placed.x - x), ""), *placed.parts()]
            x = placed.x + placed.width
        return tuple(part for part in parts if part.text)

    yield TextLine(place([Cell(column.title, "dim") for column in _COLUMNS]))
    for line, row in zip(preview.lines, rows, strict=True):
        yield TextLine(place(row), line.mark)
        if not fits and row[-1].text:
            effect = row[-1]
            yield TextLine((Part(_INDENT, ""), Part(effect.text, effect.style)), line.mark)


def note_lines(preview: Preview) -> Iterator[TextLine]:
    """Yield which connections would be closed, and which forwards would be blocked."""
    if text := preview.closing_text():
        yield TextLine((Part("~ ", "warn"), Part(text, "")))
    if text := preview.conflict_text():
        other = "another" if preview.conflicts == 1 else "others"
        yield TextLine((
            Part("✗ ", "bad"), Part(f"{text} ", ""), Part("e Edit", "key"),
            Part(f" to choose {other}.", ""),
        ))  # fmt: skip


def _cells(line: PreviewLine) -> tuple[Cell, ...]:
    return (
        Cell(line.mark.value, _MARK_STYLES[line.mark]),
        context_cell(line.context), Cell(line.namespace, "dim"),
        Cell(line.target, "dim" if line.mark is Mark.SAME else ""), Cell(line.local, "strong"),
        Cell(line.effect_text, "bad" if line.conflict else "dim"),
    )  # fmt: skip
