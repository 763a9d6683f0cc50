"""HTTP/1.1 requests as a proxy reads them, without I/O; over h11.

A head in the plain form that nearly all clients write is read here, as h11 reads it, in a fraction
of the time (`parse_plain_head`); h11 judges all others, and reads bodies in chunks.

What h11 does not give: requests in absolute form, the bytes of a body as they were sent, several
requests of one connection without their answers, and a head that is encoded again with changes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Final

import h11

from tui_forward.errors import ProtocolError
from tui_forward.protocol.buffers import Buffer

MAX_HEAD_BYTES: Final = 64 * 1024

# Between a client and a proxy only (RFC 9110, section 7.6.1).
_HOP_BY_HOP: Final = frozenset({b"connection", b"keep-alive", b"proxy-connection"})
_OF_PROXY: Final = frozenset({b"proxy-authorization", b"proxy-connection"})
_AUTHORITY: Final = re.compile(
    r"(\[[0-9A-Fa-f:.]+(?:%25[\w.~-]+)?\]|[^\s:/?#@\[\]]+)(?::(\d{1,5}))?"
)
# A head in plain form: single spaces, no value that is empty or has other than visible ASCII
# characters with blanks between them. The classes that follow each other have no byte in common,
# so that a match takes linear time.
_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_VALUE: Final = rb"[\x21-\x7e]+(?:[ \t]+[\x21-\x7e]+)*"
_PLAIN_HEAD: Final = re.compile(
    rb"(%b) ([\x21-\x7e]+) HTTP/1\.1\r\n((?:%b: %b\r\n)+)\r\n" % (_TOKEN, _TOKEN, _VALUE)
)
_PLAIN_FIELD: Final = re.compile(rb"([^:]+): ([^\r]+)\r\n")  # of a head that has matched
_PLAIN_LENGTH: Final = re.compile(rb"[0-9]{1,18}")
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class RequestHead:
    """Request line and header fields of one request."""

    method: str
    target: str  # as sent: "/path", "http://host/path", "host:port" or "*"
    version: str  # "1.1"
    headers: Headers  # names as written
    fields: dict[bytes, bytes] = field(init=False, compare=False, repr=False)
    """Header fields by their names in lower case; several values of one are joined by commas."""

    def __post_init__(self) -> None:
        """Index the header fields."""
        fields = {name.lower(): value for name, value in self.headers}
        if len(fields) < len(self.headers):
            fields = {}
            for name, value in self.headers:
                key = name.lower()
                fields[key] = fields[key] + b", " + value if key in fields else value
        object.__setattr__(self, "fields", fields)

    def header(self, name: bytes) -> str:
        """Return a header field, named in lower case; empty if there is none."""
        return self.fields.get(name, b"").decode("latin-1")

    @property
    def connection_options(self) -> frozenset[str]:
        """The options of `Connection`, in lower case."""
        return frozenset(one.strip().lower() for one in self.header(b"connection").split(","))

    @property
    def wants_upgrade(self) -> bool:
        """Whether another protocol may follow."""
        return bool(self.fields.get(b"upgrade")) and "upgrade" in self.connection_options

    def encode(self) -> bytes:
        """Return the head as it is sent."""
        lines = [f"{self.method} {self.target} HTTP/{self.version}".encode("latin-1")]
        lines += [name + b": " + value for name, value in self.headers]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def without(self, names: Iterable[bytes]) -> RequestHead:
        """Return the head without some header fields, named in lower case."""
        dropped = frozenset(names)
        kept = tuple(pair for pair in self.headers if pair[0].lower() not in dropped)
        return replace(self, headers=kept)

    def with_values(self, values: Mapping[bytes, bytes]) -> RequestHead:
        """Return the head with other values of the header fields that it has; names in lower case.

        A field that it does not have is not added.
        """
        headers = tuple((name, values.get(name.lower(), old)) for name, old in self.headers)
        return replace(self, headers=headers)

    def to_origin_form(self, authority: str, path: str) -> RequestHead:
        """Return a request in absolute form as its server gets it, on a connection of its own.

        The server closes that connection after its answer, unless the request is for an upgrade.
        """
        host = (b"Host", authority.encode("latin-1"))
        if self.wants_upgrade:
            head = self.without(_OF_PROXY | {b"host"})
            return replace(head, target=path, headers=(host, *head.headers))
        named = {one.encode("latin-1") for one in self.connection_options}
        head = self.without(_HOP_BY_HOP | _OF_PROXY | named | {b"host"})
        headers = (host, *head.headers, (b"Connection", b"close"))
        return replace(head, target=path, headers=headers)


def split_absolute_form(target: str) -> tuple[str, str, str] | None:
    """Return scheme, authority and path of a target in absolute form; None in another one."""
    scheme = _SCHEME.match(target)
    if scheme is None:
        return None
    rest = target[scheme.end() :]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    path = rest[len(authority) :].partition("#")[0]
    return scheme[1].lower(), authority, path if path.startswith("/") else f"/{path}"


def split_authority(authority: str) -> tuple[str, int | None] | None:
    """Return host, without brackets, and port, None if not written; None if it is neither."""
    found = _AUTHORITY.fullmatch(authority)
    if found is None:
        return None
    host, port = found[1].strip("[]"), found[2]
    if port is None:
        return host, None
    return (host, int(port)) if 1 <= int(port) <= 65535 else None


def encode_response(
    status: int, body: bytes, *, content_type: str = "text/plain; charset=utf-8",
    headers: Headers = (), reads_body: bool = True,
) -> bytes:  # fmt: skip
    """Return a whole response, after which the connection is closed."""
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}".encode(),
        b"Content-Type: " + content_type.encode(),
        b"Content-Length: " + str(len(body)).encode(),
        b"Cache-Control: no-store",
        b"X-Content-Type-Options: nosniff",
        *(name + b": " + value for name, value in headers),
        b"Connection: close",
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + (body if reads_body else b"")


def parse_plain_head(data: bytes) -> tuple[RequestHead, int] | None:
    """Return a whole head in plain form, and the length of the body; None for h11 to judge it.

    Without exactly one Host and at most one length, a head is not plain.
    """
    found = _PLAIN_HEAD.fullmatch(data)
    if found is None:
        return None
    method, target, lines = found.groups()
    headers = tuple(_PLAIN_FIELD.findall(lines))
    head = RequestHead(method.decode("ascii"), target.decode("ascii"), "1.1", headers)
    fields = head.fields
    if b"host" not in fields or b"transfer-encoding" in fields:
        return None
    if len(fields) < len(headers):
        names = [name.lower() for name, _ in headers]
        if names.count(b"host") > 1 or names.count(b"content-length") > 1:
            return None
    if b"content-length" not in fields:
        return head, 0
    length = fields[b"content-length"]
    return (head, int(length)) if _PLAIN_LENGTH.fullmatch(length) else None


class RequestParser:
    """Splits what one client sends into the heads and the bodies of its requests.

    After bad input there is an `error`, and nothing more is parsed: the connection is to be
    closed. `error_status` is that of the response to it.
    """

    def __init__(self) -> None:
        self._data = memoryview(b"")
        self._head = bytearray()
        self._left = 0  # of a body with a length
        self._chunked: h11.Connection | None = None  # reads a body in chunks
        self.error: ProtocolError | None = None
        self.error_status = 400

    @property
    def is_between_requests(self) -> bool:
        """Whether the latest request is complete, and nothing of the next one was parsed."""
        return not (self._head or self._left or self._chunked)

    def receive_data(self, data: Buffer) -> None:
        """Take data; `next_event` has returned None, or is not called any more."""
        self._data = memoryview(bytes(self._data) + data) if len(self._data) else memoryview(data)

    def take_unparsed(self) -> bytes:
        """Return the data that was not parsed yet, once."""
        data, self._data = bytes(self._data), memoryview(b"")
        return data

    def next_event(self) -> RequestHead | memoryview | None:
        """Return the next head, or the next part of a body as it was sent; None without more data.

        A part is a view of the data.
        """
        while len(self._data) and self.error is None:
            if self._left:
                part, self._data = self._data[: self._left], self._data[self._left :]
                self._left -= len(part)
                return part
            if self._chunked is not None:
                part, self._data = self._split_chunks(self._data)
                return part
            head, self._data = self._split_head(self._data)
            if head is not None:
                return head
        return None

    def _split_head(self, data: memoryview) -> tuple[RequestHead | None, memoryview]:
        before = len(self._head)
        if not before and data[0] in b"\r\n":
            # Empty lines before a request are ignored (RFC 9112, section 2.2).
            data = data[len(data) - len(bytes(data).lstrip(b"\r\n")) :]
        self._head += data[: MAX_HEAD_BYTES + 1 - before]
        end = self._head.find(b"\r\n\r\n", max(0, before - 3))
        if end < 0:
            if len(self._head) > MAX_HEAD_BYTES:
                self._fail("the head of the request is too long", 431)
            return None, data[len(data) :]
        end += 4
        rest = data[end - before :]
        head_bytes = bytes(self._head[:end])
        self._head.clear()
        plain = parse_plain_head(head_bytes)
        if plain is not None:
            head, self._left = plain
            return head, rest
        return self._parse_with_h11(head_bytes), rest

    def _parse_with_h11(self, head_bytes: bytes) -> RequestHead | None:
        """Return a head; None if it is refused."""
        parser = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        try:
            parser.receive_data(head_bytes)
            event = parser.next_event()
        except h11.RemoteProtocolError as error:
            self._fail(str(error), error.error_status_hint)
            return None
        if not isinstance(event, h11.Request):
            self._fail("the request is not HTTP/1.1", 400)
            return None
        fields = dict(event.headers)  # with names in lower case; h11 refuses different lengths
        if b"transfer-encoding" in fields:
            if b"content-length" in fields or event.http_version < b"1.1":
                self._fail("a request with two lengths", 400)
                return None
            self._chunked = parser
        else:
            self._left = int(fields.get(b"content-length", b"0"))
        return RequestHead(
            event.method.decode("ascii"),
            event.target.decode("latin-1"),
            event.http_version.decode("ascii"),
            tuple(event.headers.raw_items()),
        )

    def _split_chunks(self, data: memoryview) -> tuple[memoryview, memoryview]:
        parser = self._chunked
        assert parser is not None
        try:
            parser.receive_data(bytes(data))
            while True:
                event = parser.next_event()
                if event is h11.NEED_DATA:
                    return data, data[len(data) :]
                if isinstance(event, h11.EndOfMessage):
                    left, _ = parser.trailing_data
                    self._chunked = None
                    at = len(data) - len(left)
                    return data[:at], data[at:]
        except h11.RemoteProtocolError as error:
            self._fail(str(error), error.error_status_hint)
            return data[:0], data[len(data) :]

    def _fail(self, text: str, status: int) -> None:
        self.error = ProtocolError(text)
        self.error_status = status


class AnswerMonitor:
    """Reads the beginning of the answer to an upgrade request."""

    def __init__(self) -> None:
        self._head = bytearray()

    def receive_data(self, data: Buffer) -> bool | None:
        """Return whether the protocol is switched; None while that is not known yet."""
        self._head += data
        while True:
            status = re.match(rb"HTTP/1\.[01] (\d{3})", self._head)
            if status is None:
                # Shorter than a status line, or no HTTP.
                return None if len(self._head) < 12 and b"\n" not in self._head else False
            if status[1] == b"101":
                return True
            if not status[1].startswith(b"1"):
                return False
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return None if len(self._head) < MAX_HEAD_BYTES else False
            del self._head[: end + 4]
