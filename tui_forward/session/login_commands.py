"""Logins that the user asks for, and the forwards that wait for them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable
from typing import Final

from tui_forward.errors import ConfigError, UsageError
from tui_forward.model import BlockedBy, ClusterKey, LoginCommand
from tui_forward.session.backend import CallerBackend, ClusterBackend
from tui_forward.session.forward_callers import ForwardCallers
from tui_forward.session.lazy_engine import LazyEngine


class LoginCommands:
    """Implements what `Session` has for logins, in the environment of the front end that asks."""

    def __init__(
        self, backend: ClusterBackend, engine: LazyEngine, callers: ForwardCallers
    ) -> None:
        self._backend: Final = backend
        self._engine: Final = engine
        self._callers: Final = callers

    async def begin(self, cluster: ClusterKey) -> LoginCommand | None:
        """See `Session.begin_login`."""
        return self._callers.viewer().begin_login(self._complete(cluster))

    async def finish(self, cluster: ClusterKey, output: bytes, exit_code: int) -> None:
        """See `Session.finish_login`."""
        cluster, viewer = self._complete(cluster), self._callers.viewer()
        viewer.finish_login(cluster, output, exit_code)
        key = _login_key(viewer, cluster)
        await self._resume(lambda other: _login_key(viewer, other) == key)

    async def cancel(self, cluster: ClusterKey) -> None:
        """See `Session.cancel_login`."""
        self._callers.viewer().cancel_login(self._complete(cluster))

    async def retry(self, cluster: ClusterKey) -> None:
        """See `Session.retry_login`."""
        cluster, viewer = self._complete(cluster), self._callers.viewer()
        viewer.retry_login(cluster)
        key = _login_key(viewer, cluster)
        await self._resume(lambda other: other[0] == cluster[0] or _login_key(viewer, other) == key)

    async def reconnect(self, forward_id: str) -> None:
        """See `Session.reconnect`."""
        engine = self._engine.get()
        cluster = engine.forward(forward_id).spec.target.cluster_key
        await self._callers.use_environment(forward_id)
        with contextlib.suppress(ConfigError):  # the forward shows it
            self._callers.backend_of(forward_id).retry_login(cluster)
        engine.reconnect(forward_id)

    def _complete(self, cluster: ClusterKey) -> ClusterKey:
        options = self._backend.secrets.remember(cluster[1])
        return cluster[0] or self._backend.current_context(options), options

    async def _resume(self, is_concerned: Callable[[ClusterKey], bool]) -> None:
        """Let forwards that need credentials use those of the front end that asks now."""
        engine = self._engine.created
        if engine is None:
            return
        for forward in engine.forwards():
            needs_login = forward.blocked_by is BlockedBy.CREDENTIALS
            if needs_login and is_concerned(forward.spec.target.cluster_key):
                with contextlib.suppress(UsageError):  # stopped meanwhile
                    await self.reconnect(forward.id)


def _login_key(backend: CallerBackend, cluster: ClusterKey) -> Hashable:
    """Return the login of a cluster; itself if it cannot be used."""
    try:
        return backend.login_key(cluster)
    except ConfigError:
        return cluster
