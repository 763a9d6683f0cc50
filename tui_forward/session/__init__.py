"""Interface of every front end: commands in, immutable snapshots and events out.

`Session` has two implementations: `LocalSession` in this process (`session.local`, over
`engine`, `kube` and `catalog`) and `daemon.remote_session.RemoteSession` over a unix socket to an
engine process. Both pass the same tests. Front ends use this protocol and `model`, nothing below.

Every method may raise `TransportError` (the engine process is gone) besides what it documents.
Methods that take the id of a forward raise `UsageError` if there is no such forward.

This module imports `model` only: the dashboard process imports it and must load neither the
engine nor a Kubernetes client.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Protocol

from tui_forward.model import (
    CatalogScope,
    CatalogView,
    ClusterKey,
    Connection,
    Context,
    Description,
    DoctorQuery,
    DoctorResult,
    Event,
    ForwardSpec,
    Hop,
    LoginCommand,
    LogSource,
    MissingPermissions,
    PodLog,
    PortCheck,
    ProxySpec,
    Snapshot,
    Target,
    TimelineEntry,
    TrafficHistory,
)


class Session(Protocol):
    """Commands and queries of a front end."""

    async def start(self, spec: ForwardSpec) -> str:
        """Start a forward and return its id at once; everything later is a state.

        Empty context or namespace in the spec's target means the current ones; ConfigError if the
        kubeconfig has none. UsageError: the spec is invalid.
        """

    async def stop(self, forward_id: str) -> None:
        """Stop a forward and close its connections; it leaves the snapshot."""

    async def start_proxy(self, spec: ProxySpec) -> str:
        """Start a cluster proxy and return its id once it listens; its problems are in `Snapshot`.

        Empty context or namespace as in `start`. ConfigError: there is no such context, or the
        file with the password cannot be used. ForwardError: the port cannot be opened.
        """

    async def stop_proxy(self, proxy_id: str) -> None:
        """Stop a proxy, its targets and their connections; UsageError if there is none."""

    async def pause(self, forward_id: str) -> None:
        """Stop forwarding but keep the forward and its local port."""

    async def resume(self, forward_id: str) -> None:
        """Undo `pause`."""

    async def reconnect(self, forward_id: str) -> None:
        """Cut the current tunnels, reset all delays, and dial now."""

    async def begin_login(self, cluster: ClusterKey) -> LoginCommand | None:
        """Return the credential plugin of a cluster's user, for a front end that has a terminal.

        It is run with stdin and stderr of the terminal; then comes `finish_login`. Until then,
        all requests with the same credentials wait. None: the user has no plugin that uses a
        terminal. ConfigError, AuthError: it cannot be run.
        """

    async def finish_login(self, cluster: ClusterKey, output: bytes, exit_code: int) -> None:
        """Use what that plugin has printed, and resume what waits for these credentials.

        Forwards that need them use the environment of this front end from now on. AuthError: it
        has failed, or printed no credentials.
        """

    async def cancel_login(self, cluster: ClusterKey) -> None:
        """End a login that was begun and brings nothing: its program was not run. Idempotent."""

    async def retry_login(self, cluster: ClusterKey) -> None:
        """Resume what waits for credentials, after a login by another program.

        That may have been one of another user of the context, too: all that wait there resume.
        Forwards as with `finish_login`.
        """

    async def set_keep_running(self, on: bool) -> None:
        """Keep the forwards running when no front end is left, or undo that.

        UsageError: the session is in this process, and its forwards end with it.
        """

    async def set_keep_running_if_lost(self, on: bool) -> None:
        """Keep the forwards running if this front end is lost: killed, or without a terminal."""

    async def close_connection(self, connection_id: int) -> None:
        """Close one connection."""

    async def snapshot(self) -> Snapshot:
        """Return all forwards as they are now. Cheap: can be called several times a second."""

    async def connections(self, forward_id: str | None = None) -> tuple[Connection, ...]:
        """Return open and recently closed connections, of one forward or all, oldest first."""

    async def timeline(self, forward_id: str) -> tuple[TimelineEntry, ...]:
        """Return the timeline of a forward, oldest entry first."""

    async def missing_permissions(self, scope: CatalogScope) -> MissingPermissions:
        """Return what the user lacks for forwards in the namespace of a scope.

        Waits two seconds at most; can be called often: it is read once a minute. Roles may have
        changed since, so that a forward may be started all the same.
        """

    async def check_port(self, addresses: tuple[str, ...], port: int) -> PortCheck:
        """Return whether a local port can be used, by whom it is, and the next free one.

        UsageError for addresses that are none.
        """

    async def histories(self) -> tuple[TrafficHistory, ...]:
        """Return the traffic of each forward in the last ten minutes, per second."""

    async def hops(self, forward_id: str) -> tuple[Hop, ...]:
        """Return the six hops of a forward's network path, in the order of `HopKind`.

        At most one of them is `BROKEN`. Those before it are `OK`, those behind it `UNKNOWN`.
        Can be called once a second: facts about nodes and pods are cached, and waited for two
        seconds at most.
        """

    async def read_log(self, source: LogSource, *, since: str = "", lines: int = 1000) -> PodLog:
        """Return the last log lines of a container, after a time (RFC 3339) if it is given.

        To follow a log, read it again with the pod and the container of the answer, and since the
        time of the last line. At most 256 KiB; the newest lines in any case. ApiError is
        `forbidden` without permission to get pods/log; ForwardError: there is no pod now.
        """

    async def describe(self, target: Target) -> Description:
        """Return facts, conditions and events of a pod, a service or a workload.

        What the user may not read is missing, and the description says so. ApiError is
        `not_found`, or `forbidden` if neither the object nor its events may be read.
        """

    def diagnose(self, query: DoctorQuery) -> AsyncGenerator[DoctorResult, None]:
        """Test a chain hop by hop; yield each hop when its test begins, and its result.

        Opens connections of its own, disturbs no forward, and starts no login. Close it
        (`aclosing`) to stop early. It ends by itself within two minutes, and usually in a second.
        """

    def changes(self) -> AsyncIterator[int]:
        """Yield a version after something that `snapshot` or `catalog` shows has changed.

        Counters, rates and times change without it, but bytes that begin to move are reported
        within a second. Changes that follow each other are reported together, four times a second
        at most. Close to stop.
        """

    def events(self, since: int = 0) -> AsyncIterator[Event]:
        """Yield events after sequence number `since`, then new ones. Close to stop.

        A reader that is too slow loses the oldest events: `sequence` then has a gap.
        """

    async def contexts(self) -> tuple[Context, ...]:
        """Return the contexts of the kubeconfig."""

    async def catalog(self, scope: CatalogScope, since: int = 0) -> CatalogView:
        """Return the live view of a scope, or its changes since a version. Never waits for I/O.

        The first call for a scope starts to watch it; an unused scope is dropped after a
        while. Errors appear in `CatalogView.resources` and `.health`.
        """

    async def close(self) -> None:
        """Close the session. In process: stop everything. Remote: only disconnect."""
