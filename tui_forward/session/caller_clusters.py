"""The clusters of a kubeconfig in the environment of one caller, and their live views."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Hashable, Mapping
from typing import TYPE_CHECKING

import msgspec

from tui_forward.catalog import Catalog, CatalogClusterDirectory, CatalogTargetResolver
from tui_forward.common.clock import correction_s
from tui_forward.engine.context import ClusterDirectory, TargetWatch
from tui_forward.kube import ClusterClients, KubeconfigSource
from tui_forward.kube.auth.login_handover import HandedOverLogin, LoginHandover
from tui_forward.kube.kubeconfig.overrides import OptionSecrets
from tui_forward.model import (
    NO_OPTIONS,
    AccessOptions,
    ApiHealth,
    CatalogScope,
    CatalogView,
    ClusterKey,
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
from tui_forward.session.callers import environment_key
from tui_forward.transport.access import ServerAccess

if TYPE_CHECKING:
    # Loaded when the hops of a forward are first requested, to start faster.
    from tui_forward.kube.auth.shared_logins import JoinedLogin
    from tui_forward.session.cluster_facts import ClusterInspector
    from tui_forward.session.diagnosis import ClusterFacts
    from tui_forward.session.permission_reader import PermissionReader

# The health of an API server is outdated once no view refreshes it.
_HEALTH_MAX_AGE_S = 30.0


class CallerClusters:
    """Clients, watches and views that use the credentials of one environment.

    Implements `ClusterProvider`, and what `backend.CallerBackend` adds. `on_login_line` gets
    context and text of each line that a credential plugin writes for the user, `on_change` is
    called when a view changes. With `has_terminal`,
    plugins may use the terminal of this process. `secrets` and `login_handover` are shared by all
    environments.
    """

    def __init__(
        self,
        source: KubeconfigSource,
        environ: Mapping[str, str],
        *,
        on_login_line: Callable[[str, str], None],
        on_change: Callable[[], None],
        secrets: OptionSecrets,
        login_handover: LoginHandover,
        has_terminal: bool = False,
    ) -> None:
        self.environ = environ
        self._clusters = ClusterClients(
            source,
            environ=environ,
            has_terminal=has_terminal,
            on_login_line=lambda joined, line: on_login_line(_first_context(joined), line),
            secrets=secrets,
            handover=login_handover,
            environment_key=environment_key(environ),
        )
        self._resolver = CatalogTargetResolver(self._clusters.get)
        self._catalog = Catalog(self._clusters.get, on_change=on_change)
        self._inspector: ClusterInspector | None = None
        self._permissions: PermissionReader | None = None
        self._health: dict[ClusterKey, tuple[float, ApiHealth]] = {}

    @property
    def is_viewed(self) -> bool:
        """Whether a front end shows a part of it."""
        return bool(self._catalog.scopes)

    def namespace(self, context: str, options: AccessOptions = NO_OPTIONS) -> str:
        """See `ClusterBackend.namespace`."""
        return self._clusters.get(context, options).namespace

    def access(self, context: str, options: AccessOptions = NO_OPTIONS) -> ServerAccess:
        """See `ClusterProvider.access`."""
        return self._clusters.get(context, options)

    def watch(self, target: Target) -> TargetWatch:
        """See `ClusterProvider.watch`."""
        return self._resolver.watch(target)

    def directory(self, context: str, options: AccessOptions = NO_OPTIONS) -> ClusterDirectory:
        """See `ClusterProvider.directory`."""
        return CatalogClusterDirectory(self._clusters.get(context, options))

    def catalog(self, scope: CatalogScope, since: int) -> CatalogView:
        """See `CallerBackend.catalog`."""
        view = self._catalog.view(scope, since)
        if view.health is not None:
            self._health[scope.context, scope.options] = (time.monotonic(), view.health)
        return view

    def health(self) -> tuple[ApiHealth, ...]:
        """See `CallerBackend.health`: of recently viewed contexts, and of unreachable ones."""
        now = time.monotonic()
        for key in [k for k, (at, _) in self._health.items() if now - at > _HEALTH_MAX_AGE_S]:
            del self._health[key]
        viewed = tuple(health for _, health in self._health.values())
        # Without a view, the watches of forwards detect an unreachable cluster.
        return viewed + tuple(
            ApiHealth(
                context=key[0],
                options=key[1],
                ok=False,
                code=error.code,
                error=error.message,
                short_error=error.short_message,
                hint=error.hint,
            )
            for key, error in self._resolver.unreachable().items()
            if key not in self._health
        )

    def logins(self) -> tuple[Login, ...]:
        """Return the credential plugins that run now and take longer than usual."""
        return tuple(
            Login(
                clusters=tuple(observer.cluster for observer in joined.observers),
                user=joined.key.user,
                code=reason.code,
                plugin=reason.name,
                text=reason.detail,
                since=joined.login.started_at + correction_s(),
            )
            for joined in self._clusters.logins
            if (reason := joined.login.reason) is not None
        )

    def exported_logins(self) -> list[HandedOverLogin]:
        """Return the logins of this environment for another engine."""
        return self._clusters.logins.export()

    def running_plugins(self) -> list[tuple[str, str]]:
        """Return context and name of each credential plugin that runs now."""
        running = (joined for joined in self._clusters.logins if joined.login.is_running)
        return [(_first_context(joined), joined.login.name) for joined in running]

    def login_key(self, cluster: ClusterKey) -> Hashable:
        """See `CallerBackend.login_key`."""
        return self._clusters.get(*cluster).login_key

    def retry_login(self, cluster: ClusterKey) -> None:
        """See `CallerBackend.retry_login`."""
        self._clusters.get(*cluster).retry_login(requested=True)

    def begin_login(self, cluster: ClusterKey) -> LoginCommand | None:
        """See `CallerBackend.begin_login`."""
        return self._clusters.get(*cluster).begin_login()

    def finish_login(self, cluster: ClusterKey, output: bytes, exit_code: int) -> None:
        """See `CallerBackend.finish_login`."""
        self._clusters.get(*cluster).finish_login(output, exit_code)

    def cancel_login(self, cluster: ClusterKey) -> None:
        """See `CallerBackend.cancel_login`."""
        self._clusters.get(*cluster).cancel_login()

    async def inspect(self, forward: Forward) -> ClusterFacts:
        """See `CallerBackend.inspect`."""
        key = context, options = forward.spec.target.cluster_key
        # The current errors of the forward's own watches take precedence over older health.
        health = next((one for one in self.health() if (one.context, one.options) == key), None)
        error = self._resolver.unreachable().get(key)
        if error is not None:
            health = msgspec.structs.replace(
                health if health is not None else ApiHealth(context=context, options=options),
                ok=False,
                latency_s=None,
                code=error.code,
                error=error.message,
                short_error=error.short_message,
                hint=error.hint,
            )
        if self._inspector is None:
            from tui_forward.session.cluster_facts import ClusterInspector

            self._inspector = ClusterInspector(self._clusters.get)
        return await self._inspector.inspect(forward, health)

    async def missing_permissions(self, scope: CatalogScope) -> MissingPermissions:
        """See `CallerBackend.missing_permissions`."""
        if self._permissions is None:
            from tui_forward.session.permission_reader import PermissionReader

            self._permissions = PermissionReader(self._clusters.get)
        _, health = self._health.get((scope.context, scope.options), (0.0, None))
        return await self._permissions.read(scope, health.version if health is not None else "")

    async def read_log(self, source: LogSource, since: str, lines: int) -> PodLog:
        """See `CallerBackend.read_log`."""
        from tui_forward.session.object_reads import read_log

        cluster = self._clusters.get(*source.target.cluster_key)
        return await read_log(cluster, source, since=since, lines=lines)

    async def describe(self, target: Target) -> Description:
        """See `CallerBackend.describe`."""
        from tui_forward.session.object_reads import describe

        return await describe(self._clusters.get(*target.cluster_key), target)

    def diagnose(self, query: DoctorQuery) -> AsyncGenerator[DoctorResult, None]:
        """See `CallerBackend.diagnose`."""
        from tui_forward.session.doctor.doctor import Doctor

        return Doctor(self._clusters.source, self._clusters.get, self.environ).run(query)

    def refresh(self) -> None:
        """See `ClusterProvider.refresh`."""
        for client in self._clusters.clients:
            client.retry_login(requested=False)
        self._resolver.refresh()
        self._catalog.refresh()

    async def close(self) -> None:
        """Close all connections and watches."""
        if self._inspector is not None:
            await self._inspector.close()
        if self._permissions is not None:
            await self._permissions.close()
        await self._resolver.close()
        await self._catalog.close()
        await self._clusters.close()


def _first_context(joined: JoinedLogin) -> str:
    return next((observer.cluster[0] for observer in joined.observers), "")
