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

from tui_forward.common.formatting import plural
from tui_forward.errors import ConfigError, TuiForwardError
from tui_forward.model import Forward
from tui_forward.profiles.plan import Manner, belonging
from tui_forward.session import Session
from tui_forward.tui.controllers.forward_controller import Granter, Mouth
from tui_forward.tui.controllers.sampler import Sampler
from tui_forward.tui.storage.paths import Files

if TYPE_CHECKING:
    from tui_forward.tui.controllers.profile_service import Found, ProfileDesk
    from tui_forward.tui.screens.profile import ProfileWish


class ProfileTalk:
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
        mouth: Mouth,
        session: Session,
        sampler: Sampler,
        granter: Granter,
        files: Files,
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

        note = f"{plural(len(forwards), 'forward')} will be written. Type a name."
        self._app.push_screen(Picker("profile", (), free=True, verb="write", note=note), chosen)

    def _desk(self) -> ProfileDesk | None:
        files = self._files
        if files.profiles is None or files.trusted is None or files.working is None:
            self._app.notify("There are no profiles here", severity="warning")
            return None
        from tui_forward.profiles.store import ProfileStore
        from tui_forward.profiles.trust import Trust
        from tui_forward.tui.controllers.profile_service import ProfileDesk

        store = ProfileStore(files.profiles, files.working)
        return ProfileDesk(self._session, store, Trust(files.trusted))

    async def _choose(self, desk: ProfileDesk) -> None:
        from tui_forward.tui.screens.picker import Picker

        try:
            found = await desk.found()
        except TuiForwardError as error:
            self._mouth.complain(error)
            return

        def chosen(key: str | None) -> None:
            if key is not None:
                self._show(desk, found[key])

        note = "" if found else "None yet: W writes what is on as one."
        options = desk.options(found, self._sampler.snapshot.forwards)
        self._app.push_screen(Picker("profile", options, note=note), chosen)

    def _show(self, desk: ProfileDesk, found: Found) -> None:
        from tui_forward.tui.screens.profile import ProfileScreen, ProfileWish

        def answered(wish: Manner | ProfileWish | None) -> None:
            if isinstance(wish, Manner):
                self._app.run_worker(
                    self._up(desk, found, wish, view.changes[wish]), group="profile"
                )
            elif wish is ProfileWish.EDIT:
                self._edit(found.file.path)
            elif wish is ProfileWish.DOWN and found.profile is not None:
                on = belonging(found.profile, self._sampler.snapshot.forwards).values()
                if not self._granter.wish(partial(self._granter.stop, [one.id for one in on])):
                    self._app.bell()

        view = desk.view(found, self._sampler.snapshot.forwards)
        self._app.push_screen(ProfileScreen(view), answered)

    async def _up(
        self, desk: ProfileDesk, found: Found, manner: Manner, seen: Sequence[str]
    ) -> None:
        try:
            done = await desk.up(found, manner, seen)
        except TuiForwardError as error:
            self._mouth.complain(error)
        else:
            self._granter.remember(done.stopped)
            back = "; u brings back what was stopped" if done.stopped else ""
            self._mouth.say(f"{found.name}: {plural(len(seen), 'change')}{back}")
        self._sampler.soon()

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
            self._mouth.complain(error)
        except OSError as error:
            self._mouth.complain(ConfigError(f"the editor cannot be started: {error.strerror}"))

    async def _save(self, desk: ProfileDesk, name: str, forwards: Sequence[Forward]) -> None:
        try:
            path = await desk.save(name, forwards)
        except TuiForwardError as error:
            self._mouth.complain(error)
        else:
            self._mouth.say(f"{plural(len(forwards), 'forward')} written to {path}")
