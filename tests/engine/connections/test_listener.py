from __future__ import annotations

import asyncio
import errno
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from tests.support.waiting import until
from tui_forward.engine.connections import listener
from tui_forward.engine.connections.listener import (
    Listener,
    PortRequest,
    PortTakenError,
    bind_sockets,
    check_addresses,
    raise_file_limit,
)
from tui_forward.errors import ForwardError, ForwardErrorCause, UsageError
from tui_forward.model import LocalAddress


@pytest.fixture
def undo() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def bound(undo: ExitStack, wish: PortRequest, *addresses: str) -> list[LocalAddress]:
    sockets = bind_sockets(addresses or ("localhost",), wish)
    for sock in sockets:
        undo.callback(sock.close)
    return [LocalAddress(*sock.getsockname()[:2]) for sock in sockets]


def occupy(undo: ExitStack, host: str = "127.0.0.1", port: int = 0) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = undo.enter_context(closing(socket.socket(family, socket.SOCK_STREAM)))
    sock.bind((host, port))
    sock.listen()
    return int(sock.getsockname()[1])


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as sock:
        return int(sock.getsockname()[1])


def has_ipv6() -> bool:
    try:
        with closing(socket.create_server(("::1", 0), family=socket.AF_INET6)):
            return True
    except OSError:
        return False


HAS_IPV6 = has_ipv6()
ipv6 = pytest.mark.skipif(not HAS_IPV6, reason="this machine has no ::1")


def test_any_port_is_the_same_on_both_halves_of_localhost(undo: ExitStack) -> None:
    addresses = bound(undo, PortRequest(0, required=True))
    assert addresses[0].host == "127.0.0.1"
    assert addresses[0].port >= 1024
    assert {address.port for address in addresses} == {addresses[0].port}
    if HAS_IPV6:
        assert [address.host for address in addresses] == ["127.0.0.1", "::1"]


def test_what_is_ours_already_is_not_bound_again(undo: ExitStack) -> None:
    before = bind_sockets(("localhost",), PortRequest(0, required=True))
    inherited = {LocalAddress(*sock.getsockname()[:2]): sock for sock in before}
    port = before[0].getsockname()[1]
    after = bind_sockets(("localhost",), PortRequest(port, required=True), inherited)
    for sock in after:
        undo.callback(sock.close)
    assert after == before
    assert not inherited
    with pytest.raises(PortTakenError):
        bind_sockets(("localhost",), PortRequest(port, required=True), inherited)


def test_an_inherited_address_is_found_however_it_is_written(undo: ExitStack) -> None:
    try:
        (before,) = bind_sockets(("::1",), PortRequest(0, required=True))
    except OSError:
        pytest.skip("no ::1 here")
    port = before.getsockname()[1]
    (after,) = bind_sockets(
        ("0:0:0:0:0:0:0:1",), PortRequest(port, required=True), {LocalAddress("::1", port): before}
    )
    undo.callback(after.close)
    assert after is before


def test_a_firm_wish_for_a_taken_port_is_an_error(undo: ExitStack) -> None:
    port = occupy(undo)
    with pytest.raises(PortTakenError) as failed:
        bound(undo, PortRequest(port, required=True))
    assert failed.value.cause is ForwardErrorCause.PORT_TAKEN
    assert failed.value.address == LocalAddress("127.0.0.1", port)
    assert failed.value.hint


def test_a_port_taken_on_all_addresses_is_taken(undo: ExitStack) -> None:
    port = occupy(undo, "0.0.0.0")
    with pytest.raises(PortTakenError):
        bound(undo, PortRequest(port, required=True))


@ipv6
def test_a_port_taken_on_one_half_is_used_on_the_other(undo: ExitStack) -> None:
    port = occupy(undo, "::1")
    assert bound(undo, PortRequest(port, required=True)) == [LocalAddress("127.0.0.1", port)]


