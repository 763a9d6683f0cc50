"""What a test has found, and the result that users see. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from tui_forward.kube.api.log_text import strip_control_characters
from tui_forward.model import (
    DoctorHop,
    DoctorOutcome,
    DoctorResult,
    HopKind,
    Reason,
    ReasonCode,
    TransportChoice,
)
from tui_forward.reasons import diagnosis_hint, failed_hop, one_line, reason_text

_MAX_TEXT = 600
# The kubelet's words for a pod without a running sandbox.
_OF_RUNTIME = frozenset({ReasonCode.POD_NOT_RUNNING})


@dataclass(frozen=True, slots=True)
class Finding:
    """What the test of one hop has found."""

    hop: DoctorHop
    outcome: DoctorOutcome
    tried: str = ""
    facts: tuple[str, ...] = ()
    reason: Reason | None = None  # of a fault or a note
    transport: TransportChoice | None = None
    manifest: str = ""
    duration_s: float | None = None  # None for that of the whole test


def good(hop: DoctorHop, tried: str, *facts: str) -> Finding:
    """Return that a hop works."""
    return Finding(hop, DoctorOutcome.GOOD, tried, facts)


def note(hop: DoctorHop, tried: str, reason: Reason, *facts: str) -> Finding:
    """Return that a hop works, with something worth knowing."""
    return Finding(hop, DoctorOutcome.NOTE, tried, facts, reason)


def fault(hop: DoctorHop, tried: str, reason: Reason, *facts: str) -> Finding:
    """Return that a hop is broken."""
    return Finding(hop, DoctorOutcome.FAULT, tried, facts, reason)


def to_result(finding: Finding, duration_s: float) -> DoctorResult:
    """Return the result that users see."""
    reason = finding.reason
    return DoctorResult(
        hop=finding.hop,
        outcome=finding.outcome,
        transport=finding.transport,
        tried=_text(finding.tried),
        duration_s=duration_s if finding.duration_s is None else finding.duration_s,
        facts=tuple(_text(fact) for fact in finding.facts if fact),
        code=reason.code if reason is not None else None,
        cause=_text(reason_text(reason)) if reason is not None else "",
        fix=_text(diagnosis_hint(reason)) if reason is not None else "",
        manifest=finding.manifest,
    )


def not_reached(
    hop: DoctorHop, broken: DoctorHop, transport: TransportChoice | None = None
) -> DoctorResult:
    """Return that a hop was not tested, because another one is broken."""
    return DoctorResult(
        hop=hop, outcome=DoctorOutcome.NOT_REACHED, transport=transport, broken=broken
    )


def hop_behind_upgrade(reason: Reason) -> DoctorHop | None:
    """Return the hop behind the API server that refused an upgrade; None if it was none."""
    if reason.code in _OF_RUNTIME:
        return DoctorHop.RUNTIME
    match failed_hop(reason):
        case HopKind.KUBELET:
            return DoctorHop.KUBELET
        case HopKind.RUNTIME:
            return DoctorHop.RUNTIME
        case _:
            return None


def _text(text: str) -> str:
    line = one_line(strip_control_characters(text))
    return line if len(line) <= _MAX_TEXT else line[: _MAX_TEXT - 1].rstrip() + "…"
