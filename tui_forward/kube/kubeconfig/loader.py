"""kubeconfig files: reading and merging them the way kubectl does. No network, no credentials run.

`kubernetes.aio.config` has a merger too, but it lets the last `current-context` win where
client-go lets the first, and its errors know neither file nor line; so files are read here.

What counts as kubectl's way is client-go's `tools/clientcmd`: of several files the first to
name a cluster, context, user or the current context wins as a whole entry; relative paths are
relative to the file they stand in; an `exec` command is such a path only if it contains a
separator; a missing file of `KUBECONFIG` is skipped, a missing `--kubeconfig` is an error.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tui_forward.errors import ConfigError
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
from tui_forward.model import Context

_EXEC_EXTENSION = "client.authentication.k8s.io/exec"


@dataclass(frozen=True, slots=True)
class ClusterEntry:
    """A cluster of a kubeconfig, its paths made absolute.

    Attributes:
        ca_data: Base64 as written; wins over `ca_file`.
        proxy_url: May hold a password: never show it.
        exec_config: What the `client.authentication.k8s.io/exec` extension holds, for
            plugins with `provideClusterInfo`.
        source: The file the entry is from.
    """

    name: str
    server: str = ""
    tls_server_name: str = ""
    insecure: bool = False
    ca_file: str = ""
    ca_data: str = ""
    proxy_url: str = field(default="", repr=False)
    disable_compression: bool = False
    exec_config: object = field(default=None, repr=False)
    source: Path | None = None


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


@dataclass(frozen=True, slots=True)
class ContextEntry:
    """A context of a kubeconfig."""

    name: str
    cluster: str = ""
    user: str = ""
    namespace: str = ""
    source: Path | None = None


@dataclass(frozen=True, slots=True)
class ResolvedContext:
    """Everything one context says: which cluster, as whom, in which namespace."""

    context: str
    namespace: str
    cluster: ClusterEntry
    user: UserEntry


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """One or more files, merged.

    Attributes:
        paths: The files that were looked for, in order, present or not.
        in_cluster: There was no file, and this is a pod's service account.
    """

    paths: tuple[Path, ...]
    current_context: str = ""
    contexts: dict[str, ContextEntry] = field(default_factory=dict)
    clusters: dict[str, ClusterEntry] = field(default_factory=dict)
    users: dict[str, UserEntry] = field(default_factory=dict)
    in_cluster: bool = False

    def list_contexts(self, current: str = "") -> tuple[Context, ...]:
        """All contexts in file order; `current` replaces the file's own current context."""
        chosen = current or self.current_context
        return tuple(
            Context(
                name=entry.name,
                cluster=entry.cluster,
                namespace=entry.namespace or "default",
                current=entry.name == chosen,
            )
            for entry in self.contexts.values()
        )

    def resolve(self, context: str = "") -> ResolvedContext:
        """What a context (or the current one) means.

        Raises:
            ConfigError: There is no such context, or it names a cluster that is not there.
        """
        name = context or self.current_context
        if not name:
            if not self.contexts:
                raise ConfigError(
                    f"there is no context in {self._where()}",
                    hint="Get a kubeconfig for your cluster, and set KUBECONFIG or --kubeconfig",
                )
            raise ConfigError(
                "no context was given and the kubeconfig names no current one",
                hint=f"Choose one with --context: {_some(self.contexts)}",
            )
        entry = self.contexts.get(name)
        if entry is None:
            raise ConfigError(
                f'there is no context "{name}" in {self._where()}', hint=self._near(name)
            )
        cluster = self.clusters.get(entry.cluster)
        if cluster is None:
            raise ConfigError(
                f'context "{name}" names the cluster "{entry.cluster}", which is not in '
                f"{self._where()}",
                hint=f"Clusters there: {_some(self.clusters) or 'none'}",
            )
        user = self.users.get(entry.user)
        if user is None and entry.user:
            raise ConfigError(
                f'context "{name}" names the user "{entry.user}", which is not in {self._where()}',
                hint=f"Users there: {_some(self.users) or 'none'}",
            )
        return ResolvedContext(
            context=name,
            namespace=entry.namespace or "default",
            cluster=cluster,
            user=user or UserEntry(),
        )

    def _near(self, name: str) -> str:
        near = difflib.get_close_matches(name, self.contexts, n=3, cutoff=0.5)
        lowered = name.casefold()
        near += [other for other in self.contexts if lowered in other.casefold()]
        if near:
            return f"Did you mean {_some(dict.fromkeys(near), limit=3)}?"
        if self.contexts:
            return f"Contexts there: {_some(self.contexts)}"
        return "The kubeconfig holds no context at all"

    def _where(self) -> str:
        present = [path for path in self.paths if path.exists()]
        if not present:
            return "the kubeconfig"
        return ", ".join(str(path) for path in present)


