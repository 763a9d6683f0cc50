"""Dial TCP: names resolved, addresses of both families tried, errors in words.

Happy Eyeballs as in RFC 8305: families alternate, the next address starts 250 ms after the
one before or when that one fails, and the first that connects wins.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Sequence

from tui_forward.errors import TransportError

ATTEMPT_DELAY_S = 0.25
KEEPALIVE_IDLE_S = 30
KEEPALIVE_INTERVAL_S = 10
KEEPALIVE_COUNT = 3

Address = tuple[socket.AddressFamily, tuple[str | int | bytes, ...]]


async def dial_tcp(host: str, port: int, *, what: str) -> socket.socket:
    """Connect to `host`:`port` and return a non-blocking socket. No time limit of its own.

    Args:
        host: Name or address, without brackets.
        port: TCP port.
        what: Who is there, for error texts ("the API server", "the proxy").

    Raises:
        TransportError: The name is unknown, or no address answers.
    """
    addresses = await _resolve(host, port, what)
    loop = asyncio.get_running_loop()
    failures: list[OSError] = []
    running: set[asyncio.Task[socket.socket]] = set()
    waiting = list(addresses)
    try:
        while waiting or running:
            if waiting:
                running.add(loop.create_task(_connect(waiting.pop(0))))
            done, running = await asyncio.wait(
                running,
                timeout=ATTEMPT_DELAY_S if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            winner: socket.socket | None = None
            for task in done:
                error = task.exception()
                if error is None and winner is None:
                    winner = task.result()
                elif error is None:
                    task.result().close()
                elif isinstance(error, OSError):
                    failures.append(error)
                else:
                    raise error
            if winner is not None:
                return winner
    finally:
        for task in running:
            task.cancel()
        for outcome in await asyncio.gather(*running, return_exceptions=True):
            if isinstance(outcome, socket.socket):
                outcome.close()
    raise describe_connect_error(failures[0], host, port, what) from failures[0]


async def _resolve(host: str, port: int, what: str) -> Sequence[Address]:
    loop = asyncio.get_running_loop()
    try:
        infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise TransportError(
            f"the name of {what}, {host!r}, cannot be resolved: {reason}",
            hint="Check the network (VPN?) and the server URL in the kubeconfig.",
        ) from error
    first = infos[0][0]
    same: list[Address] = [
        (family, address) for family, _, _, _, address in infos if family is first
    ]
    other = [(family, address) for family, _, _, _, address in infos if family is not first]
    mixed: list[Address] = []
    for index in range(max(len(same), len(other))):
        mixed += same[index : index + 1]
        mixed += other[index : index + 1]
    return mixed


async def _connect(address: Address) -> socket.socket:
    family, where = address
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        set_socket_options(sock)
        await asyncio.get_running_loop().sock_connect(sock, where)
    except BaseException:
        sock.close()
        raise
    return sock


def set_socket_options(sock: socket.socket) -> None:
    """No delay for small frames; keep-alive, so that a dead path is noticed while idle."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (
            ("TCP_KEEPIDLE", KEEPALIVE_IDLE_S),
            ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL_S),
            ("TCP_KEEPCNT", KEEPALIVE_COUNT),
        ):
            option = getattr(socket, name, None)
            if option is not None:
                sock.setsockopt(socket.IPPROTO_TCP, option, value)


def describe_connect_error(error: OSError, host: str, port: int, what: str) -> TransportError:
    """A failed connect in words.

    Args:
        error: What the system said.
        host: Where to.
        port: Where to.
        what: Who should be there.
    """
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if error.errno == errno.ECONNREFUSED:
        return TransportError(
            f"{what} at {where} refuses connections",
            hint="Nothing listens there: check that it runs, and the address.",
        )
    if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN):
        return TransportError(
            f"there is no way to {what} at {where}: {error.strerror}",
            hint="Check the network (VPN?).",
        )
    if error.errno == errno.ETIMEDOUT:
        return connect_timeout_error(where, what)
    return TransportError(f"{what} at {where} cannot be reached: {error.strerror or error}")


def connect_timeout_error(where: str, what: str) -> TransportError:
    """Nobody answered in time.

    Args:
        where: `host:port`.
        what: Who should be there.
    """
    return TransportError(
        f"{what} at {where} does not answer",
        hint="Check the network (VPN, firewall?) and the address.",
    )
