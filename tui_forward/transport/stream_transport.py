"""An asyncio transport over a byte stream, for libraries that bring an `asyncio.Protocol`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from tui_forward.errors import TransportError
from tui_forward.transport.stream import Buffer, ByteStream


class StreamTransport(asyncio.Transport):
    """Adapter from `ByteStream` to `asyncio.Transport`. Reading begins at once.

    Chunks are copied: a protocol may keep what it receives, the buffers of a stream are shared. The
    stream is owned from now on.
    """

    def __init__(self, stream: ByteStream, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._stream = stream
        self._protocol = protocol
        self._closing = False
        self._reading = True
        stream.set_handler(self)
        protocol.connection_made(self)
        if self._reading:
            stream.resume_reading()

    # asyncio.Transport

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return the default: a stream does not expose its socket."""
        del name
        return default

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """See `asyncio.BaseTransport`."""
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """See `asyncio.BaseTransport`."""
        return self._protocol

    def is_closing(self) -> bool:
        """See `asyncio.BaseTransport`."""
        return self._closing

    def is_reading(self) -> bool:
        """See `asyncio.ReadTransport`."""
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        """See `asyncio.ReadTransport`; idempotent."""
        self._reading = False
        self._stream.pause_reading()

    def resume_reading(self) -> None:
        """See `asyncio.ReadTransport`; idempotent."""
        self._reading = True
        if not self._closing:
            self._stream.resume_reading()

    def write(self, data: Buffer) -> None:
        """See `asyncio.WriteTransport`."""
        self._stream.write(data)

    def writelines(self, list_of_data: Iterable[Buffer]) -> None:
        """See `asyncio.WriteTransport`."""
        parts = list(list_of_data)
        if parts:
            self._stream.writelines(parts)

    def get_write_buffer_size(self) -> int:
        """See `asyncio.WriteTransport`."""
        return self._stream.write_buffer_size

    def can_write_eof(self) -> bool:
        """Return False: a stream ends in both directions at once."""
        return False

    def close(self) -> None:
        """See `asyncio.BaseTransport`."""
        self._closing = True
        self._stream.close()

    def abort(self) -> None:
        """See `asyncio.WriteTransport`."""
        self._closing = True
        self._stream.abort()

    # StreamHandler

    def data_received(self, data: memoryview) -> None:
        """See `StreamHandler`."""
        self._protocol.data_received(bytes(data))

    def writing_paused(self) -> None:
        """See `StreamHandler`."""
        self._protocol.pause_writing()

    def writing_resumed(self) -> None:
        """See `StreamHandler`."""
        self._protocol.resume_writing()

    def closed(self, error: TransportError | None) -> None:
        """See `StreamHandler`; protocols expect errors of connections to be OSErrors."""
        self._closing = True
        lost: ConnectionError | None = None
        if error is not None:
            lost = ConnectionError(error.message)
            lost.__cause__ = error
        self._protocol.connection_lost(lost)
