"""Which interface packets to an address leave through. Sends nothing."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass

import psutil


@dataclass(frozen=True, slots=True)
class Route:
    """How this machine would reach an address."""

    text: str = ""  # "10.0.0.5 through eth0 (192.168.1.7)"
    needs_vpn: bool = False  # the address is private, and of no network of this machine


def describe_route(host: str, addresses: Iterable[str]) -> Route:
    """Return the route to the first address of a host; empty if there is none."""
    address = next(iter(addresses), host)
    own = _own_address(address)
    interface, networks = _interface_of(own)
    if own is None:
        return Route(f"no route to {address}", needs_vpn=_is_private(address))
    text = f"{address} through {interface or 'an interface'} ({own})"
    return Route(text, needs_vpn=_is_private(address) and not _is_inside(address, networks))


def _own_address(address: str) -> str | None:
    """Return the address of this machine that the system would send from."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect((address, 9))  # of UDP: sends nothing
        own: str = sock.getsockname()[0]
        return own
    return None


def _interface_of(own: str | None) -> tuple[str, list[str]]:
    """Return the interface with an address, and the networks of all interfaces."""
    name, networks = "", []
    for interface, entries in psutil.net_if_addrs().items():
        for entry in entries:
            if entry.address == own:
                name = interface
            if entry.family in (socket.AF_INET, socket.AF_INET6) and entry.netmask:
                mask = int(ipaddress.ip_address(entry.netmask)).bit_count()
                networks.append(f"{entry.address.partition('%')[0]}/{mask}")
    return name, networks


def _is_private(address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    # Neither is 100.64.0.0/10 (RFC 6598), which VPNs use.
    return not parsed.is_global and not parsed.is_loopback


def _is_inside(address: str, networks: Iterable[str]) -> bool:
    with contextlib.suppress(ValueError):
        parsed = ipaddress.ip_address(address)
        return any(parsed in ipaddress.ip_network(one, strict=False) for one in networks)
    return False
