"""Reads one client's socket until its handshake is over."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from tui_forward.engine.proxy.handshake import ClientHandshake

_READ_SIZE: Final = 64 * 1024


class HandshakeReader:
    """Callbacks on a non-blocking socket, which stays the caller's.

    `on_done` is called once, from `start` or from the event loop: the handshake has named its
    destination, or is over; or with a reason that the client has left, sends nothing, or does not
    read.
    """

    def __init__(
        self, sock: socket.socket, handshake: ClientHandshake, *, timeout_s: float,
        on_done: Callable[[HandshakeReader, str], None],
    ) -> None:  # fmt: skip
        self.sock = sock
        self.handshake = handshake
        self._timeout_s = timeout_s
        self._on_done = on_done
        self._is_done = False
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None  # while it waits for the client

    def start(self) -> None:
        """Read what the client has sent already, and wait for the rest. Call once."""
        self._read_ready()
        if not self._is_done:
            self._loop.add_reader(self.sock.fileno(), self._read_ready)
            self._timer = self._loop.call_later(self._timeout_s, self._finish, "it sends nothing")

    def stop(self) -> None:
        """Read no more; `on_done` is not called. Call once, unless it was called."""
        self._is_done = True
        if self._timer is not None:
            self._loop.remove_reader(self.sock.fileno())
            self._timer.cancel()

    def _read_ready(self) -> None:
        handshake = self.handshake
        try:
            data = self.sock.recv(_READ_SIZE)
            handshake.receive_data(data)
            output = handshake.data_to_send()
            if output and self.sock.send(output) != len(output):
                self._finish("it does not read")
                return
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._finish("it has left")
            return
        if handshake.destination or handshake.wants_pac or handshake.is_over:
            self._finish("")

    def _finish(self, problem: str) -> None:
        self.stop()
        self._on_done(self, problem)
