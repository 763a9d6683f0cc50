"""What client-go refuses in the cluster and the user of a context, before anything is sent.

Follows `clientcmd/validation.go`. Only the entries in use are checked; whole files are checked when
they are parsed (`schema`).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from tui_forward.errors import ConfigError
from tui_forward.kube.kubeconfig.loader import (
    AuthProviderEntry,
    ClusterEntry,
    ExecEntry,
    ResolvedContext,
    UserEntry,
)
from tui_forward.kube.kubeconfig.schema import decode_base64
from tui_forward.kube.kubeconfig.server_url import parse_server_url

EXEC_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")
INTERACTIVE_MODES = ("Never", "IfAvailable", "Always")


def validate_context(resolved: ResolvedContext) -> None:
    """Raise ConfigError if client-go would refuse the cluster or the user."""
    cluster, user = resolved.cluster, resolved.user
    server = parse_server_url(cluster)
    for problem in _cluster_problems(cluster):
        raise ConfigError(
            f'cluster "{cluster.name}" ({cluster.origin}) {problem}', hint="Correct it there"
        )
    problems = [*_user_problems(user)]
    if server.is_encrypted:
        # Towards http:// client-go does not look at these.
        problems += _credential_problems(user)
    for problem in problems:
        raise ConfigError(f'user "{user.name}" ({user.origin}) {problem}', hint="Correct it there")


def _cluster_problems(cluster: ClusterEntry) -> Iterator[str]:
    if cluster.ca_file and cluster.ca_data:
        yield "sets both certificate-authority and certificate-authority-data"
    if cluster.ca_file:
        yield from _unreadable("certificate-authority", cluster.ca_file)


def _user_problems(user: UserEntry) -> Iterator[str]:
    if user.certificate_file or user.certificate_data:
        if user.certificate_file and user.certificate_data:
            yield "sets both client-certificate and client-certificate-data"
        if user.key_file and user.key_data:
            yield "sets both client-key and client-key-data"
        if not user.key_file and not user.key_data:
            yield "has a client certificate but no client-key"
        yield from _unreadable("client-certificate", user.certificate_file)
        yield from _unreadable("client-key", user.key_file)
    if user.token and (user.username or user.password):
        yield "has more than one credential: a token and a username or password"
    if user.exec is not None:
        if user.auth_provider is not None:
            yield "has both an exec plugin and an auth-provider"
        yield from _exec_problems(user.exec)
    has_details = user.impersonate_uid or user.impersonate_groups or user.impersonate_extra
    if has_details and not user.impersonate_user:
        # The server would ignore the rest.
        yield "impersonates groups, a uid or extras but no user: `as` is missing"


def _exec_problems(plugin: ExecEntry) -> Iterator[str]:
    if not plugin.command:
        yield "has an exec plugin without command"
    if not plugin.api_version:
        yield "has an exec plugin without apiVersion"
    if any(not name for name, _ in plugin.env):
        yield "has an exec plugin with an env entry without name"
    if not plugin.interactive_mode:
        yield "has an exec plugin without interactiveMode, which v1 requires"
    elif plugin.interactive_mode not in INTERACTIVE_MODES:
        yield (
            "has an exec plugin with an unknown interactiveMode; known are "
            + ", ".join(INTERACTIVE_MODES)
        )


def _credential_problems(user: UserEntry) -> Iterator[str]:
    if user.token_file and user.username:
        yield "has more than one credential: a tokenFile and a username"
    if user.auth_provider is not None and user.auth_provider.name == "oidc":
        yield from _oidc_problems(user.auth_provider)
    if user.exec is not None and user.exec.api_version not in EXEC_VERSIONS:
        yield (
            f"has an exec plugin with an apiVersion other than {EXEC_VERSIONS[0]}; newer versions "
            "of the plugin support that"
        )


def _oidc_problems(provider: AuthProviderEntry) -> Iterator[str]:
    config = dict(provider.config)
    for name in ("idp-issuer-url", "client-id"):
        if not config.get(name):
            yield f"has the auth-provider oidc without {name}"
    try:
        decode_base64(config.get("idp-certificate-authority-data", ""))
    except ValueError:
        yield "has an idp-certificate-authority-data that is not base64"


def _unreadable(what: str, path: str) -> Iterator[str]:
    if not path:
        return
    try:
        # Not opened: it may be a pipe, which can be read once.
        Path(path).stat()
        problem = "" if os.access(path, os.R_OK) else os.strerror(errno.EACCES)
    except OSError as error:
        problem = error.strerror or type(error).__name__
    if problem:
        yield f"names a {what} that cannot be read: {path}: {problem}"
