"""Errors of requests to an API server: a sentence and a hint."""

from __future__ import annotations

import re

import msgspec
from msgspec.structs import replace

from tui_forward.common.redaction import redact
from tui_forward.errors import ApiError, AuthError, TransportError, TuiForwardError
from tui_forward.model import Reason, ReasonCode


class Status(msgspec.Struct):
    """metav1.Status: the body of an error response."""

    kind: str = ""
    message: str = ""
    reason: str = ""
    code: int = 0


_NETWORK_HINT = "Check the network and VPN; retried automatically"

_STATUS = msgspec.json.Decoder(Status, strict=False)

# The API server's text for an action that no role allows.
_BY_ROLE = re.compile(r'is forbidden: User "(?P<user>[^"]*)" cannot [a-z]+ resource "[^"]*"')


def parse_status(body: bytes) -> Status:
    """Return the Status in a response body; an empty one when there is none."""
    try:
        status = _STATUS.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Status()
    return status if status.kind == "Status" else Status()


def to_api_error(status_code: int, body: bytes, *, what: str, server: str) -> TuiForwardError:
    """Return the error for an HTTP response that is not a success.

    The body is a Status in JSON, or plain text of a proxy or load balancer; `what` is verb,
    resource and namespace ("list pods in namespace shop"); `server` is without credentials.
    """
    status = parse_status(body)
    message = redact(status.message or body[:2000].decode("utf-8", "replace"), limit=300)
    code = status_code if status_code >= 400 else status.code or status_code
    if code == 401:
        return AuthError(Reason(code=ReasonCode.AUTH_UNAUTHORIZED, server=server, action=what))
    if code == 403:
        # Authorizers other than RBAC, and admission, give a reason of their own.
        by_role = _BY_ROLE.search(message)
        reason = Reason(
            code=ReasonCode.RBAC_FORBIDDEN,
            action=what,
            user=by_role["user"] if by_role else "",
            detail="" if by_role else message,
        )
        return ApiError(reason, status=403, status_reason=status.reason or "Forbidden")
    if code == 404:
        reason = Reason(
            code=ReasonCode.API_NOT_FOUND if status.message else ReasonCode.API_UNKNOWN_PATH,
            server=server,
            action=what,
            detail=message if status.message else "",
        )
        return ApiError(reason, status=404, status_reason=status.reason or "NotFound")
    if code == 410:
        reason = Reason(code=ReasonCode.API_EXPIRED, server=server, detail=message or "Expired")
        return ApiError(reason, status=410, status_reason=status.reason or "Expired")
    if code == 429:
        reason = Reason(code=ReasonCode.API_THROTTLED, server=server, action=what)
        return ApiError(reason, status=429, status_reason=status.reason or "TooManyRequests")
    reason = Reason(
        code=ReasonCode.API_ERROR, server=server, status=str(code), action=what, detail=message
    )
    return ApiError(reason, status=code, status_reason=status.reason)


def to_transport_error(error: BaseException, *, server: str) -> TransportError:
    """Return the error for a request that got no HTTP response on an open connection."""
    if isinstance(error, TimeoutError):
        return TransportError(Reason(code=ReasonCode.NETWORK_TIMEOUT, server=server))
    # The streams of `transport` have described the failure already.
    for cause in _chain(error):
        if isinstance(cause, TransportError):
            text, hint = f"{server}: {cause.message}", cause.hint or _NETWORK_HINT
            return TransportError(replace(cause.reason, text=text, hint=hint))
    detail = redact(str(error), limit=160) or type(error).__name__
    return TransportError(Reason(code=ReasonCode.NETWORK_RESET, server=server, detail=detail))


def unexpected_response_error(what: str, server: str, error: Exception) -> ApiError:
    """Return the error for a response that cannot be decoded."""
    return ApiError(
        f"{server} sent a response that is no answer to {what} ({type(error).__name__})",
        status=200,
        hint="Check that `server` in the kubeconfig is a Kubernetes API server",
    )


def _chain(error: BaseException) -> list[BaseException]:
    """Return an error and its causes, outermost first."""
    chain: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and len(chain) < 16:
        chain.append(current)
        current = current.__cause__ or (
            None if current.__suppress_context__ else current.__context__
        )
    return chain
