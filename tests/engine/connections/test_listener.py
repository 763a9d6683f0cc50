from __future__ import annotations

import asyncio
import errno
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from tests.support.waiting import until
from tui_forward.engine.connections import listener
from tui_forward.engine.connections.listener import Listener
from tui_forward.engine.connections.local_ports import PortRequest, bind_sockets
from tui_forward.model import LocalAddress, Reason, ReasonCode


@pytest.fixture
def undo() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


class Accepted:
    """Collects what a listener accepts, and closes it at the end."""

    def __init__(self, undo: ExitStack, port: int = 0) -> None:
        self.sockets: list[socket.socket] = []
        self.clients: list[LocalAddress] = []
        self.reports: list[Reason] = []
        self.undo = undo
        self.listener = Listener(
            bind_sockets(("127.0.0.1",), PortRequest(port, required=True)),
            on_accept=self.accepted,
            on_exhausted=self.reports.append,
        )
        undo.callback(self.listener.close)

    def accepted(self, sock: socket.socket, client: LocalAddress, local: LocalAddress) -> None:
        assert local == self.listener.addresses[0]
        self.undo.callback(sock.close)
        self.sockets.append(sock)
        self.clients.append(client)

    def connect(self) -> socket.socket:
        sock = self.undo.enter_context(closing(socket.socket()))
        sock.connect(("127.0.0.1", self.listener.port))
        return sock


async def test_accepted_socket_is_non_blocking_and_comes_with_the_client_address(
    undo: ExitStack,
) -> None:
    accepted = Accepted(undo)
    client = accepted.connect()
    await until(lambda: accepted.sockets)
    assert accepted.clients == [LocalAddress(*client.getsockname())]
    assert accepted.sockets[0].getblocking() is False


async def test_burst_of_connections_is_accepted(undo: ExitStack) -> None:
    accepted = Accepted(undo)
    for _ in range(300):
        accepted.connect()
    await until(lambda: len(accepted.sockets) == 300)


async def test_pause_leaves_connections_in_the_backlog(undo: ExitStack) -> None:
    accepted = Accepted(undo)
    accepted.listener.pause()
    accepted.listener.pause()
    accepted.connect()
    for _ in range(20):
        await asyncio.sleep(0)
    assert not accepted.sockets
    accepted.listener.resume()
    accepted.listener.resume()
    await until(lambda: accepted.sockets)


async def test_hold_is_independent_of_resume(undo: ExitStack) -> None:
    accepted = Accepted(undo)
    assert accepted.listener.hold().keys() == set(accepted.listener.addresses)
    accepted.connect()
    accepted.listener.pause()
    accepted.listener.resume()
    for _ in range(20):
        await asyncio.sleep(0)
    assert not accepted.sockets
    accepted.listener.release()
    await until(lambda: accepted.sockets)


async def test_pause_inside_on_accept_stops_accepting(undo: ExitStack) -> None:
    accepted = Accepted(undo)
    accept = accepted.accepted

    def accept_one(sock: socket.socket, client: LocalAddress, local: LocalAddress) -> None:
        accept(sock, client, local)
        accepted.listener.pause()

    accepted.listener._on_accept = accept_one
    for _ in range(3):
        accepted.connect()
    await until(lambda: accepted.sockets)
    assert len(accepted.sockets) == 1


async def test_exhausted_descriptors_are_reported_and_survived(
    undo: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "_EXHAUSTED_PAUSE_S", 0.01)
    accepted = Accepted(undo)
    real = accepted.listener._sockets[0]

    class Exhausted:
        left = 5

        def accept(self) -> object:
            if self.left:
                self.left -= 1
                raise OSError(errno.EMFILE, "Too many open files")
            return real.accept()

        def fileno(self) -> int:
            return real.fileno()

        def close(self) -> None:
            real.close()

    exhausted = Exhausted()
    accepted.listener._unwatch()
    accepted.listener._addresses = {exhausted: accepted.listener.addresses[0]}  # type: ignore[dict-item]
    accepted.listener._sockets = [exhausted]  # type: ignore[list-item]
    accepted.listener._watch()
    accepted.connect()
    await until(lambda: accepted.sockets)
    # Once while it lasts, however often it is tried.
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert accepted.reports == [Reason(code=ReasonCode.LOCAL_EXHAUSTED, limit=str(soft))]
    monkeypatch.setattr(listener, "_EXHAUSTED_REPORT_S", -1)
    exhausted.left = 1
    accepted.connect()
    await until(lambda: len(accepted.sockets) == 2)
    assert len(accepted.reports) == 2


async def test_close_is_idempotent_and_final(undo: ExitStack) -> None:
    accepted = Accepted(undo)
    port = accepted.listener.port
    accepted.listener.pause()
    accepted.listener.close()
    accepted.listener.close()
    accepted.listener.resume()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


async def test_port_can_be_bound_again_immediately(undo: ExitStack) -> None:
    accepted = Accepted(undo)
    port = accepted.listener.port
    client = accepted.connect()
    await until(lambda: accepted.sockets)
    accepted.sockets[0].close()  # this end first, so that it has the TIME_WAIT state
    client.close()
    accepted.listener.close()
    again = Accepted(undo, port)
    assert again.listener.port == port
