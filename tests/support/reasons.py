"""Reasons with a text of the test's own."""

from __future__ import annotations

from tui_forward.model import Reason, ReasonCode, Unresolved


def because(text: str, code: ReasonCode = ReasonCode.TUNNEL_LOST, hint: str = "") -> Reason:
    """Return a reason with a fixed text."""
    return Reason(code=code, text=text, hint=hint)


def unresolved(
    text: str, code: ReasonCode = ReasonCode.TARGET_NO_PODS, hint: str = ""
) -> Unresolved:
    """Return a resolution without a pod, with a fixed text."""
    return Unresolved(reason=because(text, code, hint))
