"""What the demonstration found, and how it is shown. Pure but for the lines it emits."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from tui_forward.cli.output import one_line, style

Emit = Callable[[str], None]

_NAME_WIDTH = 34
_ASCII = str.maketrans(
    {"✓": "+", "✗": "x", "→": "->", "↓": "down ", "↑": "up ", "·": "-", "×": "x", "µ": "u",
     "…": "...", "≤": "<=", "–": "-", "─": "-"}
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Check:
    """One thing the program says of itself, put to the test.

    Attributes:
        name: The claim in a few words.
        held: Whether it is true.
        words: The figures as a sentence, or why it failed.
        seconds: How long the test took.
        figures: The figures for machines.
    """

    name: str
    passed: bool
    summary: str
    seconds: float
    figures: dict[str, float | int | str] = field(default_factory=dict)


class Renderer(Protocol):
    """Shows a report while it grows."""

    def begin(self) -> None:
        """Before anything else."""

    def section(self, title: str, remark: str = "") -> None:
        """What the next claims are about."""

    def claim(self, claim: Check) -> None:
        """One more claim was tested."""

    def end(self, claims: list[Check], seconds: float) -> None:
        """The verdict."""


class TextRenderer:
    """For people.

    Args:
        emit: Takes lines.
        color: Use colour.
        unicode: Ticks and arrows instead of ASCII.
    """

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
        """What this is."""
        self._line("")
        self._line(
            f"{self._style('tui-forward demo', '1')}  real traffic through a whole chain:"
            " API server → kubelet → runtime → pod"
        )

    def section(self, title: str, remark: str = "") -> None:
        """A heading."""
        self._line("")
        self._line(self._style(title, "1") + (f"  {self._style(remark, '2')}" if remark else ""))

    def claim(self, claim: Check) -> None:
        """Tick, claim, figures."""
        mark = self._style("✓", "32") if claim.passed else self._style("✗", "1;31")
        name = f"{claim.name:<{_NAME_WIDTH}}"
        words = one_line(claim.summary)
        self._line(f"  {mark} {name} {words if claim.passed else self._style(words, '31')}")

    def end(self, claims: list[Check], seconds: float) -> None:
        """How many held; which did not."""
        failed = [claim for claim in claims if not claim.passed]
        self._line("")
        if failed:
            verdict = self._style(f"{len(failed)} of {len(claims)} claims failed", "1;31")
            self._line(f"{verdict} in {seconds:.1f} s: {', '.join(c.name for c in failed)}")
        else:
            verdict = self._style(f"All {len(claims)} claims held", "1;32")
            self._line(f"{verdict} in {seconds:.1f} s.")
        self._line("")


class JsonRenderer:
    """For machines: one object per line."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._section = ""

    def begin(self) -> None:
        """Nothing."""

    def section(self, title: str, remark: str = "") -> None:  # noqa: ARG002 - for people only
        """Remembered for the claims below it."""
        self._section = title

    def claim(self, claim: Check) -> None:
        """One object."""
        self._emit(
            json.dumps(
                {
                    "section": self._section,
                    "claim": claim.name,
                    "held": claim.passed,
                    "words": claim.summary,
                    "seconds": round(claim.seconds, 3),
                    "figures": claim.figures,
                }
            )
        )

    def end(self, claims: list[Check], seconds: float) -> None:
        """The last object."""
        held = sum(claim.passed for claim in claims)
        self._emit(json.dumps({"claims": len(claims), "held": held, "seconds": round(seconds, 3)}))
