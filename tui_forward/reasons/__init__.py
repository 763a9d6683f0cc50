"""Texts, hints and failed hops of reason codes. No code parses a text back.

`tables/` has an entry for each code, a module for each area; `rendering.py` fills in the templates
of an entry with the parameters of a reason.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from tui_forward.model import BlockedBy, HopKind, Reason, ReasonCode
from tui_forward.reasons.entry import DESCRIBE_HINT, RETRIED
from tui_forward.reasons.rendering import (
    TRANSPORT_NAMES,
    one_line,
    plain_value,
    quoted_value,
    render,
    render_short,
)
from tui_forward.reasons.tables import ENTRIES

__all__ = [
    "MAX_SHORT",
    "TRANSPORT_NAMES",
    "add_previous",
    "blocked_by",
    "diagnosis_hint",
    "error_text",
    "expired_at",
    "failed_hop",
    "hop_hint",
    "is_login",
    "mentions_pod",
    "one_line",
    "reason_hint",
    "reason_text",
    "short_reason",
    "waits_for_pod",
]

MAX_SHORT: Final = 29  # cells of a short reason, with its age

# Of " 99999 d ago", which follows the short reason of an expired credential.
_AGE_CELLS: Final = 12
_EXPIRED: Final = frozenset({ReasonCode.AUTH_TOKEN_EXPIRED, ReasonCode.AUTH_CERTIFICATE_EXPIRED})
# Precedes the reason of one of several pods.
_ONE_OF_MANY: Final = "[{ready} of {total} {pods}|no pods][ of {object}] {are} ready: "
_HOP_HINTS: Final = {
    HopKind.LOCAL: "Choose another local port or address, or stop the process that holds it",
    HopKind.API: "Check the network and VPN, and `server` in the kubeconfig",
    HopKind.KUBELET: "Check the node: kubectl describe node [{node}|NODE]",
    HopKind.RUNTIME: "Check that the container runtime runs on [{node}|the node]",
    HopKind.POD: DESCRIBE_HINT,
    HopKind.PORT: "Check which port the container listens on",
}
_RETRIED_HOPS: Final = frozenset({HopKind.API, HopKind.KUBELET})
# A credential plugin runs: its end brings the credentials, or another reason.
_LOGIN_CODES: Final = frozenset(
    {
        ReasonCode.AUTH_PLUGIN_RUNNING,
        ReasonCode.AUTH_LOGIN_RUNNING,
        ReasonCode.AUTH_LOGIN_IN_TERMINAL,
    }
)


def is_login(code: ReasonCode | None) -> bool:
    """Whether this is a login in progress: to be waited for, although it may need the user."""
    return code in _LOGIN_CODES


def reason_text(reason: Reason) -> str:
    """Return the sentence for a reason, without a full stop."""
    text = reason.text or render(ENTRIES[reason.code].text, reason, _text_value)
    text += render("[ (tried {tried})]", reason, _text_value)
    if (reason.total or 0) > 1 and reason.code.startswith("pod."):
        text = render(_ONE_OF_MANY, reason, _text_value) + text
    if reason.dialed_pod and reason.dialed_pod != reason.pod:
        text = f"cannot reach pod {reason.dialed_pod}: {text}"
    if reason.previous is not None and not _is_repeated(reason.previous, reason):
        text = f"{reason_text(reason.previous)}; {text}"
    return text


def short_reason(reason: Reason) -> str:
    """Return a reason in at most `MAX_SHORT` cells, with an age if `expired_at` tells one.

    A reason that is no fault in itself, such as a dial, gives way to what led to it.
    """
    if failed_hop(reason) is None and reason.previous is not None:
        return short_reason(reason.previous)
    cause = short_reason(reason.cause) if reason.cause is not None else ""
    width = MAX_SHORT - (_AGE_CELLS if expired_at(reason) is not None else 0)
    return render_short(ENTRIES[reason.code].short, reason, cause, width)


def expired_at(reason: Reason) -> float | None:
    """Return since when (epoch seconds) a credential has been expired, if this is the reason."""
    if failed_hop(reason) is None and reason.previous is not None:
        return expired_at(reason.previous)
    return reason.at if reason.code in _EXPIRED else None


def reason_hint(reason: Reason) -> str:
    """Return what the user can do about a reason of a forward; empty if nothing is known.

    What the forward does by itself follows.
    """
    if reason.hint or reason.text:  # the hint of a code does not fit another text
        return reason.hint
    return render(ENTRIES[reason.code].full_hint, reason, quoted_value)


def hop_hint(reason: Reason) -> str:
    """Return the hint of a reason of a forward, or what to check at its failed hop."""
    if hint := reason_hint(reason):
        return hint
    hop = failed_hop(reason) or HopKind.LOCAL
    hint = render(_HOP_HINTS[hop], reason, quoted_value)
    return f"{hint}; {RETRIED}" if hop in _RETRIED_HOPS else hint


def diagnosis_hint(reason: Reason) -> str:
    """Return the hint of a reason that a test has found: `hop_hint` without a forward's part."""
    if reason.hint:
        return reason.hint
    own = "" if reason.text else ENTRIES[reason.code].hint
    return render(own or _HOP_HINTS[failed_hop(reason) or HopKind.LOCAL], reason, quoted_value)


def failed_hop(reason: Reason) -> HopKind | None:
    """Return the hop where the fault is; None for a reason that is no fault."""
    return ENTRIES[reason.code].hop


def blocked_by(reason: Reason) -> BlockedBy | None:
    """Return what a forward with this reason waits for; None when time may help."""
    return ENTRIES[reason.code].blocked_by


def waits_for_pod(reason: Reason) -> bool:
    """Whether a pod has to run again first: a forward waits then, it does not reconnect."""
    cause = reason.cause
    return ENTRIES[reason.code].waits_for_pod or (cause is not None and waits_for_pod(cause))


def error_text(error: BaseException) -> str:
    """Return the message of any exception in one line, fit to follow a colon."""
    return one_line(str(error)) or type(error).__name__


def add_previous(reason: Reason, previous: Reason | None) -> Reason:
    """Return `reason` with `previous` at the start of its chain of previous reasons."""
    if previous is None:
        return reason
    if reason.previous is not None:
        previous = add_previous(reason.previous, previous)
    return replace(reason, previous=previous)


def mentions_pod(reason: Reason | None, pod: str) -> bool:
    """Whether a reason, its cause or what came before it names a pod."""
    if reason is None:
        return False
    named = pod in (reason.pod, reason.dialed_pod, reason.successor)
    return named or mentions_pod(reason.cause, pod) or mentions_pod(reason.previous, pod)


def _is_repeated(previous: Reason, reason: Reason) -> bool:
    return previous in (reason.cause, replace(reason, previous=None, dialed_pod=""))


def _text_value(reason: Reason, name: str) -> str:
    if name == "cause":
        return reason_text(reason.cause) if reason.cause is not None else ""
    return plain_value(reason, name)
