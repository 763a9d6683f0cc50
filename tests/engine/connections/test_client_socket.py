from __future__ import annotations

import socket

import pytest

from tui_forward.engine.connections.client_socket import close_socket, send_vectored


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        local, _ = listener.accept()
    local.setblocking(False)
    client.settimeout(5)
    return local, client


def test_pieces_are_sent_in_order() -> None:
    local, client = tcp_pair()
    assert send_vectored(local, [memoryview(b"one")]) == 3
    assert send_vectored(local, [memoryview(b"two"), memoryview(b"three")]) == 8
    local.close()
    assert client.recv(100, socket.MSG_WAITALL) == b"onetwothree"
    client.close()


def test_full_socket_raises_blocking_io_error() -> None:
    local, client = tcp_pair()
    piece = memoryview(bytes(1_000_000))

    def fill() -> None:
        while True:
            assert 0 < send_vectored(local, [piece, piece]) <= 2_000_000

    with pytest.raises(BlockingIOError):
        fill()
    local.close()
    client.close()


def test_close_delivers_everything_despite_unread_bytes() -> None:
    local, client = tcp_pair()
    client.send(b"never read")
    local.send(b"all of it")
    close_socket(local, reset=False)
    assert client.recv(100) == b"all of it"
    assert client.recv(100) == b""
    client.close()


def test_reset_is_received_as_reset() -> None:
    local, client = tcp_pair()
    close_socket(local, reset=True)
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    client.close()


def test_closed_socket_can_be_closed_again() -> None:
    local, client = tcp_pair()
    close_socket(local, reset=False)
    close_socket(local, reset=False)
    close_socket(local, reset=True)
    client.close()
