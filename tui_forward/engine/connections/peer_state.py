"""State and owner of the client's own socket, where both ends are on this machine.

A client that has closed its socket and one that only sends no more both send a FIN; and a
connection does not tell whose it is. Linux answers both within microseconds (sock_diag(7)); on
other systems the functions return None.
"""

from __future__ import annotations

import atexit
import errno
import socket
import struct
import sys
from functools import lru_cache

_AF_NETLINK = 16  # not in `socket` on every platform
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLMSG_ERROR = 2
_NLM_F_REQUEST = 1
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
# The header, and struct inet_diag_req_v2: family, protocol, extensions, padding, states, then the
# socket's id: ports, addresses (network order), interface, and a cookie that matches any.
_REQUEST = struct.Struct("=IHHIIBBBBI2s2s16s16sIII")
_ANY_STATE = _ANY_COOKIE = 0xFFFFFFFF
# After the header of an answer, struct inet_diag_msg, which ends with user id and inode.
_OWNER = struct.Struct("=II")
_OWNER_AT = _HEADER.size + 64
_ANSWER_BYTES = 4096

_netlink: socket.socket | None = None
_is_unavailable = sys.platform != "linux"


def is_closed_by_peer(sock: socket.socket) -> bool | None:
    """Return whether the other end of a TCP connection was closed, not only shut down for sending.

    Does not block. None where this cannot be determined: the other end is on another machine, or
    the system does not report it.
    """
    if _is_unavailable or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    try:
        peer, local = sock.getpeername(), sock.getsockname()
    except OSError as error:
        return True if error.errno == errno.ENOTCONN else None
    if not _is_on_this_machine(peer[0]):
        return None
    owner = _find_owner(peer[:2], local[:2])
    return None if owner is None else not owner[1]


def find_user(peer: tuple[str, int], local: tuple[str, int]) -> int | None:
    """Return the id of the user who has the peer's end of a TCP connection; -1 if it is closed.

    Does not block. None where this cannot be determined, as for `is_closed_by_peer`.
    """
    if _is_unavailable or not _is_on_this_machine(peer[0]):
        return None
    owner = _find_owner(peer, local)
    if owner is None:
        return None
    user, inode = owner
    return user if inode else -1


def _is_on_this_machine(host: str) -> bool:
    return host.startswith("127.") or host == "::1"


def _find_owner(source: tuple[str, int], target: tuple[str, int]) -> tuple[int, int] | None:
    """Return user id and inode of a socket; None if the kernel does not answer.

    The inode is 0 if no process has the socket.
    """
    global _netlink, _is_unavailable  # one for the process, as there is one kernel
    try:
        if _netlink is None:
            _netlink = socket.socket(_AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG)
            _netlink.setblocking(False)
            atexit.register(_netlink.close)
        _netlink.send(_encode_request(source, target))
        answer = _netlink.recv(_ANSWER_BYTES)
    except OSError:
        # For example a sandbox without netlink, which will not be there next time either.
        _is_unavailable = True
        if _netlink is not None:
            _netlink.close()
            _netlink = None
        return None
    kind = _HEADER.unpack_from(answer)[1]
    if kind == _NLMSG_ERROR:
        (code,) = struct.unpack_from("=i", answer, _HEADER.size)
        return (0, 0) if code == -errno.ENOENT else None
    if kind != _SOCK_DIAG_BY_FAMILY or len(answer) < _OWNER_AT + _OWNER.size:
        return None
    user, inode = _OWNER.unpack_from(answer, _OWNER_AT)
    return int(user), int(inode)


def _encode_request(source: tuple[str, int], target: tuple[str, int]) -> bytes:
    return _REQUEST.pack(
        *(_REQUEST.size, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 0, 0),
        *(_family_of(target[0]), socket.IPPROTO_TCP, 0, 0, _ANY_STATE),
        *(source[1].to_bytes(2, "big"), target[1].to_bytes(2, "big")),
        *(_pack_address(source[0]), _pack_address(target[0])),
        *(0, _ANY_COOKIE, _ANY_COOKIE),
    )


def _family_of(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


@lru_cache(maxsize=64)
def _pack_address(host: str) -> bytes:
    return socket.inet_pton(_family_of(host), host)
