"""Results of a doctor in words, the same for the command line and the dashboard. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from tui_forward.model import DoctorHop, DoctorOutcome, DoctorResult, TransportChoice

HOP_NAMES: Final = {
    DoctorHop.KUBECONFIG: "kubeconfig",
    DoctorHop.CREDENTIALS: "credentials",
    DoctorHop.DNS: "DNS",
    DoctorHop.PROXY: "proxy",
    DoctorHop.TCP: "TCP",
    DoctorHop.TLS: "TLS",
    DoctorHop.API: "API server",
    DoctorHop.IDENTITY: "identity",
    DoctorHop.PERMISSIONS: "permissions",
    DoctorHop.TARGET: "target",
    DoctorHop.UPGRADE: "upgrade",
    DoctorHop.KUBELET: "kubelet",
    DoctorHop.RUNTIME: "runtime",
    DoctorHop.PORT: "port",
}
_SHORT_TRANSPORTS: Final = {
    TransportChoice.SPDY: "SPDY",
    TransportChoice.WEBSOCKET: "WebSocket",
    TransportChoice.CHANNELS: "channels",
}
SYMBOLS: Final = {
    DoctorOutcome.RUNNING: "◌",
    DoctorOutcome.GOOD: "✓",
    DoctorOutcome.NOTE: "!",
    DoctorOutcome.FAULT: "✗",
    DoctorOutcome.NOT_REACHED: "–",
}


def hop_label(result: DoctorResult) -> str:
    """Return `DNS`, `upgrade SPDY`: at most 17 cells."""
    transport = _SHORT_TRANSPORTS.get(result.transport) if result.transport is not None else None
    return f"{HOP_NAMES[result.hop]} {transport}" if transport else HOP_NAMES[result.hop]


def duration_text(result: DoctorResult) -> str:
    """Return `0.4 ms`, `12 ms`, `3.1 s`; empty without a time."""
    seconds = result.duration_s
    if seconds is None:
        return ""
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{seconds * 1000:.1f} ms" if seconds < 0.01 else f"{seconds * 1000:.0f} ms"


def summary_text(result: DoctorResult) -> str:
    """Return what was tried and found, in one line."""
    if result.outcome is DoctorOutcome.NOT_REACHED:
        broken = HOP_NAMES[result.broken] if result.broken is not None else "a hop before it"
        return f"not reached: {broken} is broken"
    return " · ".join((result.tried, *result.facts)) if result.tried else ""


def explanation_lines(result: DoctorResult) -> tuple[tuple[str, str], ...]:
    """Return cause and fix of a fault or a note, each behind its word."""
    if not result.cause:
        return ()
    word = "fault" if result.outcome is DoctorOutcome.FAULT else "note"
    lines = [(word, result.cause)]
    if result.fix:
        lines.append(("fix", result.fix))
    return tuple(lines)


def not_reached_by(results: Iterable[DoctorResult]) -> dict[str, list[str]]:
    """Return the hops that were not reached, by the one that is broken."""
    found: dict[str, list[str]] = {}
    for result in results:
        if result.outcome is DoctorOutcome.NOT_REACHED and result.broken is not None:
            found.setdefault(HOP_NAMES[result.broken], []).append(HOP_NAMES[result.hop])
    return found


def is_healthy(results: Iterable[DoctorResult]) -> bool:
    """Return whether no hop is broken."""
    bad = (DoctorOutcome.FAULT, DoctorOutcome.NOT_REACHED)
    return not any(one.outcome in bad for one in results)


def conclusion(results: Sequence[DoctorResult]) -> str:
    """Return the outcome of all tests in a sentence."""
    faults = [one for one in results if one.outcome is DoctorOutcome.FAULT]
    if faults:
        names = dict.fromkeys(HOP_NAMES[one.hop] for one in faults)
        return f"Broken: {', '.join(names)}."
    notes = sum(one.outcome is DoctorOutcome.NOTE for one in results)
    noted = f", {notes} with a note" if notes else ""
    durations: dict[DoctorHop, float] = {}
    for one in results:  # the transports are tested at the same time
        durations[one.hop] = max(durations.get(one.hop, 0.0), one.duration_s or 0.0)
    total_s = sum(durations.values())
    return f"Every hop works: {len(durations)} tested in {total_s:.1f} s{noted}."
