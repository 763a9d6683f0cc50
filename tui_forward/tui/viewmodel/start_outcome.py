"""The outcome of a start in a sentence. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tui_forward.common.formatting import format_short_reason, pluralize
from tui_forward.model import Forward, ForwardState, ReasonCode
from tui_forward.tui.viewmodel.forward_names import forward_name
from tui_forward.tui.viewmodel.header import count_states
from tui_forward.tui.viewmodel.notifications import Severity
from tui_forward.tui.viewmodel.rows import local_text

_PORT_CODES = frozenset({ReasonCode.LOCAL_PORT_TAKEN, ReasonCode.LOCAL_PORT_PRIVILEGED})


class Outcome(msgspec.Struct, frozen=True):
    """What became of forwards that were started."""

    text: str
    severity: Severity


def is_settled(forward: Forward) -> bool:
    """Return whether a started forward has an outcome."""
    return forward.paused or forward.state in (ForwardState.READY, ForwardState.BLOCKED)


def start_outcome(forwards: Sequence[Forward], now: float) -> Outcome | None:
    """Return one sentence about forwards that were started together; None without forwards."""
    if not forwards:
        return None
    if len(forwards) == 1:
        return _single(forwards[0], now)
    ready = sum(one.state is ForwardState.READY for one in forwards)
    if ready == len(forwards):
        return Outcome(f"{pluralize(ready, 'forward')} ready", "information")
    counts = count_states(forwards)
    parts = [f"{count} {name}" for name, count in counts.items() if name != "ready"]
    blocked = any(one.state is ForwardState.BLOCKED for one in forwards)
    text = f"{ready} of {len(forwards)} forwards ready · {' · '.join(parts)}. ! shows the next."
    return Outcome(text, "error" if blocked else "warning")


def _single(forward: Forward, now: float) -> Outcome:
    name = forward_name(forward)
    if forward.state is ForwardState.READY:
        return Outcome(f"{name} ready on {local_text(forward)}", "information")
    reason = format_short_reason(forward, now) or forward.reason
    if forward.state is ForwardState.BLOCKED:
        hint = "e changes it" if forward.code in _PORT_CODES else forward.hint
        hint = f" {hint.rstrip('.')}." if hint else ""
        return Outcome(f"{name} blocked: {reason}.{hint}", "error")
    state = "paused" if forward.paused else forward.state.value
    return Outcome(f"{name} {state}: {reason}", "warning")
