"""The errors of the program: one root, and on every error a hint for the person.

Everything the program raises on purpose descends from `TuiForwardError`. Errors of
libraries and of the operating system are mapped to one of these at the boundary where
they appear (`raise ... from`). A message says what happened and why, in one sentence;
the hint says what to do about it. Neither ever contains a secret.

This module knows nothing of the rest of the package. Exit codes are the business of `cli`.
"""

from __future__ import annotations

from enum import StrEnum


class TuiForwardError(Exception):
    """Root of every error raised on purpose.

    Args:
        message: One sentence, without a trailing full stop: what happened and why.
        hint: What the person can do about it, in one sentence; empty when nothing can be done.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message


class UsageError(TuiForwardError):
    """What the person typed cannot be understood: a port spec, a target, an option."""


class ConfigError(TuiForwardError):
    """A file of the person's is missing or wrong: kubeconfig, profile, settings."""


class AuthError(TuiForwardError):
    """The credentials are missing, expired or refused (HTTP 401, a failing exec plugin)."""


class ApiError(TuiForwardError):
    """The API server answered with an error status.

    Args:
        message: As in the root.
        status: HTTP status code.
        reason: The `reason` of the Kubernetes Status body ("NotFound"), or empty.
        hint: As in the root.
    """

    def __init__(self, message: str, *, status: int, reason: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.reason = reason

    @property
    def forbidden(self) -> bool:
        """Whether RBAC refused the request."""
        return self.status == 403

    @property
    def not_found(self) -> bool:
        """Whether the object does not exist."""
        return self.status == 404

    @property
    def expired(self) -> bool:
        """Whether a watch or list must start over (HTTP 410)."""
        return self.status == 410


class TransportError(TuiForwardError):
    """The way to the other side is broken: name resolution, TCP, TLS, proxy, time-out."""


class UpgradeError(ApiError):
    """The server answered an upgrade request with something other than 101.

    Only this error lets `auto` try the next transport, as client-go's fallback dialer does.
    """


class ProtocolError(TuiForwardError):
    """The peer broke a protocol. Costs the one connection it happened on, nothing else."""


class ForwardErrorCause(StrEnum):
    """Why a forward or one of its connections could not go on."""

    REFUSED = "refused"  # nothing listens on the port in the pod
    RESET = "reset"  # the application reset the connection
    SANDBOX_GONE = "sandbox-gone"  # the pod's sandbox or network namespace no longer exists
    POD_GONE = "pod-gone"  # the pod does not exist or does not run any more
    TIMEOUT = "timeout"  # no answer within the time the protocol allows
    PORT_TAKEN = "port-taken"  # the local port belongs to somebody else
    PRIVILEGED = "privileged"  # the local port needs privileges
    NO_TARGET = "no-target"  # no such object, no such port
    OTHER = "other"


class ForwardError(TuiForwardError):
    """A forward, or one connection of it, cannot do what was asked.

    Args:
        message: As in the root.
        cause: What kind of trouble it is.
        hint: As in the root.
    """

    def __init__(
        self,
        message: str,
        *,
        cause: ForwardErrorCause = ForwardErrorCause.OTHER,
        hint: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.cause = cause
