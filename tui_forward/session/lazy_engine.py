"""The engine of a session, created when the first forward is started."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING

from tui_forward.common.blocking_call import run_in_thread
from tui_forward.errors import UsageError
from tui_forward.session.backend import ClusterBackend

if TYPE_CHECKING:
    from tui_forward.engine.context import SocketHolder
    from tui_forward.engine.engine import Engine
    from tui_forward.engine.limits import Limits

# The engine's modules take 0.1 s to load. The cluster is shown first; the modules are loaded
# before the first forward is started.
_ENGINE = "tui_forward.engine.engine"
_LOAD_DELAY_S = 1.5


class LazyEngine:
    """Creates the engine on first use; the arguments are those of `LocalSession`."""

    def __init__(
        self, backend: ClusterBackend, *, limits: Limits | None, disk_buffer: int | None,
        monitor_system: bool, socket_holder: SocketHolder | None,
        on_change: Callable[[], None],
    ) -> None:  # fmt: skip
        self._backend = backend
        self._limits = limits
        self._disk_buffer = disk_buffer
        self._monitor_system = monitor_system
        self._socket_holder = socket_holder
        self._on_change = on_change
        self._engine: Engine | None = None
        self._closed = False

    @property
    def created(self) -> Engine | None:
        """The engine, if there is one."""
        return self._engine

    def get(self) -> Engine:
        """Return the engine; UsageError after `close`."""
        if self._engine is None:
            if self._closed:
                raise UsageError("the session is closed")
            from tui_forward.engine.engine import Engine
            from tui_forward.engine.limits import Limits

            limits = self._limits or Limits()
            if self._disk_buffer is not None:
                limits = replace(limits, spill=self._disk_buffer)
            self._engine = Engine(
                self._backend,
                limits=limits,
                monitor_system=self._monitor_system,
                socket_holder=self._socket_holder,
                on_change=self._on_change,
            )
        return self._engine

    async def load(self) -> None:
        """Load its modules a moment later."""
        await asyncio.sleep(_LOAD_DELAY_S)
        await run_in_thread(lambda: import_module(_ENGINE), name="import")

    def forbid(self) -> None:
        """Create no engine from now on."""
        self._closed = True

    async def close(self) -> None:
        """Stop all forwards. Idempotent."""
        self.forbid()
        if self._engine is not None:
            await self._engine.close()
