"""What a doctor knows while it tests a chain: its query, its limits, and what tests have found."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tui_forward.errors import TuiForwardError
from tui_forward.kube.access.cluster_access import ClusterAccess
from tui_forward.kube.kubeconfig.loader import ResolvedContext
from tui_forward.kube.kubeconfig.source import KubeconfigSource
from tui_forward.model import (
    AccessOptions,
    DoctorQuery,
    PodRef,
    Reason,
    Resolved,
    Target,
    TransportChoice,
)
from tui_forward.session.doctor.trace import Trace
from tui_forward.transport import ByteStream, Endpoint

if TYPE_CHECKING:
    from aiohappyeyeballs import AddrInfoType

    from tui_forward.engine.tunnels.base import Tunnel
    from tui_forward.session.doctor.api_connection import ApiAnswer, ApiConnection


@dataclass(frozen=True, slots=True)
class DoctorLimits:
    """Time limits, in seconds."""

    plugin_s: float = 20.0  # of a credential plugin; a login by the user takes longer
    connect_s: float = 10.0  # of each of DNS, proxy, TCP and TLS
    request_s: float = 15.0
    # An API server says after 30 s that it cannot reach a kubelet.
    upgrade_s: float = 32.0
    # A runtime reports the end of an application's socket a second late.
    port_s: float = 1.25
    slow_dns_s: float = 1.0
    slow_answer_s: float = 2.0
    clock_difference_s: float = 60.0


@dataclass(slots=True)
class Chain:
    """State of one diagnosis; a field is set by the test named beside it."""

    query: DoctorQuery
    source: KubeconfigSource
    access_of: Callable[[str, AccessOptions], ClusterAccess]
    environ: Mapping[str, str]
    limits: DoctorLimits
    trace: Trace
    resolved: ResolvedContext | None = None  # kubeconfig
    endpoint: Endpoint | None = None  # kubeconfig; credentials add the client certificate
    access: ClusterAccess | None = None  # kubeconfig
    headers: Mapping[str, str] = field(default_factory=dict)  # credentials
    has_credentials: bool = False  # credentials
    addresses: tuple[AddrInfoType, ...] = ()  # DNS
    stream: ByteStream | None = None  # proxy, TCP, TLS
    first_answer: ApiAnswer | None = None  # TLS: to the first request, which the API test judges
    first_error: TuiForwardError | None = None  # TLS: why there is none
    api: ApiConnection | None = None  # TLS
    server_version: str = ""  # API
    clock_difference_s: float = 0.0  # API: that of this machine minus that of the server
    user: str = ""  # identity
    groups: tuple[str, ...] = ()  # identity
    denied: dict[TransportChoice, Reason] = field(default_factory=dict)  # permissions
    target: Target | None = None  # target, with all names filled in
    resolution: Resolved | None = None  # target
    behind: Reason | None = None  # upgrade: the refusal of a hop behind the API server
    tunnels: tuple[Tunnel, ...] = ()  # upgrade: the first is to test the port with

    @property
    def namespace(self) -> str:
        """The namespace of the query, else that of the context."""
        own = self.resolved.namespace if self.resolved is not None else "default"
        asked = self.query.target.namespace if self.query.target is not None else ""
        return asked or self.query.namespace or own

    @property
    def server(self) -> str:
        """Host and port of the API server, for texts."""
        return self.endpoint.authority if self.endpoint is not None else ""

    @property
    def pod(self) -> PodRef:
        """The pod that was found."""
        assert self.resolution is not None
        return self.resolution.pod

    @property
    def tunnel(self) -> Tunnel | None:
        """The tunnel to test the port with."""
        return next(iter(self.tunnels), None)

    async def close(self) -> None:
        """Close every connection. Idempotent."""
        if self.api is not None:
            self.api.close()
        if self.stream is not None:
            self.stream.abort()
        tunnels, self.tunnels = self.tunnels, ()
        for tunnel in tunnels:
            tunnel.close()
        # Each has a time limit of its own.
        await asyncio.gather(*(tunnel.wait_closed() for tunnel in tunnels))
