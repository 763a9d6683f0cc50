"""Identity of processes, which their number alone is not: numbers are used again.

A process is known by its number, its start time, and the place where both mean something: one
boot of one machine, one process namespace and one user. The home folder may be shared by several
machines and containers.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from pathlib import Path

import msgspec

_PROC = Path("/proc")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# Fields of proc_pid_stat(5), counted from the state, which follows the name in parentheses.
_STATE, _START_TIME = 0, 19


class ProcessIdentity(msgspec.Struct, frozen=True):
    """One process of this place."""

    pid: int
    started: str  # when; comparable with the same process only

    @property
    def is_running(self) -> bool:
        """Whether it is still this process, and has not exited."""
        return identify_process(self.pid) == self


def identify_process(pid: int) -> ProcessIdentity | None:
    """Return the identity of a process; None if it has exited, or cannot be seen."""
    started = _start_time_linux(pid) if sys.platform == "linux" else _start_time(pid)
    return ProcessIdentity(pid, started) if started else None


def _start_time_linux(pid: int) -> str:
    try:
        status = (_PROC / str(pid) / "stat").read_bytes()
    except OSError:
        return ""
    fields = status.rpartition(b")")[2].split()
    if len(fields) <= _START_TIME or fields[_STATE] in (b"Z", b"X"):
        return ""
    return fields[_START_TIME].decode("ascii", "replace")


def _start_time(pid: int) -> str:
    import psutil

    try:
        process = psutil.Process(pid)
        return "" if process.status() == psutil.STATUS_ZOMBIE else str(process.create_time())
    except (psutil.Error, ValueError):
        return ""


def place_id() -> str:
    """Return a name for where process numbers and paths are the same as here.

    Another one after a reboot, on another machine, in a container, and for another user.
    """
    parts = [_boot_id(), str(os.getuid())]
    for namespace in ("pid", "mnt"):
        with contextlib.suppress(OSError):
            parts.append(str((_PROC / "self" / "ns" / namespace).readlink()))
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _boot_id() -> str:
    if sys.platform == "darwin":
        import ctypes

        buffer = ctypes.create_string_buffer(64)
        size = ctypes.c_size_t(len(buffer))
        name = b"kern.bootsessionuuid"
        ctypes.CDLL(None).sysctlbyname(name, buffer, ctypes.byref(size), None, 0)
        return buffer.value.decode("ascii", "replace") or os.uname().nodename
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return os.uname().nodename
