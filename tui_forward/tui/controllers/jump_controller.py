"""Runs `:`: goes to a forward or an object, or runs a command."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from textual.app import App

from tui_forward.errors import TuiForwardError
from tui_forward.model import AccessOptions, Context
from tui_forward.session import Session
from tui_forward.tui.controllers.notifier import Notifier
from tui_forward.tui.controllers.sampler import Sampler
from tui_forward.tui.controllers.scope_controller import ScopeController
from tui_forward.tui.controllers.session_timeout import session_timeout
from tui_forward.tui.screens.dashboard import Dashboard
from tui_forward.tui.screens.kept_screens import KeptScreens
from tui_forward.tui.viewmodel.entries import EntryKind
from tui_forward.tui.viewmodel.pane_layout import Pane

if TYPE_CHECKING:
    from tui_forward.tui.screens.jump import JumpScreen
    from tui_forward.tui.viewmodel.jump import JumpOption, JumpSources

_KINDS: Mapping[str, EntryKind] = {
    "wl": EntryKind.WORKLOADS, "po": EntryKind.PODS, "svc": EntryKind.SERVICES,
    "workload": EntryKind.WORKLOADS, "pod": EntryKind.PODS, "service": EntryKind.SERVICES,
}  # fmt: skip
_ACTIONS: Mapping[str, str] = {
    "doctor": "doctor", "log": "log", "profiles": "profiles", "proxy": "proxy", "q": "quit",
}  # fmt: skip


class JumpController:
    """Opens the input line, and goes where it says."""

    def __init__(
        self, app: App[None], session: Session, dashboard: Dashboard, sampler: Sampler,
        scope: ScopeController, notifier: Notifier, themes: Callable[[], tuple[str, ...]],
        set_theme: Callable[[str], None], shown_name: Callable[[str, AccessOptions], str],
        kept_screens: KeptScreens,
    ) -> None:  # fmt: skip
        self._app = app
        self._kept_screens = kept_screens
        self._session = session
        self._dashboard = dashboard
        self._sampler = sampler
        self._scope = scope
        self._notifier = notifier
        self._themes = themes  # returns their names
        self._set_theme = set_theme
        self._shown_name = shown_name  # of a context
        self._contexts: tuple[Context, ...] = ()

    def open(self) -> None:
        """Open the input line."""
        screen = self.filled_screen()
        self._app.push_screen(screen, self._go)
        self._app.run_worker(
            self._load_contexts(screen), group="contexts", exclusive=True, exit_on_error=False
        )

    def filled_screen(self) -> JumpScreen:
        """Return the input line as it opens."""
        from tui_forward.tui.screens.jump import JumpScreen

        return self._kept_screens.take(JumpScreen).fill(self._sources)

    def _sources(self) -> JumpSources:
        from tui_forward.tui.viewmodel.jump import JumpSources

        return JumpSources(
            self._sampler.snapshot.forwards, self._dashboard.cluster_state,
            [one.name for one in self._contexts], self._themes(), self._shown_name,
        )  # fmt: skip

    async def _load_contexts(self, screen: JumpScreen) -> None:
        try:
            async with session_timeout():
                self._contexts = tuple(await self._session.contexts())
        except TuiForwardError as error:
            self._notifier.error(error)
        else:
            screen.refresh_options()

    def _go(self, option: JumpOption | None) -> None:
        if option is None:
            return
        if option.kind == "command":
            self._run(*option.value.split(" ", 1))
        elif option.kind == "forward":
            self.show_dashboard()
            forward = self._dashboard.tables.forwards.forward(option.value)
            if forward is not None:
                self._dashboard.navigation.go_to_forward(forward)
        else:
            self.show_dashboard()
            self._dashboard.navigation.go_to_entry(_KINDS[option.kind], option.value)

    def _run(self, command: str, name: str = "") -> None:
        dashboard = self._dashboard
        context = dashboard.cluster_state.scope.context
        if command in _ACTIONS:
            self._app.call_later(self._app.run_action, _ACTIONS[command])
            return
        if command == "theme" and name:
            self._set_theme(name)
            return
        self.show_dashboard()
        if command == "fwd" and name:
            self._show_other_forwards()
        elif command == "ctx":
            chosen = next((one for one in self._contexts if one.name == name), None)
            if chosen is not None:
                self._scope.show(chosen.name, chosen.namespace)
            else:
                self._scope.choose_context()
        elif command == "ns":
            if name:
                self._scope.show(context, name)
            else:
                self._scope.choose_namespace()
        elif command in _KINDS:
            dashboard.navigation.go_to_entry(_KINDS[command], "")
        elif command == "top":
            dashboard.action_top_talkers()
        elif command in ("fwd", "conns"):
            pane = Pane.FORWARDS if command == "fwd" else Pane.CONNECTIONS
            dashboard.body.focus_pane(pane)
        elif command == "theme":
            self._notifier.info("Type the name of a theme: tab completes it")

    def _show_other_forwards(self) -> None:
        from tui_forward.tui.screens.other_forwards import OtherForwardsScreen

        engines = self._sampler.snapshot.other_engines
        self._app.push_screen(OtherForwardsScreen(engines))

    def show_dashboard(self) -> None:
        """Leave the other screens."""
        while len(self._app.screen_stack) > 1 and self._app.screen is not self._dashboard:
            self._app.pop_screen()
