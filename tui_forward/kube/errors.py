"""Errors of requests to an API server: a sentence and a hint; and texts of a kubelet."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from tui_forward.common.redaction import redact
from tui_forward.errors import ApiError, AuthError, TransportError, TuiForwardError
from tui_forward.model import BlockedBy, Reason, ReasonCode
from tui_forward.protocol.http_answer import HttpAnswer, read_answer
from tui_forward.protocol.upgrade_rejection import parse_forbidden, parse_gateway_answer
from tui_forward.reasons import blocked_by
from tui_forward.transport.access import Endpoint


class Status(msgspec.Struct):
    """metav1.Status: the body of an error response."""

    kind: str = ""
    message: str = ""
    reason: str = ""
    code: int = 0


_NETWORK_HINT = "Check the network and VPN"

_STATUS = msgspec.json.Decoder(Status, strict=False)

# The kubelet's text for a container in CrashLoopBackOff, with a duration as Go writes it.
_BACKOFF = re.compile(r"back-off (?=\d)(?:(\d+)h)?(?:(\d+)m(?!s))?(?:([\d.]+)s)? restarting failed")

# The kubelet's text for an image in ImagePullBackOff; from 1.31 on with the failure itself behind.
_PULL_BACKOFF = re.compile(r'Back-off pulling image "[^"]*"(?:: \w+: |$)')

# The API server's text for an action that no role allows.
_BY_ROLE = re.compile(r'is forbidden: User "(?P<user>[^"]*)" cannot [a-z]+ resource "[^"]*"')


def parse_status(body: bytes) -> Status:
    """Return the Status in a response body; an empty one when there is none."""
    try:
        status = _STATUS.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Status()
    return status if status.kind == "Status" else Status()


def parse_backoff_s(message: str) -> float | None:
    """Return the delay in a kubelet's message of CrashLoopBackOff, in seconds."""
    found = _BACKOFF.match(message)
    if found is None:
        return None
    hours, minutes, seconds = found.groups()
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(seconds or 0)


def strip_pull_backoff(message: str) -> str:
    """Return a kubelet's message about an image without the announcement of a back-off.

    What is left is the same for ErrImagePull and for ImagePullBackOff, or empty.
    """
    return _PULL_BACKOFF.sub("", message, count=1)


def to_api_error(
    status_code: int,
    body: bytes,
    *,
    what: str,
    server: str,
    headers: Iterable[tuple[str, str]] = (),
) -> TuiForwardError:
    """Return the error for an HTTP response that is not a success, or that is a redirection.

    The body is a Status in JSON, or plain text or a page of a proxy or load balancer; `what` is
    verb, resource and namespace ("list pods in namespace shop"); `server` is without credentials.
    """
    status = parse_status(body)
    code = status_code if status_code >= 300 else status.code or status_code
    answer = read_answer(code, headers, body)
    if reason := parse_gateway_answer(answer):
        detail = redact(reason.detail, limit=300)
        return _with_status(replace(reason, server=server, action=what, detail=detail), answer)
    message = redact(status.message or answer.message, limit=300)
    return _with_status(_api_reason(answer, message, what=what, server=server), answer)


def _api_reason(answer: HttpAnswer, message: str, *, what: str, server: str) -> Reason:
    match answer.status:
        case 401:
            return Reason(code=ReasonCode.AUTH_UNAUTHORIZED, server=server, action=what)
        case 403:
            forbidden = parse_forbidden(answer)
            if forbidden.code is ReasonCode.AUTH_NO_CREDENTIALS:
                return Reason(code=ReasonCode.AUTH_NO_CREDENTIALS, server=server)
            # Authorizers other than RBAC, and admission, give a reason of their own.
            by_role = _BY_ROLE.search(message)
            return Reason(
                code=ReasonCode.RBAC_FORBIDDEN,
                action=what,
                verb=forbidden.verb,
                resource=forbidden.resource,
                user=by_role["user"] if by_role else "",
                detail="" if by_role else message,
            )
        case 404:
            return Reason(
                code=ReasonCode.API_NOT_FOUND if answer.is_status else ReasonCode.API_UNKNOWN_PATH,
                server=server,
                action=what,
                detail=message if answer.is_status else "",
            )
        case 410:
            return Reason(code=ReasonCode.API_EXPIRED, server=server, detail=message or "Expired")
        case 429:
            return Reason(
                code=ReasonCode.API_THROTTLED,
                server=server,
                action=what,
                timeout_s=answer.retry_after_s,
            )
        case status:
            return Reason(
                code=ReasonCode.API_ERROR,
                server=server,
                status=str(status),
                action=what,
                detail=message,
            )


_STATUS_REASONS = {403: "Forbidden", 404: "NotFound", 410: "Expired", 429: "TooManyRequests"}


def _with_status(reason: Reason, answer: HttpAnswer) -> TuiForwardError:
    if blocked_by(reason) is BlockedBy.CREDENTIALS:
        return AuthError(reason)
    status_reason = answer.status_reason or _STATUS_REASONS.get(answer.status, "")
    return ApiError(
        reason,
        status=answer.status,
        status_reason=status_reason,
        retry_after_s=answer.retry_after_s,
    )


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


def doubt_refusal(error: ApiError, endpoint: Endpoint) -> ApiError:
    """Return another error for a 403 of a server that may have just started."""
    if error.code is not ReasonCode.RBAC_FORBIDDEN or not endpoint.outage.may_be_starting():
        return error
    reason = Reason(code=ReasonCode.API_STARTING, server=endpoint.authority)
    return ApiError(reason, status=error.status, status_reason=error.status_reason)


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
