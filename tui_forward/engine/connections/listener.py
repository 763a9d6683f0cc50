"""Accept loop over the sockets of `local_ports`."""

from __future__ import annotations

import asyncio
import errno
import math
import socket
import sys
from collections.abc import Callable, Sequence

from tui_forward.common.open_files import exhausted_reason
from tui_forward.engine.connections.local_ports import InheritedSockets
from tui_forward.model import LocalAddress, Reason, ReasonCode
from tui_forward.transport.tcp import set_socket_options

# Connections accepted per wake of the loop: enough for a burst, few enough that the data path
# of other connections is not delayed.
_ACCEPTS_PER_WAKE = 64
_EXHAUSTED_PAUSE_S = 0.25
# Without another failure for this long, the next one is reported again.
_EXHAUSTED_REPORT_S = 30.0

# Linux gives accepted sockets the options of the listening one, which saves five system calls
# for each. Keep-alive finds clients that left while nothing was read from them.
_OPTIONS_ARE_INHERITED = sys.platform == "linux"

# accept(2): errors that belong to the connection that was to be accepted, not to the listener.
_CONNECTION_ERRORS = frozenset(
    {errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.EINTR, errno.ENETDOWN}
    | {errno.EHOSTUNREACH, errno.EOPNOTSUPP, errno.ENETUNREACH, errno.ETIMEDOUT}
)


class Listener:
    """Accepts on bound sockets, which it owns, until closed.

    While paused, new connections wait in the kernel's backlog.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        *,
        # The accepted, non-blocking socket, the client's address and the local one. No raise.
        on_accept: Callable[[socket.socket, LocalAddress, LocalAddress], None],
        # There are no resources for another connection: it waits. Called once while that lasts.
        on_exhausted: Callable[[Reason], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sockets = list(sockets)
        self._on_accept = on_accept
        self._on_exhausted = on_exhausted
        self._addresses = {sock: _address(sock.getsockname()) for sock in self._sockets}
        for sock in self._sockets:
            set_socket_options(sock)
        self._paused = False
        self._held = False
        self._closed = False
        self._exhausted_timer: asyncio.TimerHandle | None = None
        self._exhausted_at = -math.inf
        self._watch()

    @property
    def addresses(self) -> tuple[LocalAddress, ...]:
        """What it listens on, in the order of the sockets."""
        return tuple(self._addresses.values())

    @property
    def port(self) -> int:
        """The port, the same on all addresses."""
        return next(iter(self._addresses.values())).port

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    def add(self, sock: socket.socket) -> None:
        """Accept on another bound socket too; close it if the listener is closed."""
        if self._closed:
            sock.close()
            return
        set_socket_options(sock)
        self._unwatch()
        self._sockets.append(sock)
        self._sockets.sort(key=lambda one: one.family == socket.AF_INET6)
        self._addresses = {one: _address(one.getsockname()) for one in self._sockets}
        self._watch()

    def pause(self) -> None:
        """Leave new connections in the kernel's backlog. Idempotent."""
        self._paused = True
        self._unwatch()

    def resume(self) -> None:
        """Undo `pause`. Idempotent."""
        self._paused = False
        self._watch()

    def hold(self) -> InheritedSockets:
        """Pause independently of `pause` and `resume`; return the sockets for a handover."""
        self._held = True
        self._unwatch()
        return {address: sock for sock, address in self._addresses.items()}

    def release(self) -> None:
        """Undo `hold`. Idempotent."""
        self._held = False
        self._watch()

    def close(self) -> None:
        """Close the sockets. Idempotent.

        Connections in the backlog are reset, unless another process has the sockets as well.
        """
        if self._closed:
            return
        self._unwatch()
        self._closed = True
        if self._exhausted_timer is not None:
            self._exhausted_timer.cancel()
            self._exhausted_timer = None
        for sock in self._sockets:
            sock.close()

    @property
    def _is_accepting(self) -> bool:
        paused = self._paused or self._held or self._exhausted_timer is not None
        return not (paused or self._closed)

    def _watch(self) -> None:
        for sock in self._sockets if self._is_accepting else ():
            self._loop.add_reader(sock.fileno(), self._accept, sock)

    def _unwatch(self) -> None:
        for sock in () if self._closed else self._sockets:
            self._loop.remove_reader(sock.fileno())

    def _accept(self, listening: socket.socket) -> None:
        local = self._addresses[listening]
        for _ in range(_ACCEPTS_PER_WAKE):
            if not self._is_accepting:  # because of the connection accepted last
                return
            try:
                sock, client = listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _CONNECTION_ERRORS:
                    continue
                # An unknown error is handled alike, so that the loop does not spin on it.
                self._pause_exhausted(error)
                return
            sock.setblocking(False)
            if not _OPTIONS_ARE_INHERITED:
                set_socket_options(sock)
            self._on_accept(sock, _address(client), local)

    def _pause_exhausted(self, error: OSError) -> None:
        """Stop accepting for a moment.

        The backlog keeps the socket readable: polling without descriptors to spare would only
        use up the processor.
        """
        self._unwatch()
        self._exhausted_timer = self._loop.call_later(_EXHAUSTED_PAUSE_S, self._resume_exhausted)
        last, self._exhausted_at = self._exhausted_at, self._loop.time()
        if self._exhausted_at - last > _EXHAUSTED_REPORT_S:
            other = Reason(code=ReasonCode.LOCAL_EXHAUSTED, detail=str(error).lower())
            self._on_exhausted(exhausted_reason(error) or other)

    def _resume_exhausted(self) -> None:
        self._exhausted_timer = None
        self._watch()


def _address(name: tuple[str, int] | tuple[str, int, int, int]) -> LocalAddress:
    return LocalAddress(name[0], name[1])
