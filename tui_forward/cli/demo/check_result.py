"""Result of a check of the demo."""

from __future__ import annotations

from dataclasses import dataclass, field

Figures = dict[str, float | int | str]


class CheckFailedError(Exception):
    """A check failed; the message names what was observed instead."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Result of a passed check."""

    summary: str  # figures as text
    figures: Figures = field(default_factory=dict)  # the same for programs


def require(condition: object, message: str) -> None:
    """Raise `CheckFailedError` unless the condition holds."""
    if not condition:
        raise CheckFailedError(message)
