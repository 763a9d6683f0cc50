"""Report of the demo's checks, as text or JSON. Pure, apart from emitting lines."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from tui_forward.cli.output import style
from tui_forward.common.printable import one_line

Emit = Callable[[str], None]

_NAME_WIDTH = 34
_ASCII = str.maketrans(
    {"✓": "+", "✗": "x", "→": "->", "↓": "down ", "↑": "up ", "·": "-", "×": "x", "µ": "u",
     "…": "...", "≤": "<=", "–": "-", "─": "-"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Check:
    """Check that has run."""

    name: str
    passed: bool
    summary: str  # figures as text, or why it failed
    seconds: float
    figures: dict[str, float | int | str] = field(default_factory=dict)  # figures for programs


class Renderer(Protocol):
    """Renders a report while its checks run."""

    def begin(self) -> None:
        """Render the title."""

    def section(self, title: str, remark: str = "") -> None:
        """Render the title of the next checks."""

    def check(self, check: Check) -> None:
        """Render a check that has run."""

    def end(self, checks: list[Check], seconds: float) -> None:
        """Render the result."""


class TextRenderer:
    """Renders text; `unicode` uses ticks and arrows instead of ASCII."""

    def __init__(self, emit: Emit, *, color: bool = False, unicode: bool = True) -> None:
        self._emit = emit
        self._color = color
        self._unicode = unicode

    def _line(self, text: str) -> None:
        self._emit(
            text if self._unicode else text.translate(_ASCII).encode("ascii", "replace").decode()
        )

    def _style(self, text: str, code: str) -> str:
        return style(text, code, color=self._color)

    def begin(self) -> None:
        """Render the title."""
        self._line("")
        self._line(
            f"{self._style('tui-forward demo', '1')}  real traffic:"
            " API server → kubelet → runtime → pod"
        )

    def section(self, title: str, remark: str = "") -> None:
        """Render a heading."""
        self._line("")
        self._line(self._style(title, "1") + (f"  {self._style(remark, '2')}" if remark else ""))

    def check(self, check: Check) -> None:
        """Render a tick or cross, the name and the summary."""
        mark = self._style("✓", "32") if check.passed else self._style("✗", "1;31")
        name = f"{check.name:<{_NAME_WIDTH}}"
        summary = one_line(check.summary)
        self._line(f"  {mark} {name} {summary if check.passed else self._style(summary, '31')}")

    def end(self, checks: list[Check], seconds: float) -> None:
        """Render the number of checks and the names of failed ones."""
        failed = [check for check in checks if not check.passed]
        self._line("")
        if failed:
            result = self._style(f"{len(failed)} of {len(checks)} checks failed", "1;31")
            self._line(f"{result} in {seconds:.1f} s: {', '.join(c.name for c in failed)}")
        else:
            result = self._style(f"All {len(checks)} checks passed", "1;32")
            self._line(f"{result} in {seconds:.1f} s.")
        self._line("")


class JsonRenderer:
    """Renders one JSON object per line."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._section = ""

    def begin(self) -> None:
        """Do nothing."""

    def section(self, title: str, remark: str = "") -> None:  # noqa: ARG002 - only in text
        """Store the title for the checks of the section."""
        self._section = title

    def check(self, check: Check) -> None:
        """Emit the object of a check."""
        self._emit(
            json.dumps(
                {
                    "section": self._section,
                    "check": check.name,
                    "passed": check.passed,
                    "summary": check.summary,
                    "seconds": round(check.seconds, 3),
                    "figures": check.figures,
                }
            )
        )

    def end(self, checks: list[Check], seconds: float) -> None:
        """Emit the last object, with totals."""
        passed = sum(check.passed for check in checks)
        self._emit(
            json.dumps({"checks": len(checks), "passed": passed, "seconds": round(seconds, 3)})
        )
