"""Interfaces between forwards and what surrounds them: the engine, and the clusters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tui_forward.engine.connections.local_ports import InheritedSockets
from tui_forward.engine.host.process_lookup import ClientProcessLookup
from tui_forward.engine.limits import Limits
from tui_forward.engine.tunnels.late_answers import LateAnswers
from tui_forward.engine.tunnels.transport_cache import TransportCache
from tui_forward.model import (
    NO_OPTIONS,
    AccessOptions,
    ClusterKey,
    Event,
    LocalAddress,
    Pod,
    PodRef,
    Reason,
    Resolution,
    Service,
    Target,
)
from tui_forward.transport.access import ServerAccess


class TargetWatch(Protocol):
    """One target, followed through every change of the cluster; implemented by `catalog`."""

    @property
    def current(self) -> Resolution:
        """Return what the target resolves to now. Never blocks."""

    async def changed(self, since: Resolution) -> Resolution:
        """Wait until `current` differs from `since`, and return it. Safe to cancel."""

    def invalidate(self, pod_uid: str) -> None:
        """Process evidence from a tunnel that this pod is gone (sandbox errors).

        The watch may not have received the change yet: it reads again, and does not return that
        pod until the API has reported something newer about it.
        """

    def find_pod(self, ref: PodRef) -> Pod | None:
        """Return a pod as last reported, whatever `current` is; None if it is not known now."""

    def observe(self, on_change: Callable[[], None]) -> None:
        """Call `on_change` whenever the result of `find_pod` may have changed. It must not raise.

        Replaces the previous observer.
        """

    def close(self) -> None:
        """Stop following and observing. Idempotent."""


class ClusterDirectory(Protocol):
    """Services and pods of one cluster by name and by address; implemented by `catalog`.

    The methods that look something up wait for the first list, ten seconds at most, and raise
    `TuiForwardError` if the API server does not tell.
    """

    async def find_service(self, namespace: str, name: str) -> Service | None:
        """Return a service; None if there is none."""

    async def find_service_at(self, address: str) -> Service | None:
        """Return the service with a cluster IP; None if none of those that are known has it."""

    async def find_pod_at(self, address: str) -> PodRef | None:
        """Return the pod with an IP address; None if none that may be listed has it."""

    async def find_endpoint(self, service: Service, hostname: str) -> str:
        """Return the name of the pod of a headless service with a host name; empty if none."""

    def similar_names(self, namespace: str, name: str) -> tuple[str, ...]:
        """Return services that may have been meant, as `name.namespace`, the likeliest first."""

    @property
    def version(self) -> int:
        """A number that grows with every change of a service."""

    @property
    def namespaces(self) -> tuple[str, ...]:
        """The namespaces of the known services, sorted."""

    @property
    def count(self) -> int:
        """How many services are known."""

    @property
    def problem(self) -> Reason | None:
        """Why services are not, or not all, known; None if they are."""

    async def close(self) -> None:
        """Stop following the cluster. Idempotent."""


class ClusterProvider(Protocol):
    """The clusters of a session, by context; implemented by `session`.

    Raises `ConfigError` for a context that does not exist or cannot be used.
    """

    def access(self, context: str, options: AccessOptions = NO_OPTIONS) -> ServerAccess:
        """Return the API server of a context, with parts of it replaced by options."""

    def watch(self, target: Target) -> TargetWatch:
        """Start to follow a target."""

    def directory(self, context: str, options: AccessOptions = NO_OPTIONS) -> ClusterDirectory:
        """Start to follow the names of a cluster, until the directory is closed."""

    def refresh(self) -> None:
        """Read everything again now, over new connections, after a change of the system."""


class SocketHolder(Protocol):
    """Keeps copies of listening sockets for the next engine; implemented by `daemon`.

    Connections wait in the backlog of a socket that is held while no engine runs.
    """

    def hold(self, descriptor: int) -> None:
        """Keep a copy of a listening socket."""

    def release(self, address: LocalAddress) -> None:
        """Close the copy of the socket that listens on an address."""

    async def flush(self) -> None:
        """Wait until what was released is closed; takes two seconds at most."""


class NullSocketHolder:
    """Keeps nothing: the sockets end with this process."""

    def hold(self, descriptor: int) -> None:
        """See `SocketHolder.hold`."""

    def release(self, address: LocalAddress) -> None:
        """See `SocketHolder.release`."""

    async def flush(self) -> None:
        """See `SocketHolder.flush`."""


class EngineContext(Protocol):
    """What the engine provides to each of its forwards."""

    clusters: ClusterProvider
    limits: Limits
    transport_cache: TransportCache
    late_answers: LateAnswers
    process_lookup: ClientProcessLookup
    inherited_sockets: InheritedSockets  # the unclaimed ones of the process before
    socket_holder: SocketHolder

    def next_connection_id(self) -> int:
        """Return a number that no other connection of the session has."""

    def emit(self, event: Event) -> None:
        """Append an event to the event log, which fills in its sequence number."""

    def changed(self) -> None:
        """Record a change other than of counters and rates."""

    def became_ready(self, cluster: ClusterKey) -> None:
        """End the back-off of forwards that wait for the API server of a cluster."""

    def count_connecting(self, cluster: ClusterKey) -> int:
        """Return how many forwards of a cluster try to connect."""

    def own_forward_on(self, address: LocalAddress) -> str:
        """Return a description of the forward that holds a local address, or ""."""
