from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from tests.support.free_ports import find_free_port
from tui_forward.engine.connections import local_ports
from tui_forward.engine.connections.local_ports import (
    PortRequest,
    PortTakenError,
    bind_missing,
    bind_sockets,
    check_addresses,
    conflict,
)
from tui_forward.errors import ForwardError, UsageError
from tui_forward.model import LocalAddress, ReasonCode


@pytest.fixture
def undo() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def bound(undo: ExitStack, request: PortRequest, *addresses: str) -> list[LocalAddress]:
    sockets = bind_sockets(addresses or ("localhost",), request)
    for sock in sockets:
        undo.callback(sock.close)
    return [LocalAddress(*sock.getsockname()[:2]) for sock in sockets]


def occupy(undo: ExitStack, host: str = "127.0.0.1", port: int = 0) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = undo.enter_context(closing(socket.socket(family, socket.SOCK_STREAM)))
    sock.bind((host, port))
    sock.listen()
    return int(sock.getsockname()[1])


def has_ipv6() -> bool:
    try:
        with closing(socket.create_server(("::1", 0), family=socket.AF_INET6)):
            return True
    except OSError:
        return False


HAS_IPV6 = has_ipv6()
ipv6 = pytest.mark.skipif(not HAS_IPV6, reason="this machine has no ::1")


def test_random_port_is_the_same_on_both_localhost_addresses(undo: ExitStack) -> None:
    addresses = bound(undo, PortRequest(0, required=True))
    assert addresses[0].host == "127.0.0.1"
    assert addresses[0].port >= 1024
    assert {address.port for address in addresses} == {addresses[0].port}
    if HAS_IPV6:
        assert [address.host for address in addresses] == ["127.0.0.1", "::1"]


def test_inherited_sockets_are_used_instead_of_binding(undo: ExitStack) -> None:
    existing = bind_sockets(("localhost",), PortRequest(0, required=True))
    inherited = {LocalAddress(*sock.getsockname()[:2]): sock for sock in existing}
    port = existing[0].getsockname()[1]
    after = bind_sockets(("localhost",), PortRequest(port, required=True), inherited)
    for sock in after:
        undo.callback(sock.close)
    assert after == existing
    assert not inherited
    with pytest.raises(PortTakenError):
        bind_sockets(("localhost",), PortRequest(port, required=True), inherited)


def test_inherited_socket_is_kept_if_another_address_fails(undo: ExitStack) -> None:
    """It could not be bound again while another process holds a copy of it."""
    (existing,) = bind_sockets(("127.0.0.1",), PortRequest(0, required=True))
    undo.callback(existing.close)
    address = LocalAddress(*existing.getsockname())
    inherited = {address: existing}
    request = PortRequest(address.port, required=True)
    with pytest.raises(ForwardError):
        bind_sockets(("127.0.0.1", "192.0.2.1"), request, inherited)
    assert inherited == {address: existing}
    assert bind_sockets(("127.0.0.1",), request, inherited) == [existing]


def test_inherited_address_is_found_in_any_notation(undo: ExitStack) -> None:
    try:
        (existing,) = bind_sockets(("::1",), PortRequest(0, required=True))
    except OSError:
        pytest.skip("no ::1 here")
    port = existing.getsockname()[1]
    (after,) = bind_sockets(
        ("0:0:0:0:0:0:0:1",),
        PortRequest(port, required=True),
        {LocalAddress("::1", port): existing},
    )
    undo.callback(after.close)
    assert after is existing


def test_required_port_in_use_is_an_error(undo: ExitStack) -> None:
    port = occupy(undo)
    if HAS_IPV6:
        occupy(undo, "::1", port)
    with pytest.raises(PortTakenError) as failed:
        bound(undo, PortRequest(port, required=True))
    assert failed.value.code is ReasonCode.LOCAL_PORT_TAKEN
    assert failed.value.address == LocalAddress("127.0.0.1", port)
    assert failed.value.hint


@pytest.mark.parametrize("addresses", [("127.0.0.1",), ("0.0.0.0",)])
def test_port_taken_on_the_wildcard_address_is_taken(
    undo: ExitStack, addresses: tuple[str, ...]
) -> None:
    port = occupy(undo, "0.0.0.0")
    with pytest.raises(PortTakenError):
        bound(undo, PortRequest(port, required=True), *addresses)


@ipv6
def test_required_port_taken_on_ipv6_is_used_on_ipv4(undo: ExitStack) -> None:
    port = occupy(undo, "::1")
    assert bound(undo, PortRequest(port, required=True)) == [LocalAddress("127.0.0.1", port)]


@ipv6
def test_required_port_taken_on_ipv4_is_used_on_ipv6(undo: ExitStack) -> None:
    port = occupy(undo, "127.0.0.1")
    assert bound(undo, PortRequest(port, required=True)) == [LocalAddress("::1", port)]


