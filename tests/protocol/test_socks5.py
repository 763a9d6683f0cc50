from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_forward.protocol.socks5 import (
    ConnectRequest,
    ReplyCode,
    Socks5Server,
    encode_reply,
)

GREETING = b"\x05\x01\x00"
LOGIN_GREETING = b"\x05\x02\x00\x02"


def request(host: str, port: int = 80, command: int = 1) -> bytes:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        encoded = bytes((3, len(host))) + host.encode()
    else:
        encoded = bytes((1 if address.version == 4 else 4,)) + address.packed
    return bytes((5, command, 0)) + encoded + port.to_bytes(2, "big")


def login(name: bytes, password: bytes) -> bytes:
    return b"\x01" + bytes((len(name),)) + name + bytes((len(password),)) + password


def is_alice(name: bytes, password: bytes) -> bool:
    return (name, password) == (b"alice", b"secret")


@pytest.mark.parametrize("host", ["web.shop", "10.96.0.10", "fd00::1"])
def test_hosts_are_names_and_addresses(host: str) -> None:
    server = Socks5Server()
    server.receive_data(GREETING)
    assert server.data_to_send() == b"\x05\x00"
    server.receive_data(request(host, 8080) + b"early data")
    assert server.request == ConnectRequest(host, 8080)
    assert server.trailing_data == b"early data"
    assert server.data_to_send() == b""


@given(st.lists(st.integers(1, 40)), st.booleans())
def test_any_chunking(sizes: list[int], with_login: bool) -> None:
    server = Socks5Server(is_alice if with_login else None)
    data = LOGIN_GREETING + (login(b"alice", b"secret") if with_login else b"")
    data += request("web.shop.svc.cluster.local", 443) + b"rest"
    for size in sizes:
        server.receive_data(data[:size])
        data = data[size:]
    server.receive_data(data)
    assert server.error is None
    assert server.request == ConnectRequest("web.shop.svc.cluster.local", 443)
    assert server.trailing_data == b"rest"
    assert server.data_to_send() == (b"\x05\x02\x01\x00" if with_login else b"\x05\x00")


@given(st.lists(st.binary(max_size=20), max_size=20))
def test_garbage_never_raises(chunks: list[bytes]) -> None:
    for server in (Socks5Server(), Socks5Server(is_alice)):
        for chunk in chunks:
            server.receive_data(chunk)
            server.data_to_send()
        assert not (server.request and server.error)


@given(st.binary(max_size=300))
def test_garbage_in_place_of_a_request(data: bytes) -> None:
    server = Socks5Server()
    server.receive_data(GREETING + data)
    if server.request is not None:
        assert server.request.host.isascii()
        assert 1 <= server.request.port <= 65535


def test_wrong_password() -> None:
    server = Socks5Server(is_alice)
    server.receive_data(LOGIN_GREETING + login(b"alice", b"guess") + request("web.shop"))
    assert server.error is not None
    assert server.request is None
    assert server.data_to_send() == b"\x05\x02\x01\x01"


def test_a_client_without_the_needed_method_is_refused() -> None:
    server = Socks5Server(is_alice)
    server.receive_data(GREETING)
    assert server.error is not None
    assert server.data_to_send() == b"\x05\xff"


@pytest.mark.parametrize("command", [2, 3])
def test_bind_and_udp_are_refused(command: int) -> None:
    server = Socks5Server()
    server.receive_data(GREETING + request("web.shop", command=command))
    assert server.error is not None
    assert server.data_to_send()[2:] == encode_reply(ReplyCode.COMMAND_NOT_SUPPORTED)


def test_unknown_address_type() -> None:
    server = Socks5Server()
    server.receive_data(GREETING + b"\x05\x01\x00\x09\x00\x00\x00")
    assert server.data_to_send()[2:] == encode_reply(ReplyCode.ADDRESS_TYPE_NOT_SUPPORTED)


@pytest.mark.parametrize("host", ["we b", "web\n", "w\xe9b", ""])
def test_names_of_other_characters_are_refused(host: str) -> None:
    server = Socks5Server()
    encoded = host.encode("latin-1")
    server.receive_data(GREETING + b"\x05\x01\x00\x03" + bytes((len(encoded),)) + encoded + b"\0P")
    assert server.error is not None


def test_socks4_is_refused() -> None:
    server = Socks5Server()
    server.receive_data(b"\x04\x01\x00\x50")
    assert server.error is not None
    assert "version 4" in str(server.error)
