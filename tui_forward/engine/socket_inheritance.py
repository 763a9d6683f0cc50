"""Listening sockets that the process before handed over."""

from __future__ import annotations

import asyncio

from tui_forward.engine.connections.local_ports import InheritedSockets

# Inherited forwards are started with the process, so they claim their sockets at once.
_CLAIM_TIMEOUT_S = 10.0


class SocketInheritance:
    """Sockets that no forward has claimed yet; those left over are closed after a while."""

    def __init__(self) -> None:
        self.sockets: InheritedSockets = {}  # by address; forwards remove what they use

    def adopt(self, sockets: InheritedSockets) -> None:
        """Take sockets over."""
        self.sockets.update(sockets)
        asyncio.get_running_loop().call_later(_CLAIM_TIMEOUT_S, self.close)

    def close(self) -> None:
        """Close what is unclaimed: clients must not wait in a backlog that is not accepted."""
        for sock in self.sockets.values():
            sock.close()
        self.sockets.clear()
