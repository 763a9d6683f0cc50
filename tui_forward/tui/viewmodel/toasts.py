"""Texts of toasts about forwards: one sentence, and what to do. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from tui_forward.common.formatting import format_age, format_short_reason, pluralize
from tui_forward.common.target_names import target_name
from tui_forward.model import Forward, ForwardState, ProxySpec, ReasonCode, Target
from tui_forward.tui.viewmodel.forward_names import forward_name
from tui_forward.tui.viewmodel.header import count_states
from tui_forward.tui.viewmodel.rows import local_text

Severity = Literal["information", "warning", "error"]

_PORT_CODES: Final = frozenset({ReasonCode.LOCAL_PORT_TAKEN, ReasonCode.LOCAL_PORT_PRIVILEGED})
_NEXT_PROBLEM: Final = "! goes to the next."


class ToastText(msgspec.Struct, frozen=True):
    """One message at the edge of the screen; an empty text removes that of its topic."""

    text: str
    severity: Severity = "information"
    topic: str = ""  # replaces a toast of the same topic that is still shown
    shown_elsewhere: bool = False  # whether a table shows the same
    stays: bool = False  # until it is removed, or clicked


def is_settled(forward: Forward) -> bool:
    """Return whether a started forward has an outcome."""
    return forward.paused or forward.state in (ForwardState.READY, ForwardState.BLOCKED)


def start_toast(forwards: Sequence[Forward], now: float) -> ToastText | None:
    """Return what became of forwards that were started together; None without forwards."""
    if not forwards:
        return None
    if len(forwards) == 1:
        return _state_toast(forwards[0], now)
    ready = sum(one.state is ForwardState.READY for one in forwards)
    if ready == len(forwards):
        return ToastText(f"{pluralize(ready, 'forward')} ready")
    return _incomplete(f"{ready} of {len(forwards)} forwards ready", forwards)


def restored_toast(forwards: Sequence[Forward]) -> ToastText | None:
    """Return what became of the forwards of the last session; None without forwards."""
    if not forwards:
        return None
    text = restored_text([one.spec.target for one in forwards])
    if all(one.state is ForwardState.READY for one in forwards):
        return ToastText(text)
    return _incomplete(text, forwards)


def restored_text(targets: Sequence[Target]) -> str:
    """Return `sts/redis-cache:redis restored`, `2 forwards restored`."""
    return f"{_names(targets)} restored"


def restored_proxies_text(specs: Sequence[ProxySpec]) -> str:
    """Return `Cluster proxy on port 1080 restored`."""
    ports = ", ".join(str(spec.port) for spec in specs)
    return f"Cluster proxy on port {ports} restored"


def stopped_text(targets: Sequence[Target]) -> str:
    """Return `Stopped sts/redis-cache:redis. u restores it.`."""
    it = "it" if len(targets) == 1 else "them"
    return f"Stopped {_names(targets)}. u restores {it}."


def not_stopped_text(forward: Forward) -> str:
    """Return why an edit of a forward did nothing."""
    return f"{forward_name(forward)} did not stop, and was not changed."


def blocked_at_start_toast(forwards: Sequence[Forward], now: float) -> ToastText | None:
    """Return one toast for all forwards that are blocked when the dashboard starts."""
    if len(forwards) <= 1:
        return _state_toast(forwards[0], now) if forwards else None
    text = f"{len(forwards)} forwards are blocked. {_NEXT_PROBLEM}"
    return ToastText(text, "error", shown_elsewhere=True)


def changed_toast(
    forwards: Sequence[Forward], now: float, context: str, outage_s: float | None = None
) -> ToastText:
    """Return one toast for forwards of a context that are in the same state now.

    `prod-eu!: 5 forwards reconnecting`. `context` is its name as it is shown; `outage_s` is how
    long the outage took that has ended, if they are ready.
    """
    state = forwards[0].state
    topic = f"{state.value} {forwards[0].spec.target.context}"
    if len(forwards) == 1:
        toast = _state_toast(forwards[0], now)
        if state is ForwardState.READY:
            after = f" after {format_age(outage_s)}" if outage_s is not None else ""
            toast = ToastText(f"{forward_name(forwards[0])} ready again{after}")
        return ToastText(toast.text, toast.severity, topic, shown_elsewhere=True)
    what = f"{context}: {len(forwards)} forwards"
    if state is ForwardState.READY:
        return ToastText(f"{what} ready again", topic=topic, shown_elsewhere=True)
    if state is not ForwardState.BLOCKED:
        return ToastText(f"{what} {state.value}", "warning", topic, shown_elsewhere=True)
    reasons = {(format_short_reason(one, now), one.hint) for one in forwards}
    text = f"{what} blocked. {_NEXT_PROBLEM}"
    if len(reasons) == 1:
        reason, hint = reasons.pop()
        text = f"{what} blocked: {_sentences(reason, hint)}" if reason else text
    return ToastText(text, "error", topic, shown_elsewhere=True)


def engine_notice_toast(profile: str, text: str, *, is_problem: bool) -> ToastText:
    """Return what the engine process did automatically."""
    what = f"Profile {profile}" if profile else "Engine"
    severity: Severity = "warning" if is_problem else "information"
    return ToastText(f"{what}: {text}", severity, shown_elsewhere=not is_problem)


def _state_toast(forward: Forward, now: float) -> ToastText:
    """Return name, state and reason of a forward."""
    name = forward_name(forward)
    if forward.paused:
        return ToastText(f"{name} paused")
    if forward.state is ForwardState.READY:
        return ToastText(f"{name} ready on {local_text(forward)}")
    reason = format_short_reason(forward, now) or forward.reason
    if forward.state is not ForwardState.BLOCKED:
        return ToastText(f"{name} {forward.state.value}: {reason}", "warning")
    if forward.code not in _PORT_CODES:
        return ToastText(f"{name} blocked: {_sentences(reason, forward.hint)}", "error")
    where = f" on :{forward.spec.local_port}" if forward.spec.local_port else ""
    return ToastText(f"{name} blocked{where}: {reason}. e changes it.", "error")


def _incomplete(text: str, forwards: Sequence[Forward]) -> ToastText:
    counts = count_states(forwards)
    parts = [f"{count} {name}" for name, count in counts.items() if name != "ready"]
    blocked = any(one.state is ForwardState.BLOCKED for one in forwards)
    severity: Severity = "error" if blocked else "warning"
    return ToastText(f"{text} · {' · '.join(parts)}. {_NEXT_PROBLEM}", severity)


def _names(targets: Sequence[Target]) -> str:
    is_one = len(targets) == 1
    return target_name(targets[0]) if is_one else pluralize(len(targets), "forward")


def _sentences(*texts: str) -> str:
    return " ".join(f"{text.rstrip('.')}." for text in texts if text)
