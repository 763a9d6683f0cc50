"""What the proxy answers itself: short error pages, SOCKS replies, and the PAC file. Pure."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from typing import Final

from tui_forward.common.printable import one_line
from tui_forward.engine.proxy.policy import Refusal
from tui_forward.model import BlockedBy, HopKind, LocalAddress, Reason, ReasonCode
from tui_forward.protocol.http1 import Headers, encode_response
from tui_forward.protocol.socks5 import ReplyCode
from tui_forward.reasons import blocked_by, failed_hop, reason_hint, reason_text

_HOP_NAMES: Final = {
    HopKind.LOCAL: "this machine",
    HopKind.API: "API server",
    HopKind.KUBELET: "node (kubelet)",
    HopKind.RUNTIME: "node (container runtime)",
    HopKind.POD: "pod",
    HopKind.PORT: "port in the pod",
}
_TIMEOUTS: Final = frozenset(
    {
        ReasonCode.CONNECTION_QUEUE_TIMEOUT,
        ReasonCode.CONNECTION_TIMEOUT,
        ReasonCode.CONNECTION_NO_REPLY,
        ReasonCode.NETWORK_TIMEOUT,
        ReasonCode.API_UPGRADE_TIMEOUT,
        ReasonCode.KUBELET_NO_ANSWER,
    }
)
_REFUSALS: Final = frozenset(
    {
        ReasonCode.PORT_REFUSED,
        ReasonCode.PORT_UNKNOWN_NAME,
        ReasonCode.PORT_UNKNOWN_NUMBER,
        ReasonCode.PORT_TARGET_NAME_MISSING,
    }
)
_NOT_ALLOWED: Final = frozenset(
    {
        ReasonCode.PROXY_OUTSIDE_CLUSTER,
        ReasonCode.PROXY_LOCAL_ADDRESS,
        ReasonCode.PROXY_API_SERVER,
        ReasonCode.PROXY_REFUSED,
        ReasonCode.TARGET_EXTERNAL_NAME,
    }
)
# Nothing in a page of ours loads or runs anything, whatever a name in it contains.
_SERVER_HEADERS: Final[Headers] = ((b"Server", b"tui-forward proxy"),)
_PAGE_HEADERS: Final[Headers] = (
    *_SERVER_HEADERS,
    (b"Content-Security-Policy", b"default-src 'none'"),
)


def reply_code(reason: Reason) -> ReplyCode:
    """Return the SOCKS reply for a reason."""
    cause = reason.cause.code if reason.cause is not None else None
    if reason.code in _REFUSALS or cause is ReasonCode.NETWORK_REFUSED:
        return ReplyCode.CONNECTION_REFUSED
    if reason.code in _NOT_ALLOWED or blocked_by(reason) in (
        BlockedBy.FORBIDDEN,
        BlockedBy.CREDENTIALS,
    ):
        return ReplyCode.NOT_ALLOWED
    if reason.code in _TIMEOUTS:
        return ReplyCode.TTL_EXPIRED
    hop = failed_hop(reason)
    if hop is HopKind.API:
        return ReplyCode.NETWORK_UNREACHABLE
    return ReplyCode.GENERAL_FAILURE if hop is None else ReplyCode.HOST_UNREACHABLE


def error_page(
    name: str, reason: Reason, *, waits_for: Reason | None = None, reads_body: bool = True
) -> bytes:
    """Return the response of 502, or 504 for a time limit, that says why `name` is not reached.

    `waits_for` is what its forward waits for, which explains that it waits for a tunnel.
    """
    is_late = reason.code in _TIMEOUTS
    if waits_for is not None and reason.code is ReasonCode.CONNECTION_QUEUE_TIMEOUT:
        reason = waits_for
    hop = failed_hop(reason)
    lines = [f"Cannot connect to {name}.", f"Reason: {reason_text(reason)}."]
    if hop is not None:
        lines.append(f"Failed at: {_HOP_NAMES[hop]}.")
    if hint := reason_hint(reason):
        lines.append(f"Fix: {hint}.")
    headers = ((b"X-Tui-Forward-Code", reason.code.value.encode()),)
    return _page(504 if is_late else 502, lines, headers, reads_body=reads_body)


def refusal_page(refusal: Refusal, *, headers: Headers = (), reads_body: bool = True) -> bytes:
    """Return the response to a request that the proxy refuses."""
    lines = [f"Refused: {refusal.cause}."]
    if refusal.hint:
        lines.append(f"Fix: {refusal.hint}.")
    return _page(refusal.status, lines, headers, reads_body=reads_body)


def _page(status: int, lines: Iterable[str], headers: Headers, *, reads_body: bool) -> bytes:
    shown = [html.escape(one_line(line)) for line in lines]
    body = "<!doctype html><meta charset=utf-8><title>tui-forward proxy</title>\n" + "".join(
        f"<p>{line}</p>\n" for line in shown
    )
    return encode_response(
        status,
        body.encode("utf-8", "replace"),
        content_type="text/html; charset=utf-8",
        headers=(*_PAGE_HEADERS, *headers),
        reads_body=reads_body,
    )


def pac_file(address: LocalAddress, domain: str, namespaces: Iterable[str]) -> bytes:
    """Return the script that sends the names of a cluster to the proxy, and no others."""
    suffixes = [".svc", ".pod", f".{domain}", *(f".{one}" for one in namespaces)]
    script = f"""\
// Made by tui-forward proxy. A page that is open in a browser with this file can send requests to
// the services of the cluster: use a profile of the browser for nothing else.
function FindProxyForURL(url, host) {{
  var suffixes = {json.dumps(suffixes)};
  for (var i = 0; i < suffixes.length; i++) {{
    if (dnsDomainIs(host, suffixes[i])) return "PROXY {address}";
  }}
  return "DIRECT";
}}
"""
    return encode_response(
        200,
        script.encode(),
        content_type="application/x-ns-proxy-autoconfig",
        headers=_SERVER_HEADERS,
    )
