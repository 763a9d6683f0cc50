"""The one door for every front end: commands in, immutable snapshots and events out.

`Session` has two forms: `LocalSession` in this process (`session.local`, over `engine`,
`kube` and `catalog`) and `agent.RemoteSession` over a unix socket to an engine process. Both
pass the same tests. Front ends see this protocol and `model`, nothing below.

Every method may raise `TransportError` (the engine process is gone) besides what it names.
Methods that take the id of a forward raise `UsageError` when there is no such forward.

This module imports `model` only: the dashboard's process imports it and must load neither the
engine nor a Kubernetes client.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from tui_forward.model import (
    CatalogScope,
    CatalogView,
    Connection,
    Context,
    Event,
    ForwardSpec,
    Hop,
    PodLog,
    Snapshot,
    TimelineEntry,
    TrafficHistory,
)


class Session(Protocol):
    """What a front end can ask for."""

    async def start(self, spec: ForwardSpec) -> str:
        """Switch a forward on and return its id at once; everything later is a state.

        Empty context or namespace in the spec's target means the current ones.

        Raises:
            UsageError: The spec itself makes no sense.
            ConfigError: A context or namespace must be filled in, and the kubeconfig does
                not tell it.
        """

    async def stop(self, forward_id: str) -> None:
        """Switch a forward off, ending its connections; it leaves the snapshot."""

    async def pause(self, forward_id: str) -> None:
        """Stop forwarding but keep the forward and its local port."""

    async def resume(self, forward_id: str) -> None:
        """Undo `pause`."""

    async def reconnect(self, forward_id: str) -> None:
        """Give up the present tunnels and any waiting, and try again now."""

    async def set_keep_running(self, on: bool) -> None:
        """Let the forwards go on when no front end is left, or not any more.

        Raises:
            UsageError: The session is in this process, and its forwards end with it.
        """

    async def set_keep_running_if_lost(self, on: bool) -> None:
        """Likewise, should this front end be lost: disconnect without having said otherwise.

        One that is killed or has no terminal any more takes nothing along then.

        Raises:
            UsageError: As `keep`.
        """

    async def close_connection(self, connection_id: int) -> None:
        """End one connection."""

    async def snapshot(self) -> Snapshot:
        """All forwards as they stand. Cheap: call it several times a second."""

    async def connections(self, forward_id: str | None = None) -> tuple[Connection, ...]:
        """Open connections and the recently closed ones, of one forward or all, oldest first."""

    async def timeline(self, forward_id: str) -> tuple[TimelineEntry, ...]:
        """What happened to a forward, oldest first."""

    async def histories(self) -> tuple[TrafficHistory, ...]:
        """What flowed through each forward in the last ten minutes, second by second."""

    async def hops(self, forward_id: str) -> tuple[Hop, ...]:
        """The six stations of a forward's way, in the order of `HopKind`.

        At most one of them is `BAD`: the one that breaks the chain. Those before it are `OK`,
        those behind it `UNKNOWN`. Made to be asked once a second: what the API knows of nodes
        and pods is remembered, and waited for two seconds at most.
        """

    async def pod_log(self, forward_id: str, *, container: str = "", lines: int = 200) -> PodLog:
        """The last lines that a container of the pod behind a forward has written.

        Args:
            forward_id: The forward.
            container: Default: the one that declares the forwarded port, else the first.
            lines: At most so many, and at most 256 KiB; the newest in any case.

        Raises:
            ApiError: As the server says: `forbidden` names "get pods/log".
            ForwardError: There is no pod now.
            AuthError, ConfigError, TransportError: The server cannot be asked.
        """

    def events(self, since: int = 0) -> AsyncIterator[Event]:
        """Events after sequence number `since`, then as they happen. Close to stop.

        A reader that is too slow loses the oldest ones and sees a gap in `sequence`.
        """

    async def contexts(self) -> tuple[Context, ...]:
        """The contexts of the kubeconfig.

        Raises:
            ConfigError: The kubeconfig is missing or invalid.
        """

    async def catalog(self, scope: CatalogScope, since: int = 0) -> CatalogView:
        """The live picture of a scope, or its changes since a version. Never waits for I/O.

        The first call for a scope begins to watch it; a scope nobody asks for is dropped
        after a while. Trouble appears in `CatalogView.resources` and `.health`.
        """

    async def close(self) -> None:
        """Release this door. In process: stop everything. Remote: only disconnect."""
