"""Through a proxy (`proxy-url`): HTTP CONNECT, the same over TLS, and SOCKS5.

Names are resolved by the proxy, as Go does for `socks5://` and `socks5h://` alike. No error
text contains the URL itself, which may hold a password.
"""

from __future__ import annotations

import base64
import ssl
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import h11
from python_socks import ProxyConnectionError, ProxyError, ProxyTimeoutError, ProxyType
from python_socks.async_.asyncio import Proxy

from tui_forward.errors import ConfigError, TransportError
from tui_forward.transport.handshake import perform_handshake
from tui_forward.transport.socket_stream import SocketStream
from tui_forward.transport.stream import ByteStream
from tui_forward.transport.tcp import dial_tcp, set_socket_options
from tui_forward.transport.tls_context import create_verifying_context
from tui_forward.transport.tls_stream import TlsStream

_DEFAULT_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
# The caller has a time limit of its own; python-socks insists on having one, too.
_FOREVER_S = 3600.0


@dataclass(frozen=True, slots=True)
class ProxyAddress:
    """A `proxy-url`, taken apart.

    Attributes:
        scheme: "http", "https", "socks5" or "socks5h".
        host: Name or address, without brackets.
        port: TCP port.
        username: Empty for none.
        password: Never shown.
    """

    scheme: str
    host: str
    port: int
    username: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return f"ProxyAddress({self})"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def parse_proxy_url(url: str) -> ProxyAddress:
    """Take a `proxy-url` apart.

    Raises:
        ConfigError: It is not the URL of a proxy that this program can use.
    """
    hint = "Write proxy-url as http://host:port, https://host:port or socks5://host:port."
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError("the proxy-url in the kubeconfig is not a URL", hint=hint) from error
    scheme = parts.scheme.lower()
    if scheme not in _DEFAULT_PORTS:
        raise ConfigError(
            f"the scheme {scheme!r} of the proxy-url in the kubeconfig is not supported", hint=hint
        )
    if not parts.hostname:
        raise ConfigError("the proxy-url in the kubeconfig names no host", hint=hint)
    return ProxyAddress(
        scheme=scheme,
        host=parts.hostname,
        port=port or _DEFAULT_PORTS[scheme],
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
    )


async def dial_via_proxy(
    proxy: ProxyAddress, host: str, port: int, *, trust: ssl.SSLContext | None = None
) -> ByteStream:
    """Connect to `host`:`port` through a proxy. No time limit of its own.

    Args:
        proxy: Which.
        host: Where to, as the proxy is to resolve it.
        port: Where to.
        trust: How the server behind is verified; counts for a proxy reached by TLS as well,
            beside the system's authorities. Its client certificate is not shown to a proxy.

    Raises:
        TransportError: The proxy is not there, or does not connect us.
    """
    if proxy.scheme.startswith("socks"):
        return await _dial_socks(proxy, host, port)
    stream: ByteStream = SocketStream(await dial_tcp(proxy.host, proxy.port, what="the proxy"))
    try:
        if proxy.scheme == "https":
            secure = TlsStream(stream, _proxy_context(trust), proxy.host, role="tls-proxy")
            stream = secure
            await secure.handshake()
        await _connect(stream, proxy, host, port)
    except BaseException:
        stream.abort()
        raise
    return stream


def _proxy_context(trust: ssl.SSLContext | None) -> ssl.SSLContext:
    context = create_verifying_context()
    context.set_alpn_protocols(["http/1.1"])
    if trust is not None:
        for authority in trust.get_ca_certs(binary_form=True):
            context.load_verify_locations(cadata=authority)
        if trust.verify_mode is ssl.CERT_NONE:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
    return context


async def _dial_socks(proxy: ProxyAddress, host: str, port: int) -> ByteStream:
    dialler = Proxy(
        ProxyType.SOCKS5,
        proxy.host,
        proxy.port,
        proxy.username or None,
        proxy.password or None,
        rdns=True,
    )
    try:
        sock = await dialler.connect(host, port, timeout=_FOREVER_S)
    except ProxyConnectionError as error:
        raise TransportError(
            f"the proxy {proxy} cannot be reached",
            hint="Check that it runs, and proxy-url in the kubeconfig.",
        ) from error
    except (ProxyError, ProxyTimeoutError, OSError) as error:
        raise TransportError(
            f"the proxy {proxy} does not connect to {host}:{port}: {_one_line(error)}",
            hint="Check its rules, and the user and password in proxy-url.",
        ) from error
    set_socket_options(sock)
    return SocketStream(sock)


async def _connect(stream: ByteStream, proxy: ProxyAddress, host: str, port: int) -> None:
    """Ask for a tunnel: HTTP CONNECT (RFC 9110, section 9.3.6)."""
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    headers = [("Host", target)]
    if proxy.username:
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
                f"the proxy {proxy} does not speak HTTP: {error}",
                hint="Check the scheme and the port of proxy-url.",
            ) from error
        return event if isinstance(event, h11.Response) else None

    response = await perform_handshake(stream, request, feed, what=f"the proxy {proxy}")
    if response.status_code == 407:
        raise TransportError(
            f"the proxy {proxy} asks for a user and a password, or refuses the ones it got",
            hint="Put them into proxy-url: http://user:password@host:port.",
        )
    if not 200 <= response.status_code < 300:
        reason = response.reason.decode("latin-1")
        raise TransportError(
            f"the proxy {proxy} does not connect to {target}: {response.status_code} {reason}",
            hint="Check the rules of the proxy.",
        )
    if http.trailing_data[0]:
        # The server waits for our first byte: nobody can have said anything yet.
        raise TransportError(f"the proxy {proxy} sends data of its own into the tunnel")


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text or type(error).__name__
