"""Networks of pods: network namespaces of Linux, or addresses of the loopback interface.

A namespace exists as long as a file descriptor of it is open or a process runs in it; nothing is
mounted, so nothing is left behind. `setns` changes only the calling thread. All functions but
`enter` are synchronous and restore the thread's namespace, even on failure, so an event loop can
call them between two awaits. Missing privileges are `OSError`s.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import functools
import os
import socket
import struct
import sys
from collections.abc import Iterator

from tui_forward.minicluster.runtime.shim_protocol import NetworkKind, Sandbox

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
    """Create a namespace with an active loopback; return a descriptor that keeps it."""
    home = os.open(_SELF, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_libc().unshare(_CLONE_NEWNET))
        try:
            enable_loopback()
            return os.open(_SELF, os.O_RDONLY | os.O_CLOEXEC)
        finally:
            enter(home)
    finally:
        os.close(home)


class NamespaceSwitcher:
    """Switches one thread into other namespaces and back, for two system calls (about 10 µs)."""

    def __init__(self) -> None:
        self._home = os.open(_SELF, os.O_RDONLY | os.O_CLOEXEC)

    @contextlib.contextmanager
    def inside(self, namespace: int) -> Iterator[None]:
        """Run the body inside a namespace; it must not await."""
        enter(namespace)
        try:
            yield
        finally:
            enter(self._home)

    def close(self) -> None:
        """Close the descriptor of the thread's own namespace."""
        os.close(self._home)


def enable_loopback() -> None:
    """Enable the loopback interface of the thread's namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(control, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


def enter(namespace: int) -> None:
    """Move the calling thread into a namespace."""
    _check(_libc().setns(namespace, _CLONE_NEWNET))


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> None:
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


class SandboxNetworks:
    """Creates networks of sandboxes and holds their namespaces open."""

    def __init__(self) -> None:
        if is_supported():
            self._default = NetworkKind.NETNS
        elif sys.platform == "linux":
            self._default = NetworkKind.LOOPBACK
        else:
            self._default = NetworkKind.MAPPED
        self._namespaces: dict[str, int] = {}
        self._last_host = 0

    def choose(self, kind: NetworkKind | None) -> NetworkKind:
        """Return the requested kind of network, by default the best available."""
        return kind or self._default

    def attach(self, sandbox: Sandbox, label: str) -> None:
        """Create the network of a sandbox and enter its address."""
        if sandbox.network is NetworkKind.NETNS:
            descriptor = create()
            self._namespaces[sandbox.id] = descriptor
            sandbox.netns = f"/proc/{os.getpid()}/fd/{descriptor}"
            sandbox.label = label
        elif sandbox.network is NetworkKind.LOOPBACK:
            # 127.64.0.0/10: unlikely to be in use by hand.
            self._last_host += 1
            number = self._last_host
            sandbox.host = f"127.{64 + (number >> 16) % 64}.{number >> 8 & 255}.{number & 255}"

    def detach(self, sandbox: Sandbox) -> None:
        """Release the network of a sandbox."""
        descriptor = self._namespaces.pop(sandbox.id, None)
        if descriptor is not None:
            os.close(descriptor)

    def namespace(self, sandbox_id: str) -> int | None:
        """Return the descriptor of a sandbox's namespace, None without one."""
        return self._namespaces.get(sandbox_id)

    def close(self) -> None:
        """Release all networks."""
        for descriptor in self._namespaces.values():
            os.close(descriptor)
        self._namespaces.clear()
