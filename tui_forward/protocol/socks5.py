"""SOCKS5, server side, without I/O: RFC 1928, and user name and password of RFC 1929.

Only CONNECT is served. Bad input of the client becomes `Socks5Server.error`, never an exception.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Final

from tui_forward.errors import ProtocolError

VERSION: Final = 5

_LOGIN_VERSION: Final = 1
_NO_LOGIN: Final = 0
_LOGIN: Final = 2
_NO_ACCEPTABLE_METHOD: Final = 0xFF
_CONNECT: Final = 1
_IPV4, _DOMAIN, _IPV6 = 1, 3, 4
_ADDRESS_SIZES: Final = {_IPV4: 4, _IPV6: 16}
_VISIBLE: Final = re.compile(rb"[\x21-\x7e]*")


class ReplyCode(IntEnum):
    """Replies to a request (RFC 1928, section 6)."""

    SUCCEEDED = 0
    GENERAL_FAILURE = 1
    NOT_ALLOWED = 2
    NETWORK_UNREACHABLE = 3
    HOST_UNREACHABLE = 4
    CONNECTION_REFUSED = 5
    TTL_EXPIRED = 6
    COMMAND_NOT_SUPPORTED = 7
    ADDRESS_TYPE_NOT_SUPPORTED = 8


@dataclass(frozen=True, slots=True)
class ConnectRequest:
    """Where a client wants to be connected."""

    host: str  # a name, or an IP address
    port: int


@cache
def encode_reply(code: ReplyCode) -> bytes:
    """Return the reply to a request; the bound address, which clients ignore, is 0.0.0.0:0."""
    return bytes((VERSION, code, 0, _IPV4, 0, 0, 0, 0, 0, 0))


class Socks5Server:
    """Negotiation with one client, up to its request.

    Without `check_login`, no user name is needed. After `request` is set, the client waits for
    `encode_reply`. After `error`, the connection is to be closed once `data_to_send` is sent.
    """

    def __init__(self, check_login: Callable[[bytes, bytes], bool] | None = None) -> None:
        self._check_login = check_login
        self._buffer = b""
        self._output = b""
        self._parse: Callable[[], bool] = self._parse_greeting
        self.request: ConnectRequest | None = None
        self.error: ProtocolError | None = None

    @property
    def trailing_data(self) -> bytes:
        """What the client has sent behind its request."""
        return self._buffer

    def receive_data(self, data: bytes) -> None:
        """Process what the client has sent."""
        self._buffer += data
        while self.request is None and self.error is None and self._parse():
            pass

    def data_to_send(self) -> bytes:
        """Return what is to be sent to the client, once."""
        data, self._output = self._output, b""
        return data

    # Each parser returns whether its message was complete, and consumes it then.

    def _parse_greeting(self) -> bool:
        buffer = self._buffer
        if buffer and buffer[0] != VERSION:
            return self._fail(f"SOCKS version {buffer[0]} instead of 5")
        if len(buffer) < 2 or len(buffer) < 2 + buffer[1]:
            return False
        end = 2 + buffer[1]
        methods, self._buffer = buffer[2:end], buffer[end:]
        wanted = _NO_LOGIN if self._check_login is None else _LOGIN
        if wanted not in methods:
            self._output += bytes((VERSION, _NO_ACCEPTABLE_METHOD))
            needed = "no login" if self._check_login is None else "a user name and a password"
            return self._fail(f"the client does not offer a connection with {needed}")
        self._output += bytes((VERSION, wanted))
        self._parse = self._parse_request if self._check_login is None else self._parse_login
        return True

    def _parse_login(self) -> bool:
        buffer = self._buffer
        if buffer and buffer[0] != _LOGIN_VERSION:
            return self._fail(f"login version {buffer[0]} instead of 1")
        if len(buffer) < 2 or len(buffer) < 3 + buffer[1]:
            return False
        end_of_name = 2 + buffer[1]
        end = end_of_name + 1 + buffer[end_of_name]
        if len(buffer) < end:
            return False
        name, password = buffer[2:end_of_name], buffer[end_of_name + 1 : end]
        self._buffer = buffer[end:]
        assert self._check_login is not None
        is_valid = self._check_login(name, password)
        self._output += bytes((_LOGIN_VERSION, 0 if is_valid else 1))
        if not is_valid:
            return self._fail("wrong user name or password")
        self._parse = self._parse_request
        return True

    def _parse_request(self) -> bool:
        buffer = self._buffer
        if buffer and buffer[0] != VERSION:
            return self._fail(f"SOCKS version {buffer[0]} instead of 5")
        if len(buffer) < 5:
            return False
        command, kind = buffer[1], buffer[3]
        size = 1 + buffer[4] if kind == _DOMAIN else _ADDRESS_SIZES.get(kind, 0)
        if not size:
            self._output += encode_reply(ReplyCode.ADDRESS_TYPE_NOT_SUPPORTED)
            return self._fail(f"unknown address type {kind}")
        end = 4 + size + 2
        if len(buffer) < end:
            return False
        address, port = buffer[4 : end - 2], int.from_bytes(buffer[end - 2 : end], "big")
        self._buffer = buffer[end:]
        if command != _CONNECT:
            self._output += encode_reply(ReplyCode.COMMAND_NOT_SUPPORTED)
            return self._fail(f"unsupported command {command}")
        host = _decode_name(address[1:]) if kind == _DOMAIN else str(ipaddress.ip_address(address))
        if not host or not port:
            self._output += encode_reply(ReplyCode.GENERAL_FAILURE)
            return self._fail("the request names no host or no port")
        self.request = ConnectRequest(host, port)
        return True

    def _fail(self, text: str) -> bool:
        self.error = ProtocolError(text)
        return False


def _decode_name(name: bytes) -> str:
    """Return a host name; empty if it has anything else than visible ASCII characters."""
    return name.decode("ascii") if _VISIBLE.fullmatch(name) else ""
