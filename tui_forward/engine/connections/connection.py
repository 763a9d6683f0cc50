"""One local connection through a tunnel, from accept to close.

The data path is callbacks on a raw socket (`Upload`, `Download`). The coroutine `run` waits
for rare events only: a pool that is up, the end of the channel, the next retry.

Exactness: bytes from the pod count when the local socket took them; bytes to the pod when
they were read from it, once each, however often they are sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import ClassVar, Final

from tui_forward.engine.connections.client_monitor import ClientMonitor
from tui_forward.engine.connections.client_socket import close_socket
from tui_forward.engine.connections.dial_watch import DialWatch
from tui_forward.engine.connections.download import Download
from tui_forward.engine.connections.half_close import HalfCloseTimer
from tui_forward.engine.connections.lifecycle import (
    PUBLIC_STATES,
    Action,
    Input,
    State,
    next_transition,
)
from tui_forward.engine.connections.owner import ConnectionOwner
from tui_forward.engine.connections.queue_wait import QueueWait
from tui_forward.engine.connections.record import ConnectionRecord
from tui_forward.engine.connections.retry import RetryPolicy
from tui_forward.engine.connections.upload import Upload
from tui_forward.engine.limits import Limits
from tui_forward.engine.tunnels.base import Channel
from tui_forward.errors import ForwardError, TuiForwardError
from tui_forward.model import Connection, ConnectionState, Reason, ReasonCode
from tui_forward.protocol.error_stream import PortForwardFailure
from tui_forward.transport.tcp import set_socket_options

_POOL_DOWN_PAUSE_S: Final = 0.01


class LocalConnection:
    """One accepted socket: waits for a channel, connects the two, retries and ends.

    Implements `ChannelHandler`; owns the socket.
    """

    data_received: Callable[[list[memoryview]], None]

    def __init__(
        self,
        sock: socket.socket,
        *,
        connection_id: int,
        forward_id: str,
        client: str,
        owner: ConnectionOwner,
        limits: Limits,
        queue_timeout_s: float,
        half_close_timeout_s: float,
    ) -> None:
        self.record = ConnectionRecord(connection_id, forward_id, client)  # what is shown of it
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._state = State.QUEUED
        self._upload = Upload(
            sock,
            counters=owner.counters,
            limits=limits,
            on_eof=lambda: self._advance(Input.CLIENT_EOF),
            on_reset=self._client_reset,
        )
        self._download = Download(
            sock,
            counters=owner.counters,
            on_data=self._pod_data_received,
            on_drained=lambda: self._advance(Input.DELIVERED),
            on_broken=self._client_closed,
        )
        # The channel calls the download itself: this is the path of every chunk.
        self.data_received = self._download.data_received
        self._half_close = HalfCloseTimer(
            sock,
            half_close_timeout_s,
            on_due=lambda: self._advance(Input.EOF_DUE),
            on_unanswered=self._eof_unanswered,
        )
        self._monitor = ClientMonitor(sock, self._upload, on_left=self._end)
        self._queue = QueueWait(queue_timeout_s, self._monitor)
        self._retry = RetryPolicy(owner, limits)
        self._dial = DialWatch(owner)
        self._channel: Channel | None = None
        self._acknowledged = False
        self._failure: PortForwardFailure | None = None
        self._hold_s = 0.0
        self._hold_timer: asyncio.TimerHandle | None = None
        self._channel_ended: asyncio.Future[None] | None = None

    # ------------------------------------------------------------- for the forward

    @property
    def id(self) -> int:
        """The connection's id."""
        return self.record.id

    @property
    def state(self) -> ConnectionState:
        """The state as it is shown."""
        return PUBLIC_STATES[self._state]

    @property
    def failed(self) -> bool:
        """Whether it ended by a failure."""
        return self.record.failed

    async def run(self) -> None:
        """Serve the client. Returns when the local socket is closed; call once.

        Raises nothing but `CancelledError`; when canceled, the local socket is reset.
        """
        try:
            with contextlib.suppress(OSError):
                self._sock.setblocking(False)
                # Keep-alive finds clients that left while nothing was read from them.
                set_socket_options(self._sock)
            await self._serve()
        except asyncio.CancelledError:
            self._end(Reason(code=ReasonCode.CONNECTION_FORWARD_STOPPED), reset=True)
            raise
        except TuiForwardError as error:
            self._fail(error)
        finally:
            self._end(Reason(code=ReasonCode.CONNECTION_CLOSED), reset=True)

    def abort(self, reason: Reason) -> None:
        """End it now: the local socket is reset, `run` returns soon. Idempotent."""
        self._end(reason, reset=True)

    def snapshot(self, now: float) -> Connection:
        """Return the connection at `now` (seconds since the epoch), also after its end."""
        return self.record.snapshot(self.state, self._upload, self._download, now)

    # ------------------------------------------------------------ waiting, in `run`

    async def _serve(self) -> None:
        """Try until a channel has served the client; raise if retrying is not allowed."""
        while not self._is_closed:
            channel = await self._queue.wait(self._open_channel())
            if channel is None:
                return
            if self._is_closed:
                channel.abort()
                return
            self._relay(channel)
            await self._wait_channel_ended()
            failure = self._failure
            if failure is None or self._is_closed:
                return
            error = failure.to_error()
            if failure.code is ReasonCode.RUNTIME_SANDBOX_GONE:
                self._owner.sandbox_gone(error)
            allowed = self._retry.is_allowed(
                failure, error, replay=self._upload.replay, acknowledged=self._acknowledged
            )
            if not allowed or self._queue.is_over:
                raise error
            self._advance(Input.RETRY)
            await self._queue.wait(self._retry.wait())

    async def _open_channel(self) -> Channel:
        while True:
            pool = await self._owner.wait_for_pool()
            try:
                channel = await pool.open(self)
            except ForwardError:
                raise
            except TuiForwardError:
                # The pool went down in between, which the forward may not have noticed yet.
                await asyncio.sleep(_POOL_DOWN_PAUSE_S)
            else:
                self._hold_s = pool.upload_delay_s
                assert pool.pod is not None
                self.record.connected(self._owner.follow_pod(pool.pod))
                return channel

    async def _wait_channel_ended(self) -> None:
        if self._state not in (State.FAILED, State.CLOSED):
            self._channel_ended = self._loop.create_future()
            await self._channel_ended
            self._channel_ended = None

    def _relay(self, channel: Channel) -> None:
        self._channel = channel
        self._failure = None
        self._acknowledged = False
        self._download.attach(channel)
        self._dial.opened(channel)
        self._advance(Input.CHANNEL_HELD if self._hold_s else Input.CHANNEL_OPENED)
        channel.flush()

    # --------------------------------------------- from the channel (`ChannelHandler`)

    def eof_received(self) -> None:
        """See `ChannelHandler`."""
        self._advance(Input.POD_EOF)

    def writing_paused(self) -> None:
        """See `ChannelHandler`."""
        self._upload.pause()
        if self._state in (State.HELD, State.OPEN):
            self._monitor.watch_paused()

    def writing_resumed(self) -> None:
        """See `ChannelHandler`."""
        if self._state is State.OPEN:
            self._upload.resume()

    def evicted(self, reason: Reason) -> None:
        """See `ChannelHandler`."""
        self._fail(ForwardError(reason))

    def closed(self, failure: PortForwardFailure | None) -> None:
        """See `ChannelHandler`."""
        channel, self._channel = self._channel, None
        if self._is_closed:
            return
        self._acknowledged = channel is not None and channel.acknowledged
        self._failure = failure
        self._dial.ended(failure, acknowledged=self._acknowledged)
        if failure is None:
            self._advance(Input.CHANNEL_CLOSED)
        else:
            self._advance(Input.TUNNEL_LOST if failure.tunnel_lost else Input.CHANNEL_FAILED)

    # -------------------------------------------------------------- from its own parts

    def _pod_data_received(self) -> None:
        if self._upload.replay.possible:
            self._upload.replay.clear()
            if self._retry.was_refused or self._owner.is_refusing:
                self._owner.pod_answered()
        if self._upload.client_ended:
            self._half_close.data_received()
        else:
            self._download.reports_data = False

    def _client_reset(self) -> None:
        self._end(Reason(code=ReasonCode.CONNECTION_CLIENT_RESET), reset=True)

    def _client_closed(self) -> None:
        self._end(Reason(code=ReasonCode.CONNECTION_CLIENT_LEFT), reset=True)

    def _hold_expired(self) -> None:
        self._hold_timer = None
        self._advance(Input.HOLD_EXPIRED)

    def _eof_unanswered(self) -> None:
        self._end(Reason(code=ReasonCode.CONNECTION_HALF_CLOSE_TIMEOUT), reset=False)

    # ------------------------------------------------------------ transitions, actions

    @property
    def _is_closed(self) -> bool:
        return self._state is State.CLOSED

    def _advance(self, event: Input) -> None:
        action, self._state = next_transition(self._state, event)
        if action is not Action.NONE:
            self._ACTIONS[action](self)

    def _start_upload(self) -> None:
        assert self._channel is not None
        self._upload.start(self._channel)
        if self._state is State.OPEN and not self._upload.is_reading:
            self._monitor.watch_paused()

    def _hold_upload(self) -> None:
        self._hold_timer = self._loop.call_later(self._hold_s, self._hold_expired)

    def _stop_upload(self) -> None:
        # The application reads no more: leave the rest in the kernel.
        self._upload.stop()
        self._monitor.stop()
        self._half_close.cancel()
        self._cancel_hold()

    def _cancel_hold(self) -> None:
        if self._hold_timer is not None:
            self._hold_timer.cancel()
            self._hold_timer = None

    def _hold_eof(self) -> None:
        assert self._channel is not None
        self._monitor.stop()
        self._download.reports_data = True
        self._channel.mark_half_closed()
        self._half_close.start()

    def _send_eof(self) -> None:
        assert self._channel is not None
        self._half_close.eof_sent()
        self._channel.send_eof()

    def _deliver(self) -> None:
        self._stop_upload()
        self._download.detach()
        if self._download.is_drained:
            self._advance(Input.DELIVERED)

    def _finish(self) -> None:
        code = ReasonCode.CONNECTION_CLOSED_BY_APPLICATION
        if self._upload.client_ended:
            code = ReasonCode.CONNECTION_CLOSED_BY_CLIENT
        elif self._download.first_byte_s is None:
            code = ReasonCode.CONNECTION_CLOSED_WITHOUT_DATA
        self._release(Reason(code=code), reset=False)

    def _wake_run(self) -> None:
        if self._channel_ended is not None and not self._channel_ended.done():
            self._channel_ended.set_result(None)

    def _fail(self, error: TuiForwardError) -> None:
        if self._is_closed:
            return
        self.record.failed = True
        self._owner.counters.record_failure()
        if not isinstance(error, ForwardError):
            error = ForwardError(error.reason)
        self._end(error.reason, reset=True)
        self._owner.connection_failed(error)

    def _end(self, reason: Reason, reset: bool) -> None:
        """Close from any state. The first reason is the one that counts."""
        action, self._state = next_transition(self._state, Input.ENDED)
        if action is Action.RELEASE:
            self._release(reason, reset=reset)

    def _release(self, reason: Reason, *, reset: bool) -> None:
        self.record.close(reason)
        self._cancel_hold()
        self._dial.cancel()
        self._upload.close()
        self._half_close.close()
        self._monitor.close()
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.abort()
        self._download.close()
        close_socket(self._sock, reset=reset)
        self._queue.cancel()
        self._wake_run()

    _ACTIONS: ClassVar[dict[Action, Callable[[LocalConnection], None]]] = {
        Action.START_UPLOAD: _start_upload,
        Action.HOLD_UPLOAD: _hold_upload,
        Action.STOP_UPLOAD: _stop_upload,
        Action.HOLD_EOF: _hold_eof,
        Action.SEND_EOF: _send_eof,
        Action.DELIVER: _deliver,
        Action.FINISH: _finish,
        Action.REPORT_FAILURE: _wake_run,
    }
