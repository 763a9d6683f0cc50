"""What goes wrong between us and an API server, as one of our errors: a sentence and a hint.

`aiohttp` is imported only where its exceptions are told apart, and by then it is loaded.
"""

from __future__ import annotations

import asyncio
import errno
import re
import socket
import ssl

import msgspec

from tui_forward.common.redaction import redact
from tui_forward.errors import ApiError, AuthError, TransportError, TuiForwardError


class _Cause(msgspec.Struct):
    message: str = ""


class _Details(msgspec.Struct, rename="camel"):
    retry_after_seconds: float | None = None


class Status(msgspec.Struct):
    """The `Status` object an API server answers errors with."""

    kind: str = ""
    message: str = ""
    reason: str = ""
    code: int = 0
    details: _Details | None = None


_STATUS = msgspec.json.Decoder(Status, strict=False)


# As the API server words what no role allows.
_BY_ROLE = re.compile(r'is forbidden: User "(?P<user>[^"]*)" cannot [a-z]+ resource "[^"]*"')


def parse_status(body: bytes) -> Status:
    """The Status in a response body; an empty one when there is none."""
    try:
        status = _STATUS.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Status()
    return status if status.kind == "Status" else Status()


def to_api_error(status_code: int, body: bytes, *, what: str, server: str) -> TuiForwardError:
    """The error for an HTTP answer that is not a success.

    Args:
        status_code: HTTP status.
        body: Response body: a Status in JSON, or plain text from something in between.
        what: Verb, resource and place ("list pods in namespace shop").
        server: Address of the API server, without credentials.
    """
    status = parse_status(body)
    said = redact(status.message or body[:2000].decode("utf-8", "replace"), limit=300)
    code = status_code if status_code >= 400 else status.code or status_code
    if code == 401:
        return AuthError(
            f"{server} refused the credentials (401) to {what}",
            hint="Log in again (for example with `kubectl get ns` or your cloud's login command); "
            "waiting forwards resume by themselves",
        )
    if code == 403:
        # Who decided otherwise than by roles has something to say that is worth reading.
        by_role = _BY_ROLE.search(said)
        because = f" as {by_role['user']}" if by_role else f": {said}" if said else ""
        return ApiError(
            f"you may not {what}{because}",
            status=403,
            reason=status.reason or "Forbidden",
            hint=f'Ask for a role that allows "{what}"',
        )
    if code == 404:
        return ApiError(
            said if status.message else f"{server} does not know how to {what} (404)",
            status=404,
            reason=status.reason or "NotFound",
            hint="Check the name, the namespace and the context",
        )
    if code == 410:
        return ApiError(
            f"{server} no longer has that version ({said or 'Expired'})",
            status=410,
            reason=status.reason or "Expired",
        )
    if code == 429:
        return ApiError(
            f"{server} asks to slow down (429) while we {what}",
            status=429,
            reason=status.reason or "TooManyRequests",
            hint="It is tried again",
        )
    return ApiError(
        f"{server} answered {code} to {what}" + (f": {said}" if said else ""),
        status=code,
        reason=status.reason,
        hint="The API server or something in front of it has trouble; it is tried again"
        if code >= 500
        else "",
    )


