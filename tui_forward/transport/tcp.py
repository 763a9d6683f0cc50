"""TCP connections: addresses of both families raced, keep-alive, errors in words.

Happy Eyeballs as in RFC 8305: families alternate, the next address starts 250 ms after the
previous one or when that one fails, and the first connection wins.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
from collections.abc import Sequence

import aiohappyeyeballs

from tui_forward.common.open_files import exhausted_reason
from tui_forward.errors import TransportError
from tui_forward.model import Reason, ReasonCode
from tui_forward.transport.access import join_host_port
from tui_forward.transport.dns import resolve

ATTEMPT_DELAY_S = 0.25
# An idle connection whose path is gone (sleep, VPN) is detected after 30 s.
KEEPALIVE_IDLE_S = 15
KEEPALIVE_INTERVAL_S = 5
KEEPALIVE_COUNT = 3
if sys.platform == "darwin":
    _KEEPALIVE_IDLE = socket.TCP_KEEPALIVE
else:
    _KEEPALIVE_IDLE = socket.TCP_KEEPIDLE

_NO_ROUTE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN})


async def dial_tcp(host: str, port: int, *, label: str) -> socket.socket:
    """Connect and return a non-blocking socket; see `dns.resolve`. No time limit of its own."""
    return await dial_addresses(await resolve(host, port, label=label), host, port, label=label)


async def dial_addresses(
    addresses: Sequence[aiohappyeyeballs.AddrInfoType], host: str, port: int, *, label: str
) -> socket.socket:
    """Connect to one of the addresses of a host, as `dial_tcp`."""
    try:
        return await aiohappyeyeballs.start_connection(
            addresses,
            happy_eyeballs_delay=ATTEMPT_DELAY_S,
            interleave=1,
            socket_factory=_open_socket,
        )
    except OSError as error:
        raise describe_connect_error(error, host, port, label) from error


def _open_socket(address: aiohappyeyeballs.AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = address
    sock = socket.socket(family, kind, protocol)
    set_socket_options(sock)
    return sock


def set_socket_options(sock: socket.socket) -> None:
    """Send small frames at once, and probe an idle connection so that a dead path is detected."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, _KEEPALIVE_IDLE, KEEPALIVE_IDLE_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_COUNT)


def describe_connect_error(error: OSError, host: str, port: int, label: str) -> TransportError:
    """Return the error for a failed connect."""
    address = join_host_port(host, port)
    server = f"{label} at {address}"
    if reason := exhausted_reason(error):
        return TransportError(reason)
    if error.errno == errno.ECONNREFUSED:
        return TransportError(Reason(code=ReasonCode.NETWORK_REFUSED, server=server))
    if error.errno in _NO_ROUTE:
        return TransportError(
            Reason(code=ReasonCode.NETWORK_UNREACHABLE, server=server, detail=error.strerror or "")
        )
    if error.errno == errno.ETIMEDOUT:
        return connect_timeout_error(address, label)
    # aiohappyeyeballs joins different errors of several addresses into one without a number.
    detail = error.strerror or str(error).removeprefix("Multiple exceptions: ")
    return TransportError(Reason(code=ReasonCode.NETWORK_ERROR, server=server, detail=detail))


def connect_timeout_error(address: str, label: str) -> TransportError:
    """Return the error for a server that did not respond in time."""
    return TransportError(Reason(code=ReasonCode.NETWORK_TIMEOUT, server=f"{label} at {address}"))
