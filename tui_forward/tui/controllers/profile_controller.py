"""Profiles in the dashboard: choose, preview, apply, stop, edit and save."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from textual.app import App, SuspendNotSupported

from tui_forward.common.formatting import pluralize
from tui_forward.common.user_folders import short_path
from tui_forward.errors import ConfigError, TuiForwardError, UsageError
from tui_forward.model import Snapshot
from tui_forward.profiles.plan import ApplyMode, forwards_of
from tui_forward.session import Session
from tui_forward.tui.controllers.forward_controller import ForwardController
from tui_forward.tui.controllers.notifier import Notifier
from tui_forward.tui.controllers.sampler import Sampler
from tui_forward.tui.controllers.session_timeout import session_timeout
from tui_forward.tui.controllers.terminal_program import TerminalProgram
from tui_forward.tui.screens.kept_screens import KeptScreens
from tui_forward.tui.storage.paths import DashboardPaths

if TYPE_CHECKING:
    from tui_forward.profiles.preview import ShownContext
    from tui_forward.profiles.profile import Profile
    from tui_forward.tui.controllers.profile_service import ProfileEntry, ProfileService
    from tui_forward.tui.screens.profile import ProfileAction


class ProfileController:
    """Shows the dialogs about profiles and carries out their results."""

    def __init__(
        self, app: App[None], notifier: Notifier, session: Session, sampler: Sampler,
        forwards: ForwardController, paths: DashboardPaths, shown_context: ShownContext,
        kept_screens: KeptScreens, stop_proxy: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.editor = TerminalProgram(app)
        self._app = app
        self._kept_screens = kept_screens
        self._stop_proxy = stop_proxy
        self._notifier = notifier
        self._session = session
        self._sampler = sampler
        self._forwards = forwards
        self._paths = paths
        self._shown_context = shown_context

    def choose(self) -> None:
        """Open the picker of profiles, then the preview of the chosen one."""
        service = self._service()
        if service is not None:
            self._app.run_worker(
                self._choose(service), group="profiles", exclusive=True, exit_on_error=False
            )

    def save(self) -> None:
        """Ask for a name and save the active forwards and their proxy as a profile."""
        service, snapshot = self._service(), self._sampler.snapshot
        if service is not None:
            self._app.run_worker(
                self._ask_for_name(service, snapshot), group="profiles", exclusive=True,
                exit_on_error=False,
            )  # fmt: skip

    async def _ask_for_name(self, service: ProfileService, snapshot: Snapshot) -> None:
        from tui_forward.tui.screens.save_profile import SaveProfileScreen

        try:
            facts = await service.save_facts(
                snapshot.forwards, snapshot.proxies, self._shown_context
            )
        except TuiForwardError as error:
            self._notifier.error(error)
            return

        def save(name: str | None) -> None:
            if name is not None:
                self._app.run_worker(self._save(service, name, snapshot), group="profile")

        self._app.push_screen(SaveProfileScreen(facts), save)

    def import_service(self) -> None:
        """Import what `choose` needs, which takes long; callable in a thread."""
        import tui_forward.tui.controllers.profile_service  # noqa: F401 - imported ahead of its use

    def _service(self) -> ProfileService | None:
        paths = self._paths
        if paths.profiles is None or paths.trusted_profiles is None:
            self._notifier.warn("Profiles are not available")
            return None
        from tui_forward.profiles.store import ProfileStore
        from tui_forward.profiles.trust import TrustStore
        from tui_forward.tui.controllers.profile_service import ProfileService

        store = ProfileStore(paths.profiles, paths.working_dir)
        return ProfileService(self._session, store, TrustStore(paths.trusted_profiles))

    async def _choose(self, service: ProfileService) -> None:
        from tui_forward.tui.screens.picker import Picker

        try:
            entries = await service.load()
        except TuiForwardError as error:
            self._notifier.error(error)
            return

        def preview(key: str | None) -> None:
            if key is not None:
                self._app.run_worker(self._preview(service, entries[key]), group="profile")

        snapshot = self._sampler.snapshot
        forwards = snapshot.forwards
        if entries:
            picker = self._kept_screens.take(Picker)
            options = service.options(entries, forwards, snapshot.proxies)
            self._app.push_screen(picker.fill("profile", options), preview)
        elif forwards:
            self._notifier.info("No profiles yet. W saves the active forwards as one.")
        else:
            self._notifier.info("No profiles yet. Start forwards, then W saves them as one.")

    async def _preview(self, service: ProfileService, entry: ProfileEntry) -> None:
        from tui_forward.tui.screens.profile import ProfileAction, ProfileScreen

        def carry_out(answer: ApplyMode | ProfileAction | None) -> None:
            if isinstance(answer, ApplyMode):
                targets = view.starts[answer]
                self._forwards.confirm_start(targets, lambda: apply(answer))
            elif answer is ProfileAction.EDIT:
                self._edit(entry.file.path)
            elif answer is ProfileAction.DOWN and entry.profile is not None:
                self._stop(entry.profile)

        def apply(mode: ApplyMode) -> None:
            self._app.run_worker(
                self._apply(service, entry, mode, view.changes[mode]), group="profile"
            )

        try:
            async with session_timeout():
                snapshot = self._sampler.snapshot
                view = await service.view(
                    entry, snapshot.forwards, snapshot.proxies, self._shown_context
                )
        except TuiForwardError as error:
            self._notifier.error(error)
            return
        self._app.push_screen(ProfileScreen(view), carry_out)

    def _stop(self, profile: Profile) -> None:
        """Stop the forwards and the proxy of a profile."""
        from tui_forward.profiles.proxy import find_proxy

        snapshot = self._sampler.snapshot
        active = forwards_of(profile, snapshot.forwards).values()
        if active:
            self._forwards.stop([one.id for one in active])
        proxy = find_proxy(profile.id, profile.proxy, snapshot.proxies)
        if proxy is not None:
            self._stop_proxy(proxy.id)

    async def _apply(
        self, service: ProfileService, entry: ProfileEntry, mode: ApplyMode, shown: Sequence[str]
    ) -> None:
        try:
            plan = await service.apply(entry, mode, shown)
        except TuiForwardError as error:
            self._notifier.error(error)
        else:
            self._forwards.push_undo(plan.stopped, plan.stopped_proxies)
            is_undoable = plan.stopped or plan.stopped_proxies
            undo = ". Press u to restore what was stopped." if is_undoable else ""
            self._notifier.info(f"{entry.name}: {pluralize(len(shown), 'change')}{undo}")
        self._sampler.request_sample()

    def _edit(self, path: Path) -> None:
        """Open a profile in the user's editor."""
        from tui_forward.tui.controllers.profile_service import editor_command

        try:
            self.editor.run(editor_command(os.environ, path))
        except SuspendNotSupported:
            self._notifier.warn(f"No editor can be opened here. Edit {short_path(path)}.")
        except TuiForwardError as error:
            self._notifier.error(error)
        except OSError as error:
            self._notifier.error(ConfigError(f"cannot start the editor: {error.strerror}"))

    async def _save(self, service: ProfileService, name: str, snapshot: Snapshot) -> None:
        from tui_forward.tui.viewmodel.save_profile import describe_content

        try:
            saved = await service.save(name, snapshot.forwards, snapshot.proxies)
        except TuiForwardError as error:
            self._notifier.error(error)
            return
        content = describe_content(saved.count, "a proxy" if saved.has_proxy else "")
        self._notifier.info(f"{content} saved to {short_path(saved.file)}")
        if saved.left_out:
            from tui_forward.profiles.serializer import UNSAVEABLE_HINT

            text = f"{len(saved.left_out)} not saved: {'; '.join(saved.left_out)}"
            self._notifier.error(UsageError(text, hint=UNSAVEABLE_HINT))
