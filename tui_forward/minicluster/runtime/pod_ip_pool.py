"""Addresses of pods, assigned as CNI's host-local plugin does: round robin."""

from __future__ import annotations

import ipaddress
from collections.abc import Container

from tui_forward.minicluster.cri.errors import CriError


class PodIpPool:
    """The addresses of a network without its first two and its last."""

    def __init__(self, cidr: str) -> None:
        self._network = ipaddress.ip_network(cidr, strict=False)
        self._last = 1

    def assign(self, used: Container[str]) -> str:
        """Return the next address that is not in use.

        Raises `CriError`: all addresses are in use.
        """
        size = max(self._network.num_addresses - 3, 1)
        for step in range(size):
            number = (self._last - 1 + step) % size + 2
            address = str(self._network[number])
            if address not in used:
                self._last = number
                return address
        raise CriError("no IP addresses available in range set")
