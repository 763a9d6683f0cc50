"""What a tunnel is to the rest of the engine, whatever it is spoken in.

A tunnel leads to one pod and carries channels, one per forwarded connection. This module
holds the vocabulary; `spdy_tunnel` and `channels_tunnel` speak.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Protocol

from tui_forward.engine.tunnels.spill_buffer import BufferBudget
from tui_forward.errors import TuiForwardError
from tui_forward.model import TransportChoice
from tui_forward.protocol.error_stream import PortForwardFailure
from tui_forward.transport.stream import Buffer


class ChannelHandler(Protocol):
    """Who a channel talks to: one local connection. None of these may raise."""

    def data_received(self, pieces: list[memoryview]) -> None:
        """Bytes from the application, no piece empty; valid during the call only."""

    def eof_received(self) -> None:
        """The application sends no more, and nothing reads what is sent to it any more.

        `closed` follows, and tells whether this was a failure.
        """

    def writing_paused(self) -> None:
        """The way to the application is full: read no more from the local socket."""

    def writing_resumed(self) -> None:
        """There is room again."""

    def evicted(self, reason: str) -> None:
        """The channel must end at once, because others suffer from it. Call `abort`."""

    def closed(self, failure: PortForwardFailure | None) -> None:
        """The channel is over; None if both sides ended as they wished. Last call of all.

        Not called after `Channel.abort`.
        """


class Channel(ABC):
    """One forwarded connection inside a tunnel."""

    @property
    @abstractmethod
    def acknowledged(self) -> bool:
        """Whether the server took it on. The application need not have been dialled."""

    @property
    @abstractmethod
    def writable(self) -> bool:
        """Whether there is room for more to send."""

    @abstractmethod
    def send(self, data: Buffer) -> None:
        """Send to the application; the buffer may be reused at once."""

    @abstractmethod
    def flush(self) -> None:
        """Let go what opening the channel has queued, if there is nothing to send with it."""

    @abstractmethod
    def send_eof(self) -> None:
        """Nothing more follows. The runtime cuts the connection a second later."""

    @abstractmethod
    def abort(self) -> None:
        """End it at once; the handler hears nothing more. Idempotent."""

    @property
    @abstractmethod
    def store(self) -> BufferBudget:
        """Where the handler may keep bytes that its local reader has not taken."""

    @abstractmethod
    def set_buffered(self, size: int) -> None:
        """The handler keeps `size` bytes that its local reader has not taken.

        To be called whenever that changes; decides whether the tunnel is read.
        """

    @abstractmethod
    def mark_half_closed(self) -> None:
        """The local side has ended; only a late answer is awaited, so it counts as no load."""


class TunnelOwner(Protocol):
    """Who a tunnel reports to: the pool. Called synchronously; must not raise."""

    @property
    def store(self) -> BufferBudget:
        """Room for the bytes of slow readers, shared by all tunnels of the forward."""

    def tunnel_changed(self, tunnel: Tunnel) -> None:
        """It became idle, busy, stalled or unstalled, or its round trip was measured."""

    def tunnel_ended(self, tunnel: Tunnel, error: TuiForwardError) -> None:
        """It is over; its channels have been told. Called once, if it was not `close`d."""

    def path_is_alive(self, tunnel: Tunnel) -> bool:
        """Whether another tunnel to the same pod has been heard of lately."""


class Tunnel(ABC):
    """One way to a pod.

    Attributes:
        transport: What it is spoken in.
        round_trip_s: The latest measurement, None before the first.
        opened: How many channels it has carried.
        load: Channels that matter: open, and not lingering.
        refused_at: When a channel was told last that nobody listens, in the loop's time.
    """

    transport: TransportChoice
    round_trip_s: float | None = None
    opened: int = 0
    load: int = 0
    refused_at: float = -math.inf

    @property
    @abstractmethod
    def up(self) -> bool:
        """Whether it can carry a channel."""

    @property
    @abstractmethod
    def channels(self) -> int:
        """All channels, the lingering ones included."""

    @property
    @abstractmethod
    def stalled(self) -> bool:
        """Whether a new channel would wait behind an old one."""

    @property
    @abstractmethod
    def suspect(self) -> bool:
        """Whether part of it owes an answer for longer than is usual."""

    @property
    @abstractmethod
    def stuck(self) -> bool:
        """Whether part of it has stopped for good, with no channel left to blame."""

    @property
    @abstractmethod
    def last_received_at(self) -> float:
        """When the last byte came, in the loop's time."""

    @abstractmethod
    def open(self, handler: ChannelHandler) -> Channel:
        """Begin a channel. It leaves with the first `send`, or with `flush`.

        Raises:
            TransportError: The tunnel has ended meanwhile.
        """

    @abstractmethod
    def probe(self, within_s: float) -> None:
        """Ask for a sign of life; without one within that time the tunnel is dead."""

    @abstractmethod
    def close(self) -> None:
        """End it in order. Its owner hears no more of it; its channels are lost. Idempotent."""

    @abstractmethod
    def abort(self, error: TuiForwardError) -> None:
        """Cut it for a reason, which the owner is told. Idempotent."""

    @abstractmethod
    async def wait_closed(self) -> None:
        """Wait until its socket is closed, at most as long as the limits allow."""