@ipv6
@pytest.mark.parametrize("held", ["127.0.0.1", "::1"])
def test_missing_address_is_bound_when_it_is_free(undo: ExitStack, held: str) -> None:
    with ExitStack() as holder:
        port = occupy(holder, held)
        listening = bound(undo, PortRequest(port, required=True))
        assert bind_missing(("localhost",), listening) == ([], [LocalAddress(held, port)])
    (sock,), taken = bind_missing(("localhost",), listening)
    undo.callback(sock.close)
    assert (sock.getsockname()[:2], taken) == ((held, port), [])
    both = [*listening, LocalAddress(held, port)]
    assert bind_missing(("localhost",), both) == ([], [])
    assert bind_missing(("127.0.0.1",), listening) == ([], []), "only localhost has two"


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (("127.0.0.1", 80), ("127.0.0.1", 80), True),
        (("127.0.0.1", 80), ("127.0.0.1", 81), False),
        (("127.0.0.1", 80), ("127.0.0.2", 80), False),
        (("127.0.0.1", 80), ("::1", 80), False),
        (("127.0.0.1", 80), ("0.0.0.0", 80), True),
        (("0.0.0.0", 80), ("::1", 80), False),
        (("::", 80), ("::1", 80), True),
    ],
)
def test_sockets_conflict_by_address_and_port(
    one: tuple[str, int], other: tuple[str, int], expected: bool
) -> None:
    assert conflict(LocalAddress(*one), LocalAddress(*other)) is expected
    assert conflict(LocalAddress(*other), LocalAddress(*one)) is expected


@ipv6
def test_preferred_port_must_be_free_on_both_localhost_addresses(undo: ExitStack) -> None:
    port = occupy(undo, "::1")
    addresses = bound(undo, PortRequest(port, required=False))
    assert [address.host for address in addresses] == ["127.0.0.1", "::1"]
    assert addresses[0].port > port


def test_preferred_port_is_used_when_free(undo: ExitStack) -> None:
    port = find_free_port()
    assert bound(undo, PortRequest(port, required=False))[0].port == port


def test_preferred_port_in_use_gives_way_to_the_next_free_one(undo: ExitStack) -> None:
    port = occupy(undo)
    assert port < bound(undo, PortRequest(port, required=False))[0].port <= port + 200


def test_preferred_privileged_port_is_moved_above_8000(undo: ExitStack) -> None:
    assert bound(undo, PortRequest(443, required=False))[0].port >= 8443


def test_one_localhost_address_is_enough(undo: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
    real = local_ports._bind_one

    def no_ipv6(host: str, number: int, **_: bool) -> socket.socket:
        if ":" in host:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        return real(host, number)

    monkeypatch.setattr(local_ports, "_bind_one", no_ipv6)
    assert [address.host for address in bound(undo, PortRequest(0, required=True))] == ["127.0.0.1"]


def test_missing_localhost_addresses_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_address(host: str, number: int, **_: bool) -> socket.socket:
        raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")

    monkeypatch.setattr(local_ports, "_bind_one", no_address)
    with pytest.raises(ForwardError, match="neither"):
        bind_sockets(("localhost",), PortRequest(0, required=True))


def test_required_privileged_port_error_has_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_allowed(host: str, number: int, **_: bool) -> socket.socket:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(local_ports, "_bind_one", not_allowed)
    with pytest.raises(ForwardError) as failed:
        bind_sockets(("localhost",), PortRequest(80, required=True))
    assert failed.value.code is ReasonCode.LOCAL_PORT_PRIVILEGED
    assert "80" in failed.value.message
    assert "1024" in failed.value.hint


def test_address_of_another_machine_is_an_error() -> None:
    with pytest.raises(ForwardError, match=r"192\.0\.2\.1 is not an address of this machine"):
        bind_sockets(("192.0.2.1",), PortRequest(0, required=True))


def test_all_configured_addresses_are_bound(undo: ExitStack) -> None:
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
def test_overlapping_addresses_are_bound_once(
    undo: ExitStack, addresses: tuple[str, ...], hosts: list[str]
) -> None:
    port = find_free_port()
    available = [host for host in hosts if HAS_IPV6 or ":" not in host]
    if HAS_IPV6 or "::1" not in addresses:
        assert bound(undo, PortRequest(port, required=True), *addresses) == [
            LocalAddress(host, port) for host in available
        ]


def test_failed_bind_closes_all_sockets(undo: ExitStack) -> None:
    port = occupy(undo, "127.0.0.2")
    with pytest.raises(PortTakenError):
        bind_sockets(("127.0.0.1", "127.0.0.2"), PortRequest(port, required=True))
    occupy(undo, "127.0.0.1", port)


@pytest.mark.parametrize("address", ["", "example.org", "127.0.0.1:80", "127.0.0", "fe80::1%$(id)"])
def test_invalid_addresses_are_refused(address: str) -> None:
    with pytest.raises(UsageError) as failed:
        check_addresses((address,))
    assert failed.value.hint


def test_missing_addresses_are_refused() -> None:
    with pytest.raises(UsageError):
        check_addresses(())


def test_valid_addresses_are_accepted() -> None:
    check_addresses(("localhost", "0.0.0.0", "::", "10.1.2.3"))
