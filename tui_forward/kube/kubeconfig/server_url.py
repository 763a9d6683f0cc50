"""The address of an API server in a kubeconfig, as client-go's `rest.DefaultServerURL` reads it."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urlsplit

from tui_forward.errors import ConfigError
from tui_forward.kube.kubeconfig.loader import ClusterEntry


class ServerUrl(NamedTuple):
    """Parts of the address that count: user, password, query and fragment are dropped."""

    is_encrypted: bool  # https
    host: str  # name or address, without brackets
    port: int
    path: str  # without a trailing slash


def parse_server_url(cluster: ClusterEntry) -> ServerUrl:
    """Return the address of a cluster's server; ConfigError if there is none, or an invalid one.

    Without a scheme it is plain http, whatever else the cluster says about TLS: client-go decides
    this before it looks at certificates.
    """
    server = cluster.server
    if not server:
        raise _error(cluster, "has no server address")
    if any(character.isspace() or not character.isprintable() for character in server):
        raise _error(cluster, "has a space or a control character in its server address")
    if "://" not in server:
        server = f"http://{server}"
        if urlsplit(server).path not in {"", "/"}:
            raise _error(cluster, "has a server address with a path, but without https://")
    try:
        parts = urlsplit(server)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        host = parts.hostname
    except ValueError:
        raise _error(cluster, "has a server address that is not a valid URL") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise _error(cluster, "has a server address that is not an http:// or https:// URL")
    return ServerUrl(parts.scheme == "https", host, port, parts.path.rstrip("/"))


def _error(cluster: ClusterEntry, problem: str) -> ConfigError:
    return ConfigError(
        f'cluster "{cluster.name}" ({cluster.origin}) {problem}', hint="Correct `server` there"
    )
