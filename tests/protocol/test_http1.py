from __future__ import annotations

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tui_forward.protocol.http1 import (
    MAX_HEAD_BYTES,
    AnswerMonitor,
    RequestHead,
    RequestParser,
    encode_response,
    parse_plain_head,
    split_absolute_form,
    split_authority,
)

GET = b"GET /a HTTP/1.1\r\nHost: web\r\n\r\n"
POST = b"POST /b HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"PUT /c HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n"
)


def parse(parser: RequestParser, data: bytes) -> list[RequestHead | bytes]:
    parser.receive_data(data)
    found: list[RequestHead | bytes] = []
    while (event := parser.next_event()) is not None:
        found.append(event if isinstance(event, RequestHead) else bytes(event))
    return found


def parse_one(data: bytes) -> RequestHead:
    (head,) = parse(RequestParser(), data)
    assert isinstance(head, RequestHead)
    return head


@given(st.lists(st.sampled_from([GET, POST, CHUNKED])), st.lists(st.integers(1, 60)))
def test_requests_in_any_chunking(requests: list[bytes], sizes: list[int]) -> None:
    """Heads, encoded again, and parts of bodies are what was sent."""
    data = b"".join(requests)
    parser, found = RequestParser(), b""
    for size in [*sizes, len(data)]:
        for event in parse(parser, data[:size]):
            found += event.encode() if isinstance(event, RequestHead) else event
        data = data[size:]
    assert parser.error is None
    assert found == b"".join(requests)
    assert parser.is_between_requests


@given(st.lists(st.binary(max_size=60), max_size=10), st.sampled_from([b"", GET, CHUNKED[:-7]]))
def test_garbage_never_raises(chunks: list[bytes], before: bytes) -> None:
    parser = RequestParser()
    for chunk in [before, *chunks]:
        parse(parser, chunk)
    if parser.error is not None:
        assert 400 <= parser.error_status < 600


