"""One forwarded connection in the runtime: the application's socket and the client's streams.

The behavior is containerd's, whose port-forward copies in both directions: the direction that
ends first starts a timer of one second (`drain_timeout_s`); when the other direction ends or the
timer expires, the application's socket is closed and both streams end. The client's end of file
is never forwarded to the application. dockershim's helper (`socat`) does forward it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import Protocol

from tui_forward.minicluster.runtime.config import RuntimeBehavior
from tui_forward.minicluster.runtime.dialer import (
    DialedConnection,
    Dialer,
    DialError,
    kill_helper,
    wait_for_helper,
)
from tui_forward.minicluster.runtime.frame_workers import FrameWorkers
from tui_forward.protocol.channels_server import ServerChannel
from tui_forward.protocol.error_stream import forwarding_error
from tui_forward.protocol.portforward_server import ServerStreamPair

GO_COPY_BYTES = 32 * 1024
"""Buffer size of `io.Copy`, and hence the size of DATA frames from a Go server."""

_UNLIMITED = 1 << 62

# Shared by all connections: the event loop has one thread, and no use outlives a callback.
_BUFFER = memoryview(bytearray(256 * 1024))


class Tunnel(Protocol):
    """What a connection uses of its tunnel."""

    dialer: Dialer
    behavior: RuntimeBehavior
    workers: FrameWorkers
    sandbox_id: str

    def flush(self) -> None:
        """Send what is queued, or keep a copy until there is room."""

    def has_room(self, connection: ForwardedConnection) -> bool:
        """Return whether there is room to send; if not, `resume_reading` is called later."""

    def connection_closed(self, connection: ForwardedConnection) -> None:
        """Remove a connection that has ended."""


class ForwardedConnection:
    """A connection that dials the application and copies in both directions; a `FrameSink`."""

    def __init__(
        self, tunnel: Tunnel, streams: ServerStreamPair | ServerChannel, port: int, key: int
    ) -> None:
        self.tunnel = tunnel
        self.key = key
        self._streams = streams
        self._port = port
        self._loop = asyncio.get_running_loop()
        self._dialed: DialedConnection | None = None
        self._names = ("", "")
        self._unsent = memoryview(b"")
        self._up_ended = False
        self._down_ended = False
        self._ended = False
        self._failure = ""
        self._drain_timer: asyncio.TimerHandle | None = None
        # Frames that a worker can deliver after the end: none before the dial.
        self._receivable_after_end = 0
        self._task = self._loop.create_task(self._dial())

    async def _dial(self) -> None:
        try:
            dialed = await self.tunnel.dialer.dial(self.tunnel.sandbox_id, self._port)
        except DialError as error:
            self._fail(error.cause, dialed=error.dialed, broken=error.broken)
            return
        except OSError as error:
            self._fail(str(error), dialed=True, broken=False)
            return
        if self._ended:
            _close_dialed(dialed)
            return
        self._dialed = dialed
        # In Go the copier still waits in its read of the stream after the end: it consumes one
        # more frame, and the next one blocks the worker.
        self._receivable_after_end = 1
        self._names = _endpoint_names(dialed.sock)
        self._loop.add_reader(dialed.sock, self._read_app)
        self.tunnel.workers.retry(self.key)

    @property
    def closed(self) -> bool:
        """Whether the connection has ended."""
        return self._ended

    def can_receive(self) -> bool:
        """Return whether `receive` may be called."""
        if self._ended:
            return self._receivable_after_end > 0
        return self._up_ended or (self._dialed is not None and not self._unsent)

    def receive(self, data: memoryview) -> None:
        """Send bytes to the application, or drop them after its end."""
        if self._ended:
            self._receivable_after_end -= 1
            return
        if self._up_ended or self._dialed is None:
            return
        try:
            sent = self._dialed.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._copy_failed("write", error)
            return
        if sent < len(data):
            self._unsent = memoryview(bytes(data[sent:]))
            self._loop.add_writer(self._dialed.sock, self._write_unsent)

    def receive_eof(self) -> None:
        """Handle the end of the client's data."""
        # Unread data of a stream that has ended does not block its worker.
        self._receivable_after_end = _UNLIMITED
        if self._ended or self._up_ended:
            return
        if self._dialed is not None and self._dialed.helper is not None:
            # The helper forwards the end of its stdin, and exits soon after.
            self._dialed.sock.shutdown(socket.SHUT_WR)
            self._up_ended = True
            return
        self._direction_ended(up=True)

    def _write_unsent(self) -> None:
        if self._dialed is None:
            return
        try:
            sent = self._dialed.sock.send(self._unsent)
        except BlockingIOError:
            return
        except OSError as error:
            self._copy_failed("write", error)
            return
        self._unsent = self._unsent[sent:]
        if not self._unsent:
            self._loop.remove_writer(self._dialed.sock)
            self.tunnel.workers.retry(self.key)

    def _read_app(self) -> None:
        dialed = self._dialed
        if dialed is None or self._down_ended:
            return
        if not self.tunnel.has_room(self):
            self._loop.remove_reader(dialed.sock)
            return
        try:
            count = dialed.sock.recv_into(_BUFFER)
        except BlockingIOError:
            return
        except OSError as error:
            self._copy_failed("read", error)
            return
        if not count:
            self._loop.remove_reader(dialed.sock)
            if dialed.helper is not None:
                self._down_ended = True
                self._task = self._loop.create_task(self._finish_helper(dialed.helper))
                return
            self._direction_ended(up=False)
            return
        for at in range(0, count, GO_COPY_BYTES):
            self._streams.send(_BUFFER[at : min(at + GO_COPY_BYTES, count)])
        self.tunnel.flush()

    def resume_reading(self) -> None:
        """Read the application again: the tunnel has room."""
        if self._dialed is not None and not self._down_ended and not self._ended:
            self._loop.add_reader(self._dialed.sock, self._read_app)

    async def _finish_helper(self, helper: asyncio.subprocess.Process) -> None:
        cause = await wait_for_helper(helper)
        if cause:
            self._fail(cause, dialed=False, broken=False)
        else:
            self._finish()

    def _copy_failed(self, operation: str, error: OSError) -> None:
        if self._dialed is not None and not self._failure:
            self._failure = self._dialed.copy_error(operation, error, self._names)
        self._direction_ended(up=operation == "write")

    def _direction_ended(self, *, up: bool) -> None:
        if up:
            self._up_ended = True
            if self._unsent and self._dialed is not None:
                self._loop.remove_writer(self._dialed.sock)
                self._unsent = memoryview(b"")
            # From here to the end, what the client sends is dropped.
            self.tunnel.workers.retry(self.key)
        else:
            self._down_ended = True
        if self._up_ended and self._down_ended:
            self._complete()
        elif self._drain_timer is None and not self._ended:
            self._drain_timer = self._loop.call_later(
                self.tunnel.behavior.drain_timeout_s, self._complete
            )

    def _complete(self) -> None:
        if self._failure:
            self._fail(self._failure, dialed=True, broken=True)
        else:
            self._finish()

    def _finish(self) -> None:
        if not self._ended:
            self._close()
            self._streams.finish()
            self._leave_tunnel()

    def _fail(self, cause: str, *, dialed: bool, broken: bool) -> None:
        if not self._ended:
            self._close()
            text = forwarding_error(self._port, self.tunnel.sandbox_id, cause)
            if isinstance(self._streams, ServerChannel):
                self._streams.fail(text)
            else:
                style = self.tunnel.behavior.failure_style
                self._streams.fail(text, style=style, dialed=dialed, broken=broken)
            self._leave_tunnel()

    def _leave_tunnel(self) -> None:
        # Channels have no end of the client's data.
        if isinstance(self._streams, ServerChannel) or not self._streams.remote_open:
            self._receivable_after_end = _UNLIMITED
        self.tunnel.flush()
        self.tunnel.workers.retry(self.key)
        self.tunnel.connection_closed(self)

    def _close(self) -> None:
        self._ended = True
        if self._drain_timer is not None:
            self._drain_timer.cancel()
        self._unsent = memoryview(b"")
        if self._dialed is not None:
            self._loop.remove_reader(self._dialed.sock)
            self._loop.remove_writer(self._dialed.sock)
            _close_dialed(self._dialed)
            self._dialed = None

    def abort(self) -> None:
        """Close the application's socket without ending the streams: the tunnel has ended."""
        if not self._ended:
            self._close()
            self._task.cancel()

    def cut(self) -> None:
        """Fault: end the connection as if the application had reset it."""
        self._copy_failed(
            "read", ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        )


def _endpoint_names(sock: socket.socket) -> tuple[str, str]:
    """Return local and remote address as Go prints them, empty for other than TCP."""
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return "", ""
    try:
        local, remote = sock.getsockname(), sock.getpeername()
    except OSError:
        return "", ""
    return f"{local[0]}:{local[1]}", f"{remote[0]}:{remote[1]}"


def _close_dialed(dialed: DialedConnection) -> None:
    dialed.sock.close()
    if dialed.helper is not None and dialed.helper.returncode is None:
        kill_helper(dialed.helper)
