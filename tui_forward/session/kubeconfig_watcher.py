"""Retries what waits for credentials when the kubeconfig or a file it names changes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from tui_forward.session.backend import ClusterBackend
from tui_forward.session.lazy_engine import LazyEngine

_log = logging.getLogger(__name__)

# Intervals of checks (a few stat(2)): while all is well, while an API server cannot be used, and
# while a forward waits for a login.
_INTERVAL_S = 5.0
_UNHEALTHY_INTERVAL_S = 1.0
_BLOCKED_INTERVAL_S = 0.1


class KubeconfigWatcher:
    """Notices logins in other terminals by the files that they change."""

    def __init__(self, backend: ClusterBackend, engine: LazyEngine) -> None:
        self._backend: Final = backend
        self._engine: Final = engine

    async def run(self) -> None:
        """Check until canceled."""
        revision = self._backend.revision()
        while True:
            await self._wait_for_next_check()
            latest = self._backend.revision()
            changed = self._backend.has_changed(revision, latest)
            revision = latest
            if changed:
                _log.info("the kubeconfig or a file it names has changed")
                engine = self._engine.created
                if engine is not None:
                    engine.retry_waiting("the kubeconfig has changed")
                else:
                    self._backend.refresh()

    async def _wait_for_next_check(self) -> None:
        engine = self._engine.created
        if engine is not None and engine.blocked:
            await asyncio.sleep(_BLOCKED_INTERVAL_S)
            return
        is_healthy = all(health.ok is not False for health in self._backend.health())
        if engine is None or not is_healthy:
            await asyncio.sleep(_UNHEALTHY_INTERVAL_S)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_INTERVAL_S):
                await engine.wait_blocked()
