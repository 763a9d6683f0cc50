"""The upgrade, server side: requests, and responses as recorded from real servers."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.recording_receivers import chunk_sizes, chunked, codec_settings
from tests.protocol.recordings import CHANNELS, SPDY, WEBSOCKET
from tests.protocol.status_responses import encode_status_response
from tests.protocol.test_upgrade import ERRORS
from tui_forward.errors import ProtocolError
from tui_forward.protocol import upgrade_server
from tui_forward.protocol.upgrade import MAX_HEAD_BYTES

BEARER = "base64url.bearer.authorization.k8s.io."


def body_of(raw: bytes) -> str:
    return raw.partition(b"\r\n\r\n")[2].decode()


def test_switching_protocols_match_recordings() -> None:
    assert upgrade_server.spdy_switching_protocols() == SPDY[0].head("server")
    for recordings, protocol in (
        (WEBSOCKET, "SPDY/3.1+portforward.k8s.io"),
        (CHANNELS, "v4.channel.k8s.io"),
    ):
        request = upgrade_server.RequestReader().receive_data(recordings[0].head("client"))
        assert request is not None
        key = request.header("Sec-WebSocket-Key")
        assert upgrade_server.websocket_switching_protocols(key, protocol) == recordings[0].head(
            "server"
        )


def test_unsupported_protocol_matches_recordings() -> None:
    recorded = ERRORS["unknown stream protocol"]
    raw = upgrade_server.unsupported_protocol_response(["nope.k8s.io"], ["portforward.k8s.io"])
    assert raw.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert b"X-Accepted-Stream-Protocol-Versions: portforward.k8s.io\r\n" in raw
    assert body_of(raw) == recorded["body"]


@pytest.mark.parametrize("case", ["no such pod", "bad ports", "bad token", "no upgrade headers"])
def test_status_bodies_match_recordings(case: str) -> None:
    recorded = json.loads(ERRORS[case]["body"])
    raw = encode_status_response(
        recorded["code"],
        recorded["message"],
        reason=recorded["reason"],
        details=recorded.get("details"),
    )
    assert body_of(raw) == ERRORS[case]["body"]
    assert b"Content-Type: application/json\r\n" in raw


def test_repeated_headers_and_lists() -> None:
    headers = [("x-stream-protocol-version", "a, b"), ("X-Stream-Protocol-Version", "c,,")]
    offered = upgrade_server.header_values(headers, "X-Stream-Protocol-Version")
    assert offered == ["a", "b", "c"]
    assert upgrade_server.negotiate(offered, ["c", "b"]) == "b"
    assert upgrade_server.negotiate(offered, ["d"]) is None


def test_upgrade_detection_is_case_insensitive() -> None:
    headers = [("connection", "keep-alive, UPGRADE"), ("UPGRADE", "Spdy/3.1")]
    assert upgrade_server.is_upgrade(headers)
    assert upgrade_server.is_spdy_upgrade(headers)
    assert not upgrade_server.is_websocket_upgrade(headers)
    assert not upgrade_server.is_spdy_upgrade([("Upgrade", "SPDY/3.1")])


@pytest.mark.parametrize(
    ("protocol", "intercepted"),
    [
        ("SPDY/3.1+portforward.k8s.io", True),
        ("SPDY/3.1+anything.k8s.io", True),
        ("SPDY/3.1+portforward.example", False),
        ("v4.channel.k8s.io", False),
    ],
)
def test_tunnel_protocols(protocol: str, intercepted: bool) -> None:
    assert upgrade_server.is_tunnel_protocol(protocol) is intercepted


@pytest.mark.parametrize(
    ("offered", "expected"),
    [
        (["a"], (None, ["a"])),
        ([BEARER + "dG9rZW4", "a"], ("token", ["a"])),
        ([BEARER + "dG9rZW4"], ("token", [])),
        ([BEARER + "_w", "a"], ("", ["a"])),
        ([BEARER + "x", "a"], ("", ["a"])),
    ],
)
def test_bearer_subprotocol(offered: list[str], expected: tuple[str | None, list[str]]) -> None:
    assert upgrade_server.split_bearer_protocol(offered) == expected


@pytest.mark.parametrize(
    ("version", "key", "valid"),
    [
        ("13", "dGhlIHNhbXBsZSBub25jZQ==", True),
        ("8", "dGhlIHNhbXBsZSBub25jZQ==", False),
        ("13", "dGhl", False),
        ("13", "!!!", False),
        ("13", "ä", False),
        ("13", "", False),
    ],
)
def test_websocket_keys(version: str, key: str, valid: bool) -> None:
    headers = [("Sec-WebSocket-Version", version), ("Sec-WebSocket-Key", key)]
    assert upgrade_server.websocket_key_is_valid(headers) is valid


def test_case_of_header_names_is_kept() -> None:
    reader = upgrade_server.RequestReader()
    request = reader.receive_data(b"GET /x?a=b HTTP/1.1\r\nHost: h\r\nX-ODD-Case: 1\r\n\r\n")
    assert request is not None
    assert request.headers == [("Host", "h"), ("X-ODD-Case", "1")]
    assert request.target == "/x?a=b"
    assert request.header("x-odd-case") == "1"
    assert request.header("missing") == ""


@given(chunk_sizes, st.binary(max_size=40))
@codec_settings
def test_leftover_in_any_chunking(sizes: list[int], rest: bytes) -> None:
    head = SPDY[0].head("client")
    reader = upgrade_server.RequestReader()
    request = None
    received = b""
    for chunk in chunked(head + rest, sizes):
        if request is None:
            request = reader.receive_data(chunk)
            received = reader.leftover
        else:
            received += chunk
    assert request is not None
    assert received == rest


def test_endless_head_is_refused() -> None:
    reader = upgrade_server.RequestReader()
    assert reader.receive_data(b"GET / HTTP/1.1\r\nX: " + b"x" * (MAX_HEAD_BYTES - 100)) is None
    with pytest.raises(ProtocolError, match="not HTTP"):
        reader.receive_data(b"x" * 1000)


@given(st.binary(max_size=200))
@codec_settings
def test_garbage_raises_only_documented_errors(garbage: bytes) -> None:
    reader = upgrade_server.RequestReader()
    assert reader.receive_data(b"") is None
    with contextlib.suppress(ProtocolError):
        reader.receive_data(garbage + b"\r\n\r\n")


def test_messages_do_not_quote_long_input() -> None:
    with pytest.raises(ProtocolError) as caught:
        upgrade_server.RequestReader().receive_data(b"x" * 10_000 + b"\r\n\r\n")
    assert len(str(caught.value)) < 300
