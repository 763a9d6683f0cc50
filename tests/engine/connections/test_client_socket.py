from __future__ import annotations

import socket

import pytest

from tui_forward.engine.connections import client_socket
from tui_forward.engine.connections.client_socket import close_socket, send_vectored


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
    accepted.setblocking(False)
    client.settimeout(5)
    return accepted, client


@pytest.mark.parametrize("gather", [True, False])
def test_pieces_leave_in_order(gather: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_socket, "_CAN_GATHER", gather)
    ours, theirs = tcp_pair()
    assert send_vectored(ours, [memoryview(b"one")]) == 3
    assert send_vectored(ours, [memoryview(b"two"), memoryview(b"three")]) == 8
    ours.close()
    assert theirs.recv(100, socket.MSG_WAITALL) == b"onetwothree"
    theirs.close()


def test_a_full_socket_says_so() -> None:
    ours, theirs = tcp_pair()
    piece = memoryview(bytes(1_000_000))

    def fill() -> None:
        while True:
            assert 0 < send_vectored(ours, [piece, piece]) <= 2_000_000

    with pytest.raises(BlockingIOError):
        fill()
    ours.close()
    theirs.close()


def test_a_plain_close_delivers_everything_although_bytes_lie_unread() -> None:
    ours, theirs = tcp_pair()
    theirs.send(b"never read")
    ours.send(b"all of it")
    close_socket(ours, reset=False)
    assert theirs.recv(100) == b"all of it"
    assert theirs.recv(100) == b""
    theirs.close()


def test_a_reset_is_seen_as_one() -> None:
    ours, theirs = tcp_pair()
    close_socket(ours, reset=True)
    with pytest.raises(ConnectionResetError):
        theirs.recv(1)
    theirs.close()


def test_closing_what_is_closed_is_no_error() -> None:
    ours, theirs = tcp_pair()
    close_socket(ours, reset=False)
    close_socket(ours, reset=False)
    close_socket(ours, reset=True)
    theirs.close()
