"""Hints in the words of the dashboard, which has keys where a shell has commands."""

from __future__ import annotations

from typing import Final

from tui_forward.model import HopKind, ReasonCode
from tui_forward.reasons.rendering import FIELD
from tui_forward.reasons.tables import ENTRIES

_LOG: Final = "Press l for its log"
_LAST_LOG: Final = "Press l for the log of its last run"
_EVENTS: Final = "Find it with : and press d for its events"
_POD_EVENTS: Final = "Find the pod with : and press d for its events"
_NODE: Final = "Check the node and its network; it is retried automatically"
_LOG_IN: Final = (
    "Press L to log in again, or use your cloud's login command; waiting forwards resume "
    "automatically"
)
# Of the codes whose hints have commands, or for which the dashboard has a key.
KEY_HINTS: Final[dict[ReasonCode, str]] = {
    ReasonCode.ENGINE_NOT_RESPONDING: (
        "Try again; if it persists, quit and restart the engine, which keeps all ports"
    ),
    ReasonCode.LOCAL_PORT_TAKEN: "Press e for another local port, or stop that process",
    ReasonCode.LOCAL_NO_FREE_PORT: "Press e for another local port or address",
    ReasonCode.LOCAL_NO_LOOPBACK: "Press e for another local address",
    ReasonCode.LOCAL_LISTEN_FAILED: "Press e for another local port or address",
    ReasonCode.AUTH_FAILED: _LOG_IN,
    ReasonCode.AUTH_UNAUTHORIZED: _LOG_IN,
    ReasonCode.AUTH_PLUGIN_FAILED: _LOG_IN,
    ReasonCode.AUTH_PLUGIN_DENIED: "Allow it in the file kuberc",
    ReasonCode.AUTH_LOGIN_ENDED: _LOG_IN,
    ReasonCode.AUTH_REFRESH_FAILED: _LOG_IN,
    ReasonCode.AUTH_LOGIN_RUNNING: "Do what it asks for; press L to open or copy it",
    ReasonCode.AUTH_TERMINAL_REQUIRED: "Press L to log in",
    ReasonCode.NODE_NOT_READY: "Check the node; the forward continues when it is Ready",
    ReasonCode.NODE_MISSING: "Delete the pod, so that it is created on another node",
    ReasonCode.KUBELET_UNREACHABLE: _NODE,
    ReasonCode.KUBELET_NO_ANSWER: (
        "Check the node, and proxies in between, which may not pass upgrades on"
    ),
    ReasonCode.KUBELET_NO_ADDRESS: _NODE,
    ReasonCode.RUNTIME_SANDBOX_GONE: "Wait for a new sandbox; if none comes, delete the pod",
    ReasonCode.TARGET_NO_ENDPOINTS: (
        "Check its endpoint slices; the forward starts when there are some"
    ),
    ReasonCode.TARGET_SCALED_TO_ZERO: "Scale it up; the forward starts when a pod is Ready",
    ReasonCode.TARGET_FAILED: _LOG,
    ReasonCode.TARGET_PODS_NOT_CREATED: f"Check quotas and admission. {_EVENTS}",
    ReasonCode.TARGET_NO_NODES: f"Check its node selector and tolerations. {_EVENTS}",
    ReasonCode.POD_NOT_SCHEDULED: _POD_EVENTS,
    ReasonCode.POD_CREATING: _POD_EVENTS,
    ReasonCode.POD_INIT_RUNNING: _LOG,
    ReasonCode.POD_INIT_FAILING: _LAST_LOG,
    ReasonCode.POD_IMAGE_PULL: _POD_EVENTS,
    ReasonCode.POD_CRASH_LOOPING: _LAST_LOG,
    ReasonCode.POD_UNSTABLE: _LAST_LOG,
    ReasonCode.POD_OUT_OF_MEMORY: f"Raise its memory limit. {_LAST_LOG}",
    ReasonCode.POD_CONTAINER_ERROR: _POD_EVENTS,
    ReasonCode.POD_NOT_READY: _POD_EVENTS,
    ReasonCode.POD_UNKNOWN: "Check the node",
    ReasonCode.POD_FAILED: _LOG,
    ReasonCode.PORT_CLOSES: _LOG,
    ReasonCode.CONNECTION_CONTAINER_ENDED: _LOG,
    ReasonCode.CONNECTION_CONTAINER_RESTARTED: _LAST_LOG,
}
# Of hops whose reason has no hint of its own; see `reasons.hop_hint`.
_HOP_KEY_HINTS: Final = {HopKind.KUBELET: _NODE, HopKind.POD: _POD_EVENTS}


def key_hint(code: ReasonCode | None, hint: str) -> str:
    """Return the hint of a reason for a user of the dashboard, given that for a shell.

    A hint that was given where the reason occurred stays as it is.
    """
    if code is None or not hint:
        return hint
    entry = ENTRIES[code]
    if code in KEY_HINTS:
        is_own = bool(FIELD.search(entry.hint)) or hint in (entry.hint, entry.full_hint)
        return KEY_HINTS[code] if is_own else hint
    if not entry.hint and entry.hop is not None:
        return _HOP_KEY_HINTS.get(entry.hop, hint)
    return hint
