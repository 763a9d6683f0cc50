"""Name resolution off the event loop.

Lookups of one name at the same time share one thread, so that there are never more threads
than distinct servers.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import Future

from aiohappyeyeballs import AddrInfoType

from tui_forward.common.blocking_call import start_in_thread
from tui_forward.errors import TransportError
from tui_forward.model import Reason, ReasonCode

_Name = tuple[str, int]
_lookups: dict[_Name, Future[Sequence[AddrInfoType]]] = {}


async def resolve(host: str, port: int, *, label: str) -> Sequence[AddrInfoType]:
    """Return the addresses of a server in the system's order. No time limit of its own.

    `label` is the server in error texts ("the API server", "the proxy"). TransportError: the name
    is unknown, or no name server responds.
    """
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        pass  # not an address
    name = (host, port)
    lookup = _lookups.get(name)
    if lookup is None:
        lookup = _lookups[name] = start_in_thread(
            lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM), name=f"dns {host}"
        )
        lookup.add_done_callback(lambda _: _lookups.pop(name, None))
    try:
        return await asyncio.wrap_future(lookup)
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise TransportError(
            Reason(code=ReasonCode.NETWORK_DNS, server=f"{label}, {host!r},", detail=str(reason))
        ) from error
