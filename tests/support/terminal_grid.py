"""What a terminal shows of the frames that an app has written."""

from __future__ import annotations

import re

from rich.cells import cell_len
from textual._compositor import CompositorUpdate
from textual.app import App
from textual.geometry import Size

_MOVE = re.compile(r"\x1b\[(\d+);(\d+)H")
_ESCAPE = re.compile(r"\x1b\[[\d;]*[A-Za-z]|\x1b\]8;.*?\x1b\\")


class TerminalGrid:
    """Cells of a terminal; knows moves of the cursor and text, and ignores styles."""

    def __init__(self, size: Size) -> None:
        self._size = size
        self._cells = [[" "] * size.width for _ in range(size.height)]

    def show(self, app: App[None], update: CompositorUpdate) -> None:
        """Draw a frame."""
        self.write(update.render_segments(app.console))

    def write(self, output: str) -> None:
        """Draw output that begins with a move of the cursor."""
        _, *pieces = _MOVE.split(output)
        for row, column, text in zip(pieces[::3], pieces[1::3], pieces[2::3], strict=True):
            y, x = int(row) - 1, int(column) - 1
            for character in _ESCAPE.sub("", text).replace("\n", ""):
                width = cell_len(character)
                if width and x < self._size.width:
                    self._cells[y][x : x + width] = [character, *[""] * (width - 1)]
                x += width

    @property
    def lines(self) -> list[str]:
        """Text of each line."""
        return ["".join(line) for line in self._cells]
