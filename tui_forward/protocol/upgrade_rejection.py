"""Refused upgrades, parsed into reasons.

API server, kubelet and container runtime each relay the next one's answer unchanged, so the text
is all that tells them apart (fingerprints: status, `reason` of the Status body, wording).
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

from tui_forward.model import Reason, ReasonCode
from tui_forward.protocol.error_stream import find_code

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
_KUBELET_FORBIDDEN: Final = re.compile(r"^Forbidden \(user=.*resource=nodes, ")

FINAL_CODES: Final = frozenset(
    {
        ReasonCode.API_NOT_FOUND,
        ReasonCode.API_THROTTLED,
        ReasonCode.KUBELET_FORBIDDEN,
        ReasonCode.KUBELET_CERTIFICATE,
        ReasonCode.KUBELET_UNREACHABLE,
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


def parse_rejection(status: int, message: str, status_reason: str) -> Reason:
    """Return why an upgrade request was refused; the message is sanitized and may be empty.

    The API server sets `status_reason` in its own errors; what it relays from a kubelet has none.
    """
    if dial := _DIAL_FAILED.search(message):
        return _backend_failed(dial)
    if "no preferred addresses found" in message:
        return Reason(code=ReasonCode.KUBELET_NO_ADDRESS, detail=message)
    if "does not have a host assigned" in message:
        return Reason(code=ReasonCode.POD_NOT_SCHEDULED, detail=message)
    if pod := _POD_MISSING.match(message):
        return Reason(code=ReasonCode.POD_NOT_FOUND, pod=pod["pod"])
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return Reason(code=ReasonCode.NETWORK_PROXY_AUTH)
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return _refused(status, message, status_reason)
    if find_code(message) is ReasonCode.RUNTIME_SANDBOX_GONE:
        return Reason(code=ReasonCode.RUNTIME_SANDBOX_GONE, detail=message)
    if _NOT_RUNNING.search(message):
        return Reason(code=ReasonCode.POD_NOT_RUNNING, detail=message)
    return Reason(
        code=_code_of_status(status, message, status_reason), detail=message, status=str(status)
    )


def _backend_failed(dial: re.Match[str]) -> Reason:
    # The API server dials the kubelet; the kubelet, with the same words, the runtime. A runtime
    # streams to its own node only, by default.
    host, port = dial["host"] or "", dial["port"] or ""
    code = ReasonCode.KUBELET_UNREACHABLE
    if host.startswith(_LOOPBACK) and int(port) != _KUBELET_PORT:
        code = ReasonCode.RUNTIME_UNREACHABLE
    elif dial["detail"].startswith(("tls:", "x509:")):
        code = ReasonCode.KUBELET_CERTIFICATE
    return Reason(code=code, address=f"{host}:{port}" if host else "", detail=dial["detail"])


def _refused(status: int, message: str, status_reason: str) -> Reason:
    if status == HTTPStatus.UNAUTHORIZED:
        return Reason(code=ReasonCode.AUTH_UNAUTHORIZED, detail=message)
    if _KUBELET_FORBIDDEN.match(message):
        return Reason(code=ReasonCode.KUBELET_FORBIDDEN, detail=message)
    forbidden = _FORBIDDEN.search(message)
    if forbidden is None and not status_reason:
        return Reason(code=ReasonCode.API_FORBIDDEN, detail=message)
    # With `get` but without `create` the API server gives no verb at all.
    resource = forbidden["resource"] if forbidden else _PORT_FORWARD
    hint = f"Ask for a role with the verbs get and create on {_PORT_FORWARD}"
    return Reason(
        code=ReasonCode.RBAC_FORBIDDEN,
        verb=forbidden["verb"] if forbidden else "create",
        resource=resource,
        user=(forbidden["user"] or "") if forbidden else "",
        hint=hint if resource == _PORT_FORWARD else "",
    )


def _code_of_status(status: int, message: str, status_reason: str) -> ReasonCode:
    if _RUNTIME_DOWN.search(message):
        return ReasonCode.RUNTIME_UNREACHABLE
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        # Without a reason it is the runtime's: too many streams are being set up there.
        return ReasonCode.API_THROTTLED if status_reason else ReasonCode.RUNTIME_BUSY
    if _RUNTIME.search(message):
        return ReasonCode.RUNTIME_ERROR
    if status == HTTPStatus.NOT_FOUND:
        return ReasonCode.API_NOT_FOUND if status_reason else ReasonCode.API_UNKNOWN_PATH
    if status == HTTPStatus.INTERNAL_SERVER_ERROR and not status_reason:
        return ReasonCode.KUBELET_ERROR
    return ReasonCode.API_ERROR if status_reason else ReasonCode.API_UPGRADE_REFUSED
