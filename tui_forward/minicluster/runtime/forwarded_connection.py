"""One forwarded connection in the runtime: the application's socket and its two streams.

The behaviour is containerd's, whose port-forward copies both ways and then thinks as follows:
whichever direction ends first starts a timer of one second; when the other has ended, or the
timer has, the application's socket is closed and both streams end. The client's end of file is
never passed on to the application. dockershim's helper (`socat`) does pass it on.
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
    end_helper,
    helper_failure,
)
from tui_forward.minicluster.runtime.frame_workers import FrameWorkers
from tui_forward.protocol.error_stream import forwarding_error

GO_COPY_BYTES = 32 * 1024
"""What `io.Copy` moves at once, and hence the size of DATA frames from a Go server."""

_EVERYTHING = 1 << 62

# One event loop runs on one thread and every use of the buffer ends before the next begins.
_BUFFER = memoryview(bytearray(256 * 1024))


class ClientStreams(Protocol):
    """The client's side of a connection: a pair of streams, or a pair of channels."""

    @property
    def remote_open(self) -> bool:
        """Whether the client may still send on it."""

    def send(self, data: memoryview) -> None:
        """Queue bytes of the application; they must not change until `Tunnel.flush`."""

    def finish(self) -> None:
        """End both streams, as after a good connection."""

    def fail(self, text: str, *, dialled: bool, broken: bool) -> None:
        """End both streams with a reason."""


class Tunnel(Protocol):
    """What a connection needs of the tunnel it belongs to."""

    dialer: Dialer
    switches: RuntimeBehavior
    workers: FrameWorkers
    sandbox_id: str

    def flush(self) -> None:
        """Send what is queued, or keep a copy of it until there is room."""

    def room(self, waiting: ForwardedConnection) -> bool:
        """Whether there is room to send; if not, `room_again` is called later."""

    def copying_ended(self, copying: ForwardedConnection) -> None:
        """The connection is over."""


