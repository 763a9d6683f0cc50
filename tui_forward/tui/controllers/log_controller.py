"""Shows logs and descriptions of objects of the cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from textual.app import App

from tui_forward.common import atomic_file
from tui_forward.model import CatalogScope, Description, LogSource, PodLog, Target
from tui_forward.session import Session
from tui_forward.tui.controllers.session_timeout import session_timeout
from tui_forward.tui.messages import DescriptionRequested, LogRequested
from tui_forward.tui.screens.describe import DescribeScreen
from tui_forward.tui.screens.pod_log import PodLogScreen
from tui_forward.tui.viewmodel.entries import Entry
from tui_forward.tui.viewmodel.entry_targets import object_of

if TYPE_CHECKING:
    from tui_forward.tui.keys.palette import PaletteCommand

_TIMEOUT_S = 15.0


class LogController:
    """Opens the screens of logs and descriptions."""

    def __init__(
        self, app: App[None], session: Session, clock: Callable[[], float], folder: Path | None
    ) -> None:
        self._app = app
        self._session = session
        self._clock = clock
        self._folder = folder  # where logs are saved; None for the working directory

    def open_log(self, request: LogRequested) -> None:
        """Show the log of a pod, or of the preferred pod of a workload."""
        source = LogSource(
            target=request.target, pod=request.pod, container=request.container, port=request.port,
            previous=request.previous,
        )  # fmt: skip
        self._app.push_screen(PodLogScreen(source, self._read, self._save))

    def describe(self, request: DescriptionRequested) -> None:
        """Show facts, conditions and events of an object."""
        self._app.push_screen(DescribeScreen(request.target, self._describe, clock=self._clock))

    def palette_commands(
        self, scope: CatalogScope, entry: Entry | None
    ) -> Iterator[PaletteCommand]:
        """Yield commands for the row under the cursor of the cluster."""
        from tui_forward.tui.keys.palette import Group, PaletteCommand

        if entry is None:
            return
        target = object_of(scope, entry)
        yield PaletteCommand(
            f"Log of {entry.name}, also of the previous run",
            partial(self.open_log, LogRequested(target)), Group.SHOW,
        )  # fmt: skip
        yield PaletteCommand(
            f"Facts, conditions and events of {entry.name}",
            partial(self.describe, DescriptionRequested(target)), Group.SHOW,
        )  # fmt: skip

    async def _read(self, source: LogSource, since: str) -> PodLog:
        async with session_timeout(_TIMEOUT_S, "the log did not arrive in time"):
            return await self._session.read_log(source, since=since)

    async def _describe(self, target: Target) -> Description:
        async with session_timeout(_TIMEOUT_S, "the description did not arrive in time"):
            return await self._session.describe(target)

    def _save(self, name: str, text: str) -> Path:
        """Write a log to a new file; raise OSError if that fails. Blocks."""
        stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(self._clock()))
        safe = "".join(one if one.isalnum() or one in "-._" else "_" for one in name)
        path = (self._folder or Path.cwd()) / f"{safe[:100]}-{stamp}.log"
        atomic_file.write_atomically(path, text.encode("utf-8", "replace"))
        return path
