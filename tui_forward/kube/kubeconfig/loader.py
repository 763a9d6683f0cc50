"""Reading and merging of kubeconfig files as in kubectl. No network, no credential plugins.

Follows client-go's `tools/clientcmd`: of several files the first to name a cluster, context,
user or the current context wins as a whole entry; relative paths are relative to their file; an
`exec` command is such a path only if it contains a separator; a missing file of `KUBECONFIG` is
skipped, a missing `--kubeconfig` is an error.

`kubernetes.aio.config` has a merger, too, but the last `current-context` wins there, and its
errors name neither file nor line.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from tui_forward.common.bounded_file import may_exist
from tui_forward.common.redaction import is_secret_name, secret_option_values, url_password
from tui_forward.errors import ConfigError
from tui_forward.known_secrets import remember
from tui_forward.kube.kubeconfig.schema import (
    NamedCluster,
    NamedUser,
    RawAuthProvider,
    RawCluster,
    RawContext,
    RawExec,
    RawUser,
    read,
)
from tui_forward.model import Context, ReasonCode

_EXEC_EXTENSION = "client.authentication.k8s.io/exec"
_VERSIONS_WITH_DEFAULTS = (
    "client.authentication.k8s.io/v1beta1",
    "client.authentication.k8s.io/v1alpha1",
)


def describe_origin(source: Path | None, line: int) -> str:
    """Return file and line of an entry for messages."""
    where = str(source) if source is not None else "the kubeconfig"
    return f"{where}, line {line}" if line else where


@dataclass(frozen=True, slots=True)
class ClusterEntry:
    """A cluster of a kubeconfig, its paths made absolute."""

    name: str
    server: str = ""
    tls_server_name: str = ""
    insecure: bool = False
    ca_file: str = ""
    ca_data: str = ""  # base64 without line breaks
    proxy_url: str = field(default="", repr=False)  # May contain a password: never show it.
    disable_compression: bool = False
    # Extension `client.authentication.k8s.io/exec`, for plugins with `provideClusterInfo`.
    exec_config: object = field(default=None, repr=False)
    source: Path | None = None  # the file of the entry
    line: int = field(default=0, compare=False)  # in the file, counted from 1

    @property
    def origin(self) -> str:
        """File and line of the entry, for messages."""
        return describe_origin(self.source, self.line)


@dataclass(frozen=True, slots=True)
class ExecEntry:
    """An `exec` credential plugin as configured."""

    command: str
    api_version: str
    args: tuple[str, ...] = field(default=(), repr=False)
    env: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    install_hint: str = ""
    provide_cluster_info: bool = False
    interactive_mode: str = ""


@dataclass(frozen=True, slots=True)
class AuthProviderEntry:
    """An `auth-provider` as configured; the values are secrets."""

    name: str
    config: tuple[tuple[str, str], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class UserEntry:
    """A user of a kubeconfig, its paths made absolute. Its representation shows no secret."""

    name: str = ""
    certificate_file: str = ""
    certificate_data: str = field(default="", repr=False)
    key_file: str = ""
    key_data: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    token_file: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    impersonate_user: str = ""
    impersonate_uid: str = ""
    impersonate_groups: tuple[str, ...] = ()
    impersonate_extra: tuple[tuple[str, tuple[str, ...]], ...] = ()
    auth_provider: AuthProviderEntry | None = None
    exec: ExecEntry | None = None
    source: Path | None = None
    line: int = field(default=0, compare=False)
    is_missing: bool = False  # a context names it, but no file has it

    @property
    def origin(self) -> str:
        """File and line of the entry, for messages."""
        return describe_origin(self.source, self.line)


@dataclass(frozen=True, slots=True)
class ContextEntry:
    """A context of a kubeconfig."""

    name: str
    cluster: str = ""
    user: str = ""
    namespace: str = ""
    source: Path | None = None
    line: int = field(default=0, compare=False)

    @property
    def origin(self) -> str:
        """File and line of the entry, for messages."""
        return describe_origin(self.source, self.line)


Entry = TypeVar("Entry", ClusterEntry, ContextEntry, UserEntry)


@dataclass(frozen=True, slots=True)
class ResolvedContext:
    """A context with its cluster, user and namespace."""

    context: str
    namespace: str
    cluster: ClusterEntry
    user: UserEntry


@dataclass(frozen=True, slots=True)
class HiddenEntry:
    """An entry without an effect, because a file before has one of the same name."""

    kind: str  # "cluster", "context" or "user"
    name: str
    source: Path
    line: int

    @property
    def origin(self) -> str:
        """File and line of the entry, for messages."""
        return describe_origin(self.source, self.line)


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """One or more files, merged."""

    paths: tuple[Path, ...]  # the files searched, in order, present or not
    current_context: str = ""
    contexts: dict[str, ContextEntry] = field(default_factory=dict)
    clusters: dict[str, ClusterEntry] = field(default_factory=dict)
    users: dict[str, UserEntry] = field(default_factory=dict)
    current_source: Path | None = None  # the file that sets the current context
    hidden: tuple[HiddenEntry, ...] = ()

    def list_contexts(self, current: str = "") -> tuple[Context, ...]:
        """Return all contexts in file order; `current` replaces the file's current context."""
        current_name = current or self.current_context
        return tuple(
            Context(
                name=entry.name,
                cluster=entry.cluster,
                namespace=entry.namespace or "default",
                current=entry.name == current_name,
                server=self._host(entry.cluster),
                insecure=self._is_insecure(entry.cluster),
                problem=self._problem(entry.name),
            )
            for entry in self.contexts.values()
        )

    def _problem(self, context: str) -> str:
        """Return why a context cannot be used; empty if it can."""
        try:
            resolved = self.resolve(context)
        except ConfigError as error:
            return error.message
        if resolved.user.is_missing and resolved.cluster.server.startswith("https:"):
            return f'the user "{resolved.user.name}" of this context is not in {self._where()}'
        return ""

    def _host(self, cluster: str) -> str:
        entry = self.clusters.get(cluster)
        try:
            return (urlsplit(entry.server).hostname or "") if entry is not None else ""
        except ValueError:
            return ""

    def _is_insecure(self, cluster: str) -> bool:
        entry = self.clusters.get(cluster)
        return entry is not None and entry.insecure

    def resolve(self, context: str = "") -> ResolvedContext:
        """Return a context (or the current one) with its cluster and user, or raise ConfigError."""
        name = context or self.current_context
        if not name:
            if not self.contexts:
                raise ConfigError(
                    f"there is no context in {self._where()}",
                    code=ReasonCode.CONFIG_CONTEXT_MISSING,
                    hint="Get a kubeconfig for your cluster, and set KUBECONFIG or --kubeconfig",
                )
            raise ConfigError(
                "the kubeconfig has no current context",
                code=ReasonCode.CONFIG_CONTEXT_MISSING,
                hint=f"Choose one with --context: {_list_names(self.contexts)}",
            )
        entry = self.contexts.get(name)
        if entry is None:
            raise ConfigError(
                f'there is no context "{name}" in {self._where()}',
                code=ReasonCode.CONFIG_CONTEXT_MISSING,
                hint=self._suggest(name),
            )
        cluster = self.clusters.get(entry.cluster)
        if cluster is None:
            raise ConfigError(
                f'context "{name}" names the cluster "{entry.cluster}", which is not in '
                f"{self._where()}",
                code=ReasonCode.CONFIG_CLUSTER_MISSING,
                hint=f"Available: {_list_names(self.clusters) or 'none'}",
            )
        user = self.users.get(entry.user)
        if user is None:
            # As in client-go, which needs no user towards http:// or with other credentials.
            user = UserEntry(
                name=entry.user,
                source=entry.source,
                line=entry.line,
                is_missing=bool(entry.user),
            )
        return ResolvedContext(
            context=name, namespace=entry.namespace or "default", cluster=cluster, user=user
        )

    def _suggest(self, name: str) -> str:
        similar = difflib.get_close_matches(name, self.contexts, n=3, cutoff=0.5)
        lowered = name.casefold()
        similar += [other for other in self.contexts if lowered in other.casefold()]
        if similar:
            return f"Did you mean {_list_names(dict.fromkeys(similar), limit=3)}?"
        if self.contexts:
            return f"Available: {_list_names(self.contexts)}"
        return "The kubeconfig has no contexts"

    def _where(self) -> str:
        present = [path for path in self.paths if may_exist(path)]
        if not present:
            return "the kubeconfig"
        return ", ".join(str(path) for path in present)


