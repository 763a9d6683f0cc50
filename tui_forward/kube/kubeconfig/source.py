"""Location of the kubeconfig, and detection of its changes.

A login in another terminal rewrites a kubeconfig, a certificate or a token file.
`KubeconfigSource` reads changed files again at the next use (a few `stat` calls each time), and
has their folders watched while a task waits in `changed`.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from tui_forward.common.bounded_file import may_exist
from tui_forward.common.file_checks import FILE_CHECKS
from tui_forward.common.file_signature import Signature, file_signatures
from tui_forward.common.user_folders import expand_home, home_dir, kubeconfig_list
from tui_forward.errors import ConfigError
from tui_forward.kube.kubeconfig.loader import (
    ClusterEntry,
    ContextEntry,
    Kubeconfig,
    UserEntry,
    load_merged,
)
from tui_forward.model import NO_CONTEXT, NO_OPTIONS, AccessOptions, Context, ReasonCode

IN_CLUSTER = "in-cluster"
_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# A file that is being rewritten may be incomplete; the previous content stays valid this long.
_RELOAD_GRACE_S = 2.0


def has_changed(before: Signature, now: Signature) -> bool:
    """Whether a file of the first signature has changed.

    Files only in the second one do not count: the kubeconfig was read meanwhile and names them.
    """
    return not set(before) <= set(now)


class KubeconfigSource:
    """The kubeconfig of this process, read again when its files change.

    `path` is `--kubeconfig`: this file only, which must exist. `context` is `--context`.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        context: str = "",
        environ: Mapping[str, str] | None = None,
        service_account: Path = _SERVICE_ACCOUNT,
    ) -> None:
        self.environ: Mapping[str, str] = os.environ if environ is None else environ
        self._explicit = expand_home(path) if path else None
        self._context = context
        self._service_account = service_account
        self._signature: Signature | None = None
        self._kubeconfig: Kubeconfig | None = None
        self._stale_since: float | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """The effective files, present or not."""
        if self._explicit is not None:
            return (self._explicit,)
        listed = kubeconfig_list(self.environ.get("KUBECONFIG", ""))
        return listed or (home_dir() / ".kube" / "config",)

    def kubeconfig(self, *, can_be_missing: bool = False) -> Kubeconfig:
        """Return the current content of the merged kubeconfig, or raise ConfigError.

        Without any file it is empty if that is allowed; kubectl's options may name a server.
        """
        kubeconfig = self._read()
        if not can_be_missing and not kubeconfig.current_context and self._is_missing():
            raise self._missing_error()
        return kubeconfig

    def _read(self) -> Kubeconfig:
        paths = self.paths
        now = file_signatures(paths)
        if self._kubeconfig is not None and now == self._signature:
            return self._kubeconfig
        try:
            fresh = self._load(paths)
        except ConfigError:
            if self._kubeconfig is None:
                raise
            if self._stale_since is None:
                self._stale_since = time.monotonic()
            if time.monotonic() - self._stale_since < _RELOAD_GRACE_S:
                return self._kubeconfig
            raise
        self._stale_since = None
        self._signature = now
        self._kubeconfig = fresh
        return fresh

    def contexts(self) -> tuple[Context, ...]:
        """Return the available contexts."""
        return self.kubeconfig().list_contexts(self._context)

    def context_name(self, name: str = "", options: AccessOptions = NO_OPTIONS) -> str:
        """Return `name`, or the current context when it is empty, after checking that it exists.

        As for kubectl, options may replace all of a context: then it is `NO_CONTEXT`.
        """
        name = name or self._context
        if options.names_server:
            kubeconfig = self.kubeconfig(can_be_missing=True)
            if name == NO_CONTEXT or not (name or kubeconfig.current_context):
                return NO_CONTEXT
        return self.kubeconfig().resolve(name).context

    def _load(self, paths: tuple[Path, ...]) -> Kubeconfig:
        if self._explicit is not None and not may_exist(self._explicit):
            raise ConfigError(
                f"the kubeconfig {self._explicit} does not exist",
                code=ReasonCode.CONFIG_FILE_MISSING,
                hint="Check --kubeconfig",
            )
        is_present = any(may_exist(path) for path in paths)
        merged = load_merged(paths) if is_present else Kubeconfig(paths=paths)
        if not merged.current_context and (in_cluster := self._in_cluster(paths)) is not None:
            return replace(
                in_cluster,
                contexts={**merged.contexts, **in_cluster.contexts},
                clusters={**merged.clusters, **in_cluster.clusters},
                users={**merged.users, **in_cluster.users},
            )
        return merged

    def _is_missing(self) -> bool:
        return not any(may_exist(path) for path in self.paths)

    def _missing_error(self) -> ConfigError:
        paths = self.paths
        searched = ", ".join(str(path) for path in paths)
        missing = "KUBECONFIG names no file that exists" if self.environ.get("KUBECONFIG") else ""
        return ConfigError(
            missing + f" ({searched})" if missing else f"there is no kubeconfig at {searched}",
            code=ReasonCode.CONFIG_FILE_MISSING,
            hint="In KUBECONFIG, ~ is not expanded: write $HOME"
            if any(path.parts[:1] == ("~",) for path in paths)
            else "Get one for your cluster and set KUBECONFIG or --kubeconfig, "
            "or try `tui-forward demo`",
        )

    def _in_cluster(self, paths: tuple[Path, ...]) -> Kubeconfig | None:
        """Return the kubeconfig of a pod: environment variables and a mounted service account."""
        host = self.environ.get("KUBERNETES_SERVICE_HOST", "")
        port = self.environ.get("KUBERNETES_SERVICE_PORT", "")
        token = self._service_account / "token"
        if not host or not port or not token.is_file():
            return None
        namespace = self.environ.get("POD_NAMESPACE", "")
        if not namespace:
            with contextlib.suppress(OSError):
                namespace = (self._service_account / "namespace").read_text().strip()
        authority = f"[{host}]" if ":" in host else host
        ca = self._service_account / "ca.crt"
        return Kubeconfig(
            paths=paths,
            current_context=IN_CLUSTER,
            contexts={
                IN_CLUSTER: ContextEntry(
                    name=IN_CLUSTER,
                    cluster=IN_CLUSTER,
                    user=IN_CLUSTER,
                    namespace=namespace or "default",
                )
            },
            clusters={
                IN_CLUSTER: ClusterEntry(
                    name=IN_CLUSTER,
                    server=f"https://{authority}:{port}",
                    ca_file=str(ca) if ca.is_file() else "",
                )
            },
            users={IN_CLUSTER: UserEntry(name=IN_CLUSTER, token_file=str(token))},
        )

    def watched(self) -> tuple[Path, ...]:
        """Return the kubeconfig files and every file that they name."""
        files = list(self.paths)
        config = self._kubeconfig
        if config is not None:
            files += [Path(c.ca_file) for c in config.clusters.values() if c.ca_file]
            for user in config.users.values():
                names = (user.certificate_file, user.key_file, user.token_file)
                files += [Path(name) for name in names if name]
        return tuple(dict.fromkeys(files))

    def revision(self) -> Signature:
        """Return the current signature of the files; compare it, or pass it to `changed`."""
        return file_signatures(self.watched())

    async def changed(self, since: Signature | None = None) -> Signature:
        """Wait until the files differ from `since` (default: from now); noticed within two seconds.

        Safe to cancel.
        """
        before = self.revision() if since is None else since
        while (now := self.revision()) == before:
            await FILE_CHECKS.wait_for(self.watched, lambda: self.revision() != before)
        return now
