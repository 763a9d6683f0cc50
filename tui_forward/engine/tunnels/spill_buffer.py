"""Bytes that a local reader has not taken yet: a little in memory, more on disk if needed.

Disk is for one case only. Connections that share a tunnel share its one TCP stream, which
has no flow control per connection: to continue reading for the others, the data of a slow
reader must be put somewhere. Since the protocol cannot make the pod pause one connection, the
alternatives are to let all connections wait, or to end the slow one.
"""

from __future__ import annotations

import errno
import io
import os
import tempfile
from collections import deque
from pathlib import Path

from tui_forward.engine.limits import KIB, Limits

_PIECE = 64 * KIB
_MIN_SHARE = 64 * KIB
# A tunnel that is paused at the bound still delivers the rest of its present chunk; that
# much is not worth a file.
_SLACK = 256 * KIB


class BufferBudget:
    """Room for the buffered data of one forward, in memory and on disk."""

    __slots__ = ("_limits", "disk", "disk_full", "memory", "replay")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.memory = 0  # bytes in memory now
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


class SpillBuffer:
    """First in, first out, accounted for in `budget`. Not for use after `close`."""

    def __init__(self, budget: BufferBudget) -> None:
        self._budget = budget
        # In this order: what is in memory, then the file, then what the disk had no room for.
        # Invariant: without a file the tail is empty.
        self._head: deque[memoryview] = deque()
        self._file: io.FileIO | None = None
        self._tail: deque[memoryview] = deque()
        self._memory = 0
        self._disk_read = 0
        self._disk_written = 0
        self.size = 0

    def append(self, data: memoryview) -> None:
        """Keep a copy of `data`: in memory if there is room, else on disk if possible."""
        self.size += len(data)
        if self._file is None:
            has_room = self._memory < self._budget.memory_share + _SLACK
            if has_room or not self._spill(data):
                self._head.append(self._copy(data))
        elif self._tail or not self._spill(data):
            self._tail.append(self._copy(data))

    def peek(self) -> memoryview:
        """Return the first bytes, as many as are in one piece; empty if there are none.

        Raises `OSError` if the file cannot be read back.
        """
        if not self._head and self._file is not None:
            self._load_piece(self._file)
        return self._head[0] if self._head else memoryview(b"")

    def consume(self, count: int) -> None:
        """Drop the first `count` bytes of what `peek` returned."""
        head = self._head[0]
        if count == len(head):
            self._head.popleft()
        else:
            self._head[0] = head[count:]
        self._memory -= count
        self._budget.memory -= count
        self.size -= count

    def close(self) -> None:
        """Drop everything. Idempotent."""
        self._head.clear()
        self._tail.clear()
        self._budget.memory -= self._memory
        self._memory = 0
        self.size = 0
        self._drop_file()

    def _copy(self, data: memoryview) -> memoryview:
        self._memory += len(data)
        self._budget.memory += len(data)
        return memoryview(bytes(data))

    def _spill(self, data: memoryview) -> bool:
        if self._budget.disk_left < len(data):
            self._budget.disk_full = True
            return False
        try:
            if self._file is None:
                self._file = _open_scratch_file()
            self._file.seek(self._disk_written)
            written = self._file.write(data)
        except OSError:
            written = 0
        if written < len(data):  # the disk is full: a part of a piece does not count
            self._budget.disk_full = True
            if not self._disk_written:
                self._drop_file()
            return False
        self._disk_written += written
        self._budget.disk += written
        return True

    def _load_piece(self, file: io.FileIO) -> None:
        count = min(_PIECE, self._disk_written - self._disk_read)
        file.seek(self._disk_read)
        data = file.read(count)
        if len(data) != count:
            raise OSError(errno.EIO, "the scratch file is shorter than it was")
        self._disk_read += count
        self._head.append(self._copy(memoryview(data)))
        if self._disk_read == self._disk_written:
            self._drop_file()
            self._head, self._tail = self._head + self._tail, deque()

    def _drop_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
            self._budget.disk -= self._disk_written
            if self._disk_written:
                self._budget.disk_full = False
            self._disk_read = self._disk_written = 0


def _open_scratch_file() -> io.FileIO:
    """Open a file without a name. `/tmp` may be in memory, which would defeat the purpose."""
    disk = Path("/var/tmp")
    folder = disk if disk.is_dir() and os.access(disk, os.W_OK) else None
    # The caller closes it.
    file: io.FileIO = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
    return file
