"""A client that is gone is told from one that only sends no more, where the system knows."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator

import pytest

from tui_forward.engine.connections import peer_state
from tui_forward.engine.connections.peer_state import is_closed_by_peer

KNOWS = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells")


@pytest.fixture(params=["127.0.0.1", "::1"])
def pair(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    """The client's end, and ours."""
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    try:
        listener = socket.create_server((request.param, 0), family=family)
    except OSError as error:
        pytest.skip(str(error))
    with listener, socket.create_connection(listener.getsockname()[:2]) as client:
        ours, _ = listener.accept()
        with ours:
            yield client, ours


@KNOWS
def test_one_that_is_there(pair: tuple[socket.socket, socket.socket]) -> None:
    assert is_closed_by_peer(pair[1]) is False


@KNOWS
def test_one_that_sends_no_more_is_still_there(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[0].shutdown(socket.SHUT_WR)
    assert pair[1].recv(1) == b""
    assert is_closed_by_peer(pair[1]) is False


@KNOWS
def test_one_that_closed(pair: tuple[socket.socket, socket.socket]) -> None:
    pair[0].close()
    assert pair[1].recv(1) == b""
    assert is_closed_by_peer(pair[1]) is True


@KNOWS
def test_one_that_closed_behind_data_nobody_read(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    client, ours = pair
    client.setblocking(False)
    piece = bytes(1 << 20)
    while True:
        try:
            client.send(piece)
        except BlockingIOError:
            break
    assert is_closed_by_peer(ours) is False
    client.close()
    assert is_closed_by_peer(ours) is True


def test_where_the_system_does_not_tell(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peer_state, "_closed_door", True)
    pair[0].close()
    assert is_closed_by_peer(pair[1]) is None
