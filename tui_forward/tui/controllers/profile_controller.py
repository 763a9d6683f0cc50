"""What a person is asked and told about profiles: which one, what it would change, what to save.

What is done with them is done by `profile_desk`, which is loaded when it is asked for.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from textual.app import App, SuspendNotSupported

from tui_forward.common.formatting import pluralize
from tui_forward.errors import ConfigError, TuiForwardError
from tui_forward.model import Forward
from tui_forward.profiles.plan import ApplyMode, forwards_of
from tui_forward.session import Session
from tui_forward.tui.controllers.forward_controller import ForwardController, Notifier
from tui_forward.tui.controllers.sampler import Sampler
from tui_forward.tui.storage.paths import DashboardPaths

if TYPE_CHECKING:
    from tui_forward.tui.controllers.profile_service import ProfileEntry, ProfileService
    from tui_forward.tui.screens.profile import ProfileAction


class ProfileController:
    """Talks about profiles.

    Args:
        app: Shows the screens.
        mouth: Tells what became of it.
        session: Where forwards are.
        sampler: Knows what is on, and is told when there is something new to see.
        granter: Stops forwards so that it can be undone.
        files: Where profiles are.
    """

    def __init__(
        self,
        app: App[None],
        mouth: Notifier,
        session: Session,
        sampler: Sampler,
        granter: ForwardController,
        files: DashboardPaths,
    ) -> None:
        self._app = app
        self._mouth = mouth
        self._session = session
        self._sampler = sampler
        self._granter = granter
        self._files = files

    def choose(self) -> None:
        """Which one, then what it would change."""
        desk = self._desk()
        if desk is not None:
            self._app.run_worker(
                self._choose(desk), group="profiles", exclusive=True, exit_on_error=False
            )

    def save(self) -> None:
        """Under which name what is on is to be written."""
        from tui_forward.tui.screens.picker import Picker

        desk, forwards = self._desk(), self._sampler.snapshot.forwards
        if desk is None:
            return

        def chosen(name: str | None) -> None:
            if name is not None:
                self._app.run_worker(self._save(desk, name, forwards), group="profile")

        note = f"{pluralize(len(forwards), 'forward')} will be written. Type a name."
        self._app.push_screen(Picker("profile", (), free=True, verb="write", note=note), chosen)

    def _desk(self) -> ProfileService | None:
        files = self._files
        if files.profiles is None or files.trusted is None or files.working is None:
            self._app.notify("There are no profiles here", severity="warning")
            return None
        from tui_forward.profiles.store import ProfileStore
        from tui_forward.profiles.trust import TrustStore
        from tui_forward.tui.controllers.profile_service import ProfileService

        store = ProfileStore(files.profiles, files.working)
        return ProfileService(self._session, store, TrustStore(files.trusted))

    async def _choose(self, desk: ProfileService) -> None:
        from tui_forward.tui.screens.picker import Picker

        try:
            found = await desk.found()
        except TuiForwardError as error:
            self._mouth.notify_error(error)
            return

        def chosen(key: str | None) -> None:
            if key is not None:
                self._show(desk, found[key])

        note = "" if found else "None yet: W writes what is on as one."
        options = desk.options(found, self._sampler.snapshot.forwards)
        self._app.push_screen(Picker("profile", options, note=note), chosen)

    def _show(self, desk: ProfileService, found: ProfileEntry) -> None:
        from tui_forward.tui.screens.profile import ProfileAction, ProfileScreen

        def answered(wish: ApplyMode | ProfileAction | None) -> None:
            if isinstance(wish, ApplyMode):
                self._app.run_worker(
                    self._up(desk, found, wish, view.changes[wish]), group="profile"
                )
            elif wish is ProfileAction.EDIT:
                self._edit(found.file.path)
            elif wish is ProfileAction.DOWN and found.profile is not None:
                on = forwards_of(found.profile, self._sampler.snapshot.forwards).values()
                if not self._granter.enqueue(partial(self._granter.stop, [one.id for one in on])):
                    self._app.bell()

        view = desk.view(found, self._sampler.snapshot.forwards)
        self._app.push_screen(ProfileScreen(view), answered)

    async def _up(
        self, desk: ProfileService, found: ProfileEntry, manner: ApplyMode, seen: Sequence[str]
    ) -> None:
        try:
            done = await desk.up(found, manner, seen)
        except TuiForwardError as error:
            self._mouth.notify_error(error)
        else:
            self._granter.push_undo(done.stopped)
            back = "; u brings back what was stopped" if done.stopped else ""
            self._mouth.notify_info(f"{found.name}: {pluralize(len(seen), 'change')}{back}")
        self._sampler.request_sample()

    def _edit(self, path: Path) -> None:
        """In the person's editor, with the terminal to itself; forwards go on meanwhile."""
        from tui_forward.tui.controllers.profile_service import editor_command

        try:
            command = editor_command(os.environ, path)
            with self._app.suspend():
                subprocess.run(command, check=False)  # the person waits for nothing else
        except SuspendNotSupported:
            self._app.notify(f"Edit {path} yourself", severity="warning", markup=False)
        except TuiForwardError as error:
            self._mouth.notify_error(error)
        except OSError as error:
            self._mouth.notify_error(ConfigError(f"the editor cannot be started: {error.strerror}"))

    async def _save(self, desk: ProfileService, name: str, forwards: Sequence[Forward]) -> None:
        try:
            path = await desk.save(name, forwards)
        except TuiForwardError as error:
            self._mouth.notify_error(error)
        else:
            self._mouth.notify_info(f"{pluralize(len(forwards), 'forward')} written to {path}")
