"""Interface of a forward to its connections."""

from __future__ import annotations

from typing import Protocol

from tui_forward.engine.connections.counters import ForwardCounters
from tui_forward.engine.connections.pod_history import PodHistory
from tui_forward.engine.connections.preconnector import SpareChannel
from tui_forward.engine.tunnels.pool import TunnelPool
from tui_forward.errors import ForwardError
from tui_forward.model import PodRef


class ConnectionOwner(Protocol):
    """What a connection needs of the forward it belongs to."""

    # The connection adds the bytes, and one to `connections_failed` when it fails; the forward
    # counts open and total.
    counters: ForwardCounters

    def take_spare(self, pool: TunnelPool) -> SpareChannel | None:
        """Return a channel of the pool that was opened ahead; None if there is none."""

    def usable_pool(self, client: str) -> TunnelPool | None:
        """Return the pool for a connection if one is up; raises as `wait_for_pool`."""

    async def wait_for_pool(self, client: str) -> TunnelPool:
        """Wait until a pool is up, and return it. The caller applies the time limit.

        Raises `ForwardError` when the forward is stopping, paused or blocked.
        """

    def follow_pod(self, pod: PodRef, port: int) -> PodHistory:
        """Return the history of pod and port that a channel leads to, kept while referenced."""

    @property
    def is_refusing(self) -> bool:
        """Whether the port has refused connections, and has accepted none since."""

    def refusal_is_final(self, failure: ForwardError, pod: PodRef | None) -> bool:
        """Return whether "connection refused" by a pod should be passed on to the client.

        Called once per refusal.
        """

    async def wait_for_retry(self) -> None:
        """Wait until something changed that makes a retry after a refusal worthwhile."""

    def pod_answered(self) -> None:
        """Record that the application has accepted a connection. Cheap."""

    def connection_failed(self, failure: ForwardError) -> None:
        """Record a failed connection in the timeline. Called once per failed connection."""

    def sandbox_gone(self, failure: ForwardError, pod: PodRef | None) -> None:
        """Record that the runtime reports a pod's sandbox as gone: the pod is over."""
