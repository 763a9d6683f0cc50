"""The upgrade, client side: requests, and every kind of response."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.recording_receivers import chunk_sizes, chunked, codec_settings
from tui_forward.errors import ProtocolError, TransportError, UpgradeError
from tui_forward.model import ReasonCode
from tui_forward.protocol.http_answer import read_answer
from tui_forward.protocol.upgrade import (
    CHANNEL_BASE64_PROTOCOL,
    MAX_BODY_BYTES,
    MAX_HEAD_BYTES,
    ClientUpgrade,
    UpgradeKind,
    UpgradeRejected,
    accept_key,
)
from tui_forward.protocol.upgrade_rejection import parse_rejection
from tui_forward.protocol.upgrade_server import (
    encode_response,
    spdy_switching_protocols,
    websocket_switching_protocols,
)

PATH = "/api/v1/namespaces/shop/pods/web/portforward"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ERRORS: dict[str, dict[str, Any]] = json.loads(
    (
        Path(__file__).parents[1] / "captures" / "api" / "portforward-handshake-errors.json"
    ).read_text()
)


def asked(kind: UpgradeKind = UpgradeKind.SPDY) -> ClientUpgrade:
    upgrade = ClientUpgrade(kind, PATH, authority="api:6443", ports=[80], websocket_key=KEY)
    upgrade.request()
    return upgrade


def feed(upgrade: ClientUpgrade, chunks: Iterable[bytes], *, eof: bool = False) -> None:
    for chunk in chunks:
        upgrade.receive_data(chunk)
    if eof:
        upgrade.receive_eof()


def endless(piece: bytes, taken: list[int]) -> Iterator[bytes]:
    """Repeat the same bytes forever and count how many were read."""
    while True:
        yield piece
        taken[0] += len(piece)


def test_spdy_request() -> None:
    upgrade = ClientUpgrade(
        UpgradeKind.SPDY,
        PATH,
        authority="api:6443",
        headers=[("User-Agent", "tui-forward/0"), ("Authorization", "Bearer t")],
    )
    assert upgrade.request().decode().split("\r\n") == [
        f"POST {PATH} HTTP/1.1",
        "Host: api:6443",
        "User-Agent: tui-forward/0",
        "Authorization: Bearer t",
        "Content-Length: 0",
        "Connection: Upgrade",
        "Upgrade: SPDY/3.1",
        "X-Stream-Protocol-Version: portforward.k8s.io",
        "",
        "",
    ]


@pytest.mark.parametrize(
    ("kind", "target", "protocol"),
    [
        (UpgradeKind.WEBSOCKET, PATH, "SPDY/3.1+portforward.k8s.io"),
        (UpgradeKind.CHANNELS, PATH + "?ports=80,8080", "v4.channel.k8s.io"),
    ],
)
def test_websocket_requests(kind: UpgradeKind, target: str, protocol: str) -> None:
    upgrade = ClientUpgrade(kind, PATH, authority="[::1]:6443", ports=[80, 8080], websocket_key=KEY)
    assert upgrade.request().decode().split("\r\n") == [
        f"GET {target} HTTP/1.1",
        "Host: [::1]:6443",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {KEY}",
        f"Sec-WebSocket-Protocol: {protocol}",
        "",
        "",
    ]


def test_repeated_headers() -> None:
    groups = [("Impersonate-Group", "devs"), ("Impersonate-Group", "ops")]
    request = ClientUpgrade(UpgradeKind.SPDY, PATH, authority="a", headers=groups).request()
    assert b"Impersonate-Group: devs\r\nImpersonate-Group: ops\r\n" in request


@pytest.mark.parametrize("protocol", [CHANNEL_BASE64_PROTOCOL, None])
def test_other_channel_protocols(protocol: str | None) -> None:
    upgrade = ClientUpgrade(
        UpgradeKind.CHANNELS,
        PATH,
        authority="a",
        ports=[80],
        channel_protocol=protocol,
        websocket_key=KEY,
    )
    assert (b"Sec-WebSocket-Protocol" in upgrade.request()) is (protocol is not None)
    upgrade.receive_data(websocket_switching_protocols(KEY, protocol) + b"rest")
    assert upgrade.leftover == b"rest"


def test_keys_are_random() -> None:
    requests = {
        ClientUpgrade(UpgradeKind.WEBSOCKET, PATH, authority="a").request() for _ in range(8)
    }
    assert len(requests) == 8


def test_known_accept() -> None:
    assert accept_key(KEY) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@pytest.mark.parametrize("header", ["Bearer a\nb", "Bearer a\r\nX: y", "Bearer a\0"])
def test_invalid_header_is_not_quoted(header: str) -> None:
    upgrade = ClientUpgrade(
        UpgradeKind.SPDY, PATH, authority="a", headers=[("Authorization", header)]
    )
    with pytest.raises(ProtocolError) as caught:
        upgrade.request()
    assert "Bearer" not in str(caught.value)
    assert caught.value.__suppress_context__


@given(chunk_sizes, st.binary(max_size=50), st.sampled_from(UpgradeKind))
@codec_settings
def test_switch_in_any_chunking(sizes: list[int], rest: bytes, kind: UpgradeKind) -> None:
    protocols = {
        UpgradeKind.WEBSOCKET: "SPDY/3.1+portforward.k8s.io",
        UpgradeKind.CHANNELS: "v4.channel.k8s.io",
    }
    switched = (
        spdy_switching_protocols()
        if kind is UpgradeKind.SPDY
        else websocket_switching_protocols(KEY, protocols[kind])
    )
    upgrade = asked(kind)
    feed(upgrade, chunked(switched + rest, sizes), eof=True)
    assert upgrade.done
    assert upgrade.leftover == rest


@pytest.mark.parametrize("case", ERRORS)
@pytest.mark.parametrize("size", [1, 100_000])
def test_recorded_refusals(case: str, size: int) -> None:
    recorded = ERRORS[case]
    body = recorded["body"].encode()
    head = f"HTTP/1.1 {recorded['status']} Whatever\r\n"
    for name, value in recorded["headers"].items():
        head += f"{name}: {value}\r\n"
    raw = head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body
    upgrade = asked()
    with pytest.raises(UpgradeRejected) as caught:
        feed(upgrade, chunked(raw, [size] * len(raw)))
    error = caught.value
    assert error.status == recorded["status"]
    answer = read_answer(error.status, recorded["headers"].items(), body, "Whatever")
    assert error.reason == parse_rejection(answer, pod="web")
    assert error.status_reason == answer.status_reason
    if body.startswith(b"{"):
        assert error.status_reason == json.loads(body)["reason"]
    assert not upgrade.done


def refusal(raw: bytes, *, eof: bool = True) -> UpgradeRejected:
    upgrade = asked()
    with pytest.raises(UpgradeRejected) as caught:
        feed(upgrade, [raw], eof=eof)
    return caught.value


def test_status_error_of_the_api_server_cannot_reach_kubelet() -> None:
    body = json.dumps({"kind": "Status", "message": "error dialing backend: no", "code": 500})
    error = refusal(encode_response(500, body, content_type="application/json"), eof=False)
    assert (error.code, error.status_reason) == (ReasonCode.KUBELET_UNREACHABLE, "")
    assert str(error) == "the API server cannot reach the node's kubelet: no"


def test_retry_after() -> None:
    error = refusal(encode_response(429, "busy", headers=[("Retry-After", "60")]))
    assert error.retry_after_s == 60.0
    assert refusal(encode_response(429, headers=[("Retry-After", "soon")])).retry_after_s is None


def test_body_ended_by_the_connection() -> None:
    error = refusal(b"HTTP/1.1 400 Bad Request\r\n\r\npod not found")
    assert (error.code, error.reason.detail) == (ReasonCode.POD_NOT_RUNNING, "pod not found")


def test_chunked_body() -> None:
    raw = b"HTTP/1.1 404 x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\npod\r\n4\r\n off\r\n0\r\n\r\n"
    assert refusal(raw, eof=False).reason.detail == "pod off"


def test_incomplete_or_malformed_body() -> None:
    assert refusal(b"HTTP/1.1 503 x\r\nContent-Length: 99\r\n\r\nsorry").status == 503
    raw = b"HTTP/1.1 503 x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nnot\r\nzzz\r\n"
    assert refusal(raw, eof=False).status == 503


@pytest.mark.parametrize(
    "body", [b"<html>Blocked</html>", b"{not json", b'{"kind":"Pod"}', b"[" * 9999]
)
def test_html_page_of_a_proxy(body: bytes) -> None:
    error = refusal(encode_response(502, body))
    assert error.status == 502
    assert len(error.reason.detail) <= 500


def test_deeply_nested_status() -> None:
    assert refusal(encode_response(500, b'{"a":' * 10_000)).status == 500


def test_status_with_fields_of_other_types() -> None:
    error = refusal(encode_response(500, b'{"kind":"Status","message":{},"reason":7}'))
    assert (error.status, error.status_reason) == (500, "")


def test_body_is_bounded() -> None:
    upgrade = asked()
    upgrade.receive_data(b"HTTP/1.1 500 x\r\nContent-Length: 99999999\r\n\r\n")
    taken = [0]
    with pytest.raises(UpgradeRejected):
        feed(upgrade, endless(b"x" * 1000, taken))
    assert taken[0] <= MAX_BODY_BYTES


@pytest.mark.parametrize("field", [b"a: b\r\n", b"x" * 1000, b" "])
def test_head_is_bounded(field: bytes) -> None:
    upgrade = asked()
    upgrade.receive_data(b"HTTP/1.1 101 Switching Protocols\r\n")
    taken = [0]
    with pytest.raises(ProtocolError):
        feed(upgrade, endless(field, taken))
    assert taken[0] <= MAX_HEAD_BYTES


def test_redirects_are_refusals() -> None:
    assert refusal(encode_response(302, headers=[("Location", "https://elsewhere/")])).status == 302


def test_interim_responses_are_skipped() -> None:
    upgrade = asked()
    upgrade.receive_data(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert not upgrade.done
    upgrade.receive_data(spdy_switching_protocols())
    assert upgrade.done


@pytest.mark.parametrize("echo", [b"", b"X-Stream-Protocol-Version: other.k8s.io\r\n"])
def test_another_protocol_is_refused_and_allows_fallback(echo: bytes) -> None:
    error = refusal(
        b"HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n" + echo + b"\r\n"
    )
    assert isinstance(error, UpgradeError)
    assert error.status == 101


def test_another_subprotocol_is_refused_and_allows_fallback() -> None:
    upgrade = asked(UpgradeKind.WEBSOCKET)
    with pytest.raises(UpgradeRejected) as caught:
        upgrade.receive_data(websocket_switching_protocols(KEY, "v4.channel.k8s.io"))
    assert caught.value.status == 101


@pytest.mark.parametrize(
    ("kind", "raw", "message"),
    [
        ("spdy", websocket_switching_protocols(KEY, None), "not to spdy/3.1"),
        ("websocket", spdy_switching_protocols(), "not to websocket"),
        ("spdy", b"HTTP/1.1 101 x\r\nUpgrade: SPDY/3.1\r\n\r\n", "not to spdy"),
        ("websocket", websocket_switching_protocols("other", None), "does not match our key"),
        (
            "websocket",
            websocket_switching_protocols(KEY, None).replace(
                b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
            ),
            "extension that was not offered",
        ),
        ("spdy", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "not HTTP"),
        ("spdy", b"\x15\x03\x01\x00\x02\x02\x16\n\n", "not HTTP"),
        ("spdy", b"HTTP/1.1 101 \xff\r\nno colon\r\n\r\n", "not HTTP"),
    ],
)
def test_malformed_responses(kind: str, raw: bytes, message: str) -> None:
    upgrade = asked(UpgradeKind(kind))
    with pytest.raises(ProtocolError, match=message) as caught:
        upgrade.receive_data(raw)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("raw", [b"", b"HTTP/1.1 101 Switching Proto"])
def test_missing_response_is_no_reason_to_fall_back(raw: bytes) -> None:
    upgrade = asked()
    upgrade.receive_data(raw)
    with pytest.raises(TransportError) as caught:
        upgrade.receive_eof()
    assert caught.value.hint


@given(st.binary(max_size=300), chunk_sizes)
@codec_settings
def test_garbage_raises_only_documented_errors(garbage: bytes, sizes: list[int]) -> None:
    for prefix in (
        b"",
        b"HTTP/1.1 101 x\r\n",
        b"HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\n\r\n",
    ):
        upgrade = asked()
        with pytest.raises((ProtocolError, UpgradeRejected, TransportError)):
            feed(upgrade, chunked(prefix + garbage, sizes), eof=True)
