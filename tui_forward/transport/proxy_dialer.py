"""Connections through a proxy: HTTP CONNECT, the same over TLS, and SOCKS5.

Names are resolved by the proxy, as in Go for `socks5://` and `socks5h://` alike. Error texts
name the proxy without its user and password.

CONNECT is sent by h11: python-socks takes the first packet for the whole response head, so the
rest of a head that arrives in two packets would end up in the tunnel.
"""

from __future__ import annotations

import base64
import socket
import ssl
from typing import Any

import h11
from python_socks import ProxyError, ProxyType
from python_socks.async_.asyncio import Proxy

from tui_forward.common.blocking_call import run_in_thread
from tui_forward.errors import ConfigError, TransportError
from tui_forward.model import Reason, ReasonCode
from tui_forward.protocol.http_answer import read_answer
from tui_forward.transport.access import join_host_port
from tui_forward.transport.handshake import perform_handshake
from tui_forward.transport.proxy_address import ProxyAddress
from tui_forward.transport.socket_stream import SocketStream
from tui_forward.transport.stream import ByteStream
from tui_forward.transport.tcp import dial_tcp
from tui_forward.transport.tls_context import create_verifying_context
from tui_forward.transport.tls_stream import TlsStream

_LABEL = "the proxy"
_DIAL_DETAILS = {
    ReasonCode.NETWORK_REFUSED: "it refuses connections",
    ReasonCode.NETWORK_TIMEOUT: "no answer",
}
_MAX_SOCKS_TEXT = 255  # bytes; RFC 1929
_MAX_PAGE_BYTES = 16 * 1024
# The caller has a time limit of its own; python-socks requires one, too.
_NO_TIMEOUT_S = 3600.0


async def dial_via_proxy(
    proxy: ProxyAddress, host: str, port: int, *, tls: ssl.SSLContext | None = None
) -> ByteStream:
    """Connect through a proxy, which resolves `host`. No time limit of its own.

    `tls` is the TLS settings of the destination. As in client-go, they are those of a proxy
    reached by TLS as well: trust, also if nothing is verified, and the client certificate.
    """
    if proxy.is_socks:
        return SocketStream(await _dial_socks(proxy, host, port))
    stream: ByteStream = SocketStream(await _dial_proxy(proxy))
    try:
        if proxy.scheme == "https":
            # Towards http:// there are no settings; the system's authorities take milliseconds.
            if tls is None:
                tls = await run_in_thread(create_verifying_context, name="proxy TLS")
            secure = TlsStream(stream, tls, proxy.host, role="tls-proxy")
            stream = secure
            await secure.handshake()
        await _send_connect(stream, proxy, host, port)
    except BaseException:
        stream.abort()
        raise
    return stream


async def _dial_proxy(proxy: ProxyAddress) -> socket.socket:
    try:
        return await dial_tcp(proxy.host, proxy.port, label=_LABEL)
    except TransportError as error:
        raise _unreachable(proxy, error) from error


def _unreachable(proxy: ProxyAddress, error: TransportError) -> TransportError:
    detail = error.reason.detail or _DIAL_DETAILS.get(error.code, "")
    return TransportError(
        Reason(code=ReasonCode.NETWORK_PROXY_UNREACHABLE, proxy=str(proxy), detail=detail)
    )


class _TcpDialer(Proxy):
    """The first link of a proxy chain of python-socks: a plain TCP connection, dialed as ours."""

    def __init__(self) -> None:  # the proxy comes as an argument of `connect`
        pass

    async def connect(
        self,
        dest_host: str,
        dest_port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the name is python-socks'
        **_: Any,
    ) -> socket.socket:
        del timeout
        return await dial_tcp(dest_host, dest_port, label=_LABEL)


class _Utf8(str):
    """A text that python-socks sends as UTF-8, also if it is empty.

    By itself it counts characters, encodes as ASCII, and offers no password if one is empty.
    """

    __slots__ = ()

    def __bool__(self) -> bool:
        return True

    def __len__(self) -> int:
        return len(self.encode())

    def encode(self, *_: str) -> bytes:
        return str.encode(self, "utf-8", "replace")


