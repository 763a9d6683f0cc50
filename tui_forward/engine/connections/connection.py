"""One local connection through the tunnel: park, open, relay, end.

The data path is callbacks on a raw socket. `run` only waits for what happens rarely: a
pool to be up, the connection to be over, the pause before a refused one is tried again.

Exactness: bytes from the pod count when the local socket took them; bytes to the pod when
they were read from it, once each, however often they are sent again.

The client's end of file is held back. A runtime that hears of it closes the application's
socket one second later, answer or not; so it is told only when the pod has been silent for
`half_close_timeout_s`, and not at all if the application ends first. A client that is known to
have gone altogether waits for no answer, so there the end of file goes out at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Coroutine
from typing import Any, Final, Protocol, TypeVar

from tui_forward.engine.connections.client_socket import close_socket, send_vectored
from tui_forward.engine.connections.counters import ForwardCounters, Rate
from tui_forward.engine.connections.peer_state import is_closed_by_peer
from tui_forward.engine.connections.replay_buffer import ReplayBuffer
from tui_forward.engine.limits import Limits
from tui_forward.engine.tunnels.base import Channel
from tui_forward.engine.tunnels.pool import TunnelPool
from tui_forward.engine.tunnels.spill_buffer import SpillBuffer
from tui_forward.errors import ForwardError, ForwardErrorCause, TuiForwardError
from tui_forward.model import Connection, ConnectionState
from tui_forward.protocol.error_stream import PortForwardFailure
from tui_forward.transport.stream import shared_buffer
from tui_forward.transport.tcp import set_socket_options

_LOOK_FIRST_S: Final = 0.1
_LOOK_S: Final = 1.0
"""How often somebody who sends no more is looked at: has he left?"""

_LOOK_AT_PAUSED_S: Final = 2.0
_ABANDONED_S: Final = 30.0
"""How long a pod may not read what a client has sent that is gone."""

_AFTER_EOF_S: Final = 10.0
"""How long the runtime may take to end a connection after it was told of our end of file."""

_BULK: Final = 16 * 1024
_PARKED_AFTER_S: Final = 0.02
_POOL_GONE_PAUSE_S: Final = 0.01

T = TypeVar("T")


class ConnectionOwner(Protocol):
    """What a connection needs of the forward it belongs to."""

    @property
    def counters(self) -> ForwardCounters:
        """The forward's totals.

        The connection adds the bytes, and one to `connections_failed` when it fails; the
        forward counts open and total.
        """

    async def wait_for_pool(self) -> TunnelPool:
        """Wait until a pool is up, and return it. The caller applies the time limit.

        Raises:
            ForwardError: There is no point in waiting: the forward ends, or is blocked.
        """

    def refusal_is_final(self, failure: ForwardError) -> bool:
        """Whether a refusal is the application's last word: the pod's container is Ready."""

    async def wait_for_retry(self) -> None:
        """Wait until there is reason to believe that a refusal would not be repeated."""

    def pod_answered(self) -> None:
        """A connection that had been refused was answered."""

    def connection_failed(self, failure: ForwardError) -> None:
        """A connection failed; for the timeline. Called once per failed connection."""

    def sandbox_gone(self, failure: ForwardError) -> None:
        """The runtime says the pod's sandbox is gone: this pod will never answer again."""


