"""Answers of a cluster that refuse a request, parsed into reasons.

Who speaks is known from `http_answer`: the API server about itself or about its way to the
kubelet, the kubelet, or a gateway. Only the texts tell what each of them means.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

from tui_forward.model import Reason, ReasonCode
from tui_forward.protocol.error_stream import find_code
from tui_forward.protocol.http_answer import HttpAnswer, Speaker

ANONYMOUS: Final = "system:anonymous"

_KUBELET_PORT: Final = 10250
_PORT_FORWARD: Final = "pods/portforward"
_LOOPBACK: Final = ("127.", "localhost", "[::1]")

# RBAC: `User "x" cannot create resource "pods/portforward" in API group "" in the namespace "a"`.
_FORBIDDEN: Final = re.compile(
    r'(?:User "(?P<user>[^"]*)" )?cannot (?P<verb>[a-z]+) resource "(?P<resource>[^"]+)"'
)
_DIAL_FAILED: Final = re.compile(
    r"error dialing backend: (?P<detail>(?:dial tcp (?P<host>\S+):(?P<port>\d+))?.*)", re.DOTALL
)
_POD_MISSING: Final = re.compile(r'^pods? "(?P<pod>[^"]*)" not found')
_NOT_RUNNING: Final = re.compile(r"pod does not exist|pod not found|container not running")
_RUNTIME_DOWN: Final = re.compile(r"rpc error: code = (?:Unavailable|DeadlineExceeded)")
_RUNTIME: Final = re.compile(r"rpc error: code =|[Ss]andbox")
# The kubelet's refusal of the API server's own credentials.
_KUBELET_FORBIDDEN: Final = re.compile(
    r"^Forbidden \(user=(?P<user>.*?), verb=(?P<verb>\w+), resource=nodes, "
)
_KUBELET_UNAUTHORIZED: Final = "Unauthorized"
_UPGRADE_REQUIRED: Final = "Upgrade request required"
# Of a kubelet about a runtime that cannot take over WebSockets (kubelets of 1.36 and later).
_PLAIN_RUNTIME: Final = "server gave HTTP response to HTTPS client"
_PLAIN_HTTP: Final = "Client sent an HTTP request to an HTTPS server"

# What the API server says about its connection to a kubelet, without its prefixes. The clock and
# the local port in these texts differ at each attempt.
_READ: Final = re.compile(r"read tcp \S+->(?P<address>\S+:\d+): ")
_DETAILS: Final = (
    (
        re.compile(r".*lookup (?P<name>\S+?):? (?:on \S+: )?no such host"),
        "it cannot resolve {name}",
    ),
    (
        re.compile(r".*lookup (?P<name>\S+) on \S+: (?P<error>.*)"),
        "it cannot resolve {name}: {error}",
    ),
    (re.compile(r".*connect: connection refused"), "it refuses connections"),
    (re.compile(r".*connect: no route to host"), "no route to host"),
    (re.compile(r".*i/o timeout"), "no answer to its connection attempts"),
    (re.compile(r"read tcp \S+: read: (?P<error>.*)"), "{error}"),
    (
        re.compile(r".*x509: certificate has expired or .* is after (?P<at>\S+)"),
        "its certificate expired at {at}",
    ),
    (
        re.compile(
            r".*x509: certificate has expired or is not yet valid: .* is before (?P<at>\S+)"
        ),
        "its certificate is not valid before {at}",
    ),
    (
        re.compile(r".*x509: certificate signed by unknown authority"),
        "its certificate is signed by an unknown authority",
    ),
    (
        re.compile(r".*x509: certificate is valid for (?P<names>.*), not (?P<name>\S+)"),
        "its certificate is for {names}, not for {name}",
    ),
    (
        re.compile(r".*x509: cannot validate certificate for (?P<name>\S+) because"),
        "the certificate of the server at {name} is not for that address",
    ),
    (re.compile(r"(?:tls: failed to verify certificate: )?(?P<rest>x509: .*)"), "{rest}"),
)
_OTHER_SERVER: Final = re.compile(r"cannot validate certificate for \S+ because")

FINAL_CODES: Final = frozenset(
    {
        ReasonCode.API_NOT_FOUND,
        ReasonCode.API_THROTTLED,
        ReasonCode.KUBELET_CERTIFICATE,
        ReasonCode.KUBELET_FORBIDDEN,
        ReasonCode.KUBELET_NO_ADDRESS,
        ReasonCode.KUBELET_UNAUTHORIZED,
        ReasonCode.KUBELET_UNREACHABLE,
        ReasonCode.NETWORK_NOT_HTTP,
        ReasonCode.NODE_MISSING,
        ReasonCode.POD_NOT_FOUND,
        ReasonCode.POD_NOT_RUNNING,
        ReasonCode.POD_NOT_SCHEDULED,
        ReasonCode.RUNTIME_BUSY,
        ReasonCode.RUNTIME_ERROR,
        ReasonCode.RUNTIME_SANDBOX_GONE,
        ReasonCode.RUNTIME_UNREACHABLE,
    }
)
"""Refusals by the cluster itself, which no other transport would change."""


def parse_rejection(answer: HttpAnswer, *, pod: str = "") -> Reason:
    """Return why an upgrade request for a pod was refused."""
    message = answer.message
    if dial := _DIAL_FAILED.search(message):
        return _backend_failed(dial, of_api_server=answer.is_status)
    if _PLAIN_RUNTIME in message:
        return Reason(code=ReasonCode.RUNTIME_PLAIN_HTTP)
    if "no preferred addresses found" in message:
        return Reason(code=ReasonCode.KUBELET_NO_ADDRESS)
    if "does not have a host assigned" in message:
        return Reason(code=ReasonCode.POD_NOT_SCHEDULED, pod=pod)
    if missing := _POD_MISSING.match(message):
        return _not_found(missing["pod"], pod)
    if answer.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return Reason(code=ReasonCode.NETWORK_PROXY_AUTH)
    if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return _refused(answer)
    if find_code(message) is ReasonCode.RUNTIME_SANDBOX_GONE:
        return Reason(code=ReasonCode.RUNTIME_SANDBOX_GONE, detail=message)
    if _NOT_RUNNING.search(message):
        return Reason(code=ReasonCode.POD_NOT_RUNNING, pod=pod, detail=message)
    return _by_status(answer)


def parse_gateway_answer(answer: HttpAnswer) -> Reason | None:
    """Return what an answer means that no API server gave; None for others.

    Holds for requests of every kind.
    """
    if _PLAIN_HTTP in answer.message:
        return Reason(code=ReasonCode.NETWORK_NOT_HTTP)
    if answer.speaker is not Speaker.GATEWAY:
        return None
    if 300 <= answer.status < 400 and answer.location_host:
        return Reason(
            code=ReasonCode.API_REDIRECTED, status=str(answer.status), address=answer.location_host
        )
    if answer.status == HTTPStatus.UNAUTHORIZED:
        code = ReasonCode.AUTH_UNAUTHORIZED
    elif answer.status == HTTPStatus.FORBIDDEN:
        code = ReasonCode.API_FORBIDDEN
    elif answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        code = ReasonCode.API_THROTTLED
    else:
        code = ReasonCode.API_GATEWAY
    return Reason(
        code=code, status=str(answer.status), gateway=answer.gateway, detail=answer.message
    )


def parse_forbidden(answer: HttpAnswer) -> Reason:
    """Return what the API server forbids (403): verb, resource and user where it names them."""
    forbidden = _FORBIDDEN.search(answer.message)
    if forbidden is None:
        return Reason(code=ReasonCode.RBAC_FORBIDDEN, detail=answer.message)
    if forbidden["user"] == ANONYMOUS:
        return Reason(code=ReasonCode.AUTH_NO_CREDENTIALS)
    return Reason(
        code=ReasonCode.RBAC_FORBIDDEN,
        verb=forbidden["verb"],
        resource=forbidden["resource"],
        user=forbidden["user"] or "",
    )


def _backend_failed(dial: re.Match[str], *, of_api_server: bool) -> Reason:
    # The API server dials the kubelet and answers with a Status; the kubelet dials the runtime and
    # answers with the same words as text. A runtime streams to its own node only, by default.
    host, port = dial["host"] or "", dial["port"] or ""
    address = f"{host}:{port}" if host else ""
    detail = dial["detail"]
    if read := _READ.match(detail):
        address = read["address"]
    code, hint = ReasonCode.KUBELET_UNREACHABLE, ""
    if not of_api_server and host.startswith(_LOOPBACK) and int(port) != _KUBELET_PORT:
        code = ReasonCode.RUNTIME_UNREACHABLE
    elif detail.startswith(("tls:", "x509:")):
        code = ReasonCode.KUBELET_CERTIFICATE
        if _OTHER_SERVER.search(detail):
            hint = "Check that the address of the node is its own; your kubeconfig is not the cause"
    return Reason(code=code, address=address, detail=_describe_dial_error(detail), hint=hint)


def _describe_dial_error(detail: str) -> str:
    for pattern, text in _DETAILS:
        if match := pattern.match(detail):
            return text.format_map(match.groupdict())
    return detail


def _not_found(name: str, pod: str) -> Reason:
    # The API server reports a Node that does not exist as a missing pod of the node's name.
    if pod and name != pod:
        return Reason(code=ReasonCode.NODE_MISSING, node=name, pod=pod)
    return Reason(code=ReasonCode.POD_NOT_FOUND, pod=name)


def _refused(answer: HttpAnswer) -> Reason:
    message = answer.message
    if forbidden := _KUBELET_FORBIDDEN.match(message):
        return Reason(code=ReasonCode.KUBELET_FORBIDDEN, user=forbidden["user"])
    of_api_server = answer.speaker is Speaker.API_SERVER
    is_text = not of_api_server and not answer.is_page
    # Whatever its headers: a gateway may add its name to the kubelet's answer.
    if answer.status == HTTPStatus.UNAUTHORIZED and is_text and message == _KUBELET_UNAUTHORIZED:
        return Reason(code=ReasonCode.KUBELET_UNAUTHORIZED)
    if gateway := parse_gateway_answer(answer):
        return gateway
    if answer.status == HTTPStatus.UNAUTHORIZED:
        return Reason(code=ReasonCode.AUTH_UNAUTHORIZED)
    if not of_api_server and not _FORBIDDEN.search(message):
        return Reason(code=ReasonCode.API_FORBIDDEN, detail=message)
    reason = parse_forbidden(answer)
    if reason.code is not ReasonCode.RBAC_FORBIDDEN:
        return reason
    # With `get` but without `create` the API server gives no verb at all.
    verb, resource = reason.verb or "create", reason.resource or _PORT_FORWARD
    hint = f"Ask for a role with the verbs get and create on {_PORT_FORWARD}"
    return Reason(
        code=ReasonCode.RBAC_FORBIDDEN,
        verb=verb,
        resource=resource,
        user=reason.user,
        hint=hint if resource == _PORT_FORWARD else "",
    )


def _by_status(answer: HttpAnswer) -> Reason:
    status, message = answer.status, answer.message
    if _RUNTIME_DOWN.search(message):
        return Reason(code=ReasonCode.RUNTIME_UNREACHABLE, detail=_last_cause(message))
    if gateway := parse_gateway_answer(answer):
        return gateway
    if message == _UPGRADE_REQUIRED:
        return Reason(code=ReasonCode.API_UPGRADE_STRIPPED)
    own = answer.audit_id or answer.status_reason
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        # Of the API server, or of the runtime: too many streams are being set up there.
        code = ReasonCode.API_THROTTLED if own else ReasonCode.RUNTIME_BUSY
        return Reason(code=code, timeout_s=answer.retry_after_s)
    if _RUNTIME.search(message):
        code = ReasonCode.RUNTIME_ERROR
    elif status == HTTPStatus.NOT_FOUND:
        code = ReasonCode.API_NOT_FOUND if own else ReasonCode.API_UNKNOWN_PATH
    elif status == HTTPStatus.INTERNAL_SERVER_ERROR and not answer.status_reason:
        code = ReasonCode.KUBELET_ERROR
    else:
        code = ReasonCode.API_ERROR if own else ReasonCode.API_UPGRADE_REFUSED
    return Reason(code=code, detail=message, status=str(status))


def _last_cause(message: str) -> str:
    """Return the innermost error of a gRPC message, without the words around it."""
    dialed = re.search(r'Error while dialing: (?P<error>[^"]+)', message)
    return dialed["error"].strip() if dialed is not None else message
