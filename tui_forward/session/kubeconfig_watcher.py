"""Retries what waits for credentials when the kubeconfig or a file it names changes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from tui_forward.common.file_checks import FILE_CHECKS
from tui_forward.session.backend import ClusterBackend
from tui_forward.session.lazy_engine import LazyEngine

_log = logging.getLogger(__name__)


class KubeconfigWatcher:
    """Notices logins in other terminals, within two seconds, by the files that they change.

    `on_change` is called after each change.
    """

    def __init__(
        self, backend: ClusterBackend, engine: LazyEngine, on_change: Callable[[], None]
    ) -> None:
        self._backend: Final = backend
        self._engine: Final = engine
        self._on_change: Final = on_change
        self._revision: Any = None  # of the files, when they were handled last

    async def run(self) -> None:
        """Check until canceled."""
        self._revision = self._backend.revision()
        while True:
            await FILE_CHECKS.wait_for(
                self._backend.watched_files,
                lambda: self._backend.revision() != self._revision,
            )
            before, self._revision = self._revision, self._backend.revision()
            if self._backend.has_changed(before, self._revision):
                _log.info("the kubeconfig or a file it names has changed")
                engine = self._engine.created
                if engine is not None:
                    engine.retry_waiting("the kubeconfig has changed")
                else:
                    self._backend.refresh()
                self._on_change()
