"""Chooses the context and the namespace shown, and keeps the favorites."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import msgspec
from textual.app import App

from tui_forward.errors import ConfigError, TuiForwardError
from tui_forward.model import CatalogScope, Context
from tui_forward.session import Session
from tui_forward.tui.controllers.notifier import Notifier
from tui_forward.tui.controllers.sampler import Sampler
from tui_forward.tui.controllers.session_timeout import session_timeout
from tui_forward.tui.messages import FavoriteToggled
from tui_forward.tui.screens.dashboard import Dashboard
from tui_forward.tui.screens.kept_screens import KeptScreens
from tui_forward.tui.storage.favorites import Favorites
from tui_forward.tui.viewmodel.cluster_state import ClusterState
from tui_forward.tui.viewmodel.context_names import ContextNaming
from tui_forward.tui.viewmodel.entry_list import EntryList

if TYPE_CHECKING:
    from tui_forward.tui.keys.palette import PaletteCommand
    from tui_forward.tui.screens.picker import Picker
    from tui_forward.tui.storage.context_choice import ContextChoice

_NO_CONTEXT = ""  # key of the favorite contexts in the favorites


def entries_of(scope: CatalogScope, favorites: Favorites) -> EntryList:
    """Return an empty list of the entries of a scope, favorites first."""
    entries = EntryList(ClusterState(scope))
    entries.favorites = favorites.keys(scope.context)
    entries.recent = favorites.recent(scope.context)
    return entries


class ScopeController:
    """Switches the dashboard between contexts and namespaces."""

    def __init__(
        self, app: App[None], session: Session, dashboard: Dashboard, sampler: Sampler,
        favorites: Favorites, notifier: Notifier, naming: Callable[[], ContextNaming],
        start_demo: Callable[[], None], run_doctor: Callable[[], None],
        kept_screens: KeptScreens,
    ) -> None:  # fmt: skip
        self._start_demo = start_demo  # leaves the dashboard
        self._run_doctor = run_doctor
        self._naming = naming  # returns how contexts are named
        self._app = app
        self._kept_screens = kept_screens
        self._session = session
        self._dashboard = dashboard
        self._sampler = sampler
        self._favorites = favorites
        self._notifier = notifier
        self._start = dashboard.cluster_state.scope

    def show(self, context: str, namespace: str) -> None:
        """Show a namespace, "" for all, of a context.

        The options of the command line belong to the context that they were given for: a token
        must not reach the server of another one. Whom to impersonate applies everywhere.
        """
        if not self._start.context:
            self._start = msgspec.structs.replace(self._start, context=context)
        options = self._start.options
        if context != self._start.context:
            options = options.for_other_context()
        scope = CatalogScope(context, namespace, options)
        if scope != self._dashboard.cluster_state.scope:
            self._dashboard.tables.entries.show_entries(entries_of(scope, self._favorites))
            self._sampler.poll_fast()

    def toggle_favorite(self, request: FavoriteToggled) -> None:
        """Add an entry to the favorites or remove it."""
        context = self._dashboard.cluster_state.scope.context
        self._favorites.toggle(context, request.key)
        self._dashboard.tables.entries.entries.favorites = self._favorites.keys(context)
        self._sampler.request_sample()

    def choose_namespace(self) -> None:
        """Open the picker of namespaces, which also accepts names that are not listed."""
        self._app.push_screen(*self.namespace_picker())

    def namespace_picker(self) -> tuple[Picker, Callable[[str | None], None]]:
        """Return the picker of namespaces, and what to do with its result."""
        from tui_forward.tui.screens.picker import Picker
        from tui_forward.tui.viewmodel import picker_options

        cluster = self._dashboard.cluster_state
        context = cluster.scope.context
        options = picker_options.namespace_options(
            cluster, self._sampler.snapshot.forwards, self._favorites.keys(context)
        )
        problem = cluster.resource_error("namespaces")
        note = f"{problem.error}. Type a name instead." if problem is not None else ""

        def show(name: str | None) -> None:
            if name is not None:
                self.show(context, "" if name == picker_options.ALL else name)

        def toggle(name: str) -> None:
            self._favorites.toggle(context, picker_options.namespace_key(name))

        picker = self._kept_screens.take(Picker).fill(
            "namespace", options, free=True, note=note, toggle_favorite=toggle
        )
        return picker, show

    def choose_context(self, choice: ContextChoice | None = None) -> None:
        """Open the picker of the kubeconfig's contexts, with the reason for a choice."""
        self._app.run_worker(
            self._choose_context(choice), group="contexts", exclusive=True, exit_on_error=False
        )

    async def _choose_context(self, choice: ContextChoice | None) -> None:
        from tui_forward.tui.screens.picker import Picker
        from tui_forward.tui.viewmodel import picker_options

        try:
            async with session_timeout():
                contexts = await self._session.contexts()
        except TuiForwardError as error:
            if choice is None or not choice.files or not isinstance(error, ConfigError):
                self._notifier.error(error)
                return
            contexts = ()
        if choice is not None and choice.files:
            self._show_first_start(choice, contexts)
            return
        options = picker_options.context_options(
            contexts, self._dashboard.cluster_state.scope.context,
            self._favorites.keys(_NO_CONTEXT), self._naming().name,
        )  # fmt: skip

        def show(name: str | None) -> None:
            context = next((one for one in contexts if one.name == name), None)
            if context is not None:
                namespace = choice.namespace if choice is not None else None
                self.show(context.name, context.namespace if namespace is None else namespace)

        def toggle(name: str) -> None:
            self._favorites.toggle(_NO_CONTEXT, picker_options.context_key(name))

        note = f"{choice.reason}. Choose one." if choice is not None else ""
        picker = self._kept_screens.take(Picker)
        self._app.push_screen(
            picker.fill("context", options, note=note, toggle_favorite=toggle), show
        )

    async def _read_again(self, choice: ContextChoice) -> None:
        """Show the current context if there is one now, or let the user choose again."""
        try:
            async with session_timeout():
                contexts = await self._session.contexts()
        except TuiForwardError as error:
            self._notifier.error(error)
            contexts = ()
        current = next((one for one in contexts if one.current and not one.problem), None)
        if current is not None:
            namespace = choice.namespace
            self.show(current.name, current.namespace if namespace is None else namespace)
        elif contexts:
            reason = "there is no current context"
            await self._choose_context(msgspec.structs.replace(choice, reason=reason, files=()))
        else:
            if choice.read_again is not None:
                choice = await asyncio.to_thread(choice.read_again)
            self._show_first_start(choice, contexts)

    def _show_first_start(self, choice: ContextChoice, contexts: Sequence[Context]) -> None:
        from tui_forward.tui.screens.first_start import FirstStartScreen
        from tui_forward.tui.viewmodel.first_start import StartKind, StartOption, start_options

        def carry_out(option: StartOption | None) -> None:
            if option is None:
                return
            if option.kind is StartKind.DEMO:
                self._start_demo()
            elif option.kind is StartKind.DOCTOR:
                self._run_doctor()
            elif option.kind is StartKind.ALL_CONTEXTS:
                self.choose_context(msgspec.structs.replace(choice, files=()))
            elif option.kind is StartKind.READ_AGAIN:
                self._app.run_worker(
                    self._read_again(choice), group="contexts", exclusive=True, exit_on_error=False
                )
            else:
                context = next(one for one in contexts if one.name == option.context)
                namespace = choice.namespace
                self.show(context.name, context.namespace if namespace is None else namespace)

        options = start_options(contexts, self._naming(), offers_demo=choice.offers_demo)
        self._app.push_screen(FirstStartScreen(choice, options), carry_out)

    def palette_commands(self) -> Iterator[PaletteCommand]:
        """Yield a command to show each other namespace."""
        from tui_forward.tui.keys.palette import Group, PaletteCommand

        cluster = self._dashboard.cluster_state
        for name in cluster.namespaces:
            if name != cluster.scope.namespace:
                show = partial(self.show, cluster.scope.context, name)
                yield PaletteCommand(f"Namespace: {name}", show, Group.GO_TO, only_found=True)
