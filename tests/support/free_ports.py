"""Local ports that are free, and stay so until a test or a program that it starts opens them."""

from __future__ import annotations

import contextlib
import secrets
import socket

# Below the ports that the system assigns to sockets, also to those of other tests: it may assign
# any of its own again as soon as it is closed.
_PORTS = range(20_000, 32_000)


def find_free_ports(count: int) -> list[int]:
    """Return ports that are free on 127.0.0.1, in ascending order.

    They are the same in no two runs, because another run on this machine may use them.
    """
    found: set[int] = set()
    while len(found) < count:
        port = secrets.choice(_PORTS)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            found.add(port)
    return sorted(found)


def find_free_port() -> int:
    """Return a port that is free on 127.0.0.1."""
    return find_free_ports(1)[0]
