"""Name resolution off the event loop.

Lookups of one name at the same time share one thread, so that a slow name server delays only the
servers whose names it resolves. A lookup without callers goes on, and its result is kept for a
moment: a resolver that takes longer than the time to connect still helps the next attempt.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future

import msgspec
from aiohappyeyeballs import AddrInfoType

from tui_forward.common.blocking_call import start_in_thread
from tui_forward.errors import TransportError
from tui_forward.model import Reason, ReasonCode

# Less than the time for a connection, so that the error names the cause. The system's resolver asks
# its next name server after five seconds.
TIMEOUT_S = 9.0
# How old a lookup may be to wait for it. A newer one may reach a name server that the other one has
# missed, because the network has changed since.
_STALE_S = 15.0
# How long to keep a result that came too late.
_KEEP_S = 10.0
# Distinct names, and second lookups of names whose first one hangs.
_MAX_LOOKUPS = 64

_Name = tuple[str, int]
_Addresses = Sequence[AddrInfoType]


class _Lookup(msgspec.Struct, eq=False):
    future: Future[_Addresses]
    started_at: float
    waiting: int = 0  # callers
    ended_at: float | None = None


class Resolver:
    """Lookups of this process, each in a thread of its own."""

    def __init__(self) -> None:
        self.lookups: dict[_Name, _Lookup] = {}
        self._threads = 0
        self._lock = threading.Lock()

    async def resolve(self, host: str, port: int) -> _Addresses:
        """Return the addresses; OSError, UnicodeError, or TimeoutError after `TIMEOUT_S`."""
        lookup = self._join((host, port))
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await asyncio.wrap_future(lookup.future)
        finally:
            lookup.waiting -= 1

    def _join(self, name: _Name) -> _Lookup:
        """Wait for a lookup in progress or a kept result, else for a new one; return it.

        The caller is counted before the lookup can end.
        """
        now = time.monotonic()
        with self._lock:
            for other, lookup in list(self.lookups.items()):
                if lookup.ended_at is not None and now - lookup.ended_at > _KEEP_S:
                    del self.lookups[other]
            found = self.lookups.get(name)
            if found is not None and found.ended_at is not None:
                del self.lookups[name]
            if found is not None and (
                found.ended_at is not None
                or now - found.started_at < _STALE_S
                or self._threads >= _MAX_LOOKUPS
            ):
                found.waiting += 1
                return found
            if self._threads >= _MAX_LOOKUPS:
                raise OSError(errno.EAGAIN, f"{self._threads} other lookups have not ended")
            self._threads += 1
        host, port = name
        future: Future[_Addresses] = start_in_thread(
            lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM), name=f"dns {host}"
        )
        lookup = self.lookups[name] = _Lookup(future, now, waiting=1)
        future.add_done_callback(lambda _: self._ended(name, lookup))
        return lookup

    def _ended(self, name: _Name, lookup: _Lookup) -> None:
        """Keep the result if it came too late for its callers. Runs in the lookup's thread."""
        with self._lock:
            self._threads -= 1
            lookup.ended_at = time.monotonic()
            is_wanted = not lookup.waiting and lookup.future.exception() is None
            if self.lookups.get(name) is lookup and not is_wanted:
                del self.lookups[name]


_resolver = Resolver()


async def resolve(host: str, port: int, *, label: str) -> _Addresses:
    """Return the addresses of a server in the system's order.

    `label` is the server in error texts ("the API server", "the proxy"). TransportError: the name
    is unknown, or no name server responds in time.
    """
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        pass  # not an address
    try:
        return await _resolver.resolve(host, port)
    except (OSError, UnicodeError) as error:
        detail = str(error)
        if isinstance(error, OSError) and error.strerror:
            detail = error.strerror
        elif isinstance(error, TimeoutError):
            detail = f"no name server answered within {TIMEOUT_S:g} s"
        reason = Reason(code=ReasonCode.NETWORK_DNS, server=f"{label}, {host!r},", detail=detail)
        raise TransportError(reason) from error