def _some(names: Iterable[str], limit: int = 8) -> str:
    listed = list(names)
    shown = ", ".join(f'"{name}"' for name in listed[:limit])
    return shown + (f" and {len(listed) - limit} more" if len(listed) > limit else "")


def load_merged(paths: tuple[Path, ...]) -> Kubeconfig:
    """Read and merge the files that exist among `paths`; the first to name something wins.

    Raises:
        ConfigError: A file cannot be read or understood (names file and line).
    """
    current = ""
    contexts: dict[str, ContextEntry] = {}
    clusters: dict[str, ClusterEntry] = {}
    users: dict[str, UserEntry] = {}
    for path in paths:
        parsed = read(path)
        if parsed is None:
            continue
        current = current or parsed.current_context or ""
        for cluster in parsed.clusters or ():
            if cluster.name not in clusters:
                clusters[cluster.name] = _cluster(cluster, path)
        for context in parsed.contexts or ():
            if context.name not in contexts:
                said = context.context or RawContext()
                contexts[context.name] = ContextEntry(
                    name=context.name,
                    cluster=said.cluster or "",
                    user=said.user or "",
                    namespace=said.namespace or "",
                    source=path,
                )
        for user in parsed.users or ():
            if user.name not in users:
                users[user.name] = _user(user, path)
    return Kubeconfig(
        paths=paths, current_context=current, contexts=contexts, clusters=clusters, users=users
    )


def _beside(path: Path, value: str | None) -> str:
    if not value:
        return ""
    return str(path.parent.absolute() / value)


def _cluster(named: NamedCluster, path: Path) -> ClusterEntry:
    said = named.cluster or RawCluster()
    extension = next(
        (e.extension for e in said.extensions or () if e.name == _EXEC_EXTENSION), None
    )
    return ClusterEntry(
        name=named.name,
        server=said.server or "",
        tls_server_name=said.tls_server_name or "",
        insecure=bool(said.insecure_skip_tls_verify),
        ca_file=_beside(path, said.certificate_authority),
        ca_data=said.certificate_authority_data or "",
        proxy_url=said.proxy_url or "",
        disable_compression=bool(said.disable_compression),
        exec_config=extension,
        source=path,
    )


def _user(named: NamedUser, path: Path) -> UserEntry:
    said = named.user or RawUser()
    return UserEntry(
        name=named.name,
        certificate_file=_beside(path, said.client_certificate),
        certificate_data=said.client_certificate_data or "",
        key_file=_beside(path, said.client_key),
        key_data=said.client_key_data or "",
        token=said.token or "",
        token_file=_beside(path, said.token_file),
        username=said.username or "",
        password=said.password or "",
        impersonate_user=said.as_ or "",
        impersonate_uid=said.as_uid or "",
        impersonate_groups=tuple(said.as_groups or ()),
        impersonate_extra=tuple(
            (key, tuple(values or ())) for key, values in (said.as_user_extra or {}).items()
        ),
        auth_provider=_auth_provider(said.auth_provider),
        exec=_exec(said.exec, path),
        source=path,
    )


def _auth_provider(said: RawAuthProvider | None) -> AuthProviderEntry | None:
    if said is None or not said.name:
        return None
    config = tuple((key, value or "") for key, value in (said.config or {}).items())
    return AuthProviderEntry(name=said.name, config=config)


def _exec(said: RawExec | None, path: Path) -> ExecEntry | None:
    if said is None:
        return None
    command = said.command
    if "/" in command or "\\" in command:
        command = _beside(path, command)
    return ExecEntry(
        command=command,
        api_version=said.api_version or "",
        args=tuple(said.args or ()),
        env=tuple((item.name, item.value or "") for item in said.env or ()),
        install_hint=(said.install_hint or "").strip(),
        provide_cluster_info=bool(said.provide_cluster_info),
        interactive_mode=said.interactive_mode or "",
    )
