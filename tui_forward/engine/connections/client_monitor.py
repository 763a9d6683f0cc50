"""Detection of clients that leave while nothing is read from them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from tui_forward.engine.connections.peer_state import is_closed_by_peer
from tui_forward.engine.connections.upload import Upload
from tui_forward.model import Reason, ReasonCode

_PAUSED_CHECK_INTERVAL_S: Final = 2.0
# How long a pod may leave data of a client unread that has closed its socket.
_ABANDONED_S: Final = 30.0


class ClientMonitor:
    """Watches the socket of a client that is queued, or whose upload is paused."""

    __slots__ = ("_fd", "_is_peeking", "_loop", "_on_left", "_sock", "_timer", "_upload")

    def __init__(
        self, sock: socket.socket, upload: Upload, *, on_left: Callable[[Reason, bool], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._fd = sock.fileno()
        self._upload = upload
        self._on_left = on_left  # with a reason, and whether to reset the socket
        self._is_peeking = False
        self._timer: asyncio.TimerHandle | None = None

    def watch_queued(self) -> None:
        """Watch a client that waits for a tunnel. Its data stays in the kernel."""
        if not self._is_peeking and not self._upload.client_ended:
            self._is_peeking = True
            self._loop.add_reader(self._fd, self._peek)

    def unwatch_queued(self) -> None:
        """Undo `watch_queued`. Idempotent."""
        if self._is_peeking:
            self._is_peeking = False
            self._loop.remove_reader(self._fd)

    def watch_paused(self) -> None:
        """Watch a client until its upload goes on, or `stop`. Idempotent."""
        if self._timer is None:
            self._schedule(self._upload.bytes_to_pod, 0.0)

    def stop(self) -> None:
        """Watch no more. Idempotent."""
        self.unwatch_queued()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        """Stop for good. Call once."""
        self.stop()
        del self._on_left  # a reference cycle

    def _peek(self) -> None:
        try:
            ahead = self._sock.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._on_left(Reason(code=ReasonCode.CONNECTION_CLIENT_RESET_QUEUED), True)
            return
        if ahead or self._upload.replay:
            # Waiting bytes hide what is behind them; and an end of file may belong to a
            # request that was sent before.
            self.unwatch_queued()
        else:
            self._on_left(Reason(code=ReasonCode.CONNECTION_CLIENT_LEFT_QUEUED), False)

    def _schedule(self, bytes_to_pod: int, paused_s: float) -> None:
        self._timer = self._loop.call_later(
            _PAUSED_CHECK_INTERVAL_S, self._check, bytes_to_pod, paused_s + _PAUSED_CHECK_INTERVAL_S
        )

    def _check(self, bytes_to_pod: int, paused_s: float) -> None:
        self._timer = None
        if self._upload.is_reading:
            return
        error = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error or self._upload.was_reset:
            self._on_left(Reason(code=ReasonCode.CONNECTION_CLIENT_RESET), True)
        elif self._upload.bytes_to_pod != bytes_to_pod:
            self._schedule(self._upload.bytes_to_pod, 0.0)
        elif paused_s >= _ABANDONED_S and is_closed_by_peer(self._sock):
            reason = Reason(code=ReasonCode.CONNECTION_STALLED, timeout_s=paused_s)
            self._on_left(reason, True)
        else:
            self._schedule(bytes_to_pod, paused_s)
