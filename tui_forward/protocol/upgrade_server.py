"""The HTTP/1.1 upgrade, server side, without I/O: requests and responses.

For servers of port-forward requests: API server, kubelet, streaming server. Statuses and
texts are those of `httpstream`, `wsstream` and the tunneling proxy of the API server.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, TypeAlias

import h11

from tui_forward.errors import ProtocolError
from tui_forward.protocol.buffers import Buffer
from tui_forward.protocol.upgrade import (
    MAX_HEAD_BYTES,
    SPDY_UPGRADE,
    STREAM_PROTOCOL,
    STREAM_PROTOCOL_HEADER,
    accept_key,
)

ACCEPTED_PROTOCOLS_HEADER: Final = "X-Accepted-Stream-Protocol-Versions"

_BEARER_PREFIX: Final = "base64url.bearer.authorization.k8s.io."

RawHeaders: TypeAlias = list[tuple[str, str]]
"""Header fields in the order and case received; repeated ones stay separate."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """The head of a request."""

    method: str
    target: str  # path and query as sent
    headers: RawHeaders

    def values(self, name: str) -> list[str]:
        """Return every value of a header; comma-separated lists are split."""
        return header_values(self.headers, name)

    def header(self, name: str) -> str:
        """Return the first field of that name, unsplit, or an empty string."""
        key_name = name.lower()
        return next((value for key, value in self.headers if key.lower() == key_name), "")


class RequestReader:
    """Reader of one request without a body."""

    def __init__(self) -> None:
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        self.leftover = b""  # bytes after the head; valid once a request was returned

    def receive_data(self, chunk: Buffer) -> HttpRequest | None:
        """Process bytes; return the request once its head is complete, or raise ProtocolError."""
        if not len(chunk):  # to h11 an empty chunk is the end of the connection
            return None
        try:
            self._http.receive_data(bytes(chunk))
            event = self._http.next_event()
        except h11.RemoteProtocolError as error:
            raise ProtocolError(f"request is not HTTP: {str(error)[:200]}") from error
        if not isinstance(event, h11.Request):
            return None
        self.leftover = self._http.trailing_data[0]
        return HttpRequest(
            method=event.method.decode("ascii"),
            target=event.target.decode("latin-1"),
            headers=[
                (name.decode("latin-1"), value.decode("latin-1"))
                for name, value in event.headers.raw_items()
            ],
        )


def header_values(headers: RawHeaders, name: str) -> list[str]:
    """Return every value of a header; comma-separated lists are split."""
    key_name = name.lower()
    return [
        part.strip()
        for key, value in headers
        if key.lower() == key_name
        for part in value.split(",")
        if part.strip()
    ]


def _has_word(headers: RawHeaders, name: str, word: str) -> bool:
    key_name = name.lower()
    return any(key.lower() == key_name and word in value.lower() for key, value in headers)


def is_upgrade(headers: RawHeaders) -> bool:
    """Return whether this is an upgrade (else the API server: `Upgrade request required`)."""
    return _has_word(headers, "connection", "upgrade")


def is_spdy_upgrade(headers: RawHeaders) -> bool:
    """Return whether the request is for SPDY/3.1."""
    return is_upgrade(headers) and _has_word(headers, "upgrade", SPDY_UPGRADE.lower())


def is_websocket_upgrade(headers: RawHeaders) -> bool:
    """Return whether the request is for a WebSocket."""
    return is_upgrade(headers) and _has_word(headers, "upgrade", "websocket")


def websocket_key_is_valid(headers: RawHeaders) -> bool:
    """Return whether version is 13 and the key has 16 bytes (RFC 6455, 4.2.1)."""
    if header_values(headers, "sec-websocket-version") != ["13"]:
        return False
    keys = header_values(headers, "sec-websocket-key")
    try:
        return len(keys) == 1 and len(base64.b64decode(keys[0], validate=True)) == 16
    except (binascii.Error, ValueError):
        return False


def negotiate(offered: Iterable[str], supported: Iterable[str]) -> str | None:
    """Return the first offered protocol that the server supports."""
    known = frozenset(supported)
    return next((protocol for protocol in offered if protocol in known), None)


def is_tunnel_protocol(protocol: str) -> bool:
    """Return whether the tunneling proxy of the API server handles the protocol."""
    return protocol.startswith(SPDY_UPGRADE + "+") and protocol.endswith(".k8s.io")


def split_bearer_protocol(offered: Iterable[str]) -> tuple[str | None, list[str]]:
    """Return the bearer token of the offered subprotocols or None, and the others.

    As in the API server, a token requires at least one other subprotocol.
    """
    token: str | None = None
    others: list[str] = []
    for protocol in offered:
        if protocol.startswith(_BEARER_PREFIX):
            encoded = protocol.removeprefix(_BEARER_PREFIX)
            try:
                raw = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
                token = raw.decode()
            except (binascii.Error, UnicodeDecodeError):
                token = ""
        else:
            others.append(protocol)
    return token, others


def switching_protocols(headers: Iterable[tuple[str, str]]) -> bytes:
    """Encode a 101 with these headers."""
    return _head(101, headers)


def spdy_switching_protocols(protocol: str = STREAM_PROTOCOL) -> bytes:
    """Encode the 101 of a streaming server."""
    return switching_protocols(
        [("Connection", "Upgrade"), ("Upgrade", SPDY_UPGRADE), (STREAM_PROTOCOL_HEADER, protocol)]
    )


def websocket_switching_protocols(key: str, protocol: str | None) -> bytes:
    """Encode the 101 of a WebSocket server, without extensions."""
    headers = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", accept_key(key)),
    ]
    if protocol is not None:
        headers.append(("Sec-WebSocket-Protocol", protocol))
    return switching_protocols(headers)


def encode_response(
    status: int,
    body: str | bytes = b"",
    *,
    content_type: str = "text/plain; charset=utf-8",
    headers: Iterable[tuple[str, str]] = (),
) -> bytes:
    """Encode a complete response that ends the connection."""
    raw = body.encode() if isinstance(body, str) else body
    fields = [*headers]
    if raw:
        fields.append(("Content-Type", content_type))
    fields += [("Content-Length", str(len(raw))), ("Connection", "close")]
    return _head(status, fields) + raw


def unsupported_protocol_response(offered: Iterable[str], supported: Iterable[str]) -> bytes:
    """Encode the 403 of a SPDY streaming server without a common protocol."""
    accepted = list(supported)
    text = (
        f"unable to upgrade: unable to negotiate protocol: client supports "
        f"[{' '.join(offered)}], server accepts [{' '.join(accepted)}]\n"
    )
    headers = [(ACCEPTED_PROTOCOLS_HEADER, protocol) for protocol in accepted]
    return encode_response(403, text, headers=headers)


def _head(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
