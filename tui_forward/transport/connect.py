"""From an endpoint to a byte stream: TCP or proxy, then TLS."""

from __future__ import annotations

import asyncio

from tui_forward.errors import TransportError
from tui_forward.transport.access import Endpoint
from tui_forward.transport.socket_stream import SocketStream
from tui_forward.transport.stream import ByteStream
from tui_forward.transport.tcp import connect_timeout_error, dial_tcp
from tui_forward.transport.tls_stream import TlsStream


async def connect(endpoint: Endpoint, *, timeout_s: float) -> ByteStream:
    """Dial an API server. The stream's reading is paused.

    Cancellation closes what was opened.

    Args:
        endpoint: Where, and through what.
        timeout_s: For everything together.

    Raises:
        ConfigError: `proxy-url` is not one.
        TransportError: In words, what stood in the way.
    """
    stream: ByteStream | None = None
    stage = ""
    try:
        async with asyncio.timeout(timeout_s):
            if endpoint.proxy:
                # Brings two libraries along; few people have a proxy.
                from tui_forward.transport.proxy_dialer import dial_via_proxy, parse_proxy_url

                proxy = parse_proxy_url(endpoint.proxy)
                stage = f" through the proxy {proxy}"
                stream = await dial_via_proxy(
                    proxy, endpoint.host, endpoint.port, trust=endpoint.tls
                )
            else:
                stream = SocketStream(
                    await dial_tcp(endpoint.host, endpoint.port, what="the API server")
                )
            if endpoint.tls is not None:
                stage = " in the TLS handshake"
                # HTTP/2 knows no upgrade. The context is shared with whoever makes ordinary
                # requests, which are HTTP/1.1, too.
                endpoint.tls.set_alpn_protocols(["http/1.1"])
                name = endpoint.server_hostname or endpoint.host
                secure = TlsStream(stream, endpoint.tls, name)
                stream = secure
                await secure.handshake()
            connected, stream = stream, None
            return connected
    except TimeoutError:
        failure = connect_timeout_error(endpoint.authority, "the API server")
        raise TransportError(f"{failure.message}{stage}", hint=failure.hint) from None
    finally:
        if stream is not None:
            stream.abort()