class ForwardedConnection:
    """Dials, copies both ways, ends.

    Args:
        tunnel: Where it belongs.
        wire: The client's side.
        port: Port in the pod.
        key: Which of the tunnel's workers serves it.
    """

    __slots__ = (
        "_dialled",
        "_down_ended",
        "_ended",
        "_failure",
        "_names",
        "_rest",
        "_swallow",
        "_task",
        "_timer",
        "_up_ended",
        "bytes_down",
        "bytes_up",
        "key",
        "loop",
        "port",
        "tunnel",
        "wire",
    )

    def __init__(self, tunnel: Tunnel, wire: ClientStreams, port: int, key: int) -> None:
        self.tunnel = tunnel
        self.wire = wire
        self.port = port
        self.key = key
        self.loop = asyncio.get_running_loop()
        self.bytes_down = 0
        self.bytes_up = 0
        self._dialled: DialedConnection | None = None
        self._names = ("", "")
        self._rest = memoryview(b"")
        self._up_ended = False
        self._down_ended = False
        self._ended = False
        self._failure = ""
        self._timer: asyncio.TimerHandle | None = None
        # What is taken after the end. Nothing, unless there was a copier.
        self._swallow = 0
        self._task = self.loop.create_task(self._dial())

    # -- the beginning --

    async def _dial(self) -> None:
        try:
            dialled = await self.tunnel.dialer.dial(self.tunnel.sandbox_id, self.port)
        except DialError as error:
            self._fail(error.cause, dialled=error.dialled, broken=error.broken)
            return
        except OSError as error:
            self._fail(str(error), dialled=True, broken=False)
            return
        if self._ended:
            _discard(dialled)
            return
        self._dialled = dialled
        # After the end the copier may still hang in its read of the stream: it takes one
        # more piece, and nobody takes the next.
        self._swallow = 1
        self._names = _names(dialled.sock)
        self.loop.add_reader(dialled.sock, self._app_readable)
        self.tunnel.workers.unblocked(self.key)

    # -- from the client to the application --

    @property
    def over(self) -> bool:
        """See `backpressure.Taker`."""
        return self._ended

    def can_take(self) -> bool:
        """See `backpressure.Taker`."""
        if self._ended:
            return self._swallow > 0
        return self._up_ended or (self._dialled is not None and not self._rest)

    def receive(self, data: memoryview) -> None:
        """See `backpressure.Taker`."""
        if self._ended:
            self._swallow -= 1
            return
        if self._up_ended or self._dialled is None:
            return
        try:
            sent = self._dialled.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._copy_failed("write", error)
            return
        self.bytes_up += sent
        if sent < len(data):
            self._rest = memoryview(bytes(data[sent:]))
            self.loop.add_writer(self._dialled.sock, self._app_writable)

    def take_eof(self) -> None:
        """See `backpressure.Taker`."""
        # What is left unread of a stream that has ended harms nobody.
        self._swallow = _EVERYTHING
        if self._ended or self._up_ended:
            return
        if self._dialled is not None and self._dialled.helper is not None:
            # The helper's stdin ends; it hands that on, and ends itself soon after.
            self._dialled.sock.shutdown(socket.SHUT_WR)
            self._up_ended = True
            return
        self._direction_ended(up=True)

    def reset(self) -> None:
        """The client reset the data stream: what it would be told is lost from here on."""
        self.tunnel.workers.deliver(self.key, self, None)

    def _app_writable(self) -> None:
        if self._dialled is None:
            return
        try:
            sent = self._dialled.sock.send(self._rest)
        except BlockingIOError:
            return
        except OSError as error:
            self._copy_failed("write", error)
            return
        self.bytes_up += sent
        self._rest = self._rest[sent:]
        if not self._rest:
            self.loop.remove_writer(self._dialled.sock)
            self.tunnel.workers.unblocked(self.key)

    # -- from the application to the client --

    def _app_readable(self) -> None:
        dialled = self._dialled
        if dialled is None or self._down_ended:
            return
        if not self.tunnel.room(self):
            self.loop.remove_reader(dialled.sock)
            return
        try:
            count = dialled.sock.recv_into(_BUFFER)
        except BlockingIOError:
            return
        except OSError as error:
            self._copy_failed("read", error)
            return
        if not count:
            self.loop.remove_reader(dialled.sock)
            if dialled.helper is not None:
                self._down_ended = True
                self._task = self.loop.create_task(self._helper_ended(dialled.helper))
                return
            self._direction_ended(up=False)
            return
        self.bytes_down += count
        for at in range(0, count, GO_COPY_BYTES):
            self.wire.send(_BUFFER[at : min(at + GO_COPY_BYTES, count)])
        self.tunnel.flush()

    def room_again(self) -> None:
        """The tunnel has room after it had none."""
        if self._dialled is not None and not self._down_ended and not self._ended:
            self.loop.add_reader(self._dialled.sock, self._app_readable)

    async def _helper_ended(self, helper: asyncio.subprocess.Process) -> None:
        cause = await helper_failure(helper)
        if cause:
            self._fail(cause, dialled=False, broken=False)
        else:
            self._finish()

    # -- the end --

    def _copy_failed(self, operation: str, error: OSError) -> None:
        if self._dialled is not None and not self._failure:
            self._failure = self._dialled.copy_error(operation, error, self._names)
        self._direction_ended(up=operation == "write")

    def _direction_ended(self, *, up: bool) -> None:
        if up:
            self._up_ended = True
            if self._rest and self._dialled is not None:
                self.loop.remove_writer(self._dialled.sock)
                self._rest = memoryview(b"")
            # Whatever else the client sends is taken and dropped until the end.
            self.tunnel.workers.unblocked(self.key)
        else:
            self._down_ended = True
        if self._up_ended and self._down_ended:
            self._over()
        elif self._timer is None and not self._ended:
            self._timer = self.loop.call_later(self.tunnel.switches.linger_s, self._over)

    def _over(self) -> None:
        if self._failure:
            self._fail(self._failure, dialled=True, broken=True)
        else:
            self._finish()

    def _finish(self) -> None:
        if not self._ended:
            self._close()
            self.wire.finish()
            self._tell()

    def _fail(self, cause: str, *, dialled: bool, broken: bool) -> None:
        if not self._ended:
            self._close()
            text = forwarding_error(self.port, self.tunnel.sandbox_id, cause)
            self.wire.fail(text, dialled=dialled, broken=broken)
            self._tell()

    def _tell(self) -> None:
        if not self.wire.remote_open:
            self._swallow = _EVERYTHING
        self.tunnel.flush()
        self.tunnel.workers.unblocked(self.key)
        self.tunnel.copying_ended(self)

    def _close(self) -> None:
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
        self._rest = memoryview(b"")
        if self._dialled is not None:
            self.loop.remove_reader(self._dialled.sock)
            self.loop.remove_writer(self._dialled.sock)
            _discard(self._dialled)
            self._dialled = None

    def abandon(self) -> None:
        """The tunnel is gone: end without a word."""
        if not self._ended:
            self._close()
            self._task.cancel()

    def cut(self) -> None:
        """Fault: the application's connection breaks, as if the application had reset it."""
        self._copy_failed(
            "read", ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        )


def _names(sock: socket.socket) -> tuple[str, str]:
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return "", ""
    try:
        ours, theirs = sock.getsockname(), sock.getpeername()
    except OSError:
        return "", ""
    return f"{ours[0]}:{ours[1]}", f"{theirs[0]}:{theirs[1]}"


def _discard(dialled: DialedConnection) -> None:
    dialled.sock.close()
    if dialled.helper is not None and dialled.helper.returncode is None:
        end_helper(dialled.helper)
