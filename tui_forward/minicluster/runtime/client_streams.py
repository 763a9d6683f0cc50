"""Adapters between forwarded connections and the streams of SPDY and legacy channels."""

from __future__ import annotations

from collections.abc import Callable

from tui_forward.minicluster.runtime.config import RuntimeBehavior
from tui_forward.minicluster.runtime.forwarded_connection import ForwardedConnection
from tui_forward.protocol.channels_server import ServerChannel
from tui_forward.protocol.portforward_server import ServerStreamPair
from tui_forward.protocol.spdy import SpdyConnection


class PairStreams:
    """A pair of SPDY streams as `forwarded_connection.ClientStreams`."""

    def __init__(self, pair: ServerStreamPair, behavior: RuntimeBehavior) -> None:
        self._pair = pair
        self._behavior = behavior

    @property
    def remote_open(self) -> bool:
        """Whether the client may still send data."""
        return self._pair.remote_open

    def send(self, data: memoryview) -> None:
        """Queue bytes of the application."""
        self._pair.send(data)

    def finish(self) -> None:
        """End both streams."""
        self._pair.finish()

    def fail(self, text: str, *, dialed: bool, broken: bool) -> None:
        """End both streams as the configured runtime does after an error."""
        style = self._behavior.failure_style
        self._pair.fail(text, style=style, dialed=dialed, broken=broken)


class ChannelStreams:
    """A data and an error channel as `forwarded_connection.ClientStreams`."""

    def __init__(self, channel: ServerChannel) -> None:
        self._channel = channel

    @property
    def remote_open(self) -> bool:
        """Return False: channels have no end, so nothing needs to wait for it."""
        return False

    def send(self, data: memoryview) -> None:
        """Queue bytes of the application."""
        self._channel.send(data)

    def finish(self) -> None:
        """Mark the port as ended."""
        self._channel.finish()

    def fail(self, text: str, *, dialed: bool, broken: bool) -> None:  # noqa: ARG002
        """Send the text on the error channel and mark the port as ended."""
        self._channel.fail(text)


class ClientDataReceiver:
    """Delivers what the client sends to a connection, through the workers of its tunnel."""

    def __init__(self, connection: ForwardedConnection) -> None:
        self._connection = connection
        self._workers = connection.tunnel.workers

    def data_received(self, data: memoryview) -> None:
        """Deliver bytes."""
        self._workers.deliver(self._connection.key, self._connection, data)

    def eof_received(self) -> None:
        """Deliver the end of the client's data."""
        self._workers.deliver(self._connection.key, self._connection, None)

    def pair_reset(self) -> None:
        """Deliver a reset, which ends the client's data like EOF."""
        self.eof_received()

    def pair_lost(self) -> None:
        """Do nothing: the tunnel aborts its connections when it ends."""

    def channels_lost(self) -> None:
        """Do nothing: the tunnel aborts its connections when it ends."""


class PingReply:
    """A PING in the queue of a worker; a `frame_workers.FrameSink`."""

    closed = True

    def __init__(self, spdy: SpdyConnection, ping_id: int, flush: Callable[[], None]) -> None:
        self._spdy = spdy
        self._id = ping_id
        self._flush = flush

    def can_receive(self) -> bool:
        """Return True: a reply needs no reader."""
        return True

    def receive(self, data: memoryview) -> None:
        """Do nothing: a PING has no data."""

    def receive_eof(self) -> None:
        """Send the reply."""
        self._spdy.reply_to_ping(self._id)
        self._flush()
