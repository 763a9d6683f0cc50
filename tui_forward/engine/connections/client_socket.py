"""Operations on a client's socket beyond plain reads and writes."""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import Final

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # struct linger: on, zero seconds
_MAX_VECTORS: Final = 512  # systems take at most 1024 buffers at a time
_DRAIN_SIZE: Final = 64 * 1024
_MAX_DRAIN_READS: Final = 16


def send_vectored(sock: socket.socket, pieces: list[memoryview]) -> int:
    """Send pieces, at least one and none empty; return how many bytes the system took."""
    if len(pieces) == 1:
        return sock.send(pieces[0])
    return sock.sendmsg(pieces[:_MAX_VECTORS])


def close_socket(sock: socket.socket, *, reset: bool) -> None:
    """Close a client's socket: by a reset, or by an end of file after all data."""
    with contextlib.suppress(OSError):
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        else:
            sock.shutdown(socket.SHUT_WR)
            # Unread bytes would turn the close into a reset, which can overtake what the
            # client has not read yet.
            for _ in range(_MAX_DRAIN_READS):
                if not sock.recv(_DRAIN_SIZE):
                    break
    sock.close()
