"""Port-forwards and watches in progress, and the faults that affect them."""

from __future__ import annotations

from collections.abc import Callable

from tui_forward.minicluster.apiserver.fault_injection import Faults
from tui_forward.minicluster.apiserver.watch import Watch
from tui_forward.minicluster.relay import Relay


class LongRunningRequests:
    """The port-forwards and watches in progress.

    Attributes:
        tunnels: The relays of upgraded port-forward requests.
        watches: The running watches.
    """

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.tunnels: set[Relay] = set()
        self.watches: set[Watch] = set()

    def add_tunnel(self, tunnel: Relay) -> Callable[[], None]:
        """Track a tunnel until the returned function is called."""
        self.tunnels.add(tunnel)
        tunnel.delay_s = self._faults.delay_s
        if self._faults.stalled in ("tunnels", "all"):
            tunnel.stall()
        return lambda: self.tunnels.discard(tunnel)

    def add_watch(self, watch: Watch) -> None:
        """Track a watch until it closes."""
        self.watches.add(watch)
        watch.on_close = lambda: self.watches.discard(watch)
        if self._faults.stalled in ("watches", "all"):
            watch.stall()

    def end_watches(self) -> None:
        """End all watches gracefully."""
        for watch in list(self.watches):
            watch.end()

    def reset_tunnels(self) -> int:
        """Close all tunnels with a reset; return their number."""
        tunnels = list(self.tunnels)
        for tunnel in tunnels:
            tunnel.reset()
        return len(tunnels)

    def delay(self, seconds: float) -> None:
        """Delay every byte of current and new tunnels."""
        self._faults.delay_s = seconds
        for tunnel in list(self.tunnels):
            tunnel.delay_s = seconds

    def stall(self, target: str) -> None:
        """Stall "tunnels", "watches" or "all" and resume the others; empty resumes everything."""
        self._faults.stalled = target
        for tunnel in list(self.tunnels):
            if target in ("tunnels", "all"):
                tunnel.stall()
            else:
                tunnel.resume()
        for watch in list(self.watches):
            if target in ("watches", "all"):
                watch.stall()
            else:
                watch.resume()
