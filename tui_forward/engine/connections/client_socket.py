"""What the data path does to a client's socket beyond plain reads and writes."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from typing import Final

# `struct linger` is two ints; two shorts on Windows.
_RESET_ON_CLOSE: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
_CAN_GATHER: Final = hasattr(socket.socket, "sendmsg")  # not on Windows
_MOST_GATHERED: Final = 512  # systems take at most 1024 buffers at a time
_DRAIN_SIZE: Final = 64 * 1024
_MOST_DRAINED: Final = 16


def send_vectored(sock: socket.socket, pieces: list[memoryview]) -> int:
    """Send pieces as one, where the system can.

    Args:
        sock: Non-blocking.
        pieces: At least one, none empty.

    Returns:
        How many bytes the system took, perhaps fewer than all.

    Raises:
        OSError: As `socket.send`.
    """
    if len(pieces) == 1:
        return sock.send(pieces[0])
    if _CAN_GATHER:
        return sock.sendmsg(pieces[:_MOST_GATHERED])
    return sock.send(b"".join(pieces))


def close_socket(sock: socket.socket, *, reset: bool) -> None:
    """Close a client's socket for good.

    Args:
        sock: Non-blocking.
        reset: The client is to see a reset; else an end of file after all that was sent.
    """
    with contextlib.suppress(OSError):
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        else:
            sock.shutdown(socket.SHUT_WR)
            # Unread bytes would turn the close into a reset, which can overtake what the
            # client has not read yet.
            for _ in range(_MOST_DRAINED):
                if not sock.recv(_DRAIN_SIZE):
                    break
    sock.close()