@given(st.binary(max_size=120))
def test_garbage_in_a_head(data: bytes) -> None:
    parser = RequestParser()
    for event in parse(parser, b"GET / HTTP/1.1\r\nHost: web\r\n" + data + b"\r\n\r\n"):
        if isinstance(event, RequestHead):
            again = parse_one(event.encode().partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
            assert again == event


# Heads in plain form: h11 is the judge ----------------------------------------------------

CURL = b"GET / HTTP/1.1\r\nHost: web:80\r\nUser-Agent: curl/8.1\r\nAccept: */*\r\n\r\n"
CHROMIUM = (
    b"POST /a?b=c HTTP/1.1\r\nHost: web.shop.localhost:1080\r\nConnection: keep-alive\r\n"
    b"Content-Length: 2\r\nCache-Control: max-age=0\r\n"
    b'sec-ch-ua: "Chromium";v="140", "Not=A?Brand";v="24"\r\nsec-ch-ua-mobile: ?0\r\n'
    b"Origin: http://web.shop.localhost:1080\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)\r\n"
    b"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    b"Sec-Fetch-Site: none\r\nAccept-Language: en-US,en;q=0.9\r\nCookie: a=b; c=d\r\n\r\n"
)
WEBSOCKET = (
    b"GET /ws HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
CONNECT = b"CONNECT web.shop:443 HTTP/1.1\r\nHost: web.shop:443\r\n\r\n"
PLAIN = (GET, CURL, CHROMIUM, WEBSOCKET, CONNECT, POST.removesuffix(b"hello"))

# What parsers of HTTP have disagreed about.
pieces = st.one_of(
    st.sampled_from([b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b": ", b",", b"+", b"0", b"9" * 19]),
    st.sampled_from([b"\0", b"\x0b", b"\x7f", b"\x80", b"\xa0", b"GET", b"HTTP/1.0", b"HTTP/1.1"]),
    st.sampled_from([b"Host: a\r\n", b"host: b\r\n", b"Transfer-Encoding: chunked\r\n"]),
    st.sampled_from([b"Content-Length: 5\r\n", b"content-length: 5, 5\r\n"]),
    st.binary(max_size=3),
)


@st.composite
def changed_heads(draw: st.DrawFn) -> bytes:
    head = bytearray(draw(st.sampled_from(PLAIN)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(head)))
        head[at : at + draw(st.integers(0, 3))] = draw(pieces)
    return bytes(head)


@given(changed_heads())
@example(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
@example(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n")
@example(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: \xb2\r\n\r\n")
def test_a_plain_head_is_what_h11_reads(data: bytes) -> None:
    plain = parse_plain_head(data)
    if plain is None:
        return
    head, length = plain
    parser = h11.Connection(h11.SERVER)
    parser.receive_data(data)
    event = parser.next_event()
    assert isinstance(event, h11.Request)
    assert head.method.encode() == event.method
    assert head.target.encode() == event.target
    assert head.version.encode() == event.http_version
    assert list(head.headers) == event.headers.raw_items()
    fields = dict(event.headers)
    assert length == int(fields.get(b"content-length", b"0"))
    assert b"transfer-encoding" not in fields
    assert parser.trailing_data[0] == b""
    assert head.encode() == data


@pytest.mark.parametrize("data", PLAIN)
def test_heads_of_common_clients_are_plain(data: bytes) -> None:
    assert parse_plain_head(data) is not None


@pytest.mark.parametrize(
    "data",
    [
        CHUNKED.partition(b"\r\n\r\n")[0] + b"\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHOST: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost:a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a \r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\nB: c\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1" + b"0" * 18 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nA: \xc3\xa9\r\n\r\n",
    ],
)
def test_other_heads_are_left_to_h11(data: bytes) -> None:
    assert parse_plain_head(data) is None


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: -5\r\n",
        b"Content-Length: +5\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Host: other\r\n",
        b"A: b\r\n : c\r\n",
        b"A : b\r\n",
        b"A: b\rB: c\r\n",
        b"A: b\0\r\n",
    ],
)
def test_what_two_readers_could_read_differently_is_refused(fields: bytes) -> None:
    parser = RequestParser()
    head = b"POST / HTTP/1.1\r\nHost: web\r\n" + fields + b"\r\n"
    found = [one for one in parse(parser, head) if isinstance(one, RequestHead)]
    # A line that continues the one before is joined to it.
    if found:
        assert b"\r\n " not in found[0].encode()
        assert fields.startswith(b"A: b\r\n ")
    else:
        assert parser.error is not None


def test_nothing_is_parsed_after_an_error() -> None:
    parser = RequestParser()
    assert parse(parser, b"NO\r\n\r\n" + GET) == []
    assert parse(parser, GET) == []


def test_a_long_head_is_refused() -> None:
    parser = RequestParser()
    assert parse(parser, b"GET / HTTP/1.1\r\nA: " + b"x" * (MAX_HEAD_BYTES + 9)) == []
    assert parser.error_status == 431


def test_data_behind_a_head_can_be_taken() -> None:
    parser = RequestParser()
    parser.receive_data(b"CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\n\r\n\x16\x03\x01")
    head = parser.next_event()
    assert isinstance(head, RequestHead)
    assert head.method == "CONNECT"
    assert parser.take_unparsed() == b"\x16\x03\x01"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("http://web.shop/a?b=c#d", ("http", "web.shop", "/a?b=c")),
        ("http://web.shop", ("http", "web.shop", "/")),
        ("HTTP://web.shop:81?q", ("http", "web.shop:81", "/?q")),
        ("http://a@web/x", ("http", "a@web", "/x")),
        ("/a", None),
        ("*", None),
        ("web:80", None),
    ],
)
def test_absolute_form(target: str, expected: tuple[str, str, str] | None) -> None:
    assert split_absolute_form(target) == expected


@pytest.mark.parametrize(
    ("authority", "expected"),
    [
        ("web.shop", ("web.shop", None)),
        ("web.shop:8080", ("web.shop", 8080)),
        ("[fd00::1]:80", ("fd00::1", 80)),
        ("[::1]", ("::1", None)),
        ("user@web", None),
        ("web:0", None),
        ("web:70000", None),
        ("web:", None),
        ("", None),
        ("we b", None),
    ],
)
def test_authority(authority: str, expected: tuple[str, int | None] | None) -> None:
    assert split_authority(authority) == expected


def test_absolute_form_becomes_origin_form_on_a_connection_of_its_own() -> None:
    head = parse_one(
        b"GET http://web.shop/a HTTP/1.1\r\nhost: other\r\nProxy-Connection: keep-alive\r\n"
        b"Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nProxy-Authorization: Basic x\r\n"
        b"Accept: */*\r\n\r\n"
    )
    assert head.to_origin_form("web.shop", "/a").encode() == (
        b"GET /a HTTP/1.1\r\nHost: web.shop\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    )


def test_an_upgrade_keeps_its_connection() -> None:
    head = parse_one(
        b"GET http://web.shop/a HTTP/1.1\r\nHost: web.shop\r\nConnection: Upgrade\r\n"
        b"Upgrade: websocket\r\n\r\n"
    )
    assert head.wants_upgrade
    assert head.to_origin_form("web.shop", "/a").encode() == (
        b"GET /a HTTP/1.1\r\nHost: web.shop\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )


def test_response() -> None:
    response = encode_response(403, b"no", headers=((b"X-A", b"b"),))
    assert response.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert b"\r\nContent-Length: 2\r\n" in response
    assert response.endswith(b"\r\nConnection: close\r\n\r\nno")
    assert encode_response(403, b"no", reads_body=False).endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("answer", "is_switched"),
    [
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x00", True),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Switching\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\n\r\n", False),
        (b"HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\nHTTP/1.0 404 No\r\n", False),
        (b"220 smtp ready\r\n", False),
    ],
)
def test_answers_to_an_upgrade(answer: bytes, is_switched: bool) -> None:
    for size in (1, 7, len(answer)):
        monitor, found = AnswerMonitor(), None
        for at in range(0, len(answer), size):
            found = monitor.receive_data(answer[at : at + size])
            if found is not None:
                break
        assert found is is_switched


@given(st.binary(max_size=100))
def test_garbage_as_an_answer(data: bytes) -> None:
    monitor = AnswerMonitor()
    for at in range(len(data)):
        if monitor.receive_data(data[at : at + 1]) is not None:
            break
