"""Reads one client's socket until its handshake is over."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from tui_forward.engine.proxy.handshake import ClientHandshake

_READ_SIZE: Final = 64 * 1024


def read_handshake(sock: socket.socket, handshake: ClientHandshake) -> str:
    """Read what a client has sent, and answer; return the problem with it, empty without one."""
    try:
        handshake.receive_data(sock.recv(_READ_SIZE))
        output = handshake.data_to_send()
        if output and sock.send(output) != len(output):
            return "it does not read"
    except (BlockingIOError, InterruptedError):
        return ""
    except OSError:
        return "it has left"
    return ""


class HandshakeReader:
    """Callbacks on a non-blocking socket, which stays the caller's.

    `on_done` is called once, from the event loop: the handshake has named its destination, or is
    over; or with a problem: the client has left, sends nothing, or does not read.
    """

    def __init__(
        self, sock: socket.socket, handshake: ClientHandshake, *, timeout_s: float,
        on_done: Callable[[HandshakeReader, str], None],
    ) -> None:  # fmt: skip
        self.sock = sock
        self.handshake = handshake
        self._on_done = on_done
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock.fileno(), self._read_ready)
        self._timer = self._loop.call_later(timeout_s, self._finish, "it sends nothing")

    def stop(self) -> None:
        """Read no more; `on_done` is not called. Call once, unless it was called."""
        self._loop.remove_reader(self.sock.fileno())
        self._timer.cancel()

    def _read_ready(self) -> None:
        problem = read_handshake(self.sock, self.handshake)
        if problem or self.handshake.is_done:
            self._finish(problem)

    def _finish(self, problem: str) -> None:
        self.stop()
        self._on_done(self, problem)
