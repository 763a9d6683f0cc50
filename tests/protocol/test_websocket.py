"""WebSocket frames: both sides, cut anywhere, and malformed input."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.recording_receivers import (
    WebSocketLog,
    chunk_sizes,
    chunked,
    codec_settings,
    pump,
    wire,
)
from tests.protocol.recordings import WEBSOCKET, Recording
from tui_forward.model import Reason, ReasonCode
from tui_forward.protocol.spdy import Side
from tui_forward.protocol.spdy.connection import MAX_QUEUED_REPLIES
from tui_forward.protocol.spdy.fields import split_fields
from tui_forward.protocol.websocket import (
    GO_WRITE_BUFFER_BYTES,
    Opcode,
    WebSocketConnection,
    frame_head,
)


def connected() -> tuple[WebSocketConnection, WebSocketLog, WebSocketConnection, WebSocketLog]:
    to_client, to_server = WebSocketLog(), WebSocketLog()
    return (
        WebSocketConnection(Side.CLIENT, to_client),
        to_client,
        WebSocketConnection(Side.SERVER, to_server),
        to_server,
    )


def frame(payload: bytes, opcode: int = Opcode.BINARY, *, fin: bool = True) -> bytes:
    """As a server sends it."""
    return frame_head(opcode, len(payload), fin=fin) + payload


@given(
    st.lists(
        st.tuples(
            st.sampled_from((Opcode.TEXT, Opcode.BINARY)),
            st.one_of(st.binary(max_size=200), st.just(bytes(70_000)), st.just(b"x" * 126)),
        ),
        max_size=5,
    ),
    chunk_sizes,
    st.booleans(),
)
@codec_settings
def test_round_trip_in_any_chunking(
    messages: list[tuple[int, bytes]], sizes: list[int], up: bool
) -> None:
    client, to_client, server, to_server = connected()
    sender, receiver, log = (client, server, to_server) if up else (server, client, to_client)
    for opcode, payload in messages:
        assert sender.send(payload, opcode=opcode)
    for chunk in chunked(wire(sender), sizes):
        receiver.receive_data(chunk)
    assert log.messages == messages
    assert receiver.error is None


def test_parts_are_one_message() -> None:
    client, to_client, server, to_server = connected()
    parts = b"head", memoryview(b"body" * 100), b"", bytearray(b"tail")
    client.send(*parts)
    server.send(*parts)
    pump(client, server)
    whole = [(Opcode.BINARY, b"".join(parts))]
    assert to_client.messages == to_server.messages == whole


def test_masking_follows_the_standard() -> None:
    # RFC 6455, section 5.7: a masked "Hello".
    client = WebSocketConnection(
        Side.CLIENT, WebSocketLog(), random_bytes=lambda _: bytes.fromhex("37fa213d")
    )
    client.send(b"Hello", opcode=Opcode.TEXT)
    assert wire(client).hex() == "818537fa213d7f9f4d5158"


@pytest.mark.parametrize(
    ("length", "head"),
    [
        (0, "8200"),
        (125, "827d"),
        (126, "827e007e"),
        (65535, "827effff"),
        (65536, "827f0000000000010000"),
    ],
)
def test_lengths(length: int, head: str) -> None:
    assert frame_head(Opcode.BINARY, length).hex() == head


def test_every_client_frame_has_its_own_key() -> None:
    client = WebSocketConnection(Side.CLIENT, WebSocketLog())
    for _ in range(3):
        client.send(b"")
    frames = wire(client)
    assert len({frames[2:6], frames[8:12], frames[14:18]}) == 3


def test_fragments_with_interleaved_control_frames() -> None:
    client, to_client, _, _ = connected()
    client.receive_data(
        frame(b"one ", fin=False)
        + frame(b"?", Opcode.PING)
        + frame(b"two ", Opcode.CONTINUATION, fin=False)
        + frame(b"", Opcode.CONTINUATION)
        + frame(b"next")
    )
    assert to_client.messages == [(Opcode.BINARY, b"one two "), (Opcode.BINARY, b"next")]


def test_payload_is_passed_on_before_its_frame_is_complete() -> None:
    client, to_client, _, _ = connected()
    client.receive_data(frame(bytes(1000))[:500])
    assert len(to_client.data) == 496
    assert to_client.messages == []


def test_pings_are_answered() -> None:
    client, to_client, server, to_server = connected()
    server.ping(b"are you there")
    client.ping(b"and you")
    pump(client, server)
    assert to_server.pongs == [b"are you there"]
    assert to_client.pongs == [b"and you"]


# ------------------------------------------------------------------------------ Go servers


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (12, [(0x82, 12)]),
        (GO_WRITE_BUFFER_BYTES, [(0x82, 4096)]),
        (6000, [(0x02, 4096), (0x80, 1904)]),
        (8192, [(0x02, 4096), (0x80, 4096)]),
        (8193, [(0x02, 8193), (0x80, 0)]),
        (32768, [(0x02, 32768), (0x80, 0)]),
    ],
)
def test_fragments_like_go(size: int, expected: list[tuple[int, int]]) -> None:
    client, to_client, server, _ = connected()
    server.send_fragmented([bytes(size), b"field"])
    sent = server.data_to_send()
    heads = [bytes(part) for part in sent if len(part) in (2, 4, 10)]
    assert [(head[0], _length(head)) for head in heads[:-1]] == expected
    client.receive_data(b"".join(sent))
    assert to_client.messages == [(Opcode.BINARY, bytes(size)), (Opcode.BINARY, b"field")]


def _length(head: bytes) -> int:
    return head[1] if head[1] < 126 else int.from_bytes(head[2:], "big")


def test_recorded_server_fragments_like_go() -> None:
    recording = next(one for one in WEBSOCKET if one.case == "download")
    large = frame(bytes(32768), fin=False)[:4]
    assert large in b"".join(recording.body("server"))


@pytest.mark.parametrize("recording", WEBSOCKET, ids=lambda recording: recording.name)
def test_recorded_kubectl_writes_field_by_field(recording: Recording) -> None:
    log = WebSocketLog()
    server = WebSocketConnection(Side.SERVER, log)
    server.receive_data(b"".join(recording.body("client")))
    assert [payload for _, payload in log.messages] == list(split_fields([bytes(log.data)]))


# ------------------------------------------------------------------------------ the end


def test_normal_close_is_confirmed() -> None:
    client, to_client, server, to_server = connected()
    client.close()
    client.close()
    assert not client.send(b"late")
    pump(client, server)
    assert to_server.ends == to_client.ends == [None]
    assert client.close_code == server.close_code == 1000
    client.receive_data(frame(b"after"))
    client.receive_eof()
    assert to_client.messages == []


LOSSES = (1000, 1001, 1008, 1011, 1012, 1013, 1014, 3000, 4000, 4999)
VIOLATIONS = (0, 999, 1002, 1003, 1004, 1006, 1007, 1009, 1010, 1015, 1016, 2999, 5000, 65535)


@pytest.mark.parametrize("code", [*LOSSES, *VIOLATIONS])
@pytest.mark.parametrize("reason", [b"", b"oops", b"\xff"])
def test_every_close_code_is_a_loss_or_a_violation(code: int, reason: bytes) -> None:
    client, to_client, _, _ = connected()
    client.receive_data(frame(code.to_bytes(2, "big") + reason, Opcode.CLOSE))
    text = reason.decode("utf-8", "replace")
    assert (client.close_code, client.close_reason) == (code, text)
    assert to_client.ends == [client.error]
    if code in VIOLATIONS:
        suffix = f": {text}" if text else ""
        assert str(client.error) == f"WebSocket closed with code {code}{suffix}"
        return
    assert client.error is None
    if code == 1000:
        assert client.loss is None
    else:
        assert client.loss == Reason(
            code=ReasonCode.TUNNEL_CLOSED_BY_SERVER, status=str(code), detail=text
        )


def test_empty_close_frame_is_a_loss() -> None:
    client, to_client, _, _ = connected()
    client.receive_data(frame(b"", Opcode.CLOSE))
    assert to_client.ends == [None]
    assert client.loss == Reason(code=ReasonCode.TUNNEL_CLOSED_BY_SERVER, status="1005")


def test_close_reasons_are_bounded() -> None:
    client, _, server, _ = connected()
    server.close(1011, "x" * 500)
    pump(client, server)
    assert client.close_reason == "x" * 123


def test_plain_eof_is_a_regular_end() -> None:
    client, to_client, _, _ = connected()
    client.receive_eof()
    assert to_client.ends == [None]


@pytest.mark.parametrize("raw", [b"\x82", frame(b"abc")[:4], frame(b"abc", fin=False)])
def test_eof_inside_a_message_is_an_error(raw: bytes) -> None:
    client, _, _, _ = connected()
    client.receive_data(raw)
    client.receive_eof()
    assert "inside a WebSocket message" in str(client.error)


# ------------------------------------------------------------------------ a malicious peer


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"\x82\x81\0\0\0\0x", "from a server is masked"),
        (b"\xc2\x01x", "reserved bits"),
        (b"\x83\x01x", "unknown opcode 3"),
        (b"\x8b\x01x", "unknown opcode 11"),
        (b"\x09\x01x", "fragmented or too long"),
        (b"\x89\x7e\x00\x7e" + bytes(126), "fragmented or too long"),
        (b"\x80\x01x", "continuation without a message"),
        (frame(b"x", fin=False) + frame(b"y"), "begins inside another"),
        (b"\x82\x7f\x80\0\0\0\0\0\0\0", "frame of 9223372036854775808 bytes"),
        (b"\x88\x01x", "half a code"),
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_broken_frames_end_the_connection(raw: bytes, message: str, size: int) -> None:
    client, to_client, _, _ = connected()
    for chunk in chunked(raw + frame(b"after"), [size] * len(raw)):
        client.receive_data(chunk)
    assert message in str(client.error)
    assert to_client.ends == [client.error]
    closing, server_log = wire(client), WebSocketLog()
    server = WebSocketConnection(Side.SERVER, server_log)
    server.receive_data(closing)
    assert server.close_code == 1002


def test_unmasked_client_frames_are_refused() -> None:
    _, _, server, _ = connected()
    server.receive_data(frame(b"x"))
    assert "from a client is not masked" in str(server.error)


def test_text_in_a_binary_tunnel() -> None:
    client = WebSocketConnection(Side.CLIENT, WebSocketLog(), binary_only=True)
    client.receive_data(frame(b"x", Opcode.TEXT))
    assert "text message in a binary tunnel" in str(client.error)


def test_largest_frame() -> None:
    client = WebSocketConnection(Side.CLIENT, WebSocketLog(), max_frame=10)
    client.receive_data(frame(bytes(10)))
    assert client.error is None
    client.receive_data(frame(bytes(11))[:4])
    assert str(client.error) == "WebSocket frame of 11 bytes"


def test_pings_without_reading_are_bounded() -> None:
    client, _, _, _ = connected()
    client.receive_data(frame(b"", Opcode.PING) * MAX_QUEUED_REPLIES)
    assert client.error is None
    client.receive_data(frame(b"", Opcode.PING))
    assert "pings without reading" in str(client.error)


@given(st.binary(max_size=200), chunk_sizes, st.sampled_from(Side))
@codec_settings
def test_garbage_never_raises(garbage: bytes, sizes: list[int], side: Side) -> None:
    log = WebSocketLog()
    connection = WebSocketConnection(side, log, max_frame=1000)
    for chunk in chunked(garbage, sizes):
        connection.receive_data(chunk)
    connection.receive_eof()
    assert len(log.ends) == 1


@given(
    st.lists(
        st.builds(
            frame,
            st.binary(max_size=130),
            st.sampled_from([0, 1, 2, 8, 9, 10]),
            fin=st.booleans(),
        ),
        max_size=8,
    ),
    chunk_sizes,
)
@codec_settings
def test_valid_frames_in_any_order_never_raise(frames: list[bytes], sizes: list[int]) -> None:
    outcomes = []
    for cut in ([], sizes):
        log = WebSocketLog()
        connection = WebSocketConnection(Side.CLIENT, log)
        for chunk in chunked(b"".join(frames), cut):
            connection.receive_data(chunk)
        connection.receive_eof()
        outcomes.append((log.messages, bytes(log.data), log.pongs, str(connection.error)))
    assert outcomes[0] == outcomes[1]