class LocalConnection:
    """One accepted socket, from accept to close.

    Args:
        sock: The accepted socket; owned by the connection from now on.
        connection_id: Unique within the session.
        forward_id: The forward's id.
        client: "host:port" of the client.
        gate: The forward.
        limits: Bounds.
        queue_timeout_s: `ForwardSpec.queue_timeout_s`.
        half_close_timeout_s: `ForwardSpec.half_close_timeout_s`.

    Attributes:
        process: "psql (4211)", set by whoever finds out.
    """

    __slots__ = (
        "_accepted_at",
        "_acknowledged",
        "_backlog",
        "_buffer",
        "_channel",
        "_channel_over",
        "_client",
        "_closed_at",
        "_counters",
        "_eof_sent",
        "_failure",
        "_fd",
        "_first_byte_s",
        "_forward_id",
        "_from_pod",
        "_gate",
        "_half_close_timeout_s",
        "_heard_at",
        "_hesitate_s",
        "_hesitating",
        "_id",
        "_limits",
        "_local_ended",
        "_loop",
        "_opened_at",
        "_parking",
        "_pod_ended",
        "_queue_timeout_s",
        "_rate_from_pod",
        "_rate_to_pod",
        "_reading",
        "_reason",
        "_replay",
        "_sock",
        "_state",
        "_timer",
        "_to_pod",
        "_wait",
        "_was_refused",
        "_watch",
        "failed",
        "process",
    )

    def __init__(
        self,
        sock: socket.socket,
        *,
        connection_id: int,
        forward_id: str,
        client: str,
        gate: ConnectionOwner,
        limits: Limits,
        queue_timeout_s: float,
        half_close_timeout_s: float,
    ) -> None:
        self.process = ""
        self.failed = False
        self._id = connection_id
        self._forward_id = forward_id
        self._client = client
        self._gate = gate
        self._counters = gate.counters
        self._limits = limits
        self._queue_timeout_s = queue_timeout_s
        self._half_close_timeout_s = half_close_timeout_s
        self._loop = asyncio.get_running_loop()
        self._sock = sock
        self._fd = sock.fileno()
        self._state = ConnectionState.QUEUED
        self._opened_at = time.time()
        self._accepted_at = time.monotonic()
        self._heard_at = 0.0
        self._hesitate_s = 0.0
        self._hesitating: asyncio.TimerHandle | None = None
        self._closed_at: float | None = None
        self._first_byte_s: float | None = None
        self._reason = ""
        self._from_pod = 0
        self._to_pod = 0
        self._rate_from_pod = Rate(self._accepted_at)
        self._rate_to_pod = Rate(self._accepted_at)
        self._channel: Channel | None = None
        self._acknowledged = False
        self._backlog: SpillBuffer | None = None
        self._buffer = shared_buffer("local", limits.frame_size)
        self._reading = False
        self._replay = ReplayBuffer(limits.replay)
        self._local_ended = False
        self._eof_sent = False
        self._pod_ended = False
        self._channel_over = False
        self._failure: PortForwardFailure | None = None
        # The one timer there is at a time: for what follows the client's end of file.
        self._timer: asyncio.TimerHandle | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._was_refused = False
        # What `run` waits in: for a tunnel, or for the end of the channel.
        self._parking: asyncio.Timeout | None = None
        self._wait: asyncio.Future[None] | None = None

    # ------------------------------------------------------------- for the forward

    @property
    def id(self) -> int:
        """As given."""
        return self._id

    @property
    def state(self) -> ConnectionState:
        """Where it stands."""
        return self._state

    async def run(self) -> None:
        """Park, open, relay, end. Returns when the local socket is closed; call once.

        Raises nothing but `CancelledError`; when cancelled, the local socket is reset.
        """
        try:
            with contextlib.suppress(OSError):
                self._sock.setblocking(False)
                # Keep-alive finds clients that left while nothing was read from them.
                set_socket_options(self._sock)
            await self._serve()
        except asyncio.CancelledError:
            self._end("the forward was stopped", reset=True)
            raise
        except TuiForwardError as error:
            self._fail(error)
        finally:
            self._end("closed", reset=True)

    def abort(self, reason: str) -> None:
        """End it now: the local socket is reset, `run` returns soon. Idempotent."""
        self._end(reason, reset=True)

    def snapshot(self, now: float) -> Connection:
        """The connection at `now` (seconds since the epoch), also after its end."""
        clock = time.monotonic()
        closed = self._over
        return Connection(
            id=self._id,
            forward_id=self._forward_id,
            client=self._client,
            process=self.process,
            state=self._state,
            opened_at=self._opened_at,
            closed_at=None if self._closed_at is None else min(self._closed_at, now),
            bytes_from_pod=self._from_pod,
            bytes_to_pod=self._to_pod,
            rate_from_pod=0.0 if closed else self._rate_from_pod.sample(self._from_pod, clock),
            rate_to_pod=0.0 if closed else self._rate_to_pod.sample(self._to_pod, clock),
            first_byte_s=self._first_byte_s,
            close_reason=self._reason,
            failed=self.failed,
        )

    # ------------------------------------------------------------------- the course

    async def _serve(self) -> None:
        """Try until a channel has served the client, or there is a reason to stop.

        Raises:
            TuiForwardError: The connection has failed.
        """
        deadline = self._loop.time() + self._queue_timeout_s
        pause_s = self._limits.retry_refused_s
        while not self._over:
            self._state = ConnectionState.QUEUED
            channel = await self._parked(self._acquire(), deadline)
            if channel is None:
                return
            if self._over:
                channel.abort()
                return
            self._relay(channel)
            await self._until_channel_over()
            failure = self._failure
            if failure is None or self._over:
                return
            error = failure.to_error()
            if failure.cause is ForwardErrorCause.SANDBOX_GONE:
                self._gate.sandbox_gone(error)
            if not self._may_retry(failure, error) or self._loop.time() >= deadline:
                raise error
            self._state = ConnectionState.QUEUED
            self._was_refused = True
            if await self._parked(self._pause(pause_s), deadline):
                pause_s = self._limits.retry_refused_s
            else:
                pause_s = min(2 * pause_s, self._limits.retry_refused_max_s)

    async def _pause(self, seconds: float) -> bool:
        """Wait, unless there is news; returns whether there is."""
        try:
            async with asyncio.timeout(seconds):
                await self._gate.wait_for_retry()
        except TimeoutError:
            return False
        return True

    async def _parked(self, waiting: Coroutine[Any, Any, T], deadline: float) -> T | None:
        """Wait for something until the deadline or until the client leaves (None).

        Raises:
            ForwardError: The deadline has passed.
        """
        # Usually it takes no time at all, so there is one timer only, for when it does.
        watch = self._loop.call_later(_PARKED_AFTER_S, self._parked_for_a_while, deadline)
        try:
            async with asyncio.timeout(None) as self._parking:
                return await waiting
        except TimeoutError:
            if self._over:
                return None
            raise ForwardError(
                f"no tunnel to the pod within {self._queue_timeout_s:g} s",
                cause=ForwardErrorCause.TIMEOUT,
                hint="See the state of the forward.",
            ) from None
        finally:
            self._parking = None
            watch.cancel()
            self._stop_reading()

    def _parked_for_a_while(self, deadline: float) -> None:
        """It takes long: apply the deadline, and look whether the client leaves.

        The client's bytes stay in the kernel.
        """
        if self._parking is not None:
            self._parking.reschedule(deadline)
        if not self._over and not self._local_ended and not self._reading:
            self._reading = True
            self._loop.add_reader(self._fd, self._look)

    async def _acquire(self) -> Channel:
        while True:
            pool = await self._gate.wait_for_pool()
            try:
                channel = await pool.open(self)
                self._hesitate_s = pool.grow_delay_s
                return channel
            except ForwardError:
                raise
            except TuiForwardError:
                # The pool went down in between; the gate knows what is next. A moment, in
                # case it has not noticed yet.
                await asyncio.sleep(_POOL_GONE_PAUSE_S)

    async def _until_channel_over(self) -> None:
        if not self._over and self._channel is not None:
            self._wait = self._loop.create_future()
            await self._wait
            self._wait = None

    def _may_retry(self, failure: PortForwardFailure, error: ForwardError) -> bool:
        """Whether the application has surely seen nothing of this connection."""
        if not self._replay.possible:
            return False
        if failure.undelivered:
            return True
        if failure.cause is ForwardErrorCause.REFUSED:
            return not self._gate.refusal_is_final(error)
        if failure.cause in (ForwardErrorCause.SANDBOX_GONE, ForwardErrorCause.POD_GONE):
            return True
        # The server acknowledges a stream before it dials the application. So without that
        # it has, but for an answer lost under way, not been dialled; and without a byte from
        # the client it makes no difference.
        return failure.tunnel_lost and not (self._acknowledged and self._replay)

    # ---------------------------------------------------------- from the local socket

    def _relay(self, channel: Channel) -> None:
        """Let bytes flow. What the client has sent already travels with the opening."""
        self._channel = channel
        self._failure = None
        self._acknowledged = False
        self._pod_ended = False  # a refusal begins with the end of the data
        self._state = ConnectionState.OPEN
        if self._hesitate_s:
            self._hesitating = self._loop.call_later(self._hesitate_s, self._send_first, channel)
        else:
            self._send_first(channel)
        channel.flush()

    def _send_first(self, channel: Channel) -> None:
        self._hesitating = None
        if self._pod_ended:
            return
        if self._replay:
            channel.send(bytes(self._replay))
        if self._local_ended:
            self._local_is_over()
        elif channel.writable:
            self._read_ready()
            self._start_reading_if(channel)
        else:
            self.writing_paused()

    def _stop_hesitating(self) -> None:
        if self._hesitating is not None:
            self._hesitating.cancel()
            self._hesitating = None

    def _start_reading_if(self, channel: Channel) -> None:
        if self._channel is channel and channel.writable and not self._local_ended:
            self._start_reading()

    def _read_ready(self) -> None:
        channel = self._channel
        if channel is None:
            return
        try:
            count = self._sock.recv_into(self._buffer)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._end("the client reset the connection", reset=True)
            return
        if not count:
            self._stop_reading()
            self._local_ended = True
            self._local_is_over()
            return
        if count >= _BULK:
            count = self._read_more(count)
        data = self._buffer[:count]
        self._to_pod += count
        self._counters.bytes_to_pod += count
        if self._replay.possible:
            self._replay.append(data, channel.store)
        channel.send(data)

    def _read_more(self, count: int) -> int:
        """In a long upload the client has written on while we read: one frame for it all."""
        buffer = self._buffer
        size = len(buffer)
        try:
            # An end of file or an error is met again at the next read.
            while count < size and (more := self._sock.recv_into(buffer[count:])):
                count += more
        except OSError:
            pass
        return count

    def _start_reading(self) -> None:
        if not self._reading and not self._over:
            self._reading = True
            self._loop.add_reader(self._fd, self._read_ready)

    def _stop_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._loop.remove_reader(self._fd)

    def _look(self) -> None:
        try:
            ahead = self._sock.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._end("the client reset the connection before a tunnel was up", reset=True)
            return
        if ahead or self._replay:
            # Bytes wait, and hide what is behind them; or an end of file that belongs to a
            # request sent before.
            self._stop_reading()
        else:
            self._end("the client left before a tunnel was up", reset=False)

    def _local_is_over(self) -> None:
        """The client sends no more: hold its end of file back as long as the pod may answer."""
        self._state = ConnectionState.CLOSING
        if self._channel is not None:
            self._channel.mark_half_closed()
        self._heard_at = self._loop.time()
        self._linger()

    def _linger(self) -> None:
        since = self._loop.time() - self._heard_at
        left = self._half_close_timeout_s - since
        if left > 0 and not is_closed_by_peer(self._sock):
            look_s = _LOOK_FIRST_S if since < _LOOK_FIRST_S else _LOOK_S
            self._timer = self._loop.call_later(min(left, look_s), self._linger)
        elif self._channel is not None:
            self._eof_sent = True
            self._timer = self._loop.call_later(_AFTER_EOF_S, self._not_ended_by_pod)
            self._channel.send_eof()

    def _not_ended_by_pod(self) -> None:
        self._end("closed by the client; the pod did not answer to that", reset=False)

    # --------------------------------------------------- from the pod (ChannelHandler)

    def data_received(self, pieces: list[memoryview]) -> None:
        """See `ChannelHandler`."""
        if self._replay.possible:
            self._replay.clear()
            if self._was_refused:
                self._gate.pod_answered()
        if self._local_ended:
            self._heard_at = self._loop.time()
        if self._backlog is not None and self._backlog.size:
            self._keep(pieces, 0)
            return
        try:
            count = send_vectored(self._sock, pieces)
        except (BlockingIOError, InterruptedError):
            count = 0
        except OSError:
            self._end("the client closed before it had everything", reset=True)
            return
        if count:
            self._delivered(count)
        if count < sum(map(len, pieces)):
            self._keep(pieces, count)

    def _keep(self, pieces: list[memoryview], taken: int) -> None:
        """Keep what the local socket did not take, beginning behind `taken` bytes."""
        channel = self._channel
        if channel is None:
            return
        if self._backlog is None:
            self._backlog = SpillBuffer(channel.store)
        if not self._backlog.size:
            self._loop.add_writer(self._fd, self._write_ready)
        for piece in pieces:
            if taken < len(piece):
                self._backlog.append(piece[taken:])
            taken = max(0, taken - len(piece))
        channel.set_buffered(self._backlog.size)

    def eof_received(self) -> None:
        """See `ChannelHandler`."""
        # Nothing reads what is sent any more; leave the rest in the kernel.
        self._stop_reading()
        self._pod_ended = True
        self._state = ConnectionState.CLOSING
        if self._timer is not None:
            self._timer.cancel()

    def writing_paused(self) -> None:
        """See `ChannelHandler`."""
        self._stop_reading()
        if self._watch is None:
            self._watch_paused(self._to_pod, 0.0)

    def _watch_paused(self, to_pod: int, still_s: float) -> None:
        self._watch = self._loop.call_later(
            _LOOK_AT_PAUSED_S, self._look_at_paused, to_pod, still_s + _LOOK_AT_PAUSED_S
        )

    def _look_at_paused(self, to_pod: int, still_s: float) -> None:
        """Nobody reads from the client, so nobody would notice that it goes."""
        self._watch = None
        if self._over or self._reading or self._local_ended or self._pod_ended:
            return
        if self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._end("the client reset the connection", reset=True)
        elif self._to_pod != to_pod:
            self._watch_paused(self._to_pod, 0.0)
        elif still_s >= _ABANDONED_S and is_closed_by_peer(self._sock):
            self._end(f"the client left, and the pod has not read for {still_s:g} s", reset=True)
        else:
            self._watch_paused(to_pod, still_s)

    def writing_resumed(self) -> None:
        """See `ChannelHandler`."""
        waiting = self._hesitating is not None or self._pod_ended or self._local_ended
        if self._channel is not None and not waiting:
            self._start_reading()

    def evicted(self, reason: str) -> None:
        """See `ChannelHandler`."""
        self._fail(
            ForwardError(reason, hint="Reconnect: it gets a tunnel of its own if there is one.")
        )

    def closed(self, failure: PortForwardFailure | None) -> None:
        """See `ChannelHandler`."""
        channel, self._channel = self._channel, None
        if self._over:
            return
        self._acknowledged = channel is not None and channel.acknowledged
        self._stop_reading()
        self._stop_hesitating()
        if self._timer is not None:
            self._timer.cancel()
        if failure is not None and self._eof_sent and not failure.tunnel_lost:
            # We asked for the end, and the runtime cut the application off.
            failure = None
        self._failure = failure
        self._channel_over = True
        # What came before the end is delivered before anybody hears of it.
        if self._backlog is None or not self._backlog.size:
            self._finish()

    def _finish(self) -> None:
        """The channel is over and everything delivered."""
        self._channel_over = False
        if self._failure is None:
            by = "the client" if self._local_ended else "the application"
            self._end(f"closed by {by}", reset=False)
        elif self._wait is not None and not self._wait.done():
            self._wait.set_result(None)

    def _delivered(self, count: int) -> None:
        self._from_pod += count
        self._counters.bytes_from_pod += count
        if self._first_byte_s is None:
            self._first_byte_s = time.monotonic() - self._accepted_at

    def _hold(self, size: int) -> None:
        if self._channel is not None:
            self._channel.set_buffered(size)

    def _write_ready(self) -> None:
        backlog = self._backlog
        assert backlog is not None
        try:
            while backlog.size:
                piece = backlog.peek()
                count = self._sock.send(piece)
                backlog.consume(count)
                self._delivered(count)
                if count < len(piece):
                    break
        except (BlockingIOError, InterruptedError):
            pass
        except OSError:
            self._end("the client closed before it had everything", reset=True)
            return
        if not backlog.size:
            self._loop.remove_writer(self._fd)
        self._hold(backlog.size)
        if not backlog.size and self._channel_over:
            self._finish()

    # ------------------------------------------------------------------------ the end

    @property
    def _over(self) -> bool:
        return self._state is ConnectionState.CLOSED

    def _fail(self, error: TuiForwardError) -> None:
        if self._over:
            return
        self.failed = True
        self._counters.connections_failed += 1
        if not isinstance(error, ForwardError):
            error = ForwardError(error.message, hint=error.hint)
        self._end(error.message, reset=True)
        self._gate.connection_failed(error)

    def _end(self, reason: str, *, reset: bool) -> None:
        """Release everything. The first reason is the one that counts."""
        if self._over:
            return
        self._state = ConnectionState.CLOSED
        self._reason = reason
        self._closed_at = time.time()
        self._stop_reading()
        self._stop_hesitating()
        self._loop.remove_writer(self._fd)
        for timer in (self._timer, self._watch):
            if timer is not None:
                timer.cancel()
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.abort()
        if self._backlog is not None:
            self._backlog.close()
        self._replay.clear()
        close_socket(self._sock, reset=reset)
        if self._parking is not None:
            self._parking.reschedule(self._loop.time())
        if self._wait is not None and not self._wait.done():
            self._wait.set_result(None)
