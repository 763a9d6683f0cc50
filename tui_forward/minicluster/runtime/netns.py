"""Network namespaces of Linux: make one, look at it, open a socket inside.

A namespace lives as long as somebody holds a file descriptor of it or a process runs in it;
nothing is mounted anywhere, so nothing can be left behind. `setns` changes the calling thread
only. Everything here is synchronous and leaves the thread where it was, even on failure: that
is why an event loop may use it between two awaits.
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
    """Whether this process can make network namespaces; tries it."""
    if sys.platform != "linux":
        return False
    try:
        os.close(create())
    except OSError:
        return False
    return True


def create() -> int:
    """Make a namespace with its loopback interface up; gives a descriptor that holds it.

    Raises:
        OSError: Missing privileges, or the system has no namespaces.
    """
    home = os.open(_SELF, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_libc().unshare(_CLONE_NEWNET))
        try:
            loopback_up()
            return os.open(_SELF, os.O_RDONLY | os.O_CLOEXEC)
        finally:
            _setns(home)
    finally:
        os.close(home)


def enter(namespace: int) -> None:
    """Move the calling thread into a namespace for good.

    Raises:
        OSError: Missing privileges.
    """
    _setns(namespace)


class NamespaceSwitcher:
    """A way into other namespaces and back, for one thread.

    Opening a socket in another namespace takes two system calls more than here, about
    10 µs.
    """

    def __init__(self) -> None:
        self._home = os.open(_SELF, os.O_RDONLY | os.O_CLOEXEC)

    @contextlib.contextmanager
    def inside(self, namespace: int) -> Iterator[None]:
        """Run the body inside; it must not await.

        Raises:
            OSError: The namespace could not be entered.
        """
        _setns(namespace)
        try:
            yield
        finally:
            _setns(self._home)

    def close(self) -> None:
        """Forget the way home."""
        os.close(self._home)


def loopback_up() -> None:
    """Switch the loopback interface of the thread's namespace on."""
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
