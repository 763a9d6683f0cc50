"""The seam of this package: a byte stream in callback style.

Callbacks instead of coroutines because this is the data path: a chunk goes from one socket
to the other without a task switch, and usually without a copy. Layers (TLS, WebSocket,
faults) take a `ByteStream` and are one.

Rules every implementation keeps, and every handler may rely on:

* One event loop, one thread. Nothing here blocks.
* Buffers are borrowed. `data_received` may keep nothing of its argument after it returns
  (it is a view of a buffer that all streams share), and `write` keeps nothing of its
  argument either: what the system did not take is copied.
* Reading starts paused: nothing is delivered before the first `resume_reading`, so a
  handler can be exchanged (`set_handler`) without losing a byte.
* `closed` is called exactly once per handler, whoever ended the stream, and never from
  inside a call of the handler's own to the stream; everything is released by then. Nothing
  else is called after it. A handler that is set after the end is told, too.
* `write` never raises for the state of the connection: after the end it does nothing, and
  `closed` tells.
"""

from __future__ import annotations

import asyncio
import weakref
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Protocol

from tui_forward.errors import TransportError

Buffer = bytes | bytearray | memoryview


class StreamHandler(Protocol):
    """Who a byte stream talks to."""

    def data_received(self, data: memoryview) -> None:
        """Bytes from the peer, never empty. The view is valid during the call only."""

    def writing_paused(self) -> None:
        """More than the write limit is queued: stop writing where that is possible."""

    def writing_resumed(self) -> None:
        """The queue is empty again."""

    def closed(self, error: TransportError | None) -> None:
        """The stream is over. None: by an end of file, or by `close` or `abort`."""


class ByteStream(ABC):
    """A connected, ordered stream of bytes in both directions."""

    @abstractmethod
    def set_handler(self, handler: StreamHandler) -> None:
        """Deliver to `handler` from now on."""

    @abstractmethod
    def resume_reading(self) -> None:
        """Deliver what comes. Idempotent."""

    @abstractmethod
    def pause_reading(self) -> None:
        """Deliver nothing after the present call of `data_received`. Idempotent."""

    @abstractmethod
    def write(self, data: Buffer) -> None:
        """Send, or queue what the system does not take now."""

    def writelines(self, parts: Sequence[Buffer]) -> None:
        """Send several buffers as one `write`, so that they do not travel apart."""
        self.write(parts[0] if len(parts) == 1 else b"".join(parts))

    @property
    @abstractmethod
    def write_buffer_size(self) -> int:
        """Bytes queued by `write` and not taken by the system yet."""

    @abstractmethod
    def close(self) -> None:
        """Send what is queued, then end the stream. Nothing is delivered any more.

        Takes as long as the peer takes to read; use `abort` to bound it.
        """

    @abstractmethod
    def abort(self) -> None:
        """End the stream now and drop what is queued."""


_shared: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, memoryview]] = (
    weakref.WeakKeyDictionary()
)


def shared_buffer(role: str, size: int) -> memoryview:
    """A scratch buffer that everything in the same role on this loop shares.

    Borrowed views of it are only passed downwards within one callback, so a role needs one
    buffer however many streams there are; layers that are active at the same time use
    different roles. The first caller decides the size.
    """
    loop = asyncio.get_running_loop()
    buffers = _shared.get(loop)
    if buffers is None:
        buffers = _shared[loop] = {}
    view = buffers.get(role)
    if view is None:
        view = buffers[role] = memoryview(bytearray(size))
    return view
