"""TCP listener that runs one task per connection."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable, Coroutine
from typing import Any

# Connections accepted per wake-up: a burst is accepted at once and cannot starve other tasks.
_ACCEPT_BATCH = 64
# Thousands of clients may connect at once.
_BACKLOG = 4096


class Listener:
    """Accepts TCP connections; `serve` gets each non-blocking socket and the client's address."""

    def __init__(self, serve: Callable[[socket.socket, str], Coroutine[Any, Any, None]]) -> None:
        self.host = ""
        self.port = 0
        self._serve = serve
        self._socket: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, host: str, port: int, *, reuse_port: bool = False) -> None:
        """Start to listen. Raises `OSError`: the port is in use."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server(
            (host, port), family=family, backlog=_BACKLOG, reuse_port=reuse_port
        )
        listener.setblocking(False)
        self._socket = listener
        self.host, self.port = listener.getsockname()[:2]
        asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    @property
    def is_accepting(self) -> bool:
        """Whether new connections are accepted."""
        return self._socket is not None

    def stop_accepting(self) -> None:
        """Refuse new connections, and keep those that are open. Idempotent; `start` undoes it."""
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    async def close(self) -> None:
        """Stop listening and cancel the tasks of all connections."""
        self.stop_accepting()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_ACCEPT_BATCH):
            try:
                sock, address = listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                # Most likely out of file descriptors; the kernel keeps the connections queued.
                sys.stderr.write(f"accept: {error}\n")
                return
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            task = asyncio.get_running_loop().create_task(self._serve(sock, address[0]))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
