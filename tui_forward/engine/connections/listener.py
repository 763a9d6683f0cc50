"""The local end of a forward: sockets that listen, and an accept loop that keeps up.

Binding (`bind`) is separate from accepting (`Listener`), so that the rules about ports can
be tested without a loop. The rules:

* "localhost" is 127.0.0.1 and ::1 with the same port on both; one of them is enough where
  the machine has no other. Any other address must be bound.
* An explicit port that is taken is an error; a wished-for one gives way to the next free one.
* Ports below 1024 are only taken when asked for.

Sockets that another process of ours has handed over (`Inheritance`) are taken before any is made.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import os
import socket
import sys
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass

from tui_forward.errors import ForwardError, ForwardErrorCause, UsageError
from tui_forward.model import LocalAddress

LOCALHOST = ("127.0.0.1", "::1")

# The kernel cuts this to its own bound (net.core.somaxconn, kern.ipc.somaxconn).
_BACKLOG = 4096
# Connections taken per wake of the loop: enough for a burst, few enough that the data path
# of everybody else gets its turn.
_ACCEPTS_PER_WAKE = 64
_FIRST_UNPRIVILEGED = 1024
_LAST_PORT = 65535
# Where the search for a free port begins for a privileged one: 80 → 8080, 443 → 8443.
_UNPRIVILEGED_TWIN = 8000
_RANDOM_TRIES = 32

_NO_SUCH_ADDRESS = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL})
_NOT_ALLOWED = frozenset({errno.EACCES, errno.EPERM})
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
# accept(2): errors that belong to the connection that was to be accepted, not to the listener.
_ONE_CONNECTION = frozenset(
    {
        errno.ECONNABORTED,
        errno.EPROTO,
        errno.EPERM,
        errno.EINTR,
        errno.ENETDOWN,
        errno.EHOSTUNREACH,
        errno.EOPNOTSUPP,
        errno.ENETUNREACH,
        errno.ETIMEDOUT,
    }
)


InheritedSockets = MutableMapping[LocalAddress, socket.socket]
"""Listening sockets that are ours already; one that is used is taken out."""


class PortTakenError(ForwardError):
    """Somebody has the port. `address` is the one that could not be bound."""

    def __init__(self, address: LocalAddress) -> None:
        super().__init__(
            f"local port {address.port} is taken",
            cause=ForwardErrorCause.PORT_TAKEN,
            hint="end that process, or choose another local port",
        )
        self.address = address


# --------------------------------------------------------------------------------------
# Binding
# --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PortRequest:
    """Which local port is wanted.

    Attributes:
        number: The port; 0 is any free one.
        firm: The person named it: no other will do.
    """

    number: int
    required: bool


def check_addresses(addresses: Sequence[str]) -> None:
    """Refuse addresses that cannot be listened on.

    Raises:
        UsageError: One is neither "localhost" nor an IP address, or there is none.
    """
    if not addresses:
        raise UsageError("a forward needs a local address", hint='the usual one is "localhost"')
    for address in addresses:
        if address == "localhost":
            continue
        try:
            ipaddress.ip_address(address)
        except ValueError as error:
            raise UsageError(
                f'"{address}" is not a local address',
                hint='use "localhost" or an IP address of this machine, such as 0.0.0.0',
            ) from error


def bind_sockets(
    addresses: Sequence[str], wish: PortRequest, inherited: InheritedSockets | None = None
) -> list[socket.socket]:
    """Bind one socket per address, all to the same port, and listen.

    Does not wait for anything. The sockets are non-blocking and belong to the caller.

    Args:
        addresses: As given by the person.
        wish: The port.
        inherited: What need not be bound, because it is already.

    Raises:
        PortTakenError: A firm wish for a port that somebody has.
        ForwardError: With cause PRIVILEGED, or OTHER when an address is not this machine's.
    """
    if wish.required and wish.number:
        return _bind_all(addresses, wish.number, inherited=inherited)
    if wish.number:
        taken: PortTakenError | None = None
        first = wish.number
        if first < _FIRST_UNPRIVILEGED:
            first += _UNPRIVILEGED_TWIN
        for number in range(first, _LAST_PORT + 1):
            try:
                return _bind_all(addresses, number, everywhere=True)
            except PortTakenError as error:
                taken = error
        raise PortTakenError(LocalAddress(addresses[0], first)) from taken
    last: PortTakenError | None = None
    for _ in range(_RANDOM_TRIES):
        try:
            return _bind_all(addresses, 0, everywhere=True)
        except PortTakenError as error:  # random on the first address, taken on another
            last = error
    raise ForwardError(
        "no local port is free on all addresses", cause=ForwardErrorCause.PORT_TAKEN
    ) from last


def _bind_all(
    addresses: Sequence[str],
    number: int,
    *,
    everywhere: bool = False,
    inherited: InheritedSockets | None = None,
) -> list[socket.socket]:
    """Bind every address to `number` (0: one random number for all), or none.

    Args:
        addresses: As given by the person.
        number: The port.
        everywhere: Both halves of localhost must have the port free. Without it, a port
            that is taken on ::1 alone is still used on 127.0.0.1.
        inherited: As for `bind`; only a port that was named can be among it.
    """
    bound: list[socket.socket] = []
    had: set[str] = set()
    with contextlib.ExitStack() as undo:
        for address in addresses:
            hosts = LOCALHOST if address == "localhost" else (address,)
            missing: OSError | None = None
            here = 0
            for host in hosts:
                # Who listens on all addresses of a kind listens on each; a second socket would
                # find the port taken, by nobody but itself.
                all_of_kind = "::" if ":" in host else "0.0.0.0"
                if host in had or (host != all_of_kind and all_of_kind in addresses):
                    here += 1
                    continue
                try:
                    sock = _inherit(inherited, host, number) or _bind_one(host, number)
                except OSError as error:
                    if address == "localhost" and error.errno in _NO_SUCH_ADDRESS:
                        missing = error
                        continue
                    if error.errno == errno.EADDRINUSE:
                        if here and not everywhere:
                            continue
                        raise PortTakenError(LocalAddress(host, number)) from error
                    raise _cannot_bind(host, number, error) from error
                undo.callback(sock.close)
                bound.append(sock)
                had.add(host)
                here += 1
                number = number or sock.getsockname()[1]
            if not here:
                raise ForwardError(
                    "this machine has neither 127.0.0.1 nor ::1"
                    if missing is not None
                    else f"no local address in {address!r}"
                ) from missing
        undo.pop_all()
    return bound


def _inherit(inherited: InheritedSockets | None, host: str, number: int) -> socket.socket | None:
    if not inherited:
        return None
    # As getsockname(2) writes it.
    return inherited.pop(LocalAddress(str(ipaddress.ip_address(host)), number), None)


def _bind_one(host: str, number: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        target = (host, number)
        if sys.platform == "win32":
            # There SO_REUSEADDR means "take it away from whoever has it".
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
            sock.bind(target)
        elif sys.platform == "linux":
            # Means "in spite of TIME_WAIT"; a listening socket is still a conflict.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(target)
        else:
            # On BSD and macOS SO_REUSEADDR would also let us hide in front of a process that
            # listens on all addresses, so it is used only when nobody answers there.
            try:
                sock.bind(target)
            except OSError as error:
                if error.errno != errno.EADDRINUSE or _answers(family, host, number):
                    raise
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind(target)
        sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _answers(family: socket.AddressFamily, host: str, number: int) -> bool:
    """Whether somebody accepts connections there; refused at once on loopback if not."""
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(0.2)
        return probe.connect_ex((host, number)) == 0


def _cannot_bind(host: str, number: int, error: OSError) -> ForwardError:
    where = LocalAddress(host, number)
    if error.errno in _NOT_ALLOWED and 0 < number < _FIRST_UNPRIVILEGED:
        hint = "use a local port of 1024 or above"
        if sys.platform == "linux":
            hint += f", or allow it: sysctl net.ipv4.ip_unprivileged_port_start={number}"
        return ForwardError(
            f"local port {number} needs privileges, as all below {_FIRST_UNPRIVILEGED} do",
            cause=ForwardErrorCause.PRIVILEGED,
            hint=hint,
        )
    if error.errno in _NO_SUCH_ADDRESS:
        return ForwardError(
            f"{host} is not an address of this machine",
            hint="list them with `ip address` or `ifconfig`, or use localhost",
        )
    reason = os.strerror(error.errno) if error.errno else str(error)
    return ForwardError(f"cannot listen on {where}: {reason.lower()}")


# --------------------------------------------------------------------------------------
# Accepting
# --------------------------------------------------------------------------------------


class Listener:
    """Accepts on bound sockets until closed; the sockets stay open while it is paused.

    While paused, new connections wait in the kernel's backlog.

    Args:
        sockets: From `bind`; owned from now on.
        on_accept: Called with each accepted, non-blocking socket, the client's address and
            the address it came in on. Must not raise.
        on_exhausted: Called with words when the system has no resources for another
            connection; accepting stops for a moment by itself.
    """

    _BREATHER_S = 0.25

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        *,
        on_accept: Callable[[socket.socket, LocalAddress, LocalAddress], None],
        on_exhausted: Callable[[str], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sockets = list(sockets)
        self._on_accept = on_accept
        self._on_exhausted = on_exhausted
        self._addresses = {sock: _address(sock.getsockname()) for sock in self._sockets}
        self._paused = False
        self._held = False
        self._closed = False
        self._breather: asyncio.TimerHandle | None = None
        self._watch()

    @property
    def addresses(self) -> tuple[LocalAddress, ...]:
        """What it listens on, in the order asked for."""
        return tuple(self._addresses.values())

    @property
    def port(self) -> int:
        """The port, the same on all addresses."""
        return next(iter(self._addresses.values())).port

    def pause(self) -> None:
        """Leave new connections in the kernel's backlog. Idempotent."""
        self._paused = True
        self._unwatch()

    def resume(self) -> None:
        """Undo `pause`. Idempotent."""
        self._paused = False
        self._watch()

    def hold(self) -> InheritedSockets:
        """As `pause`, whoever pauses and resumes meanwhile; gives what may be handed over."""
        self._held = True
        self._unwatch()
        return {address: sock for sock, address in self._addresses.items()}

    def release(self) -> None:
        """Undo `hold`. Idempotent."""
        self._held = False
        self._watch()

    def close(self) -> None:
        """Close the sockets. Idempotent.

        What waits in the backlog is reset, unless another process has them as well.
        """
        if self._closed:
            return
        self._unwatch()
        self._closed = True
        if self._breather is not None:
            self._breather.cancel()
            self._breather = None
        for sock in self._sockets:
            sock.close()

    @property
    def _accepts(self) -> bool:
        return not (self._paused or self._held or self._closed or self._breather is not None)

    def _watch(self) -> None:
        """Accept, if nothing speaks against it."""
        for sock in self._sockets if self._accepts else ():
            self._loop.add_reader(sock.fileno(), self._accept, sock)

    def _unwatch(self) -> None:
        for sock in () if self._closed else self._sockets:
            self._loop.remove_reader(sock.fileno())

    def _accept(self, listening: socket.socket) -> None:
        ours = self._addresses[listening]
        for _ in range(_ACCEPTS_PER_WAKE):
            if not self._accepts:  # because of what was accepted last
                return
            try:
                sock, client = listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._breathe(error)
                    return
                if error.errno in _ONE_CONNECTION:
                    continue
                self._breathe(error)  # unknown: say so, and do not spin on it
                return
            sock.setblocking(False)
            self._on_accept(sock, _address(client), ours)

    def _breathe(self, error: OSError) -> None:
        """Stop accepting for a moment.

        The backlog keeps the socket readable: to go on polling without descriptors to spare
        would burn the processor for nothing.
        """
        self._unwatch()
        self._breather = self._loop.call_later(self._BREATHER_S, self._go_on)
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        self._on_exhausted(f"cannot accept connections for a moment: {reason}")

    def _go_on(self) -> None:
        self._breather = None
        self._watch()


def _address(name: tuple[str, int] | tuple[str, int, int, int]) -> LocalAddress:
    return LocalAddress(name[0], name[1])


def raise_file_limit(wanted: int = 65536) -> tuple[int, int] | None:
    """Raise the soft limit of open files as far as it goes, up to `wanted`.

    Each connection takes a descriptor, and common soft limits are 256 and 1024.

    Returns:
        The limit before and after, or None where there is no such thing.
    """
    if sys.platform == "win32":
        return None
    import resource  # not on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    goal = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    # macOS refuses numbers above kern.maxfilesperproc even below an infinite hard limit.
    for limit in (goal, 10240, 4096):
        if soft == resource.RLIM_INFINITY or limit <= soft:
            break
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            return soft, limit
    return soft, soft
