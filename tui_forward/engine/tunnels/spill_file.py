"""File without a name for the data of one slow reader, used in a thread of its own.

One thread for all of them: a disk that hangs delays slow readers only, and takes no thread from
others. Not `/tmp`, which may be in memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
import logging
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from tui_forward.common import paths
from tui_forward.common.private_files import ensure_private_dirs

_log = logging.getLogger(__name__)
_THREAD: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spill")


class SpillFile:
    """Opened by the first write. At most one transfer at a time, and `close` at any time.

    Results are passed to callbacks on the event loop.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._file: io.FileIO | None = None  # used by the thread alone

    def write(
        self, at: int, pieces: Sequence[bytearray], on_done: Callable[[OSError | None], None]
    ) -> None:
        """Write all pieces at a position, or fail."""

        def write() -> None:
            error = None
            try:
                if self._file is None:
                    self._file = open_spill_file()
                self._file.seek(at)
                for piece in pieces:
                    if self._file.write(piece) != len(piece):
                        raise OSError(errno.ENOSPC, "no space left on the disk")
            except OSError as failed:
                _log.info("cannot keep data of a slow client on disk: %s", failed)
                error = failed
            self._report(lambda: on_done(error))

        _THREAD.submit(write)

    def read(self, at: int, count: int, on_done: Callable[[bytes, OSError | None], None]) -> None:
        """Read bytes that were written before."""

        def read() -> None:
            data, error = b"", None
            try:
                assert self._file is not None
                self._file.seek(at)
                data = self._file.read(count)
                if len(data) != count:
                    raise OSError(errno.EIO, "the scratch file is shorter than it was")
            except OSError as failed:
                data, error = b"", failed
            self._report(lambda: on_done(data, error))

        _THREAD.submit(read)

    def close(self) -> None:
        """Delete the file after the present transfer, whose callback is still called."""

        def close() -> None:
            if self._file is not None:
                self._file.close()
                self._file = None

        with contextlib.suppress(RuntimeError):  # the program ends, which deletes it as well
            _THREAD.submit(close)

    def _report(self, callback: Callable[[], None]) -> None:
        try:
            self._loop.call_soon_threadsafe(callback)
        except RuntimeError:  # the loop is closed, and everything with it
            return


def open_spill_file() -> io.FileIO:
    """Open a file without a name, in the user's cache folder. The caller closes it."""
    folder = paths.spill_dir()
    try:
        ensure_private_dirs(folder)
        file: io.FileIO = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
    except OSError:
        file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
    return file
