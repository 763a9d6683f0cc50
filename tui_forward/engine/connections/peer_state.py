"""Whether the program at the other end of a local connection has let go of it.

TCP does not tell "I send no more" from "I am gone": both are a FIN. Where both ends are on
this machine, the kernel knows: it is asked for the client's own socket. Linux answers such a
question within microseconds (sock_diag(7)); elsewhere nobody is asked, and `has_left` says None.
"""

from __future__ import annotations

import atexit
import errno
import socket
import struct
import sys

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLMSG_ERROR = 2
_NLM_F_REQUEST = 1
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
# struct inet_diag_req_v2: family, protocol, extensions, padding, states, then the socket's id:
# ports, addresses (network order), interface, and a cookie that says "any".
_REQUEST = struct.Struct("=BBBBI2s2s16s16sIII")
_ANY_STATE = _ANY_COOKIE = 0xFFFFFFFF
# Behind the header of an answer, struct inet_diag_msg: the inode is its last field.
_INODE_AT = _HEADER.size + 68
_ANSWER_BYTES = 4096

_door: socket.socket | None = None
_closed_door = sys.platform != "linux"


def is_closed_by_peer(sock: socket.socket) -> bool | None:
    """Whether the other end was closed, not only shut down for sending.

    Does not block.

    Args:
        sock: Our end of a TCP connection.

    Returns:
        None where this cannot be known: the other end is on another machine, or the system
        does not tell.
    """
    if _closed_door or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    try:
        theirs, ours = sock.getpeername(), sock.getsockname()
    except OSError as error:
        return True if error.errno == errno.ENOTCONN else None
    if not theirs[0].startswith("127.") and theirs[0] != "::1":
        return None
    inode = _inode_of(sock.family, theirs[:2], ours[:2])
    return None if inode is None else not inode


def _inode_of(family: int, near: tuple[str, int], far: tuple[str, int]) -> int | None:
    """The inode of the socket `near` → `far`; 0 if no program has it; None if nobody tells."""
    global _door, _closed_door  # one for the process, as there is one kernel
    try:
        if _door is None:
            # 16 is AF_NETLINK, which not every platform's `socket` knows.
            _door = socket.socket(16, socket.SOCK_RAW, _NETLINK_SOCK_DIAG)
            _door.setblocking(False)
            atexit.register(_door.close)
        _door.send(_question(family, near, far))
        answer = _door.recv(_ANSWER_BYTES)
    except OSError:
        # A sandbox without netlink, say. It will not be there next time either.
        _closed_door = True
        if _door is not None:
            _door.close()
            _door = None
        return None
    kind = _HEADER.unpack_from(answer)[1]
    if kind == _NLMSG_ERROR:
        (code,) = struct.unpack_from("=i", answer, _HEADER.size)
        return 0 if code == -errno.ENOENT else None
    if kind != _SOCK_DIAG_BY_FAMILY or len(answer) < _INODE_AT + 4:
        return None
    (inode,) = struct.unpack_from("=I", answer, _INODE_AT)
    return int(inode)


def _question(family: int, near: tuple[str, int], far: tuple[str, int]) -> bytes:
    socket_family = socket.AddressFamily(family)
    request = _REQUEST.pack(
        *(family, socket.IPPROTO_TCP, 0, 0, _ANY_STATE),
        *(near[1].to_bytes(2, "big"), far[1].to_bytes(2, "big")),
        *(socket.inet_pton(socket_family, near[0]), socket.inet_pton(socket_family, far[0])),
        *(0, _ANY_COOKIE, _ANY_COOKIE),
    )
    length = _HEADER.size + len(request)
    return _HEADER.pack(length, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 0, 0) + request