def _list_names(names: Iterable[str], limit: int = 8) -> str:
    listed = list(names)
    shown = ", ".join(f'"{name}"' for name in listed[:limit])
    return shown + (f" and {len(listed) - limit} more" if len(listed) > limit else "")


def load_merged(paths: tuple[Path, ...]) -> Kubeconfig:
    """Read and merge the existing files; the first to define an entry wins."""
    current = ""
    contexts: dict[str, ContextEntry] = {}
    clusters: dict[str, ClusterEntry] = {}
    users: dict[str, UserEntry] = {}
    current_source: Path | None = None
    hidden: list[HiddenEntry] = []

    def keep(kind: str, entries: dict[str, Entry], entry: Entry, line: int) -> None:
        if entries.setdefault(entry.name, entry) is not entry:
            hidden.append(HiddenEntry(kind, entry.name, path, line))

    for path in paths:
        parsed = read(path)
        if parsed is None:
            continue
        if parsed.current_context and not current:
            current, current_source = parsed.current_context, path
        for cluster, line in parsed.clusters:
            keep("cluster", clusters, _cluster(cluster, path, line), line)
        for context, line in parsed.contexts:
            raw = context.context or RawContext()
            entry = ContextEntry(
                name=context.name or "",
                cluster=raw.cluster or "",
                user=raw.user or "",
                namespace=raw.namespace or "",
                source=path,
                line=line,
            )
            keep("context", contexts, entry, line)
        for user, line in parsed.users:
            keep("user", users, _user(user, path, line), line)
    remember(*_secrets(clusters.values(), users.values()))
    return Kubeconfig(
        paths=paths, current_context=current, contexts=contexts, clusters=clusters, users=users,
        current_source=current_source, hidden=tuple(hidden),
    )  # fmt: skip