def to_transport_error(error: BaseException, *, server: str, proxy: str = "") -> TransportError:
    """The error for a request that got no HTTP answer.

    Args:
        error: What aiohttp, ssl, asyncio or the system raised.
        server: Address of the API server, without credentials.
        proxy: Address of the proxy without credentials, or empty.
    """
    for cause in _chain(error):
        if isinstance(cause, TransportError):
            return cause
    via = f" through the proxy {proxy}" if proxy else ""
    for cause in _chain(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _untrusted(cause, server)
    for cause in _chain(error):
        if isinstance(cause, ssl.SSLError):
            return _tls(cause, server)
    for cause in _chain(error):
        if type(cause).__module__.startswith("python_socks") or type(cause).__name__ in {
            "ClientHttpProxyError",
            "ClientProxyConnectionError",
        }:
            status = getattr(cause, "status", 0)
            text = f"it answered {status}" if status else redact(str(cause), limit=120)
            return TransportError(
                f"the proxy {proxy} did not connect us to {server}: {text}",
                hint="Check proxy-url in the kubeconfig (or HTTPS_PROXY) and that the proxy runs",
            )
    for cause in _chain(error):
        if isinstance(cause, socket.gaierror):
            return TransportError(
                f"the name of {server} cannot be resolved{via}",
                hint="Check the network and VPN, and `server` in the kubeconfig",
            )
    for cause in _chain(error):
        if isinstance(cause, ConnectionRefusedError) or (
            isinstance(cause, OSError) and cause.errno == errno.ECONNREFUSED
        ):
            return TransportError(
                f"{server} refuses connections{via}",
                hint="Check that the API server runs and that `server` in the kubeconfig is right",
            )
    for cause in _chain(error):
        if isinstance(cause, (TimeoutError, asyncio.TimeoutError)):
            return TransportError(
                f"{server} does not answer{via}",
                hint="Check the network and VPN",
            )
    for cause in _chain(error):
        if isinstance(cause, OSError) and cause.errno in {
            errno.ENETUNREACH,
            errno.EHOSTUNREACH,
            errno.ENETDOWN,
        }:
            return TransportError(
                f"there is no way to {server}{via}", hint="Check the network and VPN"
            )
    detail = redact(str(error), limit=160) or type(error).__name__
    return TransportError(
        f"the connection to {server} broke{via}: {detail}",
        hint="Check the network and VPN; it is tried again",
    )


def _chain(error: BaseException) -> list[BaseException]:
    """The error and what caused it, outermost first; aiohttp hides the cause in attributes."""
    found: list[BaseException] = []
    pending: list[BaseException | None] = [error]
    seen: set[int] = set()
    while pending and len(seen) < 16:
        current = pending.pop(0)
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        # aiohttp's TLS errors inherit the types of `ssl` without their fields; the real ones
        # are among their causes.
        if not (isinstance(current, ssl.SSLError) and isinstance(current, _client_error())):
            found.append(current)
        pending += [
            getattr(current, "certificate_error", None),
            getattr(current, "os_error", None),
            current.__cause__,
            None if current.__suppress_context__ else current.__context__,
        ]
        if isinstance(current, BaseExceptionGroup):
            pending += current.exceptions
    return found


def _client_error() -> type[BaseException]:
    from aiohttp import ClientError

    return ClientError


def _untrusted(error: ssl.SSLCertVerificationError, server: str) -> TransportError:
    reason = error.verify_message or error.reason or "certificate verify failed"
    code = error.verify_code
    if code in {62, 63, 64} or "mismatch" in reason.lower():
        hint = (
            "Set tls-server-name in the kubeconfig to a name the certificate has, "
            "or correct `server`"
        )
    elif code in {9, 10}:
        hint = "Renew the API server's certificate, and check the clock of this machine"
    else:
        hint = (
            "Put the cluster's authority into certificate-authority-data of the kubeconfig; "
            "something in between may also have replaced the certificate"
        )
    return TransportError(f"the certificate of {server} is not trusted: {reason}", hint=hint)


def _tls(error: ssl.SSLError, server: str) -> TransportError:
    reason = (error.reason or str(error)).replace("_", " ").lower()
    if "wrong version number" in reason or "http request" in reason:
        return TransportError(
            f"{server} does not speak TLS",
            hint="Check whether `server` in the kubeconfig should begin with http://",
        )
    if "alert" in reason or "certificate required" in reason:
        return TransportError(
            f"{server} ended the TLS handshake: {reason}",
            hint="The client certificate may have expired or be unknown to the server",
        )
    return TransportError(
        f"TLS with {server} failed: {reason}", hint="Check `server` in the kubeconfig"
    )
