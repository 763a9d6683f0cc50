"""What errors and events of a forward are called in front of people.

Pure. Errors arrive here with a message and a hint of their own; this module only adds what
the layer that raised them cannot know: which state they mean for the forward.
"""

from __future__ import annotations

import re

from tui_forward.engine.forwards import state_machine as state_machine
from tui_forward.errors import ApiError, AuthError, ConfigError, TransportError, TuiForwardError
from tui_forward.model import (
    BlockedBy,
    PodRef,
    Resolved,
    Target,
    TransportChoice,
    Unresolved,
)

TRANSPORT_NAMES = {
    TransportChoice.AUTO: "any transport",
    TransportChoice.SPDY: "SPDY",
    TransportChoice.WEBSOCKET: "WebSocket",
    TransportChoice.CHANNELS: "WebSocket channels",
}

# How RBAC words a refusal: `User "x" cannot create resource "pods/portforward" in API group ""
# in the namespace "shop"`.
_REFUSAL = re.compile(r'cannot (?P<verb>[a-z]+) resource "(?P<resource>[^"]+)"')


def blocked_by(error: TuiForwardError) -> BlockedBy | None:
    """What a forward that cannot dial for this reason waits for; None when time may help."""
    if isinstance(error, AuthError):
        return BlockedBy.CREDENTIALS
    if isinstance(error, ConfigError):
        return BlockedBy.CONFIG
    if isinstance(error, ApiError):
        if error.status == 401:
            return BlockedBy.CREDENTIALS
        if error.forbidden:
            return BlockedBy.FORBIDDEN
    return None


def affects_all_pods(error: TuiForwardError) -> bool:
    """Whether all forwards of the context meet the same trouble, whatever their pods."""
    return isinstance(error, AuthError | ConfigError | TransportError) or (
        isinstance(error, ApiError) and error.status == 401
    )


def dial_failed(
    error: TuiForwardError, target: Target, pod: PodRef, retry_at: float
) -> state_machine.DialFailed:
    """The input for the state machine when no tunnel could be opened."""
    reason, hint = error_text(error), error.hint
    if isinstance(error, ApiError) and error.forbidden:
        refusal = _REFUSAL.search(error.message)
        verb = refusal["verb"] if refusal else "create"
        resource = refusal["resource"] if refusal else "pods/portforward"
        reason = f"not allowed to {verb} {resource} in namespace {target.namespace}"
        hint = hint or (
            f"ask for a Role with the verbs get and create on {resource}"
            if resource == "pods/portforward"
            else f"ask for a Role with the verb {verb} on {resource}"
        )
    elif blocked_by(error) is None and pod.name not in reason:
        reason = f"cannot reach pod {pod.name}: {reason}"
    return state_machine.DialFailed(
        reason=reason, hint=hint, retry_at=retry_at, blocked_by=blocked_by(error)
    )


def pod_missing(missing: Unresolved, before: PodRef | None) -> state_machine.PodMissing:
    """The input for the state machine when the target means no usable pod."""
    lost = ""
    if before is not None and before.name not in missing.reason:
        lost = f"pod {before.name} can no longer be used"
    return state_machine.PodMissing(
        reason=missing.reason,
        hint=missing.hint,
        blocked_by=missing.blocked_by,
        lost=lost,
        pending=missing.is_loading,
    )


def pod_moved(before: PodRef, now: PodRef) -> str:
    """One pod in place of another."""
    if before.name == now.name:
        return f"pod {now.name} was replaced by a new one of the same name"
    return f"pod {before.name} was replaced by {now.name}"


def ready_reason(resolved: Resolved, transport: TransportChoice | None) -> str:
    """The reason of `READY`."""
    by = f" by {TRANSPORT_NAMES[transport]}" if transport is not None else ""
    text = f"forwarding to {resolved.pod.name}:{resolved.port}{by}"
    return text if resolved.ready else f"{text}; the pod is not Ready"


def error_text(error: BaseException) -> str:
    """An error's message, fit to follow a colon."""
    text = " ".join(str(error).split()).rstrip(".")
    return text or type(error).__name__
