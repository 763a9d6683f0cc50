"""One local connection through a tunnel, from accept to close.

The data path is callbacks on a raw socket (`Upload`, `Download`), and so is everything else while
a tunnel is up. A task exists only while the connection waits: for a tunnel, or for its next try.

Exactness: bytes from the pod count when the local socket took them; bytes to the pod when
they were read from it, once each, however often they are sent again.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import ClassVar, Final

from tui_forward.common.tasks import spawn
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
from tui_forward.engine.connections.proxy_answers import ProxyAnswers
from tui_forward.engine.connections.proxy_client import ProxyClient
from tui_forward.engine.connections.queue_wait import QueueWait
from tui_forward.engine.connections.record import ConnectionRecord
from tui_forward.engine.connections.retry import RetryPolicy
from tui_forward.engine.connections.upload import Upload
from tui_forward.engine.limits import Limits
from tui_forward.engine.tunnels.base import Channel
from tui_forward.engine.tunnels.pool import TunnelPool
from tui_forward.errors import ForwardError, TuiForwardError
from tui_forward.model import Connection, ConnectionState, Reason, ReasonCode
from tui_forward.protocol.error_stream import PortForwardFailure

_log = logging.getLogger(__name__)

_POOL_DOWN_PAUSE_S: Final = 0.01


class LocalConnection:
    """One accepted socket: waits for a channel, connects the two, retries and ends.

    Implements `ChannelHandler`; owns the socket, which is not blocking. `on_closed` is called once,
    from the event loop, when the socket is closed and no task of the connection runs. With a
    `proxy_client`, the cluster proxy has read the socket before.
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
        on_closed: Callable[[], None],
        proxy_client: ProxyClient | None = None,
    ) -> None:
        self.record = ConnectionRecord(connection_id, forward_id, client)  # what is shown of it
        self._owner = owner
        self._on_closed = on_closed
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._state = State.QUEUED
        self._upload = Upload(
            sock,
            counters=owner.counters,
            limits=limits,
            on_eof=lambda: self._advance(Input.CLIENT_EOF),
            on_reset=self._client_reset,
            first_data=proxy_client.first_data if proxy_client is not None else None,
            request_filter=proxy_client.request_filter if proxy_client is not None else None,
            on_refused=self._request_refused,
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
        self._proxy_answers: ProxyAnswers | None = None
        if proxy_client is not None:
            self._proxy_answers = ProxyAnswers(sock, proxy_client)
            self.data_received = self._answer_received
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
        self._greeting = b""  # received before the client was here
        self._hold_s = 0.0
        self._hold_timer: asyncio.TimerHandle | None = None
        self._waiting: asyncio.Task[None] | None = None

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

    def start(self) -> None:
        """Serve the client. Call once; does not raise.

        If a tunnel is up, the opening of the channel has been sent on return.
        """
        try:
            opened = self._try_open_channel()
        except TuiForwardError as error:
            self._fail(error)
            return
        except Exception:  # noqa: BLE001 - whatever it is, the socket must not stay open
            _log.exception("connection %d of %s failed", self.id, self.record.forward_id)
            self._end(Reason(code=ReasonCode.CONNECTION_CLOSED), reset=True)
            return
        if opened is None:
            self._wait_in_task()
        else:
            self._relay(*opened)

    def abort(self, reason: Reason) -> None:
        """End it now: the local socket is reset, `on_closed` is called soon. Idempotent."""
        self._end(reason, reset=True)

    def cancel(self) -> None:
        """Cancel the task of a connection that was aborted, and does not end. Idempotent."""
        if self._waiting is not None:
            self._waiting.cancel()

    @property
    def traffic(self) -> tuple[int, int]:
        """The bytes from and to the pod."""
        return self._download.bytes_from_pod, self._upload.bytes_to_pod

    def snapshot(self, now: float) -> Connection:
        """Return the connection at `now` (seconds since the epoch), also after its end."""
        return self.record.snapshot(self.state, self._upload, self._download, now)

    # ------------------------------------------------------------------------ channels

    def _try_open_channel(self) -> tuple[TunnelPool, Channel] | None:
        """Open a channel if that is possible at once; `ForwardError` if it never will be."""
        pool = self._owner.usable_pool(self.record.client)
        if pool is None:
            return None
        spare = self._owner.take_spare(pool)
        if spare is not None and spare.channel is not None:
            spare.channel.handler = self
            self._greeting = bytes(spare.greeting)
            return pool, spare.channel
        try:
            channel = pool.try_open(self)
        except ForwardError:
            raise
        except TuiForwardError:
            # The pool has just gone down.
            return None
        return None if channel is None else (pool, channel)

    async def _open_channel(self) -> tuple[TunnelPool, Channel]:
        while True:
            pool = await self._owner.wait_for_pool(self.record.client)
            try:
                return pool, await pool.open(self)
            except ForwardError:
                raise
            except TuiForwardError:
                # The pool went down in between, which the forward may not have noticed yet.
                await asyncio.sleep(_POOL_DOWN_PAUSE_S)

    def _relay(self, pool: TunnelPool, channel: Channel) -> None:
        self._channel = channel
        self._failure = None
        self._acknowledged = False
        self._hold_s = pool.upload_delay_s
        self._download.attach(channel)
        self._advance(Input.CHANNEL_HELD if self._hold_s else Input.CHANNEL_OPENED)
        channel.flush()
        if self._greeting and self._channel is channel:
            greeting, self._greeting = self._greeting, b""
            self._download.data_received([memoryview(greeting)])
        # It is on its way. What follows can wait, unless that has closed the connection already.
        if self._channel is channel:
            self._dial.opened(channel)
        assert pool.pod is not None
        self.record.connected(self._owner.follow_pod(pool.pod, pool.port))

    def _retry_or_fail(self) -> None:
        """Process the failure of the channel, whose data is delivered."""
        failure = self._failure
        if failure is None or self._is_closed:
            return
        error = failure.to_error()
        if failure.code is ReasonCode.RUNTIME_SANDBOX_GONE:
            self._owner.sandbox_gone(error, self.record.pod)
        allowed = self._retry.is_allowed(
            failure,
            error,
            replay=self._upload.replay,
            acknowledged=self._acknowledged,
            pod=self.record.pod,
        )
        if not allowed or self._queue.is_over:
            self._fail(error)
            return
        self._advance(Input.RETRY)
        self._wait_in_task(is_retry=True)

    def _wait_in_task(self, *, is_retry: bool = False) -> None:
        if self._waiting is not None:
            # It has opened the channel that failed, and is about to end.
            self._waiting.add_done_callback(lambda _: self._wait_in_task(is_retry=is_retry))
        elif not self._is_closed:
            name = f"connection {self.id} of {self.record.forward_id}"
            self._waiting = spawn(self._wait_for_channel(is_retry=is_retry), name=name)
            self._waiting.add_done_callback(self._waited)

    async def _wait_for_channel(self, *, is_retry: bool) -> None:
        """Wait until a channel is open, and connect to it; close the socket if that fails."""
        is_over = True
        try:
            if is_retry and not self._is_closed:
                await self._queue.wait(self._retry.wait())
            if self._is_closed:
                return
            opened = await self._queue.wait(self._open_channel())
            if opened is None:
                return
            if self._is_closed:
                opened[1].abort()
                return
            is_over = False
            self._relay(*opened)
        except asyncio.CancelledError:
            self._end(Reason(code=ReasonCode.CONNECTION_FORWARD_STOPPED), reset=True)
            raise
        except TuiForwardError as error:
            self._fail(error)
        finally:
            if is_over:
                self._end(Reason(code=ReasonCode.CONNECTION_CLOSED), reset=True)

    def _waited(self, _: asyncio.Task[None]) -> None:
        self._waiting = None
        if self._is_closed:
            self._on_closed()

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

    def _answer_received(self, pieces: list[memoryview]) -> None:
        """Pass on the beginning of what a client of the proxy gets from the application."""
        assert self._proxy_answers is not None
        self._proxy_answers.confirm()
        if self._upload.receive_answer(pieces):
            self.data_received = self._download.data_received
        if not self._is_closed:
            self._download.data_received(pieces)
        channel = self._channel
        if self._state is State.OPEN and channel is not None and channel.writable:
            self._upload.resume()

    def _request_refused(self, answer: bytes) -> None:
        """End a connection whose client has sent a request that the proxy refuses."""
        assert self._proxy_answers is not None
        self._proxy_answers.refuse(answer)
        self._end(Reason(code=ReasonCode.PROXY_REFUSED), reset=False)

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
        channel = self._channel
        assert channel is not None
        self._upload.start(channel)
        if self._state is State.OPEN and not self._upload.is_reading:
            self._monitor.watch_paused()
        answers = self._proxy_answers
        if answers is not None and not answers.is_confirmed and self._channel is channel:
            # The long way first: the opening travels while the client reads its answer.
            channel.flush()
            answers.confirm()

    def _answer_failure(self, reason: Reason) -> bool:
        """Tell a client of the proxy why it got no answer; return whether that was possible."""
        if self._proxy_answers is None or self._download.first_byte_s is not None:
            return False
        return self._proxy_answers.fail(reason)

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
            self._answer_failure(Reason(code=code))
        self._release(Reason(code=code), reset=False)

    def _report_failure(self) -> None:
        # Not from inside a call of the channel.
        self._loop.call_soon(self._retry_or_fail)

    def _fail(self, error: TuiForwardError) -> None:
        if self._is_closed:
            return
        self.record.failed = True
        self._owner.counters.record_failure()
        if not isinstance(error, ForwardError):
            error = ForwardError(error.reason)
        self._end(error.reason, reset=not self._answer_failure(error.reason))
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
        if self._waiting is None:
            self._loop.call_soon(self._on_closed)

    _ACTIONS: ClassVar[dict[Action, Callable[[LocalConnection], None]]] = {
        Action.START_UPLOAD: _start_upload,
        Action.HOLD_UPLOAD: _hold_upload,
        Action.STOP_UPLOAD: _stop_upload,
        Action.HOLD_EOF: _hold_eof,
        Action.SEND_EOF: _send_eof,
        Action.DELIVER: _deliver,
        Action.FINISH: _finish,
        Action.REPORT_FAILURE: _report_failure,
    }
