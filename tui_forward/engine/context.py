"""What a forward needs of its surroundings: the seam between `forward` and `supervisor`."""

from __future__ import annotations

from typing import Protocol

from tui_forward.engine.connections.listener import InheritedSockets
from tui_forward.engine.host.process_lookup import ClientProcessLookup
from tui_forward.engine.limits import Limits
from tui_forward.engine.target_watch import TargetWatch
from tui_forward.engine.tunnels.transport_cache import TransportCache
from tui_forward.model import Event, Target
from tui_forward.transport.access import ServerAccess


class ClusterProvider(Protocol):
    """The clusters a session can reach, by context; `session` puts it together."""

    def access(self, context: str) -> ServerAccess:
        """The API server of a context.

        Raises:
            ConfigError: There is no such context, or it cannot be used.
        """

    def watch(self, target: Target) -> TargetWatch:
        """Begin to follow a target.

        Raises:
            ConfigError: As above.
        """

    def refresh(self) -> None:
        """Look at everything again now, on fresh connections: the world may have changed."""


class EngineContext(Protocol):
    """What the engine gives to each of its forwards."""

    @property
    def clusters(self) -> ClusterProvider:
        """Where API servers and pods come from."""

    @property
    def limits(self) -> Limits:
        """Bounds of the data path."""

    @property
    def transport_cache(self) -> TransportCache:
        """Which transport worked where."""

    @property
    def client_names(self) -> ClientProcessLookup:
        """Finds the processes of clients."""

    @property
    def inherited_sockets(self) -> InheritedSockets:
        """Listening sockets of the process before that nobody has claimed yet."""

    def next_connection_id(self) -> int:
        """A number no other connection of the session has."""

    def emit(self, event: Event) -> None:
        """Tell whoever listens; the sequence number is filled in."""

    def changed(self) -> None:
        """Something other than counters and rates is different now."""

    def became_ready(self, context: str) -> None:
        """The API server of a context lets us through: others of it need not wait."""

    def count_connecting(self, context: str) -> int:
        """How many forwards of a context are without a tunnel now, and not by intention."""

    def own_forward_on(self, port: int) -> str:
        """Which of our own forwards listens on a local port, in words, or ""."""
