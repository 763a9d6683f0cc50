"""Lines of cells as text."""

from __future__ import annotations

from tui_forward.tui.viewmodel.lines import Line


def line_text(line: Line) -> str:
    """Return the text of a line."""
    return "".join((cell.gap if number else "") + cell.text for number, cell in enumerate(line))
