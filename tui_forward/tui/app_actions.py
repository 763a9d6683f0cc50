"""Keys, commands and requests of screens, each passed to the controller that carries it out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.dom import DOMNode

from tui_forward.tui import messages
from tui_forward.tui.controllers.address_controller import AddressController
from tui_forward.tui.controllers.detail_controller import DetailController
from tui_forward.tui.controllers.doctor_controller import DoctorController
from tui_forward.tui.controllers.engine_controller import EngineController
from tui_forward.tui.controllers.form_controller import FormController
from tui_forward.tui.controllers.forward_controller import ForwardController
from tui_forward.tui.controllers.inspector_controller import InspectorController
from tui_forward.tui.controllers.jump_controller import JumpController
from tui_forward.tui.controllers.log_controller import LogController
from tui_forward.tui.controllers.login_controller import LoginController
from tui_forward.tui.controllers.notifier import Notifier
from tui_forward.tui.controllers.permission_controller import PermissionController
from tui_forward.tui.controllers.profile_controller import ProfileController
from tui_forward.tui.controllers.proxy_controller import ProxyController
from tui_forward.tui.controllers.quit_controller import QuitController
from tui_forward.tui.controllers.sampler import Sampler
from tui_forward.tui.controllers.scope_controller import ScopeController
from tui_forward.tui.controllers.settings_controller import SettingsController
from tui_forward.tui.messages import ForwardAction
from tui_forward.tui.screens.dashboard import Dashboard
from tui_forward.tui.screens.dialogs import QuitScreen, RestoreScreen
from tui_forward.tui.screens.forward_detail import DetailScreen
from tui_forward.tui.screens.kept_screens import Fillers, KeptScreens
from tui_forward.tui.storage.paths import DashboardPaths
from tui_forward.tui.themes import ThemedApp
from tui_forward.tui.viewmodel.cluster_state import ClusterState
from tui_forward.tui.widgets.connection_table import ConnectionTable
from tui_forward.tui.widgets.entry_table import EntryTable
from tui_forward.tui.widgets.filter_bar import FilterBar
from tui_forward.tui.widgets.forward_table import ForwardTable
from tui_forward.tui.widgets.pane_body import PaneBody
from tui_forward.tui.widgets.port_table import PortTable
from tui_forward.tui.widgets.row_table import RowTable

# Screens that open on a key are imported then, so that the first screen appears sooner.
if TYPE_CHECKING:
    from tui_forward.tui.keys.palette import PaletteCommand
    from tui_forward.tui.screens.help import HelpScreen
    from tui_forward.tui.screens.palette import PaletteScreen


def bindable_classes() -> tuple[type[DOMNode], ...]:
    """Return the screens and widgets whose keys can be changed and appear in the help."""
    from tui_forward.tui.screens.confirmation import ConfirmationScreen, ProtectedScreen
    from tui_forward.tui.screens.describe import DescribeScreen
    from tui_forward.tui.screens.doctor import DoctorScreen
    from tui_forward.tui.screens.engine_log import LogScreen
    from tui_forward.tui.screens.first_start import FirstStartScreen
    from tui_forward.tui.screens.forward_form import ForwardForm
    from tui_forward.tui.screens.help import HelpScreen
    from tui_forward.tui.screens.jump import JumpScreen
    from tui_forward.tui.screens.login_dialog import LoginDialog
    from tui_forward.tui.screens.palette import PaletteScreen
    from tui_forward.tui.screens.paste_dialog import PasteDialog
    from tui_forward.tui.screens.picker import Picker
    from tui_forward.tui.screens.pod_log import PodLogScreen
    from tui_forward.tui.screens.profile import ProfileScreen
    from tui_forward.tui.screens.save_profile import SaveProfileScreen
    from tui_forward.tui.widgets.log_view import LogView

    return (
        Dashboard, EntryTable, PortTable, ForwardTable, ConnectionTable, PaneBody, DetailScreen,
        RowTable, FilterBar, ConfirmationScreen, JumpScreen, LogScreen, LogView, Picker, HelpScreen,
        PasteDialog, ForwardForm, ProfileScreen, QuitScreen, RestoreScreen, LoginDialog,
        PodLogScreen, DescribeScreen, ProtectedScreen, PaletteScreen, SaveProfileScreen,
        FirstStartScreen, DoctorScreen,
    )  # fmt: skip


class AppActions(ThemedApp[None]):
    """App with the actions of its bindings and of messages; subclasses set its parts."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q,ctrl+c", "quit", "Quit", show=False, priority=True, id="app.quit-now",
                tooltip="Quit (asks if forwards are active)"),
        Binding("n", "namespace", "Namespace", id="app.namespace",
                tooltip="Switch the namespace, or show all of them"),
        Binding("c", "context", "Context", show=False, id="app.context",
                tooltip="Switch context; forwards keep running"),
        Binding("v", "paste", "Paste", show=False, id="app.paste",
                tooltip="Enter a target (svc/web 8080:80) or paste a kubectl port-forward command"),
        Binding("P", "profiles", "Profiles", show=False, id="app.profiles",
                tooltip="Start, stop or edit a profile"),
        Binding("W", "save_profile", "Save profile", show=False, id="app.save-profile",
                tooltip="Save the active forwards and a proxy as a profile"),
        Binding("u", "undo", "Undo", show=False, id="app.undo",
                tooltip="Restore what was stopped or edited last, on the same ports"),
        Binding("L", "log_in", "Log in", id="app.log-in",
                tooltip="Log in again: run the credential plugin here, or show what it asks for"),
        Binding("exclamation_mark", "next_problem", "Next problem", show=False, key_display="!",
                id="panes.problem", tooltip="Go to the next forward with a problem"),
        Binding("D", "doctor", "Doctor", show=False, id="app.doctor",
                tooltip="Test each hop of the forward or row under the cursor, and name what is "
                "broken"),
        Binding("X", "proxy", "Proxy", show=False, id="app.proxy",
                tooltip="Start the cluster proxy: every service by its name through one local "
                "port; x on its row stops it"),
        Binding("ctrl+l", "log", "Log", show=False, id="app.log", tooltip="Show the engine log"),
        Binding("colon", "jump", "Jump", key_display=":", id="app.jump",
                tooltip="Go to a forward, a local port or an object, or run a command"),
        Binding("ctrl+p", "command_palette", "Palette", show=False, id="app.palette",
                tooltip="Search all commands"),
        Binding("question_mark,f1", "help", "Help", key_display="?", id="app.help",
                tooltip="Show all keys and symbols"),
        Binding("q", "quit", "Quit", id="app.quit", tooltip="Quit (asks if forwards are active)"),
    ]  # fmt: skip

    dashboard: Dashboard
    kept_screens: KeptScreens
    scope: ScopeController
    quitting: QuitController
    _addresses: AddressController
    _details: DetailController
    _doctor: DoctorController
    _engine: EngineController
    _forms: FormController
    _forwards: ForwardController
    _inspector: InspectorController
    _permissions: PermissionController
    _jumps: JumpController
    _logins: LoginController
    _logs: LogController
    _notifier: Notifier
    _paths: DashboardPaths
    _profiles: ProfileController
    _proxies: ProxyController
    _sampler: Sampler
    _settings: SettingsController

    @property
    def cluster_state(self) -> ClusterState:
        """The cluster shown."""
        return self.dashboard.cluster_state

    # Requests of screens -----------------------------------------------------------------------

    def on_forward_ports_requested(self, event: messages.ForwardPortsRequested) -> None:
        """Start the forwards of ports."""
        self._forwards.forward_ports(event, self.cluster_state.scope)

    def on_forward_action_requested(self, event: messages.ForwardActionRequested) -> None:
        """Run an action on forwards."""
        if event.action is ForwardAction.COPY:
            if not self._logins.copy_prompt(self._sampler.forwards(event.forward_ids)):
                self._addresses.copy(event.forward_ids)
        elif event.action is ForwardAction.OPEN:
            self._addresses.open(event.forward_ids)
        elif event.action is ForwardAction.COPY_COMMAND:
            self._addresses.copy_commands(event.forward_ids)
        elif event.action is ForwardAction.EDIT:
            self._forms.edit(event.forward_ids)
        else:
            self._forwards.run_action(event)

    def on_close_connections_requested(self, event: messages.CloseConnectionsRequested) -> None:
        """Close connections."""
        self._forwards.close_connections(event)

    def on_favorite_toggled(self, event: messages.FavoriteToggled) -> None:
        """Add or remove a favorite."""
        self.scope.toggle_favorite(event)

    def on_forward_form_requested(self, event: messages.ForwardFormRequested) -> None:
        """Open the form of a new forward."""
        self._forms.open_new(event)

    def on_detail_requested(self, event: messages.DetailRequested) -> None:
        """Show the details of a forward."""
        self._details.open(event)

    def on_permissions_requested(self, event: messages.PermissionsRequested) -> None:
        """Read what the user may not do in the namespace under the cursor."""
        self._permissions.follow(event)

    def on_inspection_requested(self, event: messages.InspectionRequested) -> None:
        """Read what the inspector shows."""
        self._inspector.follow(event)

    def on_detail_moved(self, event: messages.DetailMoved) -> None:
        """Show the details of another forward."""
        self._details.move(event.by)

    def on_chain_test_requested(self) -> None:
        """Test the chain of the forward whose details are shown."""
        self._details.test()

    def on_pod_log_requested(self, event: messages.PodLogRequested) -> None:
        """Show or hide the log of a pod."""
        self._details.show_log(event)

    def on_log_requested(self, event: messages.LogRequested) -> None:
        """Show the log of a pod."""
        self._logs.open_log(event)

    def on_description_requested(self, event: messages.DescriptionRequested) -> None:
        """Show facts, conditions and events of an object."""
        self._logs.describe(event)

    def on_copy_requested(self, event: messages.CopyRequested) -> None:
        """Copy a text to the clipboard."""
        self._addresses.copy_text(event.text)

    def on_proxy_stop_requested(self, event: messages.ProxyStopRequested) -> None:
        """Stop a cluster proxy."""
        self._proxies.stop(event.proxy_id)

    def on_login_code_requested(self, event: messages.LoginCodeRequested) -> None:
        """Copy what a login asks for."""
        if not self._logins.copy_prompt(()):
            self._notifier.warn(event.otherwise)

    def on_namespace_requested(self, event: messages.NamespaceRequested) -> None:
        """Show a namespace of the context."""
        self.scope.show(self.cluster_state.scope.context, event.name)

    def on_sample_requested(self) -> None:
        """Sample what is shown now."""
        self._sampler.request_sample()

    def on_row_table_context_menu_requested(self) -> None:
        """Open the palette, which lists the actions of the clicked row."""
        self.action_command_palette()

    def on_paste(self, event: events.Paste) -> None:
        """Start the forwards of a kubectl command pasted on the dashboard."""
        if self.screen is self.dashboard:
            self._forms.paste(event.text)

    def action_command_palette(self) -> None:
        """Show all commands that are available now."""
        from tui_forward.tui.screens.palette import PaletteScreen

        def run(command: PaletteCommand | None) -> None:
            if command is not None:
                self.call_later(command.run)

        if not isinstance(self.screen, PaletteScreen):
            self.push_screen(self._filled_palette(), run)

    def _filled_palette(self) -> PaletteScreen:
        from tui_forward.tui.keys.palette import collect
        from tui_forward.tui.screens.palette import PaletteScreen

        screen = self.screen
        this = self.dashboard.rows.title() if screen is self.dashboard else ""
        commands = collect(self, screen, self.palette_commands())
        return self.kept_screens.take(PaletteScreen).fill(commands, this)

    def action_namespace(self) -> None:
        """Choose a namespace."""
        self.scope.choose_namespace()

    def action_context(self) -> None:
        """Choose a context."""
        self.scope.choose_context()

    def action_paste(self) -> None:
        """Enter a target or a command."""
        self._forms.open_command_line()

    def action_profiles(self) -> None:
        """Choose a profile."""
        self._profiles.choose()

    def action_proxy(self) -> None:
        """Start the cluster proxy of the context on view."""
        self._proxies.start()

    def action_save_profile(self) -> None:
        """Save the active forwards and a proxy as a profile."""
        snapshot = self._sampler.snapshot
        if snapshot.forwards or snapshot.proxies:
            self._profiles.save()
        else:
            self._notifier.info("No active forwards to save. Select a row and press 1.")

    def action_log_in(self) -> None:
        """Log in where credentials are needed."""
        self._logins.show_or_log_in()

    def action_filter_state(self, state: str) -> None:
        """Show the forwards in a state on the dashboard."""
        self._jumps.show_dashboard()
        self.dashboard.action_filter_state(state)

    def action_top_talkers(self) -> None:
        """Show the busiest connections on the dashboard."""
        self._jumps.show_dashboard()
        self.dashboard.action_top_talkers()

    def action_next_problem(self) -> None:
        """Go to the next forward with a problem: in the details, or on the dashboard."""
        if isinstance(self.screen, DetailScreen):
            self._details.show_next_problem()
            return
        self._jumps.show_dashboard()
        self.dashboard.action_next_problem()

    def action_undo(self) -> None:
        """Restore what was stopped or edited last."""
        self._forwards.undo()

    def action_jump(self) -> None:
        """Type where to go."""
        self._jumps.open()

    def action_help(self) -> None:
        """Show all keys and symbols."""

        def press(key: str | None) -> None:
            if key is not None:
                self.simulate_key(key)

        self.push_screen(self._filled_help(), press)

    def _filled_help(self) -> HelpScreen:
        from tui_forward.tui.screens.help import HelpScreen, collect, runnable_keys

        screen = self.screen
        is_dashboard = screen is self.dashboard
        where = f"{self.dashboard.body.focused_pane.value} pane" if is_dashboard else "all keys"
        found = collect(
            self, screen, also=bindable_classes(),
            footer=self.dashboard.footer.keys if is_dashboard else None,
        )  # fmt: skip
        return self.kept_screens.take(HelpScreen).fill(
            found, title=f"Help: {where}", keys=runnable_keys(screen)
        )

    def import_fillers(self) -> Fillers:
        """Import what is built ahead; return functions that fill it as its keys would now."""
        from tui_forward.tui.screens.forward_form import ForwardForm
        from tui_forward.tui.screens.help import HelpScreen
        from tui_forward.tui.screens.jump import JumpScreen
        from tui_forward.tui.screens.palette import PaletteScreen
        from tui_forward.tui.screens.picker import Picker

        bindable_classes()
        self._profiles.import_service()
        return {
            HelpScreen: self._filled_help, PaletteScreen: self._filled_palette,
            JumpScreen: self._jumps.filled_screen,
            ForwardForm: lambda: self.kept_screens.take(ForwardForm),
            Picker: lambda: self.scope.namespace_picker()[0],
        }  # fmt: skip

    def action_doctor(self) -> None:
        """Test each hop of what is selected: a forward, an object, or the context."""
        from tui_forward.tui.screens.doctor import DoctorScreen

        screen = self.screen
        if isinstance(screen, DoctorScreen):
            screen.action_test()
        elif isinstance(screen, DetailScreen):
            forward = next(iter(self._sampler.forwards([screen.forward_id])), None)
            self._doctor.open(forward, self.cluster_state.scope)
        else:
            self._doctor.open(self.dashboard.rows.subject(), self.cluster_state.scope)

    def action_log(self) -> None:
        """Show the engine log."""
        from tui_forward.tui.screens.engine_log import LogScreen

        if self._paths.log is None:
            self._notifier.warn("The engine log is not available")
        else:
            self.push_screen(LogScreen(self._paths.log))

    async def action_quit(self) -> None:
        """Quit, after a question if forwards are active."""
        self.quitting.request()

    def palette_commands(self) -> Iterator[PaletteCommand]:
        """Yield the commands for present contexts and forwards, beyond those of key bindings."""
        yield from self._forwards.palette_commands()
        yield from self._proxies.palette_commands()
        yield from self.scope.palette_commands()
        yield from self._engine.palette_commands()
        yield from self._settings.palette_commands()
        yield from self._logs.palette_commands(
            self.cluster_state.scope, self.dashboard.tables.entries.current
        )

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's signature
        """Return whether a key does something now; others are hidden."""
        if action == "undo":
            return True
        if action == "log_in":
            return (
                isinstance(self.screen, Dashboard | DetailScreen)
                and self._logins.cluster is not None
            )
        if action == "save_profile":
            return self.screen is self.dashboard
        if action in ("namespace", "context", "paste", "profiles"):
            return self.screen is self.dashboard
        return True
