"""The dial path of requests and tunnels: from an endpoint to a byte stream."""

from __future__ import annotations

import asyncio
import logging
import time

from msgspec.structs import replace

from tui_forward.errors import TransportError
from tui_forward.model import ReasonCode
from tui_forward.transport.access import Endpoint
from tui_forward.transport.socket_stream import SocketStream
from tui_forward.transport.stream import ByteStream
from tui_forward.transport.tcp import connect_timeout_error, dial_tcp
from tui_forward.transport.tls_stream import TlsStream

_log = logging.getLogger(__name__)


async def connect(endpoint: Endpoint, *, timeout_s: float) -> ByteStream:
    """Connect to a server within a time for everything. The stream's reading is paused.

    Cancellation closes what was opened. Raises TransportError with the cause in words.
    """
    started = time.monotonic()
    via = f" through the proxy {endpoint.proxy}" if endpoint.proxy else ""
    try:
        stream = await _connect(endpoint, timeout_s)
    except TransportError as error:
        duration_s = time.monotonic() - started
        _log.debug("dial %s%s failed, %.3f s: %s", endpoint.authority, via, duration_s, error)
        raise
    _log.debug("dial %s%s: %.3f s", endpoint.authority, via, time.monotonic() - started)
    return stream


async def _connect(endpoint: Endpoint, timeout_s: float) -> ByteStream:
    stream: ByteStream | None = None
    code, proxy = ReasonCode.NETWORK_TIMEOUT, ""
    try:
        async with asyncio.timeout(timeout_s):
            if endpoint.proxy is not None:
                # Imports h11 and python-socks, which most users do not need.
                from tui_forward.transport.proxy_dialer import dial_via_proxy

                proxy = str(endpoint.proxy)
                stream = await dial_via_proxy(
                    endpoint.proxy, endpoint.host, endpoint.port, trust=endpoint.tls
                )
            else:
                stream = SocketStream(
                    await dial_tcp(endpoint.host, endpoint.port, label=endpoint.label)
                )
            if endpoint.tls is not None:
                code = ReasonCode.NETWORK_TLS_TIMEOUT
                name = endpoint.server_hostname or endpoint.host
                secure = TlsStream(stream, endpoint.tls, name)
                stream = secure
                await secure.handshake()
            connected, stream = stream, None
            return connected
    except TimeoutError:
        failure = connect_timeout_error(endpoint.authority, endpoint.label)
        raise TransportError(replace(failure.reason, code=code, proxy=proxy)) from None
    finally:
        if stream is not None:
            stream.abort()
