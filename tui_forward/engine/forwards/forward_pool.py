"""Interface of a forward to its tunnels, to one pod or to several."""

from __future__ import annotations

from typing import Protocol

from tui_forward.engine.tunnels.pool import TunnelPool
from tui_forward.errors import TuiForwardError
from tui_forward.model import PodRef, PodShare, Reason, Resolved, TransportChoice


class ForwardPool(Protocol):
    """The tunnels of a forward; implemented by `TunnelPool` and by `PodPools`."""

    @property
    def up(self) -> bool:
        """Whether a tunnel is upgraded and answers."""

    @property
    def tunnels(self) -> int:
        """How many tunnels are up."""

    @property
    def transport(self) -> TransportChoice | None:
        """The transport in use, None while down."""

    @property
    def round_trip_s(self) -> float | None:
        """The latest PING round trip through the whole path; None before the first."""

    @property
    def last_error(self) -> TuiForwardError:
        """Why it is down; meaningless while it is up."""

    @property
    def shares(self) -> list[PodShare]:
        """What is shown of each of several pods, without their counters; empty for one pod."""

    async def connect_to(self, resolved: Resolved) -> None:
        """Dial; it is then `up`. Raises as `TunnelPool.connect`. Safe to cancel."""

    def follow(self, resolved: Resolved) -> None:
        """Adapt to another resolution of the target, which the tunnels that are up serve, too."""

    def select(self, client: str) -> TunnelPool | None:
        """Return the tunnels for the next connection of a client; None while it is not `up`."""

    def record_refusal(self, pod: PodRef) -> bool:
        """Record that a pod refuses connections; return whether another one may accept them."""

    def probe(self, within_s: float) -> None:
        """PING every tunnel; those that receive nothing within that time are ended."""

    def disconnect(self, reason: Reason) -> None:
        """Stop using the tunnels for new connections; `up` is False at once. Idempotent."""

    def abort(self, reason: Reason) -> None:
        """Cut all tunnels at once; `up` is False at once."""

    async def close(self) -> None:
        """Cut everything and wait for it. Idempotent."""
