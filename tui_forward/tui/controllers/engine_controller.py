"""Restarts the engine process, for example after an update."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING

from textual.app import App

from tui_forward.common.formatting import pluralize
from tui_forward.errors import TuiForwardError
from tui_forward.tui.controllers.notifier import Notifier
from tui_forward.tui.controllers.sampler import Sampler

if TYPE_CHECKING:
    from tui_forward.tui.keys.palette import PaletteCommand

# Replaces the engine, and returns how many open connections continue in the old one.
RestartEngine = Callable[[], Awaitable[int]]


class EngineController:
    """Restarts the engine; without a function for that, it cannot be restarted from here."""

    def __init__(
        self, app: App[None], sampler: Sampler, notifier: Notifier, restart: RestartEngine | None
    ) -> None:
        self._app = app
        self._sampler = sampler
        self._notifier = notifier
        self._restart = restart
        self._is_restarting = False

    def palette_commands(self) -> Iterator[PaletteCommand]:
        """Yield the command that restarts the engine."""
        from tui_forward.tui.keys.palette import PaletteCommand

        if self._restart is not None:
            yield PaletteCommand("Restart the engine; ports stay open", self.restart)

    def restart(self) -> None:
        """Restart the engine, unless that is in progress."""
        if self._is_restarting or self._restart is None:
            self._notifier.info("The engine is being restarted")
        else:
            self._is_restarting = True
            self._app.run_worker(self._run(self._restart), group="restart engine")

    async def _run(self, restart: RestartEngine) -> None:
        try:
            draining = await restart()
        except TuiForwardError as error:
            self._notifier.error(error)
        else:
            verb = "continues" if draining == 1 else "continue"
            rest = f"{pluralize(draining, 'connection')} {verb} in the old one."
            self._notifier.info(f"Engine restarted. {rest if draining else ''}".rstrip())
        finally:
            self._is_restarting = False
            self._sampler.request_sample()
