"""Legacy channels, both ends against each other and against hand-made messages."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.recording_receivers import (
    PairLog,
    ServedPair,
    TunnelLog,
    WebSocketLog,
    chunk_sizes,
    chunked,
    codec_settings,
    pump,
    wire,
)
from tui_forward.model import ReasonCode
from tui_forward.protocol.channels import MAX_MESSAGE_BYTES, ChannelsClient
from tui_forward.protocol.channels_server import ChannelsServer
from tui_forward.protocol.error_stream import forwarding_error
from tui_forward.protocol.spdy import Side
from tui_forward.protocol.websocket import Opcode, WebSocketConnection, frame_head

Ends = tuple[ChannelsClient, PairLog, TunnelLog, ChannelsServer, ServedPair]


def connected(*, encoded: bool = False) -> Ends:
    log, handler = PairLog(), TunnelLog()
    client = ChannelsClient(80, log, handler, base64=encoded)
    server = ChannelsServer([80], base64=encoded)
    server.channels[0].receiver = served = ServedPair()
    return client, log, handler, server, served


def message(payload: bytes, opcode: int = Opcode.BINARY, *, fin: bool = True) -> bytes:
    return frame_head(opcode, len(payload), fin=fin) + payload


# ------------------------------------------------------------------------------ together


@given(
    st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=300)), max_size=10),
    chunk_sizes,
    st.booleans(),
)
@codec_settings
def test_round_trip_in_any_chunking(
    sends: list[tuple[bool, bytes]], sizes: list[int], encoded: bool
) -> None:
    client, log, _, server, served = connected(encoded=encoded)
    for up, payload in sends:
        assert client.send(payload) if up else server.channels[0].send(payload)
    there, back = wire(client), wire(server)
    for chunk in chunked(there, sizes):
        server.receive_data(chunk)
    for chunk in chunked(back, sizes):
        client.receive_data(chunk)
    assert served.data == b"".join(payload for up, payload in sends if up)
    assert log.data == b"".join(payload for up, payload in sends if not up)
    assert log.events == ["accepted"]
    assert client.error is server.error is None


def test_pod_closes_the_connection() -> None:
    client, log, handler, server, served = connected()
    server.channels[0].send(b"bye")
    server.channels[0].finish()
    server.channels[0].finish()
    assert not server.channels[0].send(b"late")
    pump(client, server)
    assert log.data == b"bye"
    assert log.events == ["accepted", "eof", "closed"]
    assert log.failure is None
    assert handler.ends == [None]
    assert served.events == ["lost"]
    assert not client.send(b"x")


def test_client_closes_the_connection() -> None:
    client, log, handler, server, served = connected()
    pump(client, server)
    client.send(b"last words")
    assert client.send_eof()
    assert not client.send_eof()
    assert not client.send(b"late")
    pump(client, server)
    assert served.data == b"last words"
    assert served.events == ["lost"]
    assert log.events == ["accepted", "eof", "closed"]
    assert handler.ends == [None]


@pytest.mark.parametrize("encoded", [False, True])
def test_error_text(encoded: bool) -> None:
    client, log, handler, server, _ = connected(encoded=encoded)
    text = forwarding_error(80, "a4bb", "dial tcp4 127.0.0.1:80: connect: connection refused")
    server.channels[0].fail(text)
    server.channels[0].fail("twice")
    pump(client, server)
    assert log.events == ["accepted", "closed"]
    assert log.failure is not None
    assert log.failure.code is ReasonCode.PORT_REFUSED
    assert log.failure.text == text
    assert handler.ends == [None]


def test_abort_calls_no_receiver() -> None:
    client, log, handler, server, _ = connected()
    server.channels[0].send(b"x")
    client.abort()
    client.abort()
    pump(client, server)
    assert log.events == []
    assert log.data == b""
    assert handler.ends == [None]


def test_expiry() -> None:
    client, log, _, _, _ = connected()
    client.expire()
    assert log.failure is not None
    assert log.failure.code is ReasonCode.CONNECTION_NO_REPLY
    client, log, _, server, _ = connected()
    pump(client, server)
    client.expire()
    assert log.events == ["accepted"]


def test_pings() -> None:
    client, _, handler, server, _ = connected()
    assert [client.send_ping(), client.send_ping()] == [1, 2]
    pump(client, server)
    assert handler.pongs == [1, 2]
    client.close()
    assert client.send_ping() == 0


def test_large_data_is_sent_as_unfragmented_messages() -> None:
    client, _, _, server, served = connected()
    payload = bytes(2 * MAX_MESSAGE_BYTES + 5)
    client.send(payload)
    pump(client, server)
    assert served.data == payload


# -------------------------------------------------------------------------------- server


def test_port_messages_come_first_in_order_little_endian() -> None:
    server = ChannelsServer([80, 8080])
    assert wire(server) == b"".join(
        message(bytes((channel, *port)))
        for channel, port in enumerate([b"\x50\0", b"\x50\0", b"\x90\x1f", b"\x90\x1f"])
    )


def test_port_messages_in_base64() -> None:
    server = ChannelsServer([80], base64=True)
    port = base64.b64encode(b"\x50\0")
    expected = message(b"0" + port, Opcode.TEXT) + message(b"1" + port, Opcode.TEXT)
    assert wire(server) == expected


def test_websocket_closes_after_the_last_port() -> None:
    server = ChannelsServer([80, 81, 80])
    wire(server)
    server.channels[0].finish()
    server.channels[2].fail("error")
    assert wire(server) == message(b"\x05error")
    server.channels[1].finish()
    assert wire(server) == message(b"\x03\xe8", Opcode.CLOSE)


def client_frames(*payloads: bytes, fragmented: bool = False) -> bytes:
    raw = WebSocketConnection(Side.CLIENT, WebSocketLog())
    for index, payload in enumerate(payloads):
        continued = fragmented and index > 0
        raw.send(
            payload,
            opcode=Opcode.CONTINUATION if continued else Opcode.BINARY,
            fin=not fragmented or index == len(payloads) - 1,
        )
    return wire(raw)


def test_other_channels_are_ignored() -> None:
    server = ChannelsServer([80])
    server.channels[0].receiver = served = ServedPair()
    server.receive_data(
        client_frames(b"\x00a", b"\x01b", b"\x02c", b"\xffd", b"", b"\x00", b"\x00e")
    )
    assert served.data == b"ae"
    assert server.error is None


def test_fragment_is_a_message_as_in_go() -> None:
    server = ChannelsServer([80])
    server.channels[0].receiver = served = ServedPair()
    server.receive_data(client_frames(b"\x00one", b"\x00two", b"\x63lost", fragmented=True))
    assert served.data == b"onetwo"


def test_frames_above_32_mib_end_the_connection() -> None:
    server = ChannelsServer([80])
    server.receive_data(b"\x82\xff" + (32 * 2**20 + 1).to_bytes(8, "big") + b"mask")
    assert "frame of 33554433 bytes" in str(server.error)


def test_text_message_in_a_binary_protocol() -> None:
    for encoded, opcode in ((False, Opcode.TEXT), (True, Opcode.BINARY)):
        raw = WebSocketConnection(Side.CLIENT, WebSocketLog())
        raw.send(b"0YQ==", opcode=opcode)
        server = ChannelsServer([80], base64=encoded)
        server.receive_data(wire(raw))
        assert "channel message with opcode" in str(server.error)


# -------------------------------------------------------------------------------- client


def received(
    *raw: bytes, encoded: bool = False, size: int = 1000
) -> tuple[ChannelsClient, PairLog]:
    log = PairLog()
    client = ChannelsClient(80, log, TunnelLog(), base64=encoded)
    for chunk in chunked(b"".join(raw), [size] * 10_000):
        client.receive_data(chunk)
    return client, log


OPENING = message(b"\x00\x50\x00") + message(b"\x01\x50\x00")


@pytest.mark.parametrize("size", [1, 1000])
def test_data_may_follow_the_port_in_one_message(size: int) -> None:
    _, log = received(message(b"\x01\x50\x00"), message(b"\x00\x50\x00data"), size=size)
    assert log.data == b"data"
    assert log.events == ["accepted"]


@pytest.mark.parametrize("size", [1, 1000])
def test_fragments_of_a_message_are_joined(size: int) -> None:
    _, log = received(
        OPENING,
        message(b"\x00one", fin=False),
        message(b"\x00two", Opcode.CONTINUATION),
        size=size,
    )
    assert log.data == b"one\x00two"


def test_wrong_port_is_an_error() -> None:
    client, log = received(message(b"\x00\x51\x00"))
    assert str(client.error) == "channel 0 is for port 81 instead of 80"
    assert log.failure is not None
    assert log.failure.tunnel_lost


@pytest.mark.parametrize("text", [b"0!!!!", b"0YQ", b"0YQ=", b"0YQ==YQ=="])
@pytest.mark.parametrize("size", [1, 1000])
def test_invalid_base64_is_an_error(text: bytes, size: int) -> None:
    client, _ = received(message(text, Opcode.TEXT), encoded=True, size=size)
    assert "base64" in str(client.error)


def test_unknown_channels_and_empty_messages_are_ignored() -> None:
    client, log = received(OPENING, message(b"\x07x"), message(b""), message(b"\x00"))
    assert log.events == ["accepted"]
    assert client.error is None


@pytest.mark.parametrize("code", [None, 1000, 1011])
@pytest.mark.parametrize("accepted", [False, True])
def test_ends(code: int | None, accepted: bool) -> None:
    client, log = received(OPENING if accepted else b"")
    if code is not None:
        client.receive_data(message(code.to_bytes(2, "big"), Opcode.CLOSE))
    client.receive_eof()
    good = accepted and code != 1011
    assert log.events[-1] == "closed"
    assert (log.failure is None) is good
    if log.failure is not None:
        assert log.failure.tunnel_lost


@given(st.binary(max_size=200), chunk_sizes, st.booleans())
@codec_settings
def test_garbage_never_raises(garbage: bytes, sizes: list[int], encoded: bool) -> None:
    log, handler = PairLog(), TunnelLog()
    client = ChannelsClient(80, log, handler, base64=encoded)
    server = ChannelsServer([80], base64=encoded)
    opcode = Opcode.TEXT if encoded else Opcode.BINARY
    for end in (client, server):
        for chunk in chunked(message(garbage[:50], opcode) + garbage, sizes):
            end.receive_data(chunk)
        end.receive_eof()
    assert log.events[-1:] == ["closed"]
    assert len(handler.ends) == 1
