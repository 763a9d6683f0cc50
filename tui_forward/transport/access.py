"""How to reach one API server: the seam between whoever knows kubeconfig and whoever dials.

`kube` implements `Access`; `engine` and the rest of `transport` only use it. This module
does no I/O and knows no kubeconfig.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an API server is and how to get there.

    Attributes:
        host: Name or address, without brackets.
        port: TCP port.
        tls: None for plain `http://`. Otherwise a context that holds trust and client
            certificate; whoever dials for an upgrade offers ALPN `http/1.1` only.
        server_hostname: Name for SNI and verification (`tls-server-name`), else `host`.
        path_prefix: Path of the server URL without a trailing slash ("/k8s/clusters/c-1").
        proxy: `proxy-url` as written ("socks5://127.0.0.1:1080"), or None. May hold a
            password: never log it.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    server_hostname: str | None = None
    path_prefix: str = ""
    proxy: str | None = None

    @property
    def authority(self) -> str:
        """`host:port` for the `Host` header, with brackets around an IPv6 address."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


class ServerAccess(Protocol):
    """One context's API server, with credentials."""

    @property
    def context(self) -> str:
        """The kubeconfig context."""

    async def endpoint(self) -> Endpoint:
        """Where to dial now; follows a kubeconfig that changed.

        Raises:
            ConfigError: The kubeconfig cannot be used.
        """

    async def headers(self, *, refresh: bool = False) -> Mapping[str, str]:
        """Headers that authenticate a request (`Authorization`, `Impersonate-*`).

        Args:
            refresh: The last ones were refused with 401: get new ones even if these look
                valid. At most one refresh per answer; then it is `AuthError`.

        Raises:
            AuthError: No credentials can be had.
        """
