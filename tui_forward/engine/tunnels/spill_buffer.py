"""Bytes that a local reader has not taken yet: a little in memory, more on disk if needed.

Disk is for one case only. Connections that share a tunnel share its one TCP stream, which
has no flow control per connection: to continue reading for the others, the data of a slow
reader must be put somewhere. Since the protocol cannot make the pod pause one connection, the
alternatives are to let all connections wait, or to end the slow one.

The disk is written and read in a thread of its own (`spill_file`), never on the event loop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from tui_forward.engine.limits import KIB, MIB, Limits
from tui_forward.engine.tunnels.spill_file import SpillFile

_PIECE: Final = 64 * KIB
# What a piece costs besides its bytes: the objects and its place in the queue. Small chunks are
# joined to pieces, so that this is little.
_PIECE_OVERHEAD: Final = 256
_MIN_SHARE: Final = 64 * KIB
# A tunnel that is paused at the bound still delivers the rest of its present chunk; that
# much is not worth a file.
_SLACK: Final = 256 * KIB
# Bytes written to or read from the disk at a time.
_BATCH: Final = 1024 * KIB
# Bytes that may wait to be written while the disk is slow.
_MAX_WAITING: Final = 4 * _BATCH
# Bytes of one file; it is deleted when they are read, so that a reader that is behind all the time
# does not use up the disk. More with a large limit, because each file takes a descriptor.
_FILE_BYTES: Final = 4 * MIB
_MIN_FILES: Final = 4
_MAX_FILES: Final = 64


def _do_nothing() -> None: ...


class BufferBudget:
    """Room for the buffered data of one forward, in memory and on disk."""

    __slots__ = ("_limits", "disk", "disk_full", "memory", "replay")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.memory = 0  # bytes in memory now, with the objects that hold them
        self.disk = 0  # bytes of disk in use now
        self.disk_full = False  # the disk had no room for a piece
        self.replay = 0  # bytes from clients kept to be sent again

    @property
    def memory_share(self) -> int:
        """Bytes that one buffer may keep in memory now."""
        if self.memory < self._limits.forward_buffer:
            return self._limits.stream_buffer
        return min(_MIN_SHARE, self._limits.stream_buffer)

    @property
    def file_bytes(self) -> int:
        """Bytes after which a buffer begins another file."""
        limit = self._limits.spill
        return max(min(_FILE_BYTES, limit // _MIN_FILES), limit // _MAX_FILES)

    @property
    def disk_left(self) -> int:
        """Bytes of disk that are left; 0 when it is less than a chunk."""
        left = self._limits.spill - self.disk
        return left if left >= _SLACK else 0

    def reserve_replay(self, size: int) -> bool:
        """Reserve room for bytes that may be sent again; return whether there was enough."""
        if self.replay + size > self._limits.forward_replay:
            return False
        self.replay += size
        return True

    def release_replay(self, size: int) -> None:
        """Release room reserved by `reserve_replay`."""
        self.replay -= size

    def max_backlog(self, *, shared: bool) -> int:
        """Return how long a buffer may grow before its tunnel must wait.

        With `shared`, other connections would have to wait, too.
        """
        if shared and self.disk_left > 0 and not self.disk_full:
            return self.memory_share + self._limits.spill
        return self.memory_share


class _Part:
    """One file of a buffer."""

    __slots__ = ("file", "read", "reserved", "written")

    def __init__(self) -> None:
        self.file = SpillFile()
        self.written = 0
        self.read = 0
        self.reserved = 0  # bytes of disk, those of a write that is under way included

    @property
    def is_read(self) -> bool:
        """Whether everything written was read."""
        return self.read == self.written


class SpillBuffer:
    """First in, first out, accounted for in `budget`. Not for use after `close`.

    `on_change` is called when a transfer to or from the disk has ended: there may be more to
    `peek`, and `is_behind` may have changed.
    """

    def __init__(self, budget: BufferBudget, on_change: Callable[[], None]) -> None:
        self._budget = budget
        self._on_change = on_change
        # In this order: what is read next, the unread parts of the files, what is to be written.
        # Invariant: without a file the tail is empty.
        self._head: deque[bytearray] = deque()
        self._skip = 0  # bytes of the first piece that are consumed
        self._files: deque[_Part] = deque()
        self._tail: deque[bytearray] = deque()
        self._memory = 0
        self._is_busy = False  # a transfer is under way
        self._writing = 0  # pieces of the tail that are being written
        self._closed = False
        self.error: OSError | None = None  # the file cannot be read back
        self.size = 0

    @property
    def is_behind(self) -> bool:
        """Whether so much waits for the disk that the tunnel must wait, too."""
        return bool(self._files) and self._memory > self._budget.memory_share + _MAX_WAITING

    def append(self, data: memoryview) -> None:
        """Keep a copy of `data`: in memory if there is room, else on disk if possible."""
        self.size += len(data)
        is_full = self._memory >= self._budget.memory_share + _SLACK
        if not self._files and is_full and self._may_spill(len(data)):
            self._files.append(_Part())
        self._keep(self._tail if self._files else self._head, data)
        self._transfer()

    def peek(self) -> memoryview:
        """Return the first bytes, as many as are in one piece.

        Empty if there are none in memory: none at all, or none until `on_change`. Raises `OSError`
        if the file could not be read back.
        """
        if self.error is not None:
            raise self.error
        return memoryview(self._head[0])[self._skip :] if self._head else memoryview(b"")

    def consume(self, count: int) -> None:
        """Drop the first `count` bytes of what `peek` returned."""
        self.size -= count
        self._skip += count
        if self._skip == len(self._head[0]):
            self._release(self._head.popleft())
            self._skip = 0
            self._transfer()

    def close(self) -> None:
        """Drop everything. Idempotent."""
        self._closed = True
        self._on_change = _do_nothing  # a reference cycle
        for piece in (*self._head, *self._tail):
            self._release(piece)
        self._head.clear()
        self._tail.clear()
        self.size = 0
        while self._files:
            self._drop_first()

    def _keep(self, pieces: deque[bytearray], data: memoryview) -> None:
        """Copy into the last piece if that is not exposed, else into a new one."""
        joins = bool(pieces) and len(pieces[-1]) + len(data) <= _PIECE
        if joins and not self._is_exposed(pieces):
            pieces[-1].extend(data)
            self._account(len(data))
        else:
            pieces.append(bytearray(data))
            self._account(len(data) + _PIECE_OVERHEAD)

    def _is_exposed(self, pieces: deque[bytearray]) -> bool:
        """Return whether the last piece may be in use outside, so that it cannot grow."""
        return len(pieces) <= (1 if pieces is self._head else self._writing)

    def _account(self, size: int) -> None:
        self._memory += size
        self._budget.memory += size

    def _release(self, piece: bytearray) -> None:
        self._account(-len(piece) - _PIECE_OVERHEAD)

    def _may_spill(self, size: int) -> bool:
        if self._budget.disk_left < size:
            self._budget.disk_full = True
        return not self._budget.disk_full

    # ----------------------------------------------------------------------------- The disk

    def _transfer(self) -> None:
        """Start what is due next: to read what is next, or to write what waits for that."""
        if self._is_busy or self._closed or self.error is not None:
            return
        while len(self._files) > 1 and self._files[0].is_read:
            self._drop_first()
        if not self._files:
            return
        first = self._files[0]
        if not self._head and not first.is_read:
            self._is_busy = True
            first.file.read(first.read, min(_BATCH, first.written - first.read), self._loaded)
        elif not self._head:
            # The reader has caught up: nothing is left to be written.
            self._head, self._tail = self._tail, self._head
            self._drop_first()
        elif self._tail and not self._budget.disk_full:
            self._write()

    def _write(self) -> None:
        batch: list[bytearray] = []
        size = 0
        for piece in self._tail:
            if batch and size + len(piece) > _BATCH:
                break
            batch.append(piece)
            size += len(piece)
        if not self._may_spill(size):
            return
        if self._files[-1].written >= self._budget.file_bytes:
            self._files.append(_Part())
        last = self._files[-1]
        self._budget.disk += size
        last.reserved += size
        self._is_busy = True
        self._writing = len(batch)
        last.file.write(last.written, batch, lambda error: self._stored(last, batch, size, error))

    def _stored(
        self, part: _Part, batch: list[bytearray], size: int, error: OSError | None
    ) -> None:
        self._is_busy = False
        self._writing = 0
        if self._closed:
            return
        if error is None:
            part.written += size
            for _ in batch:
                self._release(self._tail.popleft())
        else:  # the disk is full: a part of a piece does not count
            self._budget.disk_full = True
            self._budget.disk -= size
            part.reserved -= size
        self._changed()

    def _loaded(self, data: bytes, error: OSError | None) -> None:
        self._is_busy = False
        if self._closed:
            return
        if error is not None:
            self.error = error
        else:
            self._files[0].read += len(data)
            self._head.append(bytearray(data))
            self._account(len(data) + _PIECE_OVERHEAD)
        self._changed()

    def _changed(self) -> None:
        self._transfer()
        self._on_change()

    def _drop_first(self) -> None:
        part = self._files.popleft()
        part.file.close()
        self._budget.disk -= part.reserved
        if part.reserved:
            self._budget.disk_full = False
