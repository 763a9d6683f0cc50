"""Faults of the API server that stay in force until they are cleared.

The request path reads them. One-time faults (a cut, a compaction) are methods of `server`. All
faults are listed in `minicluster.control_socket`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tui_forward.errors import UsageError
from tui_forward.minicluster.apiserver.status_errors import StatusError

TRANSPORTS = ("spdy", "websocket", "channels")


@dataclass(slots=True)
class Refusal:
    """Error response to port-forward requests, and how often it is sent (None: always)."""

    status: int = 500
    reason: str = ""
    message: str = "refused on request"
    times: int | None = None


@dataclass(slots=True)
class Faults:
    """The faults in force."""

    refusal: Refusal | None = None  # error response to port-forward requests
    # Disabled transports with the status of the response.
    disabled: dict[str, int] = field(default_factory=dict)
    gone: int = 0  # number of watches and continued lists that are answered with HTTP 410
    delay_s: float = 0.0  # delay of every byte of a tunnel
    stalled: str = ""  # "tunnels", "watches", "all", or empty
    go_framing: bool = False  # write WebSocket tunnels field by field, as Go does
    credentials: str = ""  # "refused" or "ignored", those of nodes excepted, or empty
    throttles: bool = False  # answer short requests with HTTP 429, those of administrators excepted
    dial: str = ""  # "no-route" or "timeout" of each dial of a kubelet, or empty
    tunnel_life_s: float = 0.0  # age at which tunnels are cut; 0 for none

    def clear(self) -> None:
        """End all faults."""
        self.refusal = None
        self.disabled = {}
        self.gone = 0
        self.delay_s = 0.0
        self.stalled = ""
        self.go_framing = False
        self.credentials = ""
        self.throttles = False
        self.dial = ""
        self.tunnel_life_s = 0.0

    def set_refusal(self, request: dict[str, Any]) -> None:
        """Set or clear (`status` 0) the refusal of port-forward requests."""
        status = int(request.get("status", 500))
        times = request.get("times")
        self.refusal = None
        if status:
            self.refusal = Refusal(
                status,
                str(request.get("reason", "")),
                str(request.get("message", "refused on request")),
                None if times is None else int(times),
            )

    def set_credentials(self, mode: str) -> None:
        """Set what happens to credentials. Raises `UsageError`: unknown mode."""
        if mode not in ("", "refused", "ignored"):
            raise UsageError(f"unknown mode {mode!r}", hint="refused, ignored")
        self.credentials = mode

    def set_dial(self, mode: str) -> None:
        """Set how dials of kubelets fail. Raises `UsageError`: unknown mode."""
        if mode not in ("", "no-route", "timeout"):
            raise UsageError(f"unknown mode {mode!r}", hint="no-route, timeout")
        self.dial = mode

    def set_transports(self, request: dict[str, Any]) -> None:
        """Set the disabled transports. Raises `UsageError`: unknown transport."""
        names = request.get("disable") or ()
        names = names.split(",") if isinstance(names, str) else names
        unknown = [name for name in names if name not in TRANSPORTS]
        if unknown:
            raise UsageError(f"unknown transport {unknown[0]!r}", hint=", ".join(TRANSPORTS))
        self.disabled = dict.fromkeys(names, int(request.get("status", 400)))

    def check_portforward(self, transport: str) -> None:
        """Check that no fault refuses a port-forward request. Raises `StatusError`: the refusal."""
        if (status := self.disabled.get(transport)) is not None:
            raise StatusError(status, _REASONS.get(status, ""), f"{transport} is disabled")
        refusal = self.refusal
        if refusal is None:
            return
        if refusal.times is not None:
            refusal.times -= 1
            if refusal.times <= 0:
                self.refusal = None
        reason = refusal.reason or _REASONS.get(refusal.status, "")
        raise StatusError(refusal.status, reason, refusal.message)

    def consume_gone(self) -> bool:
        """Return whether to answer this watch or continued list with HTTP 410; count it."""
        if self.gone <= 0:
            return False
        self.gone -= 1
        return True


_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}
