"""Descriptors of an engine that its parent keeps open across a kill of the engine.

The engine passes a copy of each descriptor over a stream socket (SCM_RIGHTS, see unix(7)) and
reports when it has closed one (`parent_link`). The next engine is a fork of the parent and so
inherits them.

Messages are lines: `+` (a descriptor is attached), `- KEY` (closed by the engine), `*` (all are
closed: another engine has them), `!` (the engine serves), `? N` (answered with `N`). What a
descriptor is follows from the descriptor itself, so that one that was lost on the way, because the
parent had too many, cannot be mistaken for another.
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import stat
from dataclasses import dataclass, field
from typing import Final

LOCK: Final = "lock"
SERVER: Final = "server"

# More forwards than that are not held: their ports refuse connections while no engine runs.
MAX_HELD: Final = 1024
# What the parent needs besides.
_OTHER_DESCRIPTORS = 32
READ_SIZE = 4096
_MAX_DESCRIPTORS_PER_READ = 16


def key_of(descriptor: int) -> str:
    """Return `LOCK`, `SERVER`, or "HOST PORT" of a listening socket; OSError if it is closed."""
    if not stat.S_ISSOCK(os.fstat(descriptor).st_mode):
        return LOCK
    with socket.socket(fileno=os.dup(descriptor)) as sock:
        if sock.family == socket.AF_UNIX:
            return SERVER
        return address_key(*sock.getsockname()[:2])


def address_key(host: str, port: int) -> str:
    """Return the key of a listening socket."""
    return f"{host} {port}"


@dataclass
class HeldDescriptors:
    """The parent's side: descriptors by key.

    Attributes:
        has_served: The current engine has reported that it serves.
    """

    by_key: dict[str, int] = field(default_factory=dict)
    has_served: bool = False
    _unread: bytes = b""

    def receive(self, link: socket.socket) -> bool:
        """Wait for messages of the engine and process them; return False when it has ended."""
        try:
            data, descriptors, _, _ = socket.recv_fds(link, READ_SIZE, _MAX_DESCRIPTORS_PER_READ)
        except OSError:
            data, descriptors = b"", []
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
            self._hold(descriptor)
        *lines, self._unread = (self._unread + data).split(b"\n")
        for line in lines:
            self._process(link, line.decode(errors="replace"))
        if not data:
            self._unread = b""
        return bool(data)

    def close_all(self) -> None:
        """Close all descriptors. Idempotent."""
        for key in list(self.by_key):
            self._close(key)

    def _process(self, link: socket.socket, line: str) -> None:
        match line[:1]:
            case "-":
                self._close(line[2:])
            case "*":
                self.close_all()
            case "!":
                self.has_served = True
            case "?":
                with contextlib.suppress(OSError):
                    link.sendall(f"{line[2:]}\n".encode())

    def _hold(self, descriptor: int) -> None:
        key = key_of(descriptor)
        self._close(key)
        if not self.by_key:
            _raise_file_limit()
        if len(self.by_key) < MAX_HELD:
            self.by_key[key] = descriptor
        else:
            os.close(descriptor)

    def _close(self, key: str) -> None:
        descriptor = self.by_key.pop(key, None)
        if descriptor is not None:
            os.close(descriptor)


def _raise_file_limit() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = MAX_HELD + _OTHER_DESCRIPTORS
    if hard != resource.RLIM_INFINITY:
        needed = min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < needed:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
