"""Forwards of the user's engines for other kubeconfigs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tui_forward.common.formatting import describe_other_engine, pluralize
from tui_forward.model import OtherEngine
from tui_forward.tui.screens.text_screen import TextScreen
from tui_forward.tui.viewmodel.log_tail import LogLevel, LogLine, sanitize_terminal_text
from tui_forward.tui.viewmodel.rows import Cell


class OtherForwardsScreen(TextScreen):
    """The engines when the screen was opened, each with its forwards."""

    def __init__(self, engines: Sequence[OtherEngine]) -> None:
        super().__init__()
        self._count = sum(one.forwards for one in engines)
        self.text_view.empty = "No forwards run with another kubeconfig."
        self._lines = [
            LogLine(number, level, sanitize_terminal_text(text))
            for number, (level, text) in enumerate(_lines(engines))
        ]

    def on_mount(self) -> None:
        """Show the lines."""
        super().on_mount()
        self.text_view.following = False
        self.text_view.show(self._lines)
        self.draw_headline()

    def headline_cells(self) -> Sequence[Cell]:
        """Return how many forwards run elsewhere."""
        return [Cell(f"{pluralize(self._count, 'forward')} elsewhere", "strong")]


def _lines(engines: Sequence[OtherEngine]) -> Iterator[tuple[LogLevel, str]]:
    for engine in engines:
        yield LogLevel.INFO, describe_other_engine(engine)
        for text in engine.listed:
            yield LogLevel.INFO, f"  {text}"
        if (more := engine.forwards - len(engine.listed)) > 0:
            yield LogLevel.DEBUG, f"  … and {more} more"
        yield LogLevel.INFO, ""
