"""The interface of this package: a byte stream in callback style.

Callbacks instead of coroutines because this is the data path: a chunk goes from one socket
to the other without a task switch, and usually without a copy. Layers (TLS, WebSocket) wrap a
`ByteStream` and are one.

Rules of every implementation, on which every handler may rely:

* One event loop, one thread. No call blocks.
* Buffers are borrowed. `data_received` keeps no reference to its argument after it returns (it
  is a view of a buffer shared by all streams), and `write` keeps none either: bytes that the
  system does not accept are copied.
* Reading starts paused: no byte is delivered before the first `resume_reading`, so a handler
  can be replaced (`set_handler`) without losing one.
* `closed` is called exactly once per handler, whichever side ended the stream, and never from
  inside a call of the handler to the stream; all resources are released by then, and no other
  callback follows. A handler that is set after the end gets the call, too.
* `write` never raises because of the state of the connection: after the end it does nothing,
  and `closed` reports the cause.
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
    """Callbacks of a byte stream."""

    def data_received(self, data: memoryview) -> None:
        """Receive bytes, never none. The view is valid during the call only."""

    def writing_paused(self) -> None:
        """Stop writing where possible: more than the write limit is queued."""

    def writing_resumed(self) -> None:
        """Continue writing: the queue is empty again."""

    def closed(self, error: TransportError | None) -> None:
        """Handle the end of the stream; no error after an end of file, `close` or `abort`."""


class ByteStream(ABC):
    """A connected, ordered stream of bytes in both directions."""

    @abstractmethod
    def set_handler(self, handler: StreamHandler) -> None:
        """Deliver to `handler` from now on."""

    @abstractmethod
    def resume_reading(self) -> None:
        """Deliver incoming bytes. Idempotent."""

    @abstractmethod
    def pause_reading(self) -> None:
        """Stop delivering after the current call of `data_received`. Idempotent."""

    @abstractmethod
    def write(self, data: Buffer) -> None:
        """Send; queue what the system does not accept now."""

    def writelines(self, parts: Sequence[Buffer]) -> None:
        """Send several buffers as one `write`, so that they share packets."""
        self.write(parts[0] if len(parts) == 1 else b"".join(parts))

    @property
    @abstractmethod
    def write_buffer_size(self) -> int:
        """Bytes queued by `write` that the system has not accepted yet."""

    @abstractmethod
    def close(self) -> None:
        """Send the queue, which takes as long as the peer takes to read, then end the stream."""

    @abstractmethod
    def abort(self) -> None:
        """End the stream now and drop the queue."""


_shared: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, memoryview]] = (
    weakref.WeakKeyDictionary()
)


def shared_buffer(role: str, size: int) -> memoryview:
    """Return the scratch buffer shared by all streams of a role on this loop.

    Views of it are only passed on within one callback, so one buffer per role is enough for
    any number of streams; layers that are active at the same time use different roles. The
    first caller decides the size.
    """
    loop = asyncio.get_running_loop()
    buffers = _shared.get(loop)
    if buffers is None:
        buffers = _shared[loop] = {}
    view = buffers.get(role)
    if view is None:
        view = buffers[role] = memoryview(bytearray(size))
    return view
