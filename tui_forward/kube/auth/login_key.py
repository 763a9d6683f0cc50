"""What decides the credentials of a context."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from tui_forward.kube.kubeconfig.loader import (
    AuthProviderEntry,
    ClusterEntry,
    ExecEntry,
    ResolvedContext,
)
from tui_forward.kube.kubeconfig.server_url import parse_server_url


@dataclass(frozen=True, slots=True)
class LoginKey:
    """What decides which credentials a user gets, beside the environment.

    Contexts, impersonation and, unless a plugin is given it, the cluster make no difference.
    """

    user: str  # name in the kubeconfig
    source: Path | None  # the file of the user
    provider: ExecEntry | AuthProviderEntry | None  # None: the kubeconfig has the credentials
    cluster: ClusterEntry | None = None  # what a plugin with `provideClusterInfo` is given


def login_key(resolved: ResolvedContext) -> LoginKey:
    """Return the key of the login that a context needs."""
    user, cluster = resolved.user, resolved.cluster
    if not parse_server_url(cluster).is_encrypted:
        # As client-go: nothing that identifies the user is sent, and no plugin runs for it.
        return LoginKey(user.name, user.source, None)
    if user.exec is None or not user.exec.provide_cluster_info:
        return LoginKey(user.name, user.source, user.exec or user.auth_provider)
    # Its configuration for plugins is any YAML value.
    info = replace(cluster, name="", source=None, exec_config=repr(cluster.exec_config))
    return LoginKey(user.name, user.source, user.exec, info)
