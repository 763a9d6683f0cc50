from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass

import psutil
import pytest

from tests.support.waiting import until
from tui_forward.engine.host.process_lookup import (
    ClientProcessLookup,
    PortOwner,
    SocketPair,
    find_client_processes,
    find_port_owner,
)


@pytest.fixture
def undo() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(params=["native", "psutil"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "psutil":
        monkeypatch.setattr("tui_forward.engine.host.process_lookup.sys.platform", "somewhere")
    return str(request.param)


def listen(undo: ExitStack, host: str = "127.0.0.1") -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = undo.enter_context(closing(socket.socket(family)))
    sock.bind((host, 0))
    sock.listen()
    return sock


def own_name() -> str:
    return psutil.Process().name()


@pytest.mark.parametrize(
    ("host", "asked"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::1", "::1")]
)
def test_names_the_process_that_listens(way: str, undo: ExitStack, host: str, asked: str) -> None:
    port = listen(undo, host).getsockname()[1]
    holder = find_port_owner(asked, port)
    assert holder == PortOwner(name=own_name(), pid=os.getpid())
    assert str(holder) == f"{own_name()} ({os.getpid()})"


def test_nobody_holds_a_free_port(way: str) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as sock:
        port = sock.getsockname()[1]
    assert find_port_owner("127.0.0.1", port) is None


def test_another_process_is_named_too(way: str, undo: ExitStack) -> None:
    code = (
        "import socket, sys; s = socket.create_server(('127.0.0.1', 0));"
        "print(s.getsockname()[1], flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        holder = find_port_owner("127.0.0.1", port)
        assert process.stdin is not None
        process.stdin.close()
    assert holder is not None
    assert holder.pid == process.pid


def test_a_holder_that_cannot_be_seen() -> None:
    assert str(PortOwner(user="www-data")) == "a process of user www-data"
    assert str(PortOwner()) == "another process"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_names_the_client_of_a_connection(way: str, undo: ExitStack, host: str) -> None:
    server = listen(undo, host)
    client = undo.enter_context(closing(socket.create_connection(server.getsockname()[:2])))
    ours = undo.enter_context(closing(server.accept()[0]))
    ends = SocketPair(client.getsockname()[:2], ours.getsockname()[:2])
    gone = SocketPair(("127.0.0.1", 1), ours.getsockname()[:2])
    assert find_client_processes([gone, ends]) == {ends: f"{own_name()} ({os.getpid()})"}
    assert find_client_processes([]) == {}


def test_a_client_with_a_mapped_address(undo: ExitStack) -> None:
    server = listen(undo)
    client = undo.enter_context(closing(socket.socket(socket.AF_INET6)))
    client.connect(("::ffff:127.0.0.1", server.getsockname()[1]))
    ours, address = server.accept()
    undo.callback(ours.close)
    ends = SocketPair(address, ours.getsockname())
    assert find_client_processes([ends]) == {ends: f"{own_name()} ({os.getpid()})"}


@dataclass
class Connection:
    process: str = ""


def an_end(number: int) -> SocketPair:
    return SocketPair(("127.0.0.1", number), ("127.0.0.1", 80))


async def test_looks_up_in_batches_and_each_connection_once() -> None:
    batches: list[list[SocketPair]] = []

    def lookup(wanted: Sequence[SocketPair]) -> Mapping[SocketPair, str]:
        batches.append(list(wanted))
        return {ends: f"psql ({ends.client[1]})" for ends in wanted if ends.client[1] != 2}

    names = ClientProcessLookup(lookup)
    connections = [Connection() for _ in range(5)]
    for _ in range(3):
        for number, connection in enumerate(connections):
            names.ask(number, an_end(number), connection)
    await until(lambda: connections[4].process)
    assert [connection.process for connection in connections] == [
        "psql (0)",
        "psql (1)",
        "",
        "psql (3)",
        "psql (4)",
    ]
    names.ask(2, an_end(2), connections[2])
    await names.close()
    assert len(batches) == 1


async def test_a_look_up_that_fails_harms_nobody() -> None:
    calls = 0

    def lookup(wanted: Sequence[SocketPair]) -> Mapping[SocketPair, str]:
        nonlocal calls
        calls += 1
        raise RuntimeError("no /proc today")

    names = ClientProcessLookup(lookup)
    names.ask(1, an_end(1), Connection())
    await until(lambda: calls)
    await names.close()
    names.forget(1)
    names.ask(1, an_end(1), Connection())
    await names.close()
    assert calls <= 2


async def test_connections_that_wait_are_bounded() -> None:
    names = ClientProcessLookup(lambda wanted: {})
    for number in range(6000):
        names.ask(number, an_end(number), Connection())
    assert len(names._waiting) == ClientProcessLookup._WAITING
    await names.close()
