"""How to reach one API server: implemented by `kube`, used by `engine` and `transport`. No I/O."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from tui_forward.transport.proxy_address import ProxyAddress


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

    async def endpoint(self) -> Endpoint:
        """Return the current endpoint; follows changes of the kubeconfig, or raises ConfigError."""

    async def headers(self, *, refresh: bool = False) -> Mapping[str, str]:
        """Return headers that authenticate a request (`Authorization`, `Impersonate-*`).

        With `refresh` the server refused the last headers with 401: get new credentials even if the
        current ones look valid. At most one refresh per response; then `AuthError`.
        """