@ipv6
def test_a_wish_that_is_not_firm_wants_both_halves(undo: ExitStack) -> None:
    port = occupy(undo, "::1")
    addresses = bound(undo, PortRequest(port, required=False))
    assert [address.host for address in addresses] == ["127.0.0.1", "::1"]
    assert addresses[0].port > port


def test_a_wish_is_granted_when_the_port_is_free(undo: ExitStack) -> None:
    port = free_port()
    assert bound(undo, PortRequest(port, required=False))[0].port == port


def test_a_wish_gives_way_to_the_next_free_port(undo: ExitStack) -> None:
    port = occupy(undo)
    assert port < bound(undo, PortRequest(port, required=False))[0].port <= port + 200


def test_a_privileged_wish_goes_to_its_unprivileged_twin(undo: ExitStack) -> None:
    assert bound(undo, PortRequest(443, required=False))[0].port >= 8443


def test_one_half_of_localhost_is_enough(undo: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    real = listener._bind_one

    def no_ipv6(host: str, number: int) -> socket.socket:
        if ":" in host:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        return real(host, number)

    monkeypatch.setattr(listener, "_bind_one", no_ipv6)
    assert [address.host for address in bound(undo, PortRequest(0, required=True))] == ["127.0.0.1"]


def test_neither_half_is_too_little(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(host: str, number: int) -> socket.socket:
        raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")

    monkeypatch.setattr(listener, "_bind_one", nothing)
    with pytest.raises(ForwardError, match="neither"):
        bind_sockets(("localhost",), PortRequest(0, required=True))


def test_a_privileged_port_names_what_would_help(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_allowed(host: str, number: int) -> socket.socket:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(listener, "_bind_one", not_allowed)
    with pytest.raises(ForwardError) as failed:
        bind_sockets(("localhost",), PortRequest(80, required=True))
    assert failed.value.cause is ForwardErrorCause.PRIVILEGED
    assert "80" in failed.value.message
    assert "1024" in failed.value.hint


def test_an_address_of_another_machine() -> None:
    with pytest.raises(ForwardError, match=r"192\.0\.2\.1 is not an address of this machine"):
        bind_sockets(("192.0.2.1",), PortRequest(0, required=True))


def test_all_named_addresses_are_needed(undo: ExitStack) -> None:
    addresses = bound(undo, PortRequest(0, required=True), "127.0.0.1", "127.0.0.2")
    assert [address.host for address in addresses] == ["127.0.0.1", "127.0.0.2"]
    assert addresses[0].port == addresses[1].port


@pytest.mark.parametrize(
    ("addresses", "hosts"),
    [
        (("127.0.0.1", "0.0.0.0"), ["0.0.0.0"]),
        (("0.0.0.0", "127.0.0.2", "127.0.0.1"), ["0.0.0.0"]),
        (("127.0.0.1", "localhost"), ["127.0.0.1", "::1"]),
        (("localhost", "0.0.0.0"), ["::1", "0.0.0.0"]),
        (("localhost", "::1", "127.0.0.1"), ["127.0.0.1", "::1"]),
    ],
)
def test_addresses_may_be_contained_in_each_other(
    undo: ExitStack, addresses: tuple[str, ...], hosts: list[str]
) -> None:
    port = free_port()
    there = [host for host in hosts if HAS_IPV6 or ":" not in host]
    if HAS_IPV6 or "::1" not in addresses:
        assert bound(undo, PortRequest(port, required=True), *addresses) == [
            LocalAddress(host, port) for host in there
        ]


def test_a_failed_bind_leaves_nothing_behind(undo: ExitStack) -> None:
    port = occupy(undo, "127.0.0.2")
    with pytest.raises(PortTakenError):
        bind_sockets(("127.0.0.1", "127.0.0.2"), PortRequest(port, required=True))
    occupy(undo, "127.0.0.1", port)


@pytest.mark.parametrize("address", ["", "example.org", "127.0.0.1:80", "127.0.0"])
def test_addresses_that_make_no_sense(address: str) -> None:
    with pytest.raises(UsageError) as failed:
        check_addresses((address,))
    assert failed.value.hint


def test_no_address_at_all() -> None:
    with pytest.raises(UsageError):
        check_addresses(())


def test_addresses_that_do() -> None:
    check_addresses(("localhost", "0.0.0.0", "::", "10.1.2.3"))


class Accepted:
    """Collects what a listener accepts, and closes it at the end."""

    def __init__(self, undo: ExitStack, port: int = 0) -> None:
        self.sockets: list[socket.socket] = []
        self.clients: list[LocalAddress] = []
        self.complaints: list[str] = []
        self.undo = undo
        self.listener = Listener(
            bind_sockets(("127.0.0.1",), PortRequest(port, required=True)),
            on_accept=self.accepted,
            on_exhausted=self.complaints.append,
        )
        undo.callback(self.listener.close)

    def accepted(self, sock: socket.socket, client: LocalAddress, ours: LocalAddress) -> None:
        assert ours == self.listener.addresses[0]
        self.undo.callback(sock.close)
        self.sockets.append(sock)
        self.clients.append(client)

    def connect(self) -> socket.socket:
        sock = self.undo.enter_context(closing(socket.socket()))
        sock.connect(("127.0.0.1", self.listener.port))
        return sock


async def test_accepts_non_blocking_sockets_and_knows_the_client(undo: ExitStack) -> None:
    accepted = Accepted(undo)
    client = accepted.connect()
    await until(lambda: accepted.sockets)
    assert accepted.clients == [LocalAddress(*client.getsockname())]
    assert accepted.sockets[0].getblocking() is False


async def test_takes_a_burst(undo: ExitStack) -> None:
    accepted = Accepted(undo)
    for _ in range(300):
        accepted.connect()
    await until(lambda: len(accepted.sockets) == 300)


async def test_a_pause_leaves_connections_in_the_backlog(undo: ExitStack) -> None:
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


async def test_what_is_held_is_not_accepted_whoever_resumes(undo: ExitStack) -> None:
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


async def test_pausing_from_within_an_accept_is_heeded(undo: ExitStack) -> None:
    accepted = Accepted(undo)
    take = accepted.accepted

    def take_one(sock: socket.socket, client: LocalAddress, ours: LocalAddress) -> None:
        take(sock, client, ours)
        accepted.listener.pause()

    accepted.listener._on_accept = take_one
    for _ in range(3):
        accepted.connect()
    await until(lambda: accepted.sockets)
    assert len(accepted.sockets) == 1


async def test_running_out_of_descriptors_is_told_and_survived(
    undo: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Listener, "_BREATHER_S", 0.01)
    accepted = Accepted(undo)
    real = accepted.listener._sockets[0]

    class Exhausted:
        left = 2

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
    assert len(accepted.complaints) == 2
    assert "too many open files" in accepted.complaints[0]


async def test_closing_twice_and_resuming_after_it(undo: ExitStack) -> None:
    accepted = Accepted(undo)
    port = accepted.listener.port
    accepted.listener.pause()
    accepted.listener.close()
    accepted.listener.close()
    accepted.listener.resume()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


async def test_a_port_can_be_had_again_at_once(undo: ExitStack) -> None:
    accepted = Accepted(undo)
    port = accepted.listener.port
    client = accepted.connect()
    await until(lambda: accepted.sockets)
    accepted.sockets[0].close()  # our side first: TIME_WAIT is ours
    client.close()
    accepted.listener.close()
    again = Accepted(undo, port)
    assert again.listener.port == port


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
def test_the_file_limit_is_raised_and_never_lowered() -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
        before, after = raise_file_limit(1000) or (0, 0)
        assert (before, after) == (200, min(1000, hard))
        assert raise_file_limit(500) == (after, after)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
