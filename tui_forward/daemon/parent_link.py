"""Connection of an engine to its parent, which holds its lock and its listening sockets.

See `held_descriptors` for the messages, `watchdog` for the parent.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket

from tui_forward.daemon.held_descriptors import READ_SIZE, SERVER, address_key
from tui_forward.model import LocalAddress

# How long to wait for the parent, which does nothing but answer. Without an answer the sockets are
# closed a moment later.
_ANSWER_S = 2.0

_log = logging.getLogger(__name__)


class ParentLink:
    """Passes descriptors to the parent. Implements `engine.context.SocketHolder`.

    If there is no parent, or none any more, the engine continues with its own descriptors, and
    nothing is held for a next one.
    """

    def __init__(self, sock: socket.socket | None) -> None:
        self._sock = sock
        if sock is not None:
            sock.setblocking(False)
        self._parent = os.getppid()
        self._numbers = 0
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self._unread = b""
        self._is_reading = False

    def hold(self, descriptor: int) -> None:
        """Give the parent a copy of a descriptor: the lock, the server's or a forward's socket."""
        self._send(b"+\n", descriptor)

    def release(self, address: LocalAddress) -> None:
        """Report that the engine has closed the socket that listens on an address."""
        self._send(f"- {address_key(address.host, address.port)}\n".encode())

    def release_server(self) -> None:
        """Report that the engine has closed the socket it serves."""
        self._send(f"- {SERVER}\n".encode())

    def release_all(self) -> None:
        """Report that another engine has everything."""
        self._send(b"*\n")

    def notify_ready(self) -> None:
        """Report that this engine serves."""
        self._send(b"!\n")

    async def flush(self) -> None:
        """Wait until the parent has closed what was released, so that the port is free."""
        if self._sock is None:
            return
        if not self._is_reading:
            asyncio.get_running_loop().add_reader(self._sock.fileno(), self._read)
            self._is_reading = True
        self._numbers += 1
        number = self._numbers
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._send(f"? {number}\n".encode())
        try:
            async with asyncio.timeout(_ANSWER_S):
                await answer
        except TimeoutError:
            _log.warning("the parent process did not answer within %g s", _ANSWER_S)
        finally:
            self._waiting.pop(number, None)

    def close(self) -> None:
        """Disconnect from the parent. Idempotent."""
        sock, self._sock = self._sock, None
        if sock is None:
            return
        if self._is_reading:
            asyncio.get_running_loop().remove_reader(sock.fileno())
        sock.close()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_result(None)

    def _send(self, line: bytes, *descriptors: int) -> None:
        if self._sock is None:
            return
        try:
            socket.send_fds(self._sock, [line], descriptors)
        except BlockingIOError:
            # It has not read hundreds of messages, so it is stopped or hangs. It must not keep
            # ports open that this engine has closed.
            _log.warning("the parent process %d does not respond: killing it", self._parent)
            if os.getppid() == self._parent:
                os.kill(self._parent, signal.SIGKILL)
            self.close()
        except OSError as error:
            _log.warning("the parent process is gone: %s", error.strerror)
            self.close()

    def _read(self) -> None:
        assert self._sock is not None
        try:
            data = self._sock.recv(READ_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            _log.warning("the parent process is gone: a killed engine is not restarted")
            self.close()
            return
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            answer = self._waiting.get(int(line))
            if answer is not None and not answer.done():
                answer.set_result(None)
