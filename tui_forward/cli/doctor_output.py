"""Output of `tui-forward doctor`: one paragraph for each hop, live at a terminal, or JSON."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable
from typing import Final, Protocol, TextIO

import msgspec

from tui_forward.cli.output import style, use_color
from tui_forward.common.ascii_symbols import REPLACE_SYMBOLS
from tui_forward.common.doctor_text import (
    SYMBOLS,
    conclusion,
    duration_text,
    explanation_lines,
    hop_label,
    not_reached_by,
    summary_text,
)
from tui_forward.model import DoctorOutcome, DoctorResult

_STYLES: Final = {
    DoctorOutcome.GOOD: "32", DoctorOutcome.NOTE: "33", DoctorOutcome.FAULT: "1;31",
    DoctorOutcome.NOT_REACHED: "2", DoctorOutcome.RUNNING: "2",
}  # fmt: skip
_LABEL_CELLS: Final = 17
_TIME_CELLS: Final = 7
_INDENT: Final = " " * (2 + _LABEL_CELLS + 1 + _TIME_CELLS + 2)
_MIN_WIDTH, _MAX_WIDTH = 60, 120
_REFRESH_S: Final = 0.2


class DoctorPrinter(Protocol):
    """Shows results while they arrive."""

    def running(self, result: DoctorResult, seconds: float) -> None:
        """Show that a test runs, and for how long."""

    def result(self, result: DoctorResult) -> None:
        """Show the result of a test."""

    def end(self, results: list[DoctorResult]) -> None:
        """Show the conclusion."""

    def stop(self) -> None:
        """End the output without a conclusion."""


class JsonDoctorPrinter:
    """One JSON object per result on stdout."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def running(self, result: DoctorResult, seconds: float) -> None:
        """Print nothing: results are data."""

    def result(self, result: DoctorResult) -> None:
        """Print a result."""
        self._stream.write(msgspec.json.encode(result).decode() + "\n")
        self._stream.flush()

    def end(self, results: list[DoctorResult]) -> None:
        """Print nothing."""

    def stop(self) -> None:
        """Print nothing."""


class TextDoctorPrinter:
    """Paragraphs on a stream; at a terminal the hop that is tested has the last line."""

    def __init__(self, stream: TextIO, *, is_live: bool, color: bool, width: int) -> None:
        self._stream = stream
        self._is_live = is_live
        self._color = color
        self._not_reached: list[DoctorResult] = []
        self._width = max(_MIN_WIDTH, min(width, _MAX_WIDTH))

    def running(self, result: DoctorResult, seconds: float) -> None:
        """Write the line of a running test again."""
        if self._is_live:
            waited = f"{seconds:.0f} s" if seconds >= 1 else ""
            self._write(f"\r\x1b[K{self._head(result, waited)}")

    def result(self, result: DoctorResult) -> None:
        """Write the paragraph of a hop; those that are not reached have one in the end."""
        if self._is_live:
            self._write("\r\x1b[K")
        if result.outcome is DoctorOutcome.NOT_REACHED:
            self._not_reached.append(result)
            return
        head = self._head(result, duration_text(result))
        first, *rest = self._wrap(summary_text(result)) or [""]
        self._line(f"{head}  {self._dim(first, result)}".rstrip())
        for line in rest:
            self._line(_INDENT + self._dim(line, result))
        for word, text in explanation_lines(result):
            lines = self._wrap(f"{word}: {text}")
            code = _STYLES[result.outcome] if word != "fix" else "1"
            lines[0] = style(f"{word}:", code, color=self._color) + lines[0].removeprefix(
                f"{word}:"
            )
            for line in lines:
                self._line(_INDENT + line)
        if result.manifest and result.outcome is DoctorOutcome.FAULT:
            for line in result.manifest.splitlines():
                self._line(f"{_INDENT}  {line}".rstrip())

    def end(self, results: list[DoctorResult]) -> None:
        """Write what was not reached, and the conclusion."""
        for broken, hops in not_reached_by(self._not_reached).items():
            symbol = SYMBOLS[DoctorOutcome.NOT_REACHED]
            text = f"{symbol} not reached, because {broken} is broken: {', '.join(hops)}"
            for line in textwrap.wrap(text, self._width, subsequent_indent="  "):
                self._line(style(line, "2", color=self._color))
        self._line("")
        self._line(style(conclusion(results), "1", color=self._color))

    def stop(self) -> None:
        """Erase the line of a running test, so that a prompt follows the last result."""
        if self._is_live:
            self._write("\r\x1b[K")

    def _head(self, result: DoctorResult, time_text: str) -> str:
        symbol = style(SYMBOLS[result.outcome], _STYLES[result.outcome], color=self._color)
        return f"{symbol} {hop_label(result):<{_LABEL_CELLS}} {time_text:>{_TIME_CELLS}}"

    def _dim(self, text: str, result: DoctorResult) -> str:
        is_bad = result.outcome is DoctorOutcome.FAULT
        return text if is_bad else style(text, "2", color=self._color and bool(text))

    def _wrap(self, text: str) -> list[str]:
        return textwrap.wrap(
            text, self._width - len(_INDENT), break_long_words=False, break_on_hyphens=False
        )

    def _line(self, text: str) -> None:
        self._write(text + "\n")

    def _write(self, text: str) -> None:
        encoding = self._stream.encoding or "utf-8"
        self._stream.write(text.encode(encoding, REPLACE_SYMBOLS).decode(encoding))
        self._stream.flush()


def make_printer(*, as_json: bool) -> DoctorPrinter:
    """Return the printer for stdout."""
    if as_json:
        return JsonDoctorPrinter(sys.stdout)
    is_live = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    width = shutil.get_terminal_size((100, 24)).columns
    return TextDoctorPrinter(sys.stdout, is_live=is_live, color=use_color(sys.stdout), width=width)


async def print_results(
    results: AsyncIterator[DoctorResult], printer: DoctorPrinter,
    clock: Callable[[], float] = time.monotonic,
) -> list[DoctorResult]:  # fmt: skip
    """Print results as they arrive, and return the final ones. Canceling ends the test."""
    final: list[DoctorResult] = []
    running: DoctorResult | None = None
    started = clock()
    while True:
        following = asyncio.ensure_future(anext(results))
        try:
            while not (await asyncio.wait({following}, timeout=_REFRESH_S))[0]:
                if running is not None:
                    printer.running(running, clock() - started)
            result = following.result()
        except StopAsyncIteration:
            printer.end(final)
            return final
        except asyncio.CancelledError:
            printer.stop()
            raise
        finally:
            # Its test ends before the generator is closed.
            following.cancel()
            await asyncio.wait({following})
        if result.outcome is DoctorOutcome.RUNNING:
            if running is None or running.hop is not result.hop:
                running, started = result, clock()
            printer.running(running, 0.0)
        else:
            running = None
            final.append(result)
            printer.result(result)
