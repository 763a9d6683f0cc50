"""Binding of a forward's local addresses to one port.

* "localhost" is 127.0.0.1 and ::1 with the same port on both. One of them is enough where the
  machine has no other, or where another program holds a required port on the other. Any other
  address must be bound.
* A required port that is taken is an error; a preferred one gives way to the next free one.
* Ports below 1024 are only taken when required.

Sockets handed over by another process (`InheritedSockets`) are used before any is created.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
from collections.abc import MutableMapping, Sequence

import msgspec

from tui_forward.common.arguments import parse_address
from tui_forward.errors import ForwardError, UsageError
from tui_forward.model import LocalAddress, Reason, ReasonCode

LOCALHOST = ("127.0.0.1", "::1")

# The kernel reduces this to its own bound (net.core.somaxconn, kern.ipc.somaxconn).
_BACKLOG = 4096
_FIRST_UNPRIVILEGED = 1024
_LAST_PORT = 65535
# Where the search for a free port begins for a privileged one: 80 → 8080, 443 → 8443.
_UNPRIVILEGED_OFFSET = 8000
_RANDOM_TRIES = 32
_MAX_SEARCH = 1000  # ports that are tried to find a free one

_NO_SUCH_ADDRESS = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL})
_NOT_ALLOWED = frozenset({errno.EACCES, errno.EPERM})


InheritedSockets = MutableMapping[LocalAddress, socket.socket]
"""Listening sockets of this program; one that is used is removed."""


class PortTakenError(ForwardError):
    """The port is in use. `address` is the one that could not be bound."""

    def __init__(self, address: LocalAddress) -> None:
        super().__init__(
            Reason(code=ReasonCode.LOCAL_PORT_TAKEN, port=str(address.port), address=address.host)
        )
        self.address = address


class PortRequest(msgspec.Struct, frozen=True):
    """The local port to bind."""

    number: int  # the port; 0 is any free one
    required: bool  # the user chose it: no other will do


def check_addresses(addresses: Sequence[str]) -> None:
    """Raise `UsageError` for what is neither "localhost" nor an IP address, and for none."""
    if not addresses:
        raise UsageError("a forward needs a local address", hint='the usual one is "localhost"')
    for address in addresses:
        parse_address(address)


def bind_sockets(
    addresses: Sequence[str], request: PortRequest, inherited: InheritedSockets | None = None
) -> list[socket.socket]:
    """Bind one socket per address, all to the same port, and listen.

    Does not block. The sockets are non-blocking and belong to the caller.

    Raises:
        PortTakenError: The required port is in use, or no port above the preferred one is free.
        ForwardError: The port needs privileges, or an address is not one of this machine.
    """
    if request.required and request.number:
        return _bind_all(addresses, request.number, inherited=inherited)
    taken: PortTakenError | None = None
    if request.number:
        first = request.number
        if first < _FIRST_UNPRIVILEGED:
            first += _UNPRIVILEGED_OFFSET
        for number in range(first, _LAST_PORT + 1):
            try:
                return _bind_all(addresses, number, everywhere=True)
            except PortTakenError as error:
                taken = error
        raise PortTakenError(LocalAddress(addresses[0], first)) from taken
    for _ in range(_RANDOM_TRIES):
        try:
            return _bind_all(addresses, 0, everywhere=True)
        except PortTakenError as error:  # random on the first address, taken on another
            taken = error
    raise ForwardError(Reason(code=ReasonCode.LOCAL_NO_FREE_PORT)) from taken


def _bind_all(
    addresses: Sequence[str],
    number: int,
    *,
    everywhere: bool = False,
    inherited: InheritedSockets | None = None,
    listen: bool = True,
) -> list[socket.socket]:
    """Bind every address to `number` (0: one random number for all), or none.

    With `everywhere` both addresses of localhost must have the port free; without it, one of them
    is enough. Only a required port can be inherited.
    """
    sockets: list[socket.socket] = []
    bound_hosts: set[str] = set()
    with contextlib.ExitStack() as undo:
        for address in addresses:
            hosts = LOCALHOST if address == "localhost" else (address,)
            missing: OSError | None = None
            taken: PortTakenError | None = None
            bound_count = 0
            for host in hosts:
                # A wildcard socket listens on each address of its family; a second socket
                # would find the port taken by the first.
                wildcard = "::" if ":" in host else "0.0.0.0"
                if host in bound_hosts or (host != wildcard and wildcard in addresses):
                    bound_count += 1
                    continue
                try:
                    sock = _inherit(inherited, host, number)
                    is_inherited = sock is not None
                    sock = sock or _bind_one(host, number, listen=listen)
                except OSError as error:
                    if address == "localhost" and error.errno in _NO_SUCH_ADDRESS:
                        missing = error
                        continue
                    if error.errno == errno.EADDRINUSE:
                        taken = taken or PortTakenError(LocalAddress(host, number))
                        if address == "localhost" and not everywhere:
                            continue
                        raise taken from error
                    raise _bind_error(host, number, error) from error
                if is_inherited:
                    assert inherited is not None
                    # Not closed: another process may hold it, so that it could not be bound.
                    undo.callback(inherited.__setitem__, _address_of(host, number), sock)
                else:
                    undo.callback(sock.close)
                sockets.append(sock)
                bound_hosts.add(host)
                bound_count += 1
                number = number or sock.getsockname()[1]
            if not bound_count and taken is not None:
                raise taken
            if not bound_count:
                raise ForwardError(Reason(code=ReasonCode.LOCAL_NO_LOOPBACK)) from missing
        undo.pop_all()
    return sockets


def find_port_problem(addresses: Sequence[str], number: int) -> ForwardError | None:
    """Return why a port cannot be bound now; None if it can. Nothing listens meanwhile."""
    try:
        sockets = _bind_all(addresses, number, everywhere=True, listen=False)
    except ForwardError as error:
        return error
    for sock in sockets:
        sock.close()
    return None


def find_free_port(addresses: Sequence[str], above: int) -> int | None:
    """Return the lowest port above one that is free on all addresses, and not privileged."""
    first = above + 1 if above >= _FIRST_UNPRIVILEGED else above + _UNPRIVILEGED_OFFSET
    for number in range(first, min(first + _MAX_SEARCH, _LAST_PORT + 1)):
        problem = find_port_problem(addresses, number)
        if problem is None:
            return number
        if not isinstance(problem, PortTakenError):
            return None  # of the address, so of every port
    return None


def conflict(one: LocalAddress, other: LocalAddress) -> bool:
    """Return whether two sockets cannot listen on these addresses at the same time."""
    same_family = (":" in one.host) == (":" in other.host)
    anywhere = {one.host, other.host} & {"0.0.0.0", "::"}
    return one.port == other.port and (one.host == other.host or (same_family and bool(anywhere)))


def bind_missing(
    addresses: Sequence[str], listening: Sequence[LocalAddress]
) -> tuple[list[socket.socket], list[LocalAddress]]:
    """Bind the addresses of localhost that another program held when the others were bound.

    Does not block. Returns the sockets, as `bind_sockets`, and the addresses that are still held.
    """
    sockets: list[socket.socket] = []
    taken: list[LocalAddress] = []
    open_hosts = {address.host for address in listening}
    for host in LOCALHOST if "localhost" in addresses else ():
        wildcard = "::" if ":" in host else "0.0.0.0"
        if host in open_hosts or wildcard in open_hosts:
            continue
        address = LocalAddress(host, listening[0].port)
        try:
            sockets.append(_bind_one(host, address.port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                taken.append(address)
    return sockets, taken


def _inherit(inherited: InheritedSockets | None, host: str, number: int) -> socket.socket | None:
    if not inherited:
        return None
    return inherited.pop(_address_of(host, number), None)


def _address_of(host: str, number: int) -> LocalAddress:
    """Return an address as getsockname(2) writes it."""
    return LocalAddress(parse_address(host), number)


def _bind_one(host: str, number: int, *, listen: bool = True) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if sys.platform == "linux":
            # Means "in spite of TIME_WAIT"; a listening socket is still a conflict.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, number))
        else:
            # On macOS SO_REUSEADDR would also hide this socket behind one of a process that
            # listens on all addresses, so it is used only when nothing answers there.
            try:
                sock.bind((host, number))
            except OSError as error:
                if error.errno != errno.EADDRINUSE or _is_served(family, host, number):
                    raise
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind((host, number))
        if listen:
            sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _is_served(family: socket.AddressFamily, host: str, number: int) -> bool:
    """Return whether connections are accepted there; if not, loopback refuses at once."""
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.2)
        return probe.connect_ex((host, number)) == 0


def _bind_error(host: str, number: int, error: OSError) -> ForwardError:
    if error.errno in _NOT_ALLOWED and 0 < number < _FIRST_UNPRIVILEGED:
        hint = "" if sys.platform == "linux" else "Use a local port of 1024 or above"
        return ForwardError(
            Reason(code=ReasonCode.LOCAL_PORT_PRIVILEGED, port=str(number), hint=hint)
        )
    if error.errno in _NO_SUCH_ADDRESS:
        return ForwardError(Reason(code=ReasonCode.LOCAL_ADDRESS_UNAVAILABLE, address=host))
    cause = os.strerror(error.errno) if error.errno else str(error)
    return ForwardError(
        Reason(
            code=ReasonCode.LOCAL_LISTEN_FAILED,
            address=str(LocalAddress(host, number)),
            detail=cause.lower(),
        )
    )
