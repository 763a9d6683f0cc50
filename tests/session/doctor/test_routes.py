"""Which interface leads to a server, and whether a VPN is likely to be missing."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from tests.session.doctor.diagnosis import diagnose, fault_of, write_config
from tui_forward.errors import TransportError
from tui_forward.model import DoctorHop, Reason, ReasonCode
from tui_forward.session.doctor import network_hops, routes
from tui_forward.session.doctor.routes import Route, describe_route
from tui_forward.transport.tcp import connect_timeout_error


class _Address(NamedTuple):
    family: int
    address: str
    netmask: str | None


V4, V6 = socket.AF_INET, socket.AF_INET6
INTERFACES = {
    "lo": [_Address(V4, "127.0.0.1", "255.0.0.0")],
    "eth0": [
        _Address(V4, "192.168.1.7", "255.255.255.0"),
        _Address(V6, "fd00:1::7", "ffff:ffff:ffff:ffff::"),
        _Address(V6, "fe80::1%eth0", "ffff:ffff:ffff:ffff::"),
        _Address(psutil.AF_LINK, "aa:bb:cc:dd:ee:ff", None),
    ],
    "tun0": [_Address(V4, "10.8.0.2", "255.255.0.0")],
}


@pytest.fixture
def sends_from(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """Let this machine have `INTERFACES`; the item is the address that it sends from."""
    own: list[str | None] = ["192.168.1.7"]
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: INTERFACES)
    monkeypatch.setattr(routes, "_own_address", lambda _: own[0])
    return own


@pytest.mark.parametrize(
    ("own", "address", "interface", "needs_vpn"),
    [
        ("192.168.1.7", "192.168.1.20", "eth0", False),
        ("192.168.1.7", "10.0.0.5", "eth0", True),
        ("192.168.1.7", "172.16.3.4", "eth0", True),
        ("192.168.1.7", "100.100.3.4", "eth0", True),  # RFC 6598
        ("192.168.1.7", "8.8.8.8", "eth0", False),
        ("10.8.0.2", "10.8.3.4", "tun0", False),
        ("fd00:1::7", "fd00:1::9", "eth0", False),
        ("fd00:1::7", "fd00:2::9", "eth0", True),
        ("fd00:1::7", "2606:4700::1111", "eth0", False),
        ("127.0.0.1", "127.0.0.1", "lo", False),
        ("172.30.0.1", "8.8.8.8", "an interface", False),
    ],
)
def test_route(
    own: str, address: str, interface: str, needs_vpn: bool, sends_from: list[str | None]
) -> None:
    sends_from[0] = own
    expected = Route(f"{address} through {interface} ({own})", needs_vpn)
    assert describe_route("api.corp.example", [address]) == expected


@pytest.mark.parametrize(("address", "needs_vpn"), [("10.0.0.5", True), ("8.8.8.8", False)])
def test_no_route(address: str, needs_vpn: bool, sends_from: list[str | None]) -> None:
    sends_from[0] = None
    assert describe_route(address, []) == Route(f"no route to {address}", needs_vpn)


def test_name_that_was_not_resolved_needs_no_vpn(sends_from: list[str | None]) -> None:
    assert not describe_route("api.corp.example", []).needs_vpn


def test_loopback_of_this_machine() -> None:
    route = describe_route("localhost", ["127.0.0.1"])
    assert route.text.startswith("127.0.0.1 through ")
    assert route.text.endswith(" (127.0.0.1)")
    assert not route.needs_vpn


VPN_HINT = (
    "Connect the VPN of this network: the address is private, and "
    "no interface of this machine is in its network"
)
LOST = TransportError(Reason(code=ReasonCode.NETWORK_UNREACHABLE, server="x"))
REFUSED = TransportError(Reason(code=ReasonCode.NETWORK_REFUSED, server="x"))


@pytest.mark.parametrize(
    ("address", "error", "is_of_vpn"),
    [
        ("10.0.0.5", LOST, True),
        ("10.0.0.5", connect_timeout_error("x", "the API server"), True),
        ("10.0.0.5", TimeoutError(), True),
        ("10.0.0.5", REFUSED, False),  # something answers
        ("192.168.1.20", LOST, False),
        ("8.8.8.8", LOST, False),
    ],
    ids=["no-route", "timeout", "own-limit", "refused", "same-network", "public"],
)
async def test_fix_of_a_lost_connection(
    address: str, error: Exception, is_of_vpn: bool, sends_from: list[str | None],
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    async def dial(*_: Any, **__: Any) -> socket.socket:
        raise error

    monkeypatch.setattr(network_hops, "dial_addresses", dial)
    fault = fault_of(await diagnose(write_config(tmp_path, f"https://{address}:6443")))
    assert fault.hop is DoctorHop.TCP
    assert (fault.fix == VPN_HINT) is is_of_vpn
    is_refused = error is REFUSED
    assert (f"{address} through eth0 (192.168.1.7)" in fault.facts) is not is_refused
