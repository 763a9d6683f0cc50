"""Test of the kubeconfig: which files there are, and which of them sets what."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Final

from tui_forward.common.bounded_file import may_exist
from tui_forward.common.user_folders import home_dir
from tui_forward.errors import ConfigError
from tui_forward.kube.access.cluster_access import make_endpoint
from tui_forward.kube.kubeconfig.loader import Kubeconfig, ResolvedContext
from tui_forward.kube.kubeconfig.overrides import resolve_context
from tui_forward.kube.kubeconfig.server_url import parse_server_url
from tui_forward.kube.kubeconfig.validation import validate_context
from tui_forward.model import NO_CONTEXT, DoctorHop, Reason, ReasonCode
from tui_forward.session.doctor.chain import Chain
from tui_forward.session.doctor.findings import Finding, fault, good

_HOP: Final = DoctorHop.KUBECONFIG


async def check_kubeconfig(chain: Chain) -> Finding:
    """Find the context, its cluster and its user, and build the endpoint without credentials."""
    query, source = chain.query, chain.source
    tried = "read " + ", ".join(_shown(path) for path in source.paths)
    searched = describe_files(source.paths)
    try:
        context = source.context_name(query.context, query.options)
        kubeconfig = source.kubeconfig(can_be_missing=context == NO_CONTEXT)
        access = chain.access_of(context, query.options)
        # Its options have their secrets, which those of the query may lack.
        resolved = resolve_context(kubeconfig, context, access.options)
        facts = (*describe_context(kubeconfig, resolved), searched)
        validate_context(resolved)
        _require_user(resolved)
        chain.endpoint = make_endpoint(resolved.cluster, None, chain.environ)
    except ConfigError as error:
        return fault(_HOP, tried, error.reason, searched)
    chain.resolved = resolved
    chain.access = access
    return good(_HOP, tried, *facts)


def _require_user(resolved: ResolvedContext) -> None:
    """Raise ConfigError for a user that is needed and in no file."""
    user = resolved.user
    has_some = user.token or user.username or user.certificate_file  # from options
    if user.is_missing and not has_some and parse_server_url(resolved.cluster).is_encrypted:
        raise ConfigError(
            Reason(
                code=ReasonCode.CONFIG_USER_MISSING,
                name=user.name,
                hint=f"Correct `user` of context {resolved.context} ({user.origin}), "
                "or add the user",
            )
        )


def describe_files(paths: tuple[Path, ...]) -> str:
    """Return which of the files in question exist, in the order of their precedence."""
    if len(paths) == 1:
        return ""
    missing = ", ".join(_shown(path) for path in paths if not may_exist(path))
    text = "the first file that has an entry counts"
    return f"{text}; missing: {missing}" if missing else text


def describe_context(kubeconfig: Kubeconfig, resolved: ResolvedContext) -> tuple[str, ...]:
    """Return which file sets context, cluster and user, and what has no effect."""
    facts = []
    name = resolved.context

    def where(path: Path | None, line: int) -> str:
        if path is None or len(kubeconfig.paths) == 1:
            return f"line {line}"
        return f"{_shown(path)}, line {line}"

    entry = kubeconfig.contexts.get(name)
    if entry is not None:
        is_current = name == kubeconfig.current_context
        source = kubeconfig.current_source
        current = " (current)" if is_current else ""
        if is_current and source is not None and source != entry.source:
            current = f" (current in {_shown(source)})"
        facts.append(f"context {name}{current}: {where(entry.source, entry.line)}")
    cluster, user = resolved.cluster, resolved.user
    if cluster.source is not None:
        facts.append(f"cluster {cluster.name}: {where(cluster.source, cluster.line)}")
    if user.source is not None and not user.is_missing:
        facts.append(f"user {user.name}: {where(user.source, user.line)}")
    if cluster.insecure:
        facts.append("the server's certificate is not verified (insecure-skip-tls-verify)")
    used = {("context", name), ("cluster", cluster.name), ("user", user.name)}
    facts += [
        f"{one.kind} {one.name} in {_shown(one.source)} has no effect: a file before has one"
        for one in kubeconfig.hidden
        if (one.kind, one.name) in used
    ]
    return tuple(facts)


def _shown(path: Path) -> str:
    """Return a path with `~` for the home folder."""
    with contextlib.suppress(ValueError):
        return f"~/{path.relative_to(home_dir())}"
    return str(path)
