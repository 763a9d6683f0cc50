"""Options of a command line that replace parts of a kubeconfig's cluster and user.

Follows client-go's `clientcmd` (`ConfigOverrides`) as of 1.37: an option replaces the field of the
entry; some clear fields that would contradict it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

from tui_forward.common.access_options import secret_option_names
from tui_forward.errors import ConfigError
from tui_forward.known_secrets import remember
from tui_forward.kube.kubeconfig.loader import (
    ClusterEntry,
    Kubeconfig,
    ResolvedContext,
    UserEntry,
)
from tui_forward.model import NO_CONTEXT, AccessOptions, Reason, ReasonCode

# Enough for every front end of an engine process.
MAX_SECRETS = 1000

Entry = TypeVar("Entry", ClusterEntry, UserEntry)


def resolve_context(
    kubeconfig: Kubeconfig, context: str, options: AccessOptions
) -> ResolvedContext:
    """Return a context (or the current one), with what `options` replace; ConfigError as client-go.

    A context that names a missing cluster or user is invalid even if the options name others, which
    is stricter than client-go. `NO_CONTEXT` has nothing but what the options name.
    """
    if context == NO_CONTEXT and options.names_server:
        resolved = ResolvedContext(context, "default", ClusterEntry(""), UserEntry())
    else:
        resolved = kubeconfig.resolve(context)
    if not options:
        return resolved
    cluster, user = resolved.cluster, resolved.user
    if options.cluster:
        cluster = _find("cluster", options.cluster, kubeconfig.clusters)
    if options.user:
        user = _find("user", options.user, kubeconfig.users)
    return replace(
        resolved, cluster=_replace_cluster(cluster, options), user=_replace_user(user, options)
    )


def _find(kind: str, name: str, entries: dict[str, Entry]) -> Entry:
    entry = entries.get(name)
    if entry is None:
        available = ", ".join(f'"{one}"' for one in list(entries)[:8]) or "none"
        raise ConfigError(
            f'the kubeconfig has no {kind} "{name}", which --{kind} names',
            hint=f"Available: {available}",
        )
    return entry


def _replace_cluster(cluster: ClusterEntry, options: AccessOptions) -> ClusterEntry:
    changes: dict[str, Any] = {}
    if options.server:
        # The name of the certificate belongs to the server of the file.
        changes.update(server=options.server, tls_server_name="")
    if options.tls_server_name:
        changes.update(tls_server_name=options.tls_server_name)
    if options.insecure or options.certificate_authority:
        changes.update(insecure=options.insecure, ca_file=options.certificate_authority, ca_data="")
    if options.proxy_url:
        changes.update(proxy_url=options.proxy_url)
    if options.disable_compression:
        changes.update(disable_compression=True)
    return replace(cluster, **changes)


def _replace_user(user: UserEntry, options: AccessOptions) -> UserEntry:
    changes: dict[str, Any] = {}
    if options.client_certificate:
        changes.update(certificate_file=options.client_certificate, certificate_data="")
    if options.client_key:
        changes.update(key_file=options.client_key, key_data="")
    for option, field in (
        ("token", "token"),
        ("username", "username"),
        ("password", "password"),
        ("impersonate_user", "impersonate_user"),
        ("impersonate_uid", "impersonate_uid"),
        ("impersonate_groups", "impersonate_groups"),
    ):
        if value := getattr(options, option):
            changes[field] = value
    if options.impersonate_extra:
        merged = dict(user.impersonate_extra) | dict(options.impersonate_extra)
        changes["impersonate_extra"] = tuple(merged.items())
    return replace(user, **changes)


class OptionSecrets:
    """Secrets of options by `AccessOptions.secret_id`; in memory only.

    What is saved, listed and sent to front ends are options without them.
    """

    def __init__(self) -> None:
        self._options: dict[str, AccessOptions] = {}

    def remember(self, options: AccessOptions) -> AccessOptions:
        """Keep the secrets of options; return the options without them."""
        if options.secrets and options.secret_id:
            remember(*(getattr(options, name) for name in options.secrets))
            self._options[options.secret_id] = options
            while len(self._options) > MAX_SECRETS:
                del self._options[next(iter(self._options))]
        return options.without_secrets()

    def complete(self, options: AccessOptions) -> AccessOptions:
        """Return options with their secrets; ConfigError if these are not known here."""
        if not options.secret_id or options.secrets:
            return options
        known = self._options.get(options.secret_id)
        if known is None or known.without_secrets() != options:
            name = secret_option_names(options)
            raise ConfigError(Reason(code=ReasonCode.AUTH_SECRET_NOT_KEPT, name=name))
        return known

    def export(self) -> tuple[AccessOptions, ...]:
        """Return all options with secrets, for the engine that replaces this one."""
        return tuple(self._options.values())
