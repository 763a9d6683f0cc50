"""The dial path of requests and tunnels: from an endpoint to a byte stream."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time

from msgspec.structs import replace

from tui_forward.errors import TransportError
from tui_forward.model import Reason, ReasonCode
from tui_forward.transport.access import Endpoint
from tui_forward.transport.socket_stream import SocketStream
from tui_forward.transport.stream import ByteStream
from tui_forward.transport.tcp import dial_tcp
from tui_forward.transport.tls_stream import TlsStream

_log = logging.getLogger(__name__)

_NO_CA_HINT = (
    "Add certificate-authority to the cluster in the kubeconfig: it names none, so only the "
    "authorities of this system are trusted"
)


async def connect(endpoint: Endpoint, *, timeout_s: float) -> ByteStream:
    """Connect to a server within a time for everything. The stream's reading is paused.

    Cancellation closes what was opened. Raises TransportError with the cause in words.
    """
    started = time.monotonic()
    via = f" through the proxy {endpoint.proxy}" if endpoint.proxy else ""
    try:
        stream = await _connect(endpoint, timeout_s)
    except TransportError as error:
        endpoint.outage.record_failure()
        duration_s = time.monotonic() - started
        _log.debug("dial %s%s failed, %.3f s: %s", endpoint.authority, via, duration_s, error)
        raise
    _log.debug("dial %s%s: %.3f s", endpoint.authority, via, time.monotonic() - started)
    return stream


async def _connect(endpoint: Endpoint, timeout_s: float) -> ByteStream:
    stream: ByteStream | None = None
    proxy = str(endpoint.proxy) if endpoint.proxy is not None else ""
    timed_out = Reason(code=ReasonCode.NETWORK_TIMEOUT, server=_name(endpoint))
    try:
        async with asyncio.timeout(timeout_s):
            if endpoint.proxy is not None:
                # Imports h11 and python-socks, which most users do not need.
                from tui_forward.transport.proxy_dialer import dial_via_proxy

                timed_out = Reason(
                    code=ReasonCode.NETWORK_PROXY_TIMEOUT, proxy=proxy, server=endpoint.authority
                )
                stream = await dial_via_proxy(
                    endpoint.proxy, endpoint.host, endpoint.port, tls=endpoint.tls
                )
            else:
                stream = SocketStream(
                    await dial_tcp(endpoint.host, endpoint.port, label=endpoint.label)
                )
            if endpoint.tls is not None:
                timed_out = Reason(
                    code=ReasonCode.NETWORK_TLS_TIMEOUT, server=_name(endpoint), proxy=proxy
                )
                secure = start_tls(stream, endpoint, endpoint.tls)
                stream = secure
                await handshake(secure, endpoint)
            connected, stream = stream, None
            return connected
    except TimeoutError:
        raise TransportError(replace(timed_out, timeout_s=timeout_s)) from None
    finally:
        if stream is not None:
            stream.abort()


def start_tls(stream: ByteStream, endpoint: Endpoint, tls: ssl.SSLContext) -> TlsStream:
    """Return TLS over a connection to an endpoint, before its handshake."""
    return TlsStream(stream, tls, endpoint.server_hostname or endpoint.host)


async def handshake(stream: TlsStream, endpoint: Endpoint) -> None:
    """Perform the handshake of `start_tls`; TransportError with the cause in words."""
    try:
        await stream.handshake()
    except TransportError as error:
        if error.code is ReasonCode.NETWORK_CERTIFICATE and not endpoint.has_own_ca:
            reason = replace(error.reason, hint=_NO_CA_HINT)
            raise TransportError(reason) from error
        if error.code is ReasonCode.NETWORK_RESET:
            # A plain http server may cut the connection instead of closing it.
            reason = Reason(code=ReasonCode.NETWORK_TLS_CLOSED, server=_name(endpoint))
            raise TransportError(reason) from error
        raise


def _name(endpoint: Endpoint) -> str:
    return f"{endpoint.label} at {endpoint.authority}"
