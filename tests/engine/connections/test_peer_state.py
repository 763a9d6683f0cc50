"""Clients that closed their socket are distinguished from ones that only sent a FIN."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator

import pytest

from tui_forward.engine.connections import peer_state
from tui_forward.engine.connections.peer_state import is_closed_by_peer

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs sock_diag")


@pytest.fixture(params=["127.0.0.1", "::1"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Return the client's end, and the local one."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    try:
        listener = socket.create_server((request.param, 0), family=family)
    except OSError as error:
        pytest.skip(str(error))
    with listener, socket.create_connection(listener.getsockname()[:2]) as client:
        local, _ = listener.accept()
        with local:
            yield client, local


@linux_only
def test_connected_client_is_not_closed(pair: tuple[socket.socket, socket.socket]) -> None:
    assert is_closed_by_peer(pair[1]) is False


@linux_only
def test_client_that_sent_a_fin_is_not_closed(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[0].shutdown(socket.SHUT_WR)
    assert pair[1].recv(1) == b""
    assert is_closed_by_peer(pair[1]) is False


@linux_only
def test_closed_client_is_detected(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[0].close()
    assert pair[1].recv(1) == b""
    assert is_closed_by_peer(pair[1]) is True


@linux_only
def test_close_is_detected_behind_unread_data(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    client, local = pair
    client.setblocking(False)
    piece = bytes(1 << 20)
    while True:
        try:
            client.send(piece)
        except BlockingIOError:
            break
    assert is_closed_by_peer(local) is False
    client.close()
    assert is_closed_by_peer(local) is True


def test_result_is_none_without_netlink(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_state, "_is_unavailable", True)
    pair[0].close()
    assert is_closed_by_peer(pair[1]) is None
