"""Errors of the program: one root, and on every error a code, a message and a hint.

Everything the program raises on purpose descends from `TuiForwardError`. Errors of libraries and
of the operating system are mapped to one of these at the boundary where they appear
(`raise ... from`). Neither message nor hint ever contains a secret. Exit codes belong to `cli`.

`tui-forward --help` imports this module, so `model` and `reasons` are imported on first use only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from tui_forward.model import Reason, ReasonCode


class TuiForwardError(Exception):
    """Root of every error raised on purpose.

    `reason` is a reason, or a sentence without a full stop, which then is the text of `code` (by
    default that of the class). `hint` is what the user can do; empty for that of the reason.
    """

    default_code: ClassVar[str] = "internal.error"

    def __init__(
        self, reason: Reason | str, *, hint: str = "", code: ReasonCode | None = None
    ) -> None:
        from msgspec.structs import replace

        from tui_forward.model import Reason, ReasonCode
        from tui_forward.reasons import reason_text

        if isinstance(reason, str):
            code = code or ReasonCode(self.default_code)
            reason = Reason(code=code, text=reason, hint=hint)
        elif hint:
            reason = replace(reason, hint=hint)
        super().__init__(reason_text(reason))
        self.reason = reason

    @property
    def code(self) -> ReasonCode:
        """Code of the reason."""
        return self.reason.code

    @property
    def message(self) -> str:
        """Text of the reason."""
        from tui_forward.reasons import reason_text

        return reason_text(self.reason)

    @property
    def short_message(self) -> str:
        """Text of the reason in at most `reasons.MAX_SHORT` cells."""
        from tui_forward.reasons import short_reason

        return short_reason(self.reason)

    @property
    def hint(self) -> str:
        """Hint of the reason."""
        from tui_forward.reasons import reason_hint

        return reason_hint(self.reason)

    def __str__(self) -> str:
        return self.message


class UsageError(TuiForwardError):
    """Invalid user input: a port, a target, an option."""

    default_code = "usage.invalid"


class ConfigError(TuiForwardError):
    """A missing or invalid file of the user: kubeconfig, profile, settings."""

    default_code = "config.invalid"


class AuthError(TuiForwardError):
    """Missing, expired or refused credentials (HTTP 401, a failing exec plugin)."""

    default_code = "auth.failed"


class ApiError(TuiForwardError):
    """Error status of the API server.

    `status_reason` is the `reason` of the Kubernetes Status body ("NotFound"), or empty;
    `retry_after_s` is what the server asks to wait, if it does.
    """

    default_code = "api.error"

    def __init__(
        self,
        reason: Reason | str,
        *,
        status: int,
        status_reason: str = "",
        hint: str = "",
        code: ReasonCode | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(reason, hint=hint, code=code)
        self.status = status
        self.status_reason = status_reason
        self.retry_after_s = retry_after_s

    @property
    def forbidden(self) -> bool:
        """Whether the request is refused until someone changes a role or a rule."""
        return self.status == 403 and self.code != "api.starting"

    @property
    def not_found(self) -> bool:
        """Whether the object does not exist."""
        return self.status == 404

    @property
    def expired(self) -> bool:
        """Whether a watch or list must start over (HTTP 410)."""
        return self.status == 410


class TransportError(TuiForwardError):
    """A broken path to the other side: name resolution, TCP, TLS, proxy, timeout."""

    default_code = "network.error"


class UpgradeError(ApiError):
    """An answer other than 101 to an upgrade request; lets `auto` try the next transport."""

    default_code = "api.upgrade_refused"


class ProtocolError(TuiForwardError):
    """A protocol violation of the peer. Costs the one connection it happened on."""

    default_code = "network.protocol"


class ForwardError(TuiForwardError):
    """A forward, or one connection of it, cannot continue."""

    default_code = "connection.failed"


class StartError(ForwardError):
    """A forward cannot become ready without action by the user."""


class NotReadyError(StartError, TimeoutError):
    """A forward did not become ready in time; `code` and hint are those of its state."""