def _secrets(clusters: Iterable[ClusterEntry], users: Iterable[UserEntry]) -> Iterator[str]:
    """Yield every value that must not be shown."""
    for cluster in clusters:
        yield url_password(cluster.proxy_url)
    for user in users:
        yield from (user.token, user.password, user.key_data)
        if user.auth_provider is not None:
            yield from (value for key, value in user.auth_provider.config if is_secret_name(key))
        if user.exec is not None:
            yield from (value for name, value in user.exec.env if is_secret_name(name))
            yield from secret_option_values(user.exec.args)


def _resolve_path(path: Path, value: str | None) -> str:
    if not value:
        return ""
    return str(path.parent.absolute() / value)


def _cluster(named: NamedCluster, path: Path, line: int) -> ClusterEntry:
    raw = named.cluster or RawCluster()
    extensions = [extension for extension in raw.extensions or () if extension is not None]
    extension = next((e.extension for e in extensions if e.name == _EXEC_EXTENSION), None)
    return ClusterEntry(
        name=named.name or "",
        server=raw.server or "",
        tls_server_name=raw.tls_server_name or "",
        insecure=bool(raw.insecure_skip_tls_verify),
        ca_file=_resolve_path(path, raw.certificate_authority),
        ca_data=_base64(raw.certificate_authority_data),
        proxy_url=raw.proxy_url or "",
        disable_compression=bool(raw.disable_compression),
        exec_config=extension,
        source=path,
        line=line,
    )


def _base64(data: str | None) -> str:
    """Return base64 without line breaks, which Go ignores; a field of them alone is empty."""
    return (data or "").replace("\r", "").replace("\n", "")


def _user(named: NamedUser, path: Path, line: int) -> UserEntry:
    raw = named.user or RawUser()
    return UserEntry(
        name=named.name or "",
        certificate_file=_resolve_path(path, raw.client_certificate),
        certificate_data=_base64(raw.client_certificate_data),
        key_file=_resolve_path(path, raw.client_key),
        key_data=_base64(raw.client_key_data),
        token=raw.token or "",
        token_file=_resolve_path(path, raw.token_file),
        username=raw.username or "",
        password=raw.password or "",
        impersonate_user=raw.as_ or "",
        impersonate_uid=raw.as_uid or "",
        impersonate_groups=_texts(raw.as_groups),
        impersonate_extra=tuple(
            (key, _texts(values)) for key, values in (raw.as_user_extra or {}).items()
        ),
        auth_provider=_auth_provider(raw.auth_provider),
        exec=_exec(raw.exec, path),
        source=path,
        line=line,
    )


def _texts(values: Iterable[str | None] | None) -> tuple[str, ...]:
    """Return a list of texts; as in Go, `null` is an empty one."""
    return tuple(value or "" for value in values or ())


def _auth_provider(raw: RawAuthProvider | None) -> AuthProviderEntry | None:
    if raw is None:
        return None
    config = tuple((key, value or "") for key, value in (raw.config or {}).items())
    return AuthProviderEntry(name=raw.name or "", config=config)


def _exec(raw: RawExec | None, path: Path) -> ExecEntry | None:
    if raw is None:
        return None
    command = raw.command or ""
    if "/" in command:
        command = _resolve_path(path, command)
    version = raw.api_version or ""
    # Version 1 has no default, see `validation`.
    default_mode = "IfAvailable" if version in _VERSIONS_WITH_DEFAULTS else ""
    return ExecEntry(
        command=command,
        api_version=version,
        args=_texts(raw.args),
        env=tuple(
            ((item.name or "", item.value or "") if item is not None else ("", ""))
            for item in raw.env or ()
        ),
        install_hint=(raw.install_hint or "").strip(),
        provide_cluster_info=bool(raw.provide_cluster_info),
        interactive_mode=raw.interactive_mode or default_mode,
    )
