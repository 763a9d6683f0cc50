"""The beginning of an upload, kept to be sent again while no application can have received it."""

from __future__ import annotations

from tui_forward.engine.tunnels.spill_buffer import BufferBudget


class ReplayBuffer:
    """The beginning of one connection's upload; one longer than `limit` cannot be sent again."""

    __slots__ = ("_budget", "_data", "_limit", "possible")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data = bytearray()
        self._budget: BufferBudget | None = None
        self.possible = True  # whether what was sent so far can be sent again

    def __len__(self) -> int:
        return len(self._data)

    def __bytes__(self) -> bytes:
        return bytes(self._data)

    def append(self, data: memoryview, budget: BufferBudget) -> None:
        """Keep more data; if there is no room for it, nothing can be sent again any more."""
        if len(self._data) + len(data) > self._limit or not budget.reserve_replay(len(data)):
            self.clear()
        else:
            self._budget = budget
            self._data += data

    def clear(self) -> None:
        """Drop the data: the application may have received it. Idempotent."""
        self.possible = False
        if self._budget is not None:
            self._budget.release_replay(len(self._data))
            self._budget = None
        self._data = bytearray()
