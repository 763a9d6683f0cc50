"""Which forwards need the same local address and port. Pure.

Two forwards may have one port on different loopback addresses: what identifies a listener is
address and port.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tui_forward.common.arguments import share_address
from tui_forward.model import Forward, ForwardSpec, LocalAddress


def find_port_user(
    forwards: Iterable[Forward], addresses: Sequence[str], port: int
) -> Forward | None:
    """Return an active forward that listens on a port on one of some addresses; None for port 0."""
    for forward in forwards:
        for one in forward.listening:
            if port and one.port == port and share_address(addresses, (one.host,)):
                return forward
    return None


def may_listen_on(spec: ForwardSpec, address: LocalAddress) -> bool:
    """Return whether a forward needs an address, because its port and one of its addresses do."""
    return spec.local_port == address.port and share_address(spec.addresses, (address.host,))