async def _dial_socks(proxy: ProxyAddress, host: str, port: int) -> socket.socket:
    has_user = bool(proxy.username or proxy.password)
    username, password = _Utf8(proxy.username), _Utf8(proxy.password)
    if max(len(username), len(password)) > _MAX_SOCKS_TEXT:
        raise ConfigError(
            f"the user or the password of the proxy {proxy} is longer than {_MAX_SOCKS_TEXT} bytes",
            hint="SOCKS5 has no room for more: correct proxy-url or the environment",
        )
    client = Proxy(
        ProxyType.SOCKS5,
        proxy.host,
        proxy.port,
        username if has_user else None,
        password if has_user else None,
        rdns=True,
        forward=_TcpDialer(),
    )
    try:
        return await client.connect(host, port, timeout=_NO_TIMEOUT_S)
    except TransportError as error:
        raise _unreachable(proxy, error) from error
    except (ProxyError, OSError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise TransportError(
            Reason(
                code=ReasonCode.NETWORK_PROXY_REFUSED,
                proxy=str(proxy),
                server=join_host_port(host, port),
                detail=reason,
            )
        ) from error


async def _send_connect(stream: ByteStream, proxy: ProxyAddress, host: str, port: int) -> None:
    """Request a tunnel by HTTP CONNECT (RFC 9110, section 9.3.6)."""
    target = join_host_port(host, port)
    headers = [("Host", target)]
    if proxy.username or proxy.password:
        pair = f"{proxy.username}:{proxy.password}".encode()
        headers.append(("Proxy-Authorization", "Basic " + base64.b64encode(pair).decode()))
    http = h11.Connection(h11.CLIENT)
    request = http.send(h11.Request(method="CONNECT", target=target, headers=headers))
    request = (request or b"") + (http.send(h11.EndOfMessage()) or b"")

    def feed(data: bytes) -> h11.Response | None:
        try:
            http.receive_data(data)
            event = http.next_event()
            while isinstance(event, h11.InformationalResponse):
                event = http.next_event()
        except h11.RemoteProtocolError as error:
            raise TransportError(
                Reason(code=ReasonCode.NETWORK_PROXY_NOT_HTTP, proxy=str(proxy), detail=str(error))
            ) from error
        return event if isinstance(event, h11.Response) else None

    try:
        response = await perform_handshake(stream, request, feed, label=f"the proxy {proxy}")
    except TransportError as error:
        if error.code in (ReasonCode.NETWORK_CLOSED, ReasonCode.NETWORK_RESET):
            reason = Reason(code=ReasonCode.NETWORK_PROXY_CLOSED, proxy=str(proxy))
            raise TransportError(reason) from error
        raise
    status = response.status_code
    if status == 407:
        raise TransportError(Reason(code=ReasonCode.NETWORK_PROXY_AUTH, proxy=str(proxy)))
    if not 200 <= status < 300:
        code = ReasonCode.NETWORK_PROXY_REFUSED
        if status >= 500:
            code = ReasonCode.NETWORK_PROXY_FAILED
        detail = f"{status} {response.reason.decode('latin-1')}"
        title = _page_title(http)
        if title and title not in detail:
            detail += f", {title}"
        raise TransportError(
            Reason(code=code, proxy=str(proxy), server=target, status=str(status), detail=detail)
        )
    if http.trailing_data[0]:
        # The server behind sends nothing before our first byte.
        raise TransportError(
            Reason(
                code=ReasonCode.NETWORK_PROXY_NOT_HTTP,
                proxy=str(proxy),
                detail="data of its own in the tunnel",
            )
        )


def _page_title(http: h11.Connection) -> str:
    """Return the title of the page that came with a refusal, as far as it has arrived."""
    body = b""
    try:
        while isinstance(event := http.next_event(), h11.Data) and len(body) < _MAX_PAGE_BYTES:
            body += bytes(event.data)
    except h11.RemoteProtocolError:
        return ""
    return read_answer(500, [("Content-Type", "text/html")], body).message
