"""What the cluster proxy itself answers on a connection, before or in place of the application."""

from __future__ import annotations

import contextlib
import socket

from tui_forward.engine.connections.proxy_client import ProxyClient
from tui_forward.model import Reason


class ProxyAnswers:
    """Tells one client of the proxy that it is connected, or why it is not.

    Writes to the client's socket, which is not blocking: answers are short, and nothing was written
    before. A client that has left is noticed by the next read of its socket.
    """

    def __init__(self, sock: socket.socket, client: ProxyClient) -> None:
        self._sock = sock
        self._client = client
        self.is_confirmed = False  # the client knows that it is connected

    def confirm(self) -> None:
        """Tell the client that it is connected. Idempotent."""
        if self.is_confirmed:
            return
        self.is_confirmed = True
        answer = self._client.opened()
        if answer:
            self._send(answer)

    def fail(self, reason: Reason) -> bool:
        """Tell the client why it gets no answer; return whether that was possible."""
        answer = self._client.failed(reason)
        return bool(answer) and self._send(answer) == len(answer)

    def refuse(self, answer: bytes) -> None:
        """Answer a request that the proxy refuses."""
        self._send(answer)

    def _send(self, answer: bytes) -> int:
        with contextlib.suppress(OSError):
            return self._sock.send(answer)
        return 0
