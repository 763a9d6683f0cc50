"""How to reach one API server: implemented by `kube`, used by `engine` and `transport`. No I/O."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from tui_forward.errors import AuthError
from tui_forward.model import Reason
from tui_forward.transport.proxy_address import ProxyAddress

# An API server that starts refuses everything for a fraction of a second, until it has its roles.
_OUTAGE_S = 30.0
_DOUBT_S = 3.0


class OutageClock:
    """When a server could not be reached, to tell what its first refusals (403) are worth.

    `clock` returns seconds of a monotonic clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed_at: float | None = None
        self._refused_at: float | None = None

    def record_failure(self) -> None:
        """Record that no connection could be opened."""
        self._failed_at = self._clock()
        self._refused_at = None

    def record_success(self) -> None:
        """Record a request that was granted: the server knows its roles."""
        self._failed_at = None

    def may_be_starting(self) -> bool:
        """Return whether a refusal received now may be that of a server that has just started."""
        now = self._clock()
        if self._failed_at is None or now - self._failed_at > _OUTAGE_S:
            return False
        if self._refused_at is None:
            self._refused_at = now
        return now - self._refused_at < _DOUBT_S


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Address of a server and everything that is needed to connect to it."""

    host: str  # name or address, without brackets
    port: int
    # None for plain `http://`. Otherwise with trust, client certificate and ALPN `http/1.1` only,
    # since HTTP/2 has no upgrade.
    tls: ssl.SSLContext | None = None
    server_hostname: str | None = None  # for SNI and verification, else `host`
    path_prefix: str = ""  # without a trailing slash ("/k8s/clusters/c-1")
    proxy: ProxyAddress | None = None
    label: str = "the API server"  # the server in error texts
    has_own_ca: bool = True  # False: the kubeconfig names no authority, the system's are used
    outage: OutageClock = field(default_factory=OutageClock, compare=False, repr=False)

    @property
    def authority(self) -> str:
        """`host:port` for the `Host` header, with brackets around an IPv6 address."""
        return join_host_port(self.host, self.port)


def join_host_port(host: str, port: int) -> str:
    """Return `host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class ServerAccess(Protocol):
    """One context's API server, with credentials."""

    @property
    def context(self) -> str:
        """The kubeconfig context."""

    @property
    def insecure(self) -> bool:
        """Whether the server's certificate is not verified (`insecure-skip-tls-verify`)."""

    async def endpoint(self) -> Endpoint:
        """Return the current endpoint; follows changes of the kubeconfig, or raises ConfigError."""

    async def headers(self, *, refresh: bool = False) -> Mapping[str, str]:
        """Return headers that authenticate a request (`Authorization`, `Impersonate-*`).

        With `refresh` the server refused the last headers with 401: get new credentials even if the
        current ones look valid. At most one refresh per response; then `AuthError`.
        """

    @property
    def login(self) -> Reason | None:
        """What `headers` waits for: a login by the user, a slow plugin; None for nothing."""

    def observe_login(self, on_change: Callable[[], None]) -> Callable[[], None]:
        """Call `on_change` when `login` may have changed, until the returned function is called."""

    def explain(self, error: AuthError) -> AuthError:
        """Return the error with what the refused credentials say about themselves (expired …)."""

    async def check_pod(self, namespace: str, pod: str) -> bool:
        """Return whether the API server answers a GET of a pod now, and knows who asks.

        It tells a failure of the API server from one of what is behind it. Takes a few seconds at
        most; never raises.
        """
