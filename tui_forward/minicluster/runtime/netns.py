"""Network namespaces of Linux: create one, open a socket in it.

A namespace exists as long as a file descriptor of it is open or a process runs in it; nothing is
mounted, so nothing is left behind. `setns` changes only the calling thread. All functions but
`enter` are synchronous and restore the thread's namespace, even on failure, so an event loop can
call them between two awaits.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import sys
from collections.abc import Iterator

_CLONE_NEWNET = 0x40000000
_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1
_SELF = "/proc/thread-self/ns/net"


def is_supported() -> bool:
    """Return whether this process can create network namespaces, by creating one."""
    if sys.platform != "linux":
        return False
    try:
        os.close(create())
    except OSError:
        return False
    return True


def create() -> int:
    """Create a namespace with its loopback interface up; return a descriptor that keeps it.

    Raises `OSError`: missing privileges, or the system has no namespaces.
    """
    home = os.open(_SELF, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_libc().unshare(_CLONE_NEWNET))
        try:
            enable_loopback()
            return os.open(_SELF, os.O_RDONLY | os.O_CLOEXEC)
        finally:
            _setns(home)
    finally:
        os.close(home)


def enter(namespace: int) -> None:
    """Move the calling thread into a namespace permanently.

    Raises `OSError`: missing privileges.
    """
    _setns(namespace)


class NamespaceSwitcher:
    """Switches one thread into other namespaces and back.

    Opening a socket in another namespace costs two more system calls, about 10 µs.
    """

    def __init__(self) -> None:
        self._home = os.open(_SELF, os.O_RDONLY | os.O_CLOEXEC)

    @contextlib.contextmanager
    def inside(self, namespace: int) -> Iterator[None]:
        """Run the body inside a namespace; it must not await.

        Raises `OSError`: the namespace cannot be entered.
        """
        _setns(namespace)
        try:
            yield
        finally:
            _setns(self._home)

    def close(self) -> None:
        """Close the descriptor of the thread's own namespace."""
        os.close(self._home)


def enable_loopback() -> None:
    """Enable the loopback interface of the thread's namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(control, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


def _setns(namespace: int) -> None:
    _check(_libc().setns(namespace, _CLONE_NEWNET))


_loaded: ctypes.CDLL | None = None


def _libc() -> ctypes.CDLL:
    global _loaded
    if _loaded is None:
        _loaded = ctypes.CDLL(None, use_errno=True)
    return _loaded


def _check(result: int) -> None:
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
