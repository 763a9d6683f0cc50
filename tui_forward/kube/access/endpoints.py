"""Endpoint of a kubeconfig's cluster."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from tui_forward.errors import ConfigError
from tui_forward.kube.access.tls import create_client_context
from tui_forward.kube.auth.credentials import ClientCertificate
from tui_forward.kube.kubeconfig.loader import ClusterEntry
from tui_forward.kube.proxy_selection import select_proxy
from tui_forward.transport.access import Endpoint


def make_endpoint(
    cluster: ClusterEntry, certificate: ClientCertificate | None, environ: Mapping[str, str]
) -> Endpoint:
    """Return the endpoint of a cluster, with its trust and a client certificate. Reads files."""
    origin = f'cluster "{cluster.name}"'
    hint = f"Correct `server` in {cluster.source or 'the kubeconfig'}"
    server = cluster.server
    if not server:
        raise ConfigError(f"{origin} has no server address", hint=hint)
    if "://" not in server:
        # client-go: TLS if anything about TLS is configured, else plain http.
        has_tls = cluster.insecure or cluster.ca_data or cluster.ca_file or certificate
        server = f"{'https' if has_tls else 'http'}://{server}"
    try:
        parts = urlsplit(server)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        host = parts.hostname
    except ValueError:
        raise ConfigError(f"the server address of {origin} is not a valid URL", hint=hint) from None
    if parts.scheme not in {"http", "https"} or not host:
        raise ConfigError(
            f"the server address of {origin} is not an http:// or https:// URL", hint=hint
        )
    secure = parts.scheme == "https"
    return Endpoint(
        host=host,
        port=port,
        tls=create_client_context(cluster, certificate) if secure else None,
        server_hostname=cluster.tls_server_name or None if secure else None,
        path_prefix=parts.path.rstrip("/"),
        proxy=select_proxy(
            host, port, tls=secure, proxy_url=cluster.proxy_url, environ=environ, origin=origin
        ),
    )
