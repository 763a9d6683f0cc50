"""Legacy port-forward channels over WebSocket, server side; see `protocol.channels`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from tui_forward.errors import ProtocolError
from tui_forward.protocol.buffers import Buffer
from tui_forward.protocol.channels import MAX_FRAME_BYTES, ChannelCodec, ChannelsConnection
from tui_forward.protocol.masking import Masker
from tui_forward.protocol.spdy import Side
from tui_forward.protocol.websocket import WebSocketConnection

MAX_PORTS: Final = 100
"""Channel numbers are one byte; in base64 messages an offset from the digit `0`."""


class ChannelReceiver(Protocol):
    """Receiver of the events of one port of a legacy WebSocket."""

    def data_received(self, data: memoryview) -> None:
        """Handle bytes for the application; see `StreamReceiver.data_received`."""

    def channels_lost(self) -> None:
        """Handle the end of the WebSocket: close the application's connection. Last call."""


class ServerChannel:
    """One port of a legacy WebSocket, server side; the port is dialed immediately.

    Without a `receiver` the client's data is dropped. The data channel is twice `index`.
    """

    __slots__ = ("_server", "done", "index", "port", "receiver")

    def __init__(self, server: ChannelsServer, index: int, port: int) -> None:
        self._server = server
        self.index = index
        self.port = port
        self.receiver: ChannelReceiver | None = None
        self.done = False

    def send(self, data: Buffer) -> bool:
        """Queue bytes from the application as one message; False once the port has ended."""
        return not self.done and self._server._send(2 * self.index, data)  # noqa: SLF001

    def finish(self) -> None:
        """Mark the port as ended and close the WebSocket after the last one. Idempotent."""
        self.done = True
        self._server._finished()  # noqa: SLF001

    def fail(self, text: str) -> None:
        """Send an error text on the error channel, and finish."""
        if not self.done:
            self._server._send(2 * self.index + 1, text.encode())  # noqa: SLF001
            self.finish()


class ChannelsServer(ChannelsConnection):
    """Server end of one legacy WebSocket; the port messages are queued immediately.

    `ports` are as in the request, repeats included. `base64`: `v4.base64.channel.k8s.io` was
    negotiated. `mask`: see `protocol.masking`.
    """

    __slots__ = ("channels",)

    def __init__(
        self, ports: Sequence[int], *, base64: bool = False, mask: Masker | None = None
    ) -> None:
        self._codec = ChannelCodec(base64=base64)
        self.websocket = WebSocketConnection(
            Side.SERVER, self, frame_is_message=True, max_frame=MAX_FRAME_BYTES, mask=mask
        )
        self.channels = [
            ServerChannel(self, index, port) for index, port in enumerate(ports[:MAX_PORTS])
        ]
        for channel in self.channels:
            port = channel.port.to_bytes(2, "little")
            self._send(2 * channel.index, port)
            self._send(2 * channel.index + 1, port)

    def close(self, code: int = 1000) -> None:
        """Queue a close frame. No receiver is called."""
        self.websocket.close(code)

    # Called by the WebSocket. A ProtocolError raised here ends it.

    def payload_received(self, data: memoryview) -> None:
        """Process a piece of a message; ignore unknown channels."""
        data = self._codec.decode(data)
        number = self._codec.channel
        if number % 2 == 0 and 0 <= number < 2 * len(self.channels) and len(data):
            channel = self.channels[number // 2]
            if channel.receiver is not None and not channel.done:
                channel.receiver.data_received(data)

    def message_ended(self) -> None:
        """Finish a message."""
        self._codec.end()

    def pong_received(self, payload: bytes) -> None:
        """Ignore: this server sends no pings."""

    def websocket_ended(self, error: ProtocolError | None) -> None:  # noqa: ARG002
        """Notify the receivers of the end; `error` stays readable."""
        for channel in self.channels:
            if channel.receiver is not None:
                channel.receiver.channels_lost()

    def _send(self, channel: int, data: Buffer) -> bool:
        return self.websocket.send(*self._codec.encode(channel, data), opcode=self._codec.opcode)

    def _finished(self) -> None:
        if all(channel.done for channel in self.channels):
            self.websocket.close()
