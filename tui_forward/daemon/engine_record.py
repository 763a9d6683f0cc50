"""Which process is the user's engine for a kubeconfig, and at which socket.

Clients find an engine by the path of its socket. This path depends on the environment, and may be
removed while the engine runs; until it is restored, its lock tells nothing either. So each engine
records itself in the user's state folder, too. The record counts as long as the process runs, so
that a crash leaves nothing to clean up.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from tui_forward.common import paths
from tui_forward.common.bounded_file import read_bounded
from tui_forward.common.private_files import ensure_private_dirs, open_private_file
from tui_forward.common.process_identity import ProcessIdentity, identify_process, place_id
from tui_forward.errors import TransportError

_log = logging.getLogger(__name__)

_SUFFIX = ".engine"
# Records are written in one call and all have this size, so that a reader sees the old or the new.
_SIZE = 1024
# Of machines and containers that share a home folder, and of former boots.
_MAX_RECORDS = 50
_LOCK_S = 1.0


class RunningEngine(msgspec.Struct, frozen=True):
    """An engine: its process, and its parent, which starts another one if it is killed."""

    socket: str
    processes: tuple[ProcessIdentity, ...]

    @property
    def pid(self) -> int:
        """The process to name to the user."""
        return self.processes[0].pid

    @property
    def is_running(self) -> bool:
        """Whether it runs, or its parent is about to start the next one."""
        return any(one.is_running for one in self.processes)


def record_file(socket: Path) -> Path:
    """Return the record of the engine for the kubeconfig that a socket belongs to."""
    return paths.sessions_dir() / f"{socket.stem}.{place_id()}{_SUFFIX}"


def find_running_engine(socket: Path) -> RunningEngine | None:
    """Return the running engine for the kubeconfig that a socket belongs to; None if none runs."""
    engine = _read(record_file(socket))
    return engine if engine is not None and engine.is_running else None


def running_engines() -> tuple[RunningEngine, ...]:
    """Return the running engines of this user, whatever their kubeconfig. Blocks."""
    try:
        files = sorted(paths.sessions_dir().glob(f"*.{place_id()}{_SUFFIX}"))
    except OSError:
        return ()
    found = (_read(file) for file in files)
    return tuple(one for one in found if one is not None and one.is_running)


def unreachable_error(engine: RunningEngine) -> TransportError:
    """Return the error about an engine that runs, but whose socket was removed or hidden."""
    folder = Path(engine.socket).parent
    return TransportError(
        f"the engine (process {engine.pid}) is running, but its socket {engine.socket} was "
        "removed or cannot be reached",
        hint=f"check that you can create {folder} and write in it, or end the engine with kill "
        f"{engine.pid}; its forwards are restored",
    )


class EngineRecord:
    """The record of the engine in this process; failures to write it are logged.

    With `has_parent`, the parent of this process starts the next engine if this one is killed.
    """

    def __init__(self, socket: Path, *, has_parent: bool) -> None:
        self._file = record_file(socket)
        pids = (os.getpid(), os.getppid()) if has_parent else (os.getpid(),)
        own = tuple(one for pid in pids if (one := identify_process(pid)) is not None)
        self._engine = RunningEngine(str(socket), own)

    def claim(self) -> RunningEngine | None:
        """Record this engine, unless another one runs: return that one."""
        with self._opened() as descriptor:
            if descriptor is None:
                return None
            other = _decode(os.pread(descriptor, _SIZE, 0))
            if other is not None and self._is_other(other):
                return other
            self._write(descriptor)
        self._remove_oldest()
        return None

    def replace(self) -> None:
        """Record this engine, which has replaced the other one."""
        with self._opened() as descriptor:
            if descriptor is not None:
                self._write(descriptor)

    def remove(self) -> None:
        """Remove the record, unless it is that of another engine. Idempotent."""
        if _read(self._file) == self._engine:
            with contextlib.suppress(OSError):
                self._file.unlink()

    def _is_other(self, engine: RunningEngine) -> bool:
        own = self._engine.processes
        return any(one not in own and one.is_running for one in engine.processes)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int | None]:
        """Yield the file, locked for this process; None if it cannot be created."""
        try:
            ensure_private_dirs(self._file.parent)
            descriptor = open_private_file(self._file, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            _log.info("cannot record the engine in %s: %s", self._file, error.strerror)
            yield None
            return
        try:
            _lock(descriptor)
            yield descriptor
        finally:
            os.close(descriptor)

    def _write(self, descriptor: int) -> None:
        try:
            os.pwrite(descriptor, msgspec.json.encode(self._engine).ljust(_SIZE), 0)
        except OSError as error:
            _log.info("cannot record the engine in %s: %s", self._file, error.strerror)

    def _remove_oldest(self) -> None:
        with contextlib.suppress(OSError):
            files = list(self._file.parent.glob(f"*{_SUFFIX}"))
            files.sort(key=lambda file: file.stat().st_mtime, reverse=True)
            for file in files[_MAX_RECORDS:]:
                file.unlink()


def _lock(descriptor: int) -> None:
    """Wait until no other engine changes a file; not for ever, nor where files have no locks."""
    deadline = time.monotonic() + _LOCK_S
    while time.monotonic() < deadline:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.01)
        except OSError:
            return
        else:
            return


def _read(file: Path) -> RunningEngine | None:
    try:
        return _decode(read_bounded(file, _SIZE))
    except OSError:
        return None


def _decode(data: bytes) -> RunningEngine | None:
    try:
        engine = msgspec.json.decode(data, type=RunningEngine)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return engine if engine.processes and Path(engine.socket).is_absolute() else None
