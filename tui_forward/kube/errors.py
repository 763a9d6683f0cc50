"""Errors of requests to an API server: a sentence and a hint."""

from __future__ import annotations

import re

import msgspec

from tui_forward.common.redaction import redact
from tui_forward.errors import ApiError, AuthError, TransportError, TuiForwardError


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

    Args:
        status_code: HTTP status.
        body: Response body: a Status in JSON, or plain text of a proxy or load balancer.
        what: Verb, resource and namespace ("list pods in namespace shop").
        server: Address of the API server, without credentials.
    """
    status = parse_status(body)
    message = redact(status.message or body[:2000].decode("utf-8", "replace"), limit=300)
    code = status_code if status_code >= 400 else status.code or status_code
    if code == 401:
        return AuthError(
            f"{server} refused the credentials (401) to {what}",
            hint="Log in again (for example with `kubectl get ns` or your cloud's login command); "
            "waiting forwards resume by themselves",
        )
    if code == 403:
        # Authorizers other than RBAC, and admission, give a reason of their own.
        by_role = _BY_ROLE.search(message)
        reason = f" as {by_role['user']}" if by_role else f": {message}" if message else ""
        return ApiError(
            f"you may not {what}{reason}",
            status=403,
            reason=status.reason or "Forbidden",
            hint=f'Ask for a role that allows "{what}"',
        )
    if code == 404:
        return ApiError(
            message if status.message else f"{server} does not know how to {what} (404)",
            status=404,
            reason=status.reason or "NotFound",
            hint="Check the name, the namespace and the context",
        )
    if code == 410:
        return ApiError(
            f"{server} no longer has that version ({message or 'Expired'})",
            status=410,
            reason=status.reason or "Expired",
        )
    if code == 429:
        return ApiError(
            f"{server} limits the request rate (429): {what}",
            status=429,
            reason=status.reason or "TooManyRequests",
            hint="Retried automatically",
        )
    return ApiError(
        f"{server} answered {code} to {what}" + (f": {message}" if message else ""),
        status=code,
        reason=status.reason,
        hint="The API server or a proxy in front of it fails; retried automatically"
        if code >= 500
        else "",
    )


def to_transport_error(error: BaseException, *, server: str) -> TransportError:
    """Return the error for a request that got no HTTP response on an open connection.

    Args:
        error: Raised by aiohttp, asyncio or the system.
        server: Address of the server, without credentials.
    """
    if isinstance(error, TimeoutError):
        return TransportError(f"{server} does not answer", hint="Check the network and VPN")
    # The streams of `transport` have described the failure already.
    for cause in _chain(error):
        if isinstance(cause, TransportError):
            return TransportError(f"{server}: {cause.message}", hint=cause.hint or _NETWORK_HINT)
    detail = redact(str(error), limit=160) or type(error).__name__
    return TransportError(
        f"the connection to {server} broke: {detail}",
        hint=_NETWORK_HINT,
    )


def unexpected_response_error(what: str, server: str, error: Exception) -> ApiError:
    """Return the error for a response that cannot be decoded.

    Args:
        what: The request ("list pods in namespace shop").
        server: Address of the API server, without credentials.
        error: Raised by the decoder.
    """
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
