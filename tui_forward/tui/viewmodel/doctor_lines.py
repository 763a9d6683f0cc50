"""Lines of a doctor: what each hop has shown so far. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from tui_forward.common.doctor_text import (
    HOP_NAMES,
    SYMBOLS,
    conclusion,
    duration_text,
    explanation_lines,
    hop_label,
    summary_text,
)
from tui_forward.model import (
    DoctorHop,
    DoctorOutcome,
    DoctorQuery,
    DoctorResult,
    TargetKind,
    TransportChoice,
)
from tui_forward.tui.viewmodel.log_tail import LogLevel, LogLine, sanitize_terminal_text
from tui_forward.tui.viewmodel.rows import Cell

ResultKey = tuple[DoctorHop, TransportChoice | None]

_LABEL: Final = 17
_TIME: Final = 7
_INDENT: Final = " " * (2 + _LABEL + 1 + _TIME + 2)
_MIN_WIDTH: Final = len(_INDENT) + 30
_LEVELS: Final = {
    DoctorOutcome.FAULT: LogLevel.ERROR,
    DoctorOutcome.NOTE: LogLevel.WARNING,
    DoctorOutcome.GOOD: LogLevel.INFO,
    DoctorOutcome.RUNNING: LogLevel.DEBUG,
    DoctorOutcome.NOT_REACHED: LogLevel.DEBUG,
}


def result_key(result: DoctorResult) -> ResultKey:
    """Return what identifies a result: the latest one counts."""
    return result.hop, result.transport


def doctor_lines(results: Iterable[DoctorResult], width: int) -> tuple[LogLine, ...]:
    """Return the lines of all hops tested so far, in order, wrapped between words."""
    return tuple(
        LogLine(number, level, text)
        for number, (level, text) in enumerate(_lines(results, max(width, _MIN_WIDTH)))
    )


def _lines(results: Iterable[DoctorResult], width: int) -> Iterator[tuple[LogLevel, str]]:
    def wrap(text: str, first: str = _INDENT) -> list[str]:
        return textwrap.wrap(
            sanitize_terminal_text(text), width, initial_indent=first, subsequent_indent=_INDENT,
            break_on_hyphens=False,
        )  # fmt: skip

    for one in results:
        level = _LEVELS[one.outcome]
        head = f"{SYMBOLS[one.outcome]} {hop_label(one):<{_LABEL}} {duration_text(one):>{_TIME}}  "
        for line in wrap(summary_text(one), head) or [head.rstrip()]:
            yield level, line
        for word, text in explanation_lines(one):
            for line in wrap(f"{word}: {text}"):
                yield level if word != "fix" else LogLevel.INFO, line
        if one.outcome is DoctorOutcome.FAULT:
            for line in one.manifest.splitlines():
                yield LogLevel.INFO, sanitize_terminal_text(f"{_INDENT}  {line}".rstrip())


def doctor_title(query: DoctorQuery) -> str:
    """Return what is tested: `shop/svc/web:http`, or the namespace."""
    target = query.target
    if target is None:
        return query.namespace or "as far as permissions"
    kind = "-l " if target.kind is TargetKind.SELECTOR else f"{target.kind.value}/"
    port = f":{target.port}" if target.port else ""
    return f"{target.namespace}/{kind}{target.name}{port}"


def doctor_state(results: Mapping[ResultKey, DoctorResult], *, is_over: bool) -> Cell:
    """Return what all of it amounts to now."""
    found = tuple(results.values())
    if not is_over:
        running = [one for one in found if one.outcome is DoctorOutcome.RUNNING]
        name = HOP_NAMES[running[0].hop] if running else ""
        return Cell(f"◌ testing {name}".rstrip(), "warn")
    text = conclusion(found).rstrip(".")
    is_broken = any(one.outcome is DoctorOutcome.FAULT for one in found)
    return Cell(f"✗ {text}" if is_broken else f"✓ {text}", "bad" if is_broken else "ok")
