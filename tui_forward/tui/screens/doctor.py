"""Doctor: tests each hop of a chain while the user watches."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import ClassVar, Final

from textual import work
from textual.binding import Binding, BindingType

from tui_forward.errors import TuiForwardError
from tui_forward.model import DoctorQuery, DoctorResult
from tui_forward.tui.screens.text_screen import TextScreen
from tui_forward.tui.viewmodel.doctor_lines import (
    ResultKey,
    doctor_lines,
    doctor_state,
    doctor_title,
    result_key,
)
from tui_forward.tui.viewmodel.hints import error_hint
from tui_forward.tui.viewmodel.log_tail import sanitize_terminal_text
from tui_forward.tui.viewmodel.rows import Cell

_MARGIN: Final = 4  # cells at the sides of the text, and its scroll bar
Diagnose = Callable[[DoctorQuery], AsyncGenerator[DoctorResult, None]]


class DoctorScreen(TextScreen):
    """The hops of a chain, tested when the screen opens and again on a key."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("R", "test", "Test again", id="doctor.test", tooltip="Test every hop again"),
    ]

    def __init__(self, query: DoctorQuery, diagnose: Diagnose) -> None:
        super().__init__()
        self._query = query
        self._diagnose = diagnose
        self._results: dict[ResultKey, DoctorResult] = {}
        self._is_over = False
        self._error: TuiForwardError | None = None
        self.text_view.empty = "Testing…"
        self.text_view.following = False
        self.text_view.wrap = False  # the lines are wrapped between words here

    def on_mount(self) -> None:
        """Start the test."""
        super().on_mount()
        self.action_test()

    def action_test(self) -> None:
        """Test every hop again; a test in progress ends."""
        self._results.clear()
        self._is_over, self._error = False, None
        self._test()

    @work(group="doctor", exclusive=True)
    async def _test(self) -> None:
        self._draw()
        try:
            async with aclosing(self._diagnose(self._query)) as results:
                async for result in results:
                    self._results[result_key(result)] = result
                    self._draw()
        except TuiForwardError as error:
            self._error = error
            hint = f" → {error_hint(error)}" if error.hint else ""
            self.text_view.empty = sanitize_terminal_text(f"{error.message}{hint}")
        self._is_over = True
        self._draw()

    def _draw(self) -> None:
        width = self.size.width - _MARGIN
        self.text_view.show(doctor_lines(self._results.values(), width))
        self.draw_headline()

    def on_resize(self) -> None:
        """Wrap the lines again."""
        self._draw()

    def headline_cells(self) -> Sequence[Cell]:
        """See `TextScreen`: what is tested, and the outcome so far."""
        title = sanitize_terminal_text(doctor_title(self._query))
        cells = [Cell("doctor", "strong"), Cell(title)]
        if self._error is not None:
            cells.append(Cell(f"✗ {sanitize_terminal_text(self._error.message)}", "bad"))
        else:
            cells.append(doctor_state(self._results, is_over=self._is_over))
        return cells
