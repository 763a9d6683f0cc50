"""Backend of a session: the clusters of a kubeconfig, in the environment of each caller."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Collection
from pathlib import Path

import msgspec
from msgspec.structs import replace

from tui_forward.common.file_signature import Signature
from tui_forward.common.redaction import is_secret_name
from tui_forward.common.tasks import spawn
from tui_forward.known_secrets import remember
from tui_forward.kube import KubeconfigSource
from tui_forward.kube.auth.login_handover import HandedOverLogin, LoginHandover
from tui_forward.kube.kubeconfig.overrides import OptionSecrets
from tui_forward.kube.kubeconfig.source import has_changed
from tui_forward.model import NO_OPTIONS, AccessOptions, Caller, Context, Login
from tui_forward.session.caller_clusters import CallerClusters
from tui_forward.session.callers import describe_caller, environment_key

# Each environment has its own credentials, watches and connections.
_MAX_CALLERS = 16


class KubernetesBackend(CallerClusters):
    """Implementation of `backend.ClusterBackend` over `kube` and `catalog`.

    `kubeconfig` is `--kubeconfig`, this file and nothing else; by default as kubectl. Its own
    clusters are those in the environment of this process.
    """

    def __init__(
        self, kubeconfig: str | Path | None, *, context: str = "", has_terminal: bool = False
    ) -> None:
        self._source = source = KubeconfigSource(kubeconfig, context=context)
        self.secrets = secrets = OptionSecrets()
        self._login_handover = login_handover = LoginHandover()
        super().__init__(
            source,
            source.environ,
            on_login_line=self._pass_login_line,
            on_change=self._pass_change,
            secrets=secrets,
            login_handover=login_handover,
            has_terminal=has_terminal,
        )
        self._on_line: Callable[[str, str], None] = lambda _context, _line: None
        self._on_changed: Callable[[], None] = lambda: None
        self._own_key = environment_key(source.environ)
        self._callers: dict[bytes, tuple[Caller, CallerClusters]] = {}  # the latest one last
        self._latest: tuple[Caller, CallerClusters] | None = None  # of `for_caller`
        self._closing: set[asyncio.Task[None]] = set()

    def contexts(self) -> tuple[Context, ...]:
        """See `ClusterBackend.contexts`."""
        return self._source.contexts()

    def current_context(self, options: AccessOptions = NO_OPTIONS) -> str:
        """See `ClusterBackend.current_context`."""
        return self._source.context_name(options=options)

    def for_caller(self, caller: Caller, *, keep: Collection[object] = ()) -> CallerClusters:
        """See `ClusterBackend.for_caller`."""
        if self._latest is not None and self._latest[0] is caller:
            return self._latest[1]
        clusters = self._clusters_for(caller, keep)
        self._latest = caller, clusters
        return clusters

    def _clusters_for(self, caller: Caller, keep: Collection[object]) -> CallerClusters:
        key = environment_key(caller.environ)
        if key == self._own_key:
            return self
        found = self._callers.pop(key, None)
        if found is None:
            remember(*(v for name, v in caller.environ.items() if is_secret_name(name)))
            clusters = CallerClusters(
                self._source,
                caller.environ,
                on_login_line=self._pass_login_line,
                on_change=self._pass_change,
                secrets=self.secrets,
                login_handover=self._login_handover,
            )
            found = caller, clusters
            self._close_unused(keep)
        self._callers[key] = found
        return found[1]

    def _close_unused(self, keep: Collection[object]) -> None:
        """Make room for another environment."""
        excess = len(self._callers) + 1 - _MAX_CALLERS
        unused = [
            key
            for key, (_, clusters) in self._callers.items()
            if clusters not in keep and not clusters.is_viewed
        ]
        for key in unused[: max(0, excess)]:
            _, clusters = self._callers.pop(key)
            self._latest = None
            task = spawn(clusters.close(), name="closing unused clusters")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def logins(self) -> tuple[Login, ...]:
        """See `ClusterBackend.logins`."""
        found = list(super().logins())
        for caller, clusters in self._callers.values():
            place = describe_caller(caller)
            found += [replace(login, environment=place) for login in clusters.logins()]
        return tuple(found)

    def running_logins(self) -> tuple[tuple[str, str], ...]:
        """See `ClusterBackend.running_logins`."""
        others = (clusters.running_plugins() for _, clusters in self._callers.values())
        return tuple(dict.fromkeys(itertools.chain(self.running_plugins(), *others)))

    def hold_logins(self) -> bytes:
        """See `ClusterBackend.hold_logins`."""
        self._login_handover.may_run.clear()
        others = (clusters.exported_logins() for _, clusters in self._callers.values())
        own = itertools.chain(self.exported_logins(), *others)
        return msgspec.msgpack.encode(self._login_handover.merge(own))

    def release_logins(self) -> None:
        """See `ClusterBackend.release_logins`."""
        self._login_handover.may_run.set()

    def adopt_logins(self, data: bytes) -> None:
        """See `ClusterBackend.adopt_logins`."""
        try:
            logins = msgspec.msgpack.decode(data, type=list[HandedOverLogin])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return  # none, or those of a version that has others
        self._login_handover.adopt(logins)

    def listen_to_logins(self, on_line: Callable[[str, str], None]) -> None:
        """See `ClusterBackend.listen_to_logins`."""
        self._on_line = on_line

    def listen_to_changes(self, on_change: Callable[[], None]) -> None:
        """See `ClusterBackend.listen_to_changes`."""
        self._on_changed = on_change

    def _pass_change(self) -> None:
        self._on_changed()

    def _pass_login_line(self, context: str, line: str) -> None:
        self._on_line(context, line)

    def refresh(self) -> None:
        """See `ClusterProvider.refresh`."""
        super().refresh()
        for _, clusters in self._callers.values():
            clusters.refresh()

    def revision(self) -> Signature:
        """See `ClusterBackend.revision`."""
        return self._source.revision()

    def watched_files(self) -> tuple[Path, ...]:
        """See `ClusterBackend.watched_files`."""
        return self._source.watched()

    def has_changed(self, before: Signature, now: Signature) -> bool:
        """See `ClusterBackend.has_changed`."""
        return has_changed(before, now)

    async def close(self) -> None:
        """See `ClusterBackend.close`."""
        callers = list(self._callers.values())
        self._callers.clear()
        await asyncio.gather(*(clusters.close() for _, clusters in callers))
        if self._closing:
            await asyncio.wait(self._closing)
        await super().close()
