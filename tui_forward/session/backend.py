"""What a session in this process needs of the clusters of a kubeconfig."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Collection, Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tui_forward.model import (
    NO_OPTIONS,
    AccessOptions,
    ApiHealth,
    Caller,
    CatalogScope,
    CatalogView,
    ClusterKey,
    Context,
    Description,
    DoctorQuery,
    DoctorResult,
    Forward,
    Login,
    LoginCommand,
    LogSource,
    MissingPermissions,
    PodLog,
    Target,
)

if TYPE_CHECKING:
    from tui_forward.engine.context import ClusterDirectory, TargetWatch
    from tui_forward.kube.kubeconfig.overrides import OptionSecrets
    from tui_forward.session.diagnosis import ClusterFacts
    from tui_forward.transport.access import ServerAccess


class CallerBackend(Protocol):
    """The clusters of a kubeconfig in one environment; methods may raise ConfigError.

    Repeats `engine.context.ClusterProvider`, so that the engine need not be loaded.
    """

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment that credential plugins run in."""

    def access(self, context: str, options: AccessOptions = NO_OPTIONS) -> ServerAccess:
        """See `ClusterProvider.access`."""

    def watch(self, target: Target) -> TargetWatch:
        """See `ClusterProvider.watch`."""

    def directory(self, context: str, options: AccessOptions = NO_OPTIONS) -> ClusterDirectory:
        """See `ClusterProvider.directory`."""

    def refresh(self) -> None:
        """See `ClusterProvider.refresh`."""

    def namespace(self, context: str, options: AccessOptions = NO_OPTIONS) -> str:
        """Return the namespace of a context."""

    def catalog(self, scope: CatalogScope, since: int) -> CatalogView:
        """Return the live view of a scope, or its changes since a version. Never blocks."""

    def health(self) -> tuple[ApiHealth, ...]:
        """Return the health of the API servers in use."""

    def login_key(self, cluster: ClusterKey) -> Hashable:
        """Return a value that is the same for clusters with the same credentials."""

    def retry_login(self, cluster: ClusterKey) -> None:
        """Run the credential plugin of a cluster now if it is needed, however often it failed."""

    def begin_login(self, cluster: ClusterKey) -> LoginCommand | None:
        """See `Session.begin_login`."""

    def finish_login(self, cluster: ClusterKey, output: bytes, exit_code: int) -> None:
        """See `Session.finish_login`."""

    def cancel_login(self, cluster: ClusterKey) -> None:
        """See `Session.cancel_login`."""

    async def inspect(self, forward: Forward) -> ClusterFacts:
        """Return facts about the hops of a forward; waits two seconds at most."""

    async def missing_permissions(self, scope: CatalogScope) -> MissingPermissions:
        """See `Session.missing_permissions`."""

    async def read_log(self, source: LogSource, since: str, lines: int) -> PodLog:
        """See `Session.read_log`; raises the same errors."""

    async def describe(self, target: Target) -> Description:
        """See `Session.describe`; raises the same errors."""

    def diagnose(self, query: DoctorQuery) -> AsyncGenerator[DoctorResult, None]:
        """See `Session.diagnose`."""


class ClusterBackend(CallerBackend, Protocol):
    """The clusters of a kubeconfig; itself in the environment of this process."""

    secrets: OptionSecrets  # of options, in every environment

    def contexts(self) -> tuple[Context, ...]:
        """Return the contexts of the kubeconfig."""

    def current_context(self, options: AccessOptions = NO_OPTIONS) -> str:
        """Return the name of the current context; `NO_CONTEXT` where the options suffice."""

    def for_caller(self, caller: Caller, *, keep: Collection[object] = ()) -> CallerBackend:
        """Return the clusters in the environment of a caller: itself, if they do not differ.

        Those of others that are not in `keep` and have no view may be closed.
        """

    def logins(self) -> tuple[Login, ...]:
        """Return the credential plugins that run now and take longer than usual."""

    def running_logins(self) -> tuple[tuple[str, str], ...]:
        """Return context and name of each credential plugin that runs now, or in a terminal."""

    def hold_logins(self) -> bytes:
        """Run no more plugins for now; return all credentials of plugins for another engine."""

    def release_logins(self) -> None:
        """Undo `hold_logins`. Idempotent."""

    def adopt_logins(self, data: bytes) -> None:
        """Use what `hold_logins` of the engine before has returned. Before the first use."""

    def listen_to_logins(self, on_line: Callable[[str, str], None]) -> None:
        """Call `on_line` with context and text of each line that a plugin writes for the user."""

    def listen_to_changes(self, on_change: Callable[[], None]) -> None:
        """Call `on_change` whenever a view, the health of a server or a login has changed."""

    def revision(self) -> Any:
        """Return the state of the kubeconfig and the files it names."""

    def watched_files(self) -> tuple[Path, ...]:
        """Return the files of the kubeconfig, and those that it names. Called in a thread."""

    def has_changed(self, before: Any, now: Any) -> bool:
        """Return whether they have changed between two revisions."""

    async def close(self) -> None:
        """Close all connections and watches."""
