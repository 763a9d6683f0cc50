"""What a client has sent, kept to be sent again as long as nobody can have acted on it."""

from __future__ import annotations

from tui_forward.engine.tunnels.spill_buffer import BufferBudget


class ReplayBuffer:
    """The beginning of one connection's upload.

    Args:
        limit: Bytes kept; more than that cannot be repeated.

    Attributes:
        possible: Whether what was sent so far can be sent again.
    """

    __slots__ = ("_data", "_limit", "_store", "possible")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data = bytearray()
        self._store: BufferBudget | None = None
        self.possible = True

    def __len__(self) -> int:
        return len(self._data)

    def __bytes__(self) -> bytes:
        return bytes(self._data)

    def append(self, data: memoryview, store: BufferBudget) -> None:
        """More was sent; if there is no room for it, nothing can be repeated any more."""
        if len(self._data) + len(data) > self._limit or not store.reserve_replay(len(data)):
            self.clear()
        else:
            self._store = store
            self._data += data

    def clear(self) -> None:
        """The application may have been reached, or the connection is over. Idempotent."""
        self.possible = False
        if self._store is not None:
            self._store.release_replay(len(self._data))
            self._store = None
        self._data = bytearray()
