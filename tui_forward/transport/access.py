"""How to reach one API server: the interface between kubeconfig and the network.

`kube` implements `ServerAccess`; `engine` and the rest of `transport` only use it. No I/O
here, and no kubeconfig.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from tui_forward.transport.proxy_address import ProxyAddress


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Address of a server and everything that is needed to connect to it.

    Attributes:
        host: Name or address, without brackets.
        port: TCP port.
        tls: None for plain `http://`. Otherwise a context with trust, client certificate and
            ALPN `http/1.1` only, since HTTP/2 has no upgrade.
        server_hostname: Name for SNI and verification (`tls-server-name`), else `host`.
        path_prefix: Path of the server URL without a trailing slash ("/k8s/clusters/c-1").
        proxy: The proxy to connect through, or None.
        label: The server in error texts.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    server_hostname: str | None = None
    path_prefix: str = ""
    proxy: ProxyAddress | None = None
    label: str = "the API server"

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
        """Return the current endpoint; follows changes of the kubeconfig.

        Raises:
            ConfigError: The kubeconfig cannot be used.
        """

    async def headers(self, *, refresh: bool = False) -> Mapping[str, str]:
        """Return headers that authenticate a request (`Authorization`, `Impersonate-*`).

        Args:
            refresh: The server refused the last headers with 401: get new credentials even if
                the current ones look valid. At most one refresh per response; then `AuthError`.

        Raises:
            AuthError: No credentials are available.
        """
