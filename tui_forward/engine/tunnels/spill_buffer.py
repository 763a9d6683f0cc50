"""Bytes that a local reader has not taken yet: a little in memory, more on disk if need be.

Disk is for one case only. Connections that share a tunnel share its one TCP stream, which
has no flow control per connection: to go on reading for the others, what comes for a slow
reader must be put somewhere. Since the protocol offers no way to make the pod pause one
connection, the alternatives are to let everybody wait, or to end the slow one.
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
_LEAST = 64 * KIB
# A tunnel that is paused at the bound still delivers the rest of its present chunk; that
# much is not worth a file.
_SLACK = 256 * KIB


class BufferBudget:
    """Room for the backlogs of one forward, in memory and on disk.

    Args:
        limits: `stream_buffer`, `forward_buffer` and `spill` apply.

    Attributes:
        memory: Bytes in memory now.
        disk: Bytes of disk in use now.
        replay: Bytes from clients kept to be sent again.
        disk_full: The disk had no room for a piece, however small the rest of it is.
    """

    __slots__ = ("_limits", "disk", "disk_full", "memory", "replay")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.memory = 0
        self.disk = 0
        self.disk_full = False
        self.replay = 0

    @property
    def memory_share(self) -> int:
        """Bytes that one backlog may keep in memory now."""
        if self.memory < self._limits.forward_buffer:
            return self._limits.stream_buffer
        return min(_LEAST, self._limits.stream_buffer)

    @property
    def disk_left(self) -> int:
        """Bytes of disk that are left; nothing, when it is less than a chunk."""
        left = self._limits.spill - self.disk
        return left if left >= _SLACK else 0

    def reserve_replay(self, size: int) -> bool:
        """Take room for bytes that may have to be sent again. False: there is none."""
        if self.replay + size > self._limits.forward_replay:
            return False
        self.replay += size
        return True

    def release_replay(self, size: int) -> None:
        """Give such room back."""
        self.replay -= size

    def max_backlog(self, *, shared: bool) -> int:
        """How long a backlog may grow before its tunnel must wait.

        Args:
            shared: Other connections would have to wait, too.
        """
        if shared and self.disk_left > 0 and not self.disk_full:
            return self.memory_share + self._limits.spill
        return self.memory_share


class SpillBuffer:
    """First in, first out. Not for use after `close`.

    Args:
        store: What it takes its room from.
    """

    __slots__ = (
        "_disk_read",
        "_disk_written",
        "_file",
        "_head",
        "_memory",
        "_store",
        "_tail",
        "size",
    )

    def __init__(self, store: BufferBudget) -> None:
        self._store = store
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
        """Keep a copy of `data`: in memory if there is room, else on disk if there is any."""
        self.size += len(data)
        if self._file is None:
            room = self._memory < self._store.memory_share + _SLACK
            if room or not self._spill(data):
                self._head.append(self._remember(data))
        elif self._tail or not self._spill(data):
            self._tail.append(self._remember(data))

    def peek(self) -> memoryview:
        """The first bytes, as many as are at hand; empty if there are none.

        Raises:
            OSError: The disk does not give back what it took.
        """
        if not self._head and self._file is not None:
            self._load_piece(self._file)
        return self._head[0] if self._head else memoryview(b"")

    def consume(self, count: int) -> None:
        """Forget the first `count` bytes of what `peek` returned."""
        head = self._head[0]
        if count == len(head):
            self._head.popleft()
        else:
            self._head[0] = head[count:]
        self._memory -= count
        self._store.memory -= count
        self.size -= count

    def close(self) -> None:
        """Forget everything. Idempotent."""
        self._head.clear()
        self._tail.clear()
        self._store.memory -= self._memory
        self._memory = 0
        self.size = 0
        self._drop_file()

    def _remember(self, data: memoryview) -> memoryview:
        self._memory += len(data)
        self._store.memory += len(data)
        return memoryview(bytes(data))

    def _spill(self, data: memoryview) -> bool:
        if self._store.disk_left < len(data):
            self._store.disk_full = True
            return False
        try:
            if self._file is None:
                self._file = _open_scratch()
            self._file.seek(self._disk_written)
            written = self._file.write(data)
        except OSError:
            written = 0
        if written < len(data):  # the disk is full: what was written of it does not count
            self._store.disk_full = True
            if not self._disk_written:
                self._drop_file()
            return False
        self._disk_written += written
        self._store.disk += written
        return True

    def _load_piece(self, file: io.FileIO) -> None:
        count = min(_PIECE, self._disk_written - self._disk_read)
        file.seek(self._disk_read)
        data = file.read(count)
        if len(data) != count:
            raise OSError(errno.EIO, "the scratch file is shorter than it was")
        self._disk_read += count
        self._head.append(self._remember(memoryview(data)))
        if self._disk_read == self._disk_written:
            self._drop_file()
            self._head, self._tail = self._head + self._tail, deque()

    def _drop_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
            self._store.disk -= self._disk_written
            if self._disk_written:
                self._store.disk_full = False
            self._disk_read = self._disk_written = 0


def _open_scratch() -> io.FileIO:
    """A file without a name. `/tmp` may be memory, which would defeat the purpose."""
    folder = Path("/var/tmp")
    where = folder if folder.is_dir() and os.access(folder, os.W_OK) else None
    file: io.FileIO = tempfile.TemporaryFile(dir=where, buffering=0)  # noqa: SIM115  # outlives us
    return file
