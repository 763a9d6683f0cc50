"""Faults the API server carries out on itself.

Lasting faults are fields here that the request path looks at; momentary ones (a cut, a
compaction) are done by `server`. The vocabulary is documented in `minicluster.control`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tui_forward.errors import UsageError
from tui_forward.minicluster.apiserver.status_errors import StatusError

TRANSPORTS = ("spdy", "websocket", "channels")


@dataclass(slots=True)
class Refusal:
    """How port-forward requests are refused, and how many more of them (None: all)."""

    status: int = 500
    reason: str = ""
    message: str = "refused on request"
    times: int | None = None


@dataclass(slots=True)
class Faults:
    """The lasting faults in force.

    Attributes:
        refusal: Answer port-forward requests with an error.
        disabled: Transports that are refused, with the status.
        gone: How many more watches and continued lists are answered with HTTP 410.
        delay_s: Every byte of a tunnel is this much later.
        stalled: What stands still: "tunnels", "watches", "all", or nothing.
        go_framing: Write the WebSocket tunnel field by field.
    """

    refusal: Refusal | None = None
    disabled: dict[str, int] = field(default_factory=dict)
    gone: int = 0
    delay_s: float = 0.0
    stalled: str = ""
    go_framing: bool = False

    def clear(self) -> None:
        """End every lasting fault."""
        self.refusal = None
        self.disabled = {}
        self.gone = 0
        self.delay_s = 0.0
        self.stalled = ""
        self.go_framing = False

    def set_refusal(self, request: dict[str, Any]) -> None:
        """`refuse`: `status` 0 ends it."""
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

    def set_transports(self, request: dict[str, Any]) -> None:
        """`transports`.

        Raises:
            UsageError: An unknown transport.
        """
        names = request.get("disable") or ()
        names = names.split(",") if isinstance(names, str) else names
        unknown = [name for name in names if name not in TRANSPORTS]
        if unknown:
            raise UsageError(f"unknown transport {unknown[0]!r}", hint=", ".join(TRANSPORTS))
        self.disabled = dict.fromkeys(names, int(request.get("status", 400)))

    def check_portforward(self, transport: str) -> None:
        """Refuse a port-forward request if a fault says so.

        Raises:
            Failure: The refusal.
        """
        if (status := self.disabled.get(transport)) is not None:
            raise StatusError(status, _REASONS.get(status, ""), f"{transport} is switched off")
        refusal = self.refusal
        if refusal is None:
            return
        if refusal.times is not None:
            refusal.times -= 1
            if refusal.times <= 0:
                self.refusal = None
        reason = refusal.reason or _REASONS.get(refusal.status, "")
        raise StatusError(refusal.status, reason, refusal.message)

    def take_gone(self) -> bool:
        """Whether this watch or continued list is to be answered with HTTP 410."""
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
