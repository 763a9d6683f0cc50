"""Interfaces of tunnels, channels and their users, independent of the transport.

A tunnel leads to one pod and carries channels, one per forwarded connection.

Times are those of `time.monotonic`: uvloop's own clock has milliseconds and stands still during a
callback, and a round trip may take less.
"""

from __future__ import annotations

import asyncio
import math
from abc import ABC, abstractmethod
from typing import Protocol

from tui_forward.engine.tunnels.liveness import LivenessMonitor
from tui_forward.engine.tunnels.spill_buffer import BufferBudget
from tui_forward.errors import ProtocolError, TransportError, TuiForwardError
from tui_forward.model import Reason, ReasonCode, TransportChoice
from tui_forward.protocol.error_stream import PortForwardFailure
from tui_forward.transport.stream import Buffer


class ChannelHandler(Protocol):
    """Receiver of a channel's events: one local connection. No method may raise."""

    def data_received(self, pieces: list[memoryview]) -> None:
        """Process bytes from the application, no piece empty; valid during the call only."""

    def eof_received(self) -> None:
        """Process the end of the application's data; it reads no more either.

        `closed` follows, and reports whether this was a failure.
        """

    def writing_paused(self) -> None:
        """Stop reading from the local socket: the tunnel takes no more data."""

    def writing_resumed(self) -> None:
        """Read from the local socket again."""

    def evicted(self, reason: Reason) -> None:
        """End the channel at once with `Channel.abort`: it blocks others."""

    def closed(self, failure: PortForwardFailure | None) -> None:
        """Process the end of the channel; None if both sides ended in order. The last call.

        Not called after `Channel.abort`.
        """


class Channel(ABC):
    """One forwarded connection inside a tunnel."""

    budget: BufferBudget  # memory and disk for bytes that the local reader has not taken
    handler: ChannelHandler  # may be replaced by another one between two events

    @property
    @abstractmethod
    def acknowledged(self) -> bool:
        """Whether the server accepted it. The application need not have been dialed."""

    @property
    @abstractmethod
    def writable(self) -> bool:
        """Whether more data should be sent now."""

    @abstractmethod
    def send(self, data: Buffer) -> None:
        """Send to the application; the buffer may be reused at once."""

    @abstractmethod
    def flush(self) -> None:
        """Send the opening of the channel, if there is no data to send with it."""

    @abstractmethod
    def send_eof(self) -> None:
        """Send the end of the data. The runtime cuts the connection a second later."""

    @abstractmethod
    def abort(self) -> None:
        """End it at once; the handler is not called again. Idempotent."""

    @abstractmethod
    def set_buffered(self, size: int, *, is_behind: bool = False) -> None:
        """Record that the handler buffers `size` bytes for a slow local reader.

        To be called whenever that changes; decides whether the tunnel is read. While `is_behind`,
        it must not be read: the bytes arrive faster than they can be put on disk.
        """

    @abstractmethod
    def mark_half_closed(self) -> None:
        """Record that the client ended; waiting for a late answer counts as no load."""


class TunnelOwner(Protocol):
    """Receiver of a tunnel's events: the pool. Called synchronously; must not raise."""

    budget: BufferBudget  # for the bytes of slow readers, shared by all tunnels of the forward

    def tunnel_changed(self, tunnel: Tunnel) -> None:
        """Process a change of load, stall or round trip."""

    def tunnel_ended(self, tunnel: Tunnel, error: TuiForwardError) -> None:
        """Process the end of a tunnel and its channels. Called once, unless it was `close`d."""

    def path_is_alive(self, tunnel: Tunnel) -> bool:
        """Return whether another tunnel to the same pod has received something lately."""


class Tunnel(ABC):
    """One connection to a pod's port through the API server."""

    transport: TransportChoice
    round_trip_s: float | None = None  # the latest measurement, None before the first
    opened: int = 0  # how many channels it has carried
    load: int = 0  # open channels, except those that were marked half closed
    # When a channel was refused last by the application, monotonic seconds.
    refused_at: float = -math.inf
    opened_at: float = math.inf  # when its pool got it, monotonic seconds
    last_received_at: float = -math.inf  # when the last byte was received, monotonic seconds
    bulk_at: float = -math.inf  # when it carried much data at once last, monotonic seconds

    _ended: bool = False
    _liveness: LivenessMonitor
    _closed: asyncio.Future[None]  # done when the socket is closed

    @property
    def up(self) -> bool:
        """Whether it can carry a channel."""
        return not self._ended

    @property
    @abstractmethod
    def channels(self) -> int:
        """How many channels are open, including half-closed ones."""

    @property
    @abstractmethod
    def stalled(self) -> bool:
        """Whether a new channel would wait behind an old one."""

    @property
    def suspect(self) -> bool:
        """Whether part of the server's end has not answered for longer than usual."""
        return False

    @property
    def stuck(self) -> bool:
        """Whether part of the server's end has stopped for good, with no channel open."""
        return False

    @abstractmethod
    def open(self, handler: ChannelHandler) -> Channel:
        """Open a channel, which leaves with the first `send`, or with `flush`.

        Raises `TransportError` if the tunnel has ended meanwhile.
        """

    def probe(self, within_s: float) -> None:
        """Send a PING now; end the tunnel if nothing is received within that time."""
        self._liveness.probe(within_s)

    def tunnel_ended(self, error: ProtocolError | None) -> None:
        """See `TunnelHandler`."""
        self.abort(error or TransportError(Reason(code=ReasonCode.TUNNEL_CLOSED_BY_SERVER)))

    @abstractmethod
    def close(self) -> None:
        """End it in order; its channels are lost, and the owner is not called. Idempotent."""

    @abstractmethod
    def abort(self, error: TuiForwardError) -> None:
        """End it now for a reason, which the owner receives. Idempotent."""

    async def wait_closed(self) -> None:
        """Wait until its socket is closed, at most as long as the limits allow."""
        await asyncio.shield(self._closed)
