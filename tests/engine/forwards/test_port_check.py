from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from typing import cast

import pytest

from tui_forward.engine.connections.local_ports import find_free_port, find_port_problem
from tui_forward.engine.context import EngineContext
from tui_forward.engine.forwards.port_check import check_port
from tui_forward.errors import UsageError
from tui_forward.model import LocalAddress


class OwnForwards:
    """The part of an engine that a check uses."""

    def __init__(self, owner: str = "") -> None:
        self.owner = owner

    def own_forward_on(self, address: LocalAddress) -> str:
        return self.owner


def engine(owner: str = "") -> EngineContext:
    return cast("EngineContext", OwnForwards(owner))


@pytest.fixture
def used() -> Iterator[socket.socket]:
    """A socket of this process that listens on 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


async def test_a_free_port_stays_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for _ in range(3):
        check = await check_port(("127.0.0.1",), port, engine())
        if not check.problem:  # another program may have taken it
            break
    assert (check.port, check.problem) == (port, "")
    assert check.next_free is None or check.next_free > port


async def test_the_process_that_uses_a_port_is_named(used: socket.socket) -> None:
    port = used.getsockname()[1]
    for addresses in (("127.0.0.1",), ("localhost",)):
        check = await check_port(addresses, port, engine())
        assert check.problem.startswith("used by ")
        assert f"({os.getpid()})" in check.problem
        assert check.next_free is None or find_port_problem(addresses, port) is not None


async def test_an_own_forward_is_named(used: socket.socket) -> None:
    port = used.getsockname()[1]
    check = await check_port(("127.0.0.1",), port, engine("the forward f1 to shop/web:80"))
    assert check.problem == "used by the forward f1 to shop/web:80"


async def test_an_address_of_another_machine() -> None:
    check = await check_port(("192.0.2.1",), 9000, engine())
    assert "192.0.2.1" in check.problem
    assert check.next_free is None
    with pytest.raises(UsageError):
        await check_port(("nowhere",), 9000, engine())


def test_the_next_free_port_needs_no_privileges(used: socket.socket) -> None:
    port = used.getsockname()[1]
    found = find_free_port(("127.0.0.1",), port - 1)
    assert found is None or found > port
    above = find_free_port(("127.0.0.1",), 80)
    assert above is not None
    assert above >= 8080
    assert find_free_port(("127.0.0.1",), 65535) is None
