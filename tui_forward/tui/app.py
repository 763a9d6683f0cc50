"""Textual application of the dashboard: creates the controllers and runs them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import ClassVar

from textual import events
from textual.await_complete import AwaitComplete

from tui_forward.common.access_options import with_environment
from tui_forward.common.garbage import GarbageCollector
from tui_forward.common.traffic_history import TrafficHistories
from tui_forward.model import (
    NO_OPTIONS,
    AccessOptions,
    BlockedBy,
    CatalogScope,
    ClusterKey,
    ForwardDefaults,
)
from tui_forward.session import Session
from tui_forward.tui.app_actions import AppActions, bindable_classes
from tui_forward.tui.controllers.address_controller import AddressController
from tui_forward.tui.controllers.command_queue import CommandQueue
from tui_forward.tui.controllers.detail_controller import DetailController
from tui_forward.tui.controllers.doctor_controller import DoctorController
from tui_forward.tui.controllers.engine_controller import EngineController, RestartEngine
from tui_forward.tui.controllers.form_controller import FormController
from tui_forward.tui.controllers.forward_controller import ForwardController
from tui_forward.tui.controllers.inspector_controller import InspectorController
from tui_forward.tui.controllers.jump_controller import JumpController
from tui_forward.tui.controllers.limited_session import LimitedSession
from tui_forward.tui.controllers.log_controller import LogController
from tui_forward.tui.controllers.login_controller import LoginController
from tui_forward.tui.controllers.memory_controller import MemoryController
from tui_forward.tui.controllers.notifier import Notifier
from tui_forward.tui.controllers.permission_controller import PermissionController
from tui_forward.tui.controllers.profile_controller import ProfileController
from tui_forward.tui.controllers.protection_controller import ProtectionController
from tui_forward.tui.controllers.proxy_controller import ProxyController
from tui_forward.tui.controllers.quit_controller import QuitController
from tui_forward.tui.controllers.restore_controller import RestoreController, RestoreOffer
from tui_forward.tui.controllers.sampler import Sampler
from tui_forward.tui.controllers.scope_controller import ScopeController, entries_of
from tui_forward.tui.controllers.settings_controller import SettingsController, SettingsFile
from tui_forward.tui.controllers.start_reporter import StartReporter
from tui_forward.tui.controllers.view_state_controller import ViewStateController
from tui_forward.tui.screens.dashboard import Dashboard
from tui_forward.tui.screens.forward_detail import DetailScreen
from tui_forward.tui.screens.kept_screens import KeptScreens
from tui_forward.tui.storage.context_choice import ContextChoice
from tui_forward.tui.storage.favorites import Favorites
from tui_forward.tui.storage.paths import DashboardPaths
from tui_forward.tui.storage.view_state import ViewStateStore
from tui_forward.tui.stylesheets import stylesheet
from tui_forward.tui.textual_internals.dispatch import dispatch_quickly
from tui_forward.tui.textual_internals.painting import (
    create_line_caches_late,
    forget_lines,
    free_lines_early,
)


class TuiForwardApp(AppActions):
    """The dashboard. The caller closes the session."""

    TITLE = "tui-forward"
    # Includes the dashboard's style sheet: a screen's own is parsed together with all others
    # again when the screen opens.
    CSS_PATH: ClassVar = [stylesheet("app.tcss"), Dashboard.CSS_PATH]
    ENABLE_COMMAND_PALETTE: ClassVar = False  # of Textual, which has no groups and no keys

    def __init__(
        self, session: Session, *, context: str, namespace: str,
        options: AccessOptions = NO_OPTIONS, paths: DashboardPaths | None = None,
        clock: Callable[[], float] = time.time,
        histories: TrafficHistories | None = None, startup_message: str = "",
        restore_offer: RestoreOffer | None = None, can_keep_running: bool = True,
        view_state_store: ViewStateStore | None = None, origin: tuple[str, str] = ("", ""),
        context_choice: ContextChoice | None = None, few_colors: bool = False,
        collector: GarbageCollector | None = None,
        restart_engine: RestartEngine | None = None,
        builds_ahead: bool = False,
    ) -> None:  # fmt: skip
        free_lines_early()
        create_line_caches_late()
        dispatch_quickly()
        paths = paths if paths is not None else DashboardPaths()
        settings_file = SettingsFile(paths.settings)
        super().__init__(settings_file.settings.theme, few_colors=few_colors)
        self.encoding = settings_file.encoding
        self._paths = paths
        self._settings_file = settings_file
        self._startup_message = startup_message
        self._restore_offer = restore_offer
        self._context_choice = context_choice
        self.wants_demo = False  # whether the demo follows when the app has ended
        self._favorites = favorites = Favorites(paths.favorites)
        session = LimitedSession(session, clock)
        histories = histories if histories is not None else TrafficHistories()
        self.dashboard = Dashboard(
            entries_of(CatalogScope(context, namespace, options), favorites), histories, clock=clock
        )
        self._notifier = notifier = Notifier(self, lambda: settings_file.settings.notifications)
        self._sampler = sampler = Sampler(
            session, self.dashboard, screens=lambda: self.screen_stack,
            on_changes=notifier.changes, clock=clock, histories=histories,
            input_priority=self.input_priority,
        )  # fmt: skip
        self._memory = MemoryController(sampler, collector)
        self._queue = queue = CommandQueue(session, sampler, notifier)

        def defaults() -> ForwardDefaults:
            return with_environment(settings_file.settings.forwards, os.environ)

        self.protection = ProtectionController(
            self, session, self.dashboard, notifier, lambda: settings_file.settings,
            paths.favorites,
        )  # fmt: skip
        reporter = StartReporter(self, sampler, notifier)
        sampler.is_reported_elsewhere = reporter.is_pending
        self._forwards = ForwardController(
            session,
            sampler,
            queue,
            favorites,
            notifier,
            defaults,
            reporter,
            self.dashboard.navigation.follow_started,
            self.protection.guard,
        )
        self.kept_screens = KeptScreens(self)
        self._builds_ahead = builds_ahead  # whether screens are built before they open first
        self._forms = FormController(
            self,
            sampler,
            queue,
            self._forwards,
            favorites,
            defaults,
            lambda: self.cluster_state,
            session.check_port,
            lambda: self.protection.naming,
            self.kept_screens,
            paths.kubeconfigs,
        )
        self._proxies = ProxyController(
            session, sampler, queue, notifier,
            lambda: settings_file.settings.proxy_spec(os.environ),
            lambda: self.cluster_state.scope, self._forwards, self.protection.shown_name,
        )  # fmt: skip
        self._details = DetailController(self, session, sampler, defaults, clock, self.dashboard)
        self._inspector = InspectorController(self, session, sampler, self.dashboard)
        self._permissions = PermissionController(self, session, sampler, self.dashboard)
        self._logs = LogController(self, session, clock, paths.working_dir)
        self._doctor = DoctorController(self, session)
        self._addresses = AddressController(self, sampler, queue, notifier, defaults)
        self._logins = LoginController(
            self, session, sampler, queue, notifier,
            login_command=lambda: settings_file.settings.login_command,
            shown=lambda: self.cluster_state, selected=self._selected_blocked_cluster,
            shown_name=self.protection.shown_name,
        )  # fmt: skip
        self._profiles = ProfileController(
            self, notifier, session, sampler, self._forwards, paths, self.protection.shown_name,
            self.kept_screens, self._proxies.stop,
        )  # fmt: skip
        self.scope = ScopeController(
            self, session, self.dashboard, sampler, favorites, notifier,
            lambda: self.protection.naming, self._start_demo, self.action_doctor,
            self.kept_screens,
        )  # fmt: skip
        self._restoring = RestoreController(
            self, queue, notifier, lambda: settings_file.settings.restore, self._forwards,
            session, reporter,
        )  # fmt: skip
        self.quitting = QuitController(
            self, session, sampler, notifier, lambda: settings_file.settings.keep_running,
            can_keep_running=can_keep_running,
        )  # fmt: skip
        self._settings = SettingsController(
            self, settings_file, sampler, notifier,
            lambda: (type(self), *bindable_classes()), self._settings_changed,
            self.kept_screens,
        )  # fmt: skip
        self._engine = EngineController(self, sampler, notifier, restart_engine)
        self._jumps = JumpController(
            self, session, self.dashboard, sampler, self.scope, notifier,
            lambda: self.theme_names, self._settings.set_theme, self.protection.shown_name,
            self.kept_screens,
        )  # fmt: skip
        store = view_state_store if view_state_store is not None else ViewStateStore(None)
        self.view_state = ViewStateController(self.dashboard, store, origin)
        self.view_state.restore()

    def get_default_screen(self) -> Dashboard:
        """Return the dashboard as the lowest screen."""
        return self.dashboard

    def on_mount(self) -> None:
        """Start the loops of the controllers and show what the user should know first."""
        problems = self._settings.apply_at_start()
        for loop in (
            self._sampler.run, self._sampler.follow_events, self._sampler.follow_changes,
            self._queue.run, self._settings.run, self.view_state.run, self.protection.run,
            self._memory.run,
        ):  # fmt: skip
            self.run_worker(loop(), group=loop.__qualname__)
        for text in (
            self._startup_message, *problems, self._favorites.problem, self.view_state.problem,
        ):  # fmt: skip
            if text:
                self._notifier.warn(text)
        if self._context_choice is not None:
            self.scope.choose_context(self._context_choice)
        if self._restore_offer is not None:
            self._restoring.present(self._restore_offer)

    def on_ready(self) -> None:
        """Build the screens that open often once the first one is shown."""
        if self._builds_ahead:
            self.run_worker(self.kept_screens.build(self.import_fillers), group="build ahead")

    def _start_demo(self) -> None:
        """Leave for the dashboard of the demo cluster, unless forwards are active."""
        if self._sampler.snapshot.forwards:
            self._notifier.warn("Forwards are active. Quit, then run tui-forward demo.")
        else:
            self.wants_demo = True
            self.exit()

    async def on_event(self, event: events.Event) -> None:
        """Note what the user does, then handle it."""
        if isinstance(event, events.InputEvent):
            self._memory.note_input()
            self.view_state.note_input()
        await super().on_event(event)

    def pop_screen(self) -> AwaitComplete:
        """Close the top screen."""
        if self.is_screen_installed(self.screen):
            return super().pop_screen()
        forget_lines(self.screen)
        closing = super().pop_screen()
        self.call_next(self._memory.note_closed)  # once its widgets are removed
        return closing

    async def _settings_changed(self) -> None:
        self.protection.apply_settings()
        await self.quitting.sync_keep_running()

    def interrupt(self) -> None:
        """End what blocks the event loop: an editor, a login. May be called in another thread."""
        self._profiles.editor.interrupt()
        self._logins.program.interrupt()

    async def sample(self) -> None:
        """Take and draw one sample now; before the app runs, it makes the first frame complete."""
        await self._sampler.sample()

    def _selected_blocked_cluster(self) -> ClusterKey | None:
        """Return the cluster and user of the forward under the cursor, if that needs a login."""
        top = next(reversed(self.screen_stack), None)
        forward = self.dashboard.tables.forwards.current
        if isinstance(top, DetailScreen):
            forward = next(iter(self._sampler.forwards([top.forward_id])), None)
        if forward is None or forward.blocked_by is not BlockedBy.CREDENTIALS:
            return None
        return forward.spec.target.cluster_key
