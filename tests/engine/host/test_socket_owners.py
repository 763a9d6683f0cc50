from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing

import psutil
import pytest

from tui_forward.engine.host.socket_owners import (
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
def source(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "psutil":
        monkeypatch.setattr("tui_forward.engine.host.socket_owners.sys.platform", "other")
        own = psutil.Process()
        # psutil for Linux reads the tables of all sockets again for each process.
        monkeypatch.setattr(
            psutil, "process_iter", lambda: iter([*own.parents(), own, *own.children()])
        )
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
    ("host", "queried"), [("127.0.0.1", "127.0.0.1"), ("0.0.0.0", "127.0.0.1"), ("::1", "::1")]
)
def test_listening_process_is_found(source: str, undo: ExitStack, host: str, queried: str) -> None:
    port = listen(undo, host).getsockname()[1]
    owner = find_port_owner(queried, port)
    assert owner == PortOwner(name=own_name(), pid=os.getpid())
    assert str(owner) == f"{own_name()} ({os.getpid()})"


def test_free_port_has_no_owner(source: str) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as sock:
        port = sock.getsockname()[1]
    assert find_port_owner("127.0.0.1", port) is None


def test_listener_of_another_process_is_found(source: str, undo: ExitStack) -> None:
    code = (
        "import socket, sys; s = socket.create_server(('127.0.0.1', 0));"
        "print(s.getsockname()[1], flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        owner = find_port_owner("127.0.0.1", port)
        assert process.stdin is not None
        process.stdin.close()
    assert owner is not None
    assert owner.pid == process.pid


def test_unknown_owner_is_described() -> None:
    assert str(PortOwner(user="www-data")) == "a process of user www-data"
    assert str(PortOwner()) == "another process"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_client_of_a_connection_is_found(source: str, undo: ExitStack, host: str) -> None:
    server = listen(undo, host)
    client = undo.enter_context(closing(socket.create_connection(server.getsockname()[:2])))
    local = undo.enter_context(closing(server.accept()[0]))
    pair = SocketPair(client.getsockname()[:2], local.getsockname()[:2])
    gone = SocketPair(("127.0.0.1", 1), local.getsockname()[:2])
    assert find_client_processes([gone, pair]) == {pair: f"{own_name()} ({os.getpid()})"}
    assert find_client_processes([]) == {}


def test_client_with_mapped_address_is_found(undo: ExitStack) -> None:
    server = listen(undo)
    client = undo.enter_context(closing(socket.socket(socket.AF_INET6)))
    client.connect(("::ffff:127.0.0.1", server.getsockname()[1]))
    local, address = server.accept()
    undo.callback(local.close)
    pair = SocketPair(address, local.getsockname())
    assert find_client_processes([pair]) == {pair: f"{own_name()} ({os.getpid()})"}
