"""The Textual application: its screens, its keys, and what a wish of a screen leads to."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import events, work
from textual.app import App
from textual.binding import Binding, BindingType
from textual.dom import DOMNode

from tui_forward.common.formatting import pluralize
from tui_forward.common.traffic_history import TrafficHistories
from tui_forward.errors import TuiForwardError
from tui_forward.model import (
    CatalogScope,
    DeclaredPort,
    Forward,
    ForwardSpec,
    Pod,
    Snapshot,
    TargetKind,
)
from tui_forward.session import Session
from tui_forward.settings.parser import AskPolicy, Settings, load_settings, settings_identity
from tui_forward.tui import messages as messages
from tui_forward.tui.controllers.forward_controller import Action, ForwardController, RestoreOffer
from tui_forward.tui.controllers.profile_controller import ProfileController
from tui_forward.tui.controllers.sampler import ANSWER_S, Sampler
from tui_forward.tui.keys.key_names import default_keys
from tui_forward.tui.keys.keymap import KeyCheck, check_keys
from tui_forward.tui.screens.dashboard import Dashboard
from tui_forward.tui.screens.dialogs import QuitChoice, QuitScreen, RestoreScreen
from tui_forward.tui.screens.forward_detail import DetailScreen
from tui_forward.tui.storage.favorites import Favorites
from tui_forward.tui.storage.paths import DashboardPaths
from tui_forward.tui.storage.view_state import ViewStateStore
from tui_forward.tui.stylesheets import stylesheet
from tui_forward.tui.themes import ThemedApp
from tui_forward.tui.viewmodel.cluster_state import ClusterState, key_of
from tui_forward.tui.viewmodel.entry_list import EntryList
from tui_forward.tui.viewmodel.entry_targets import target_of
from tui_forward.tui.viewmodel.notifications import Notification, filter_by_setting
from tui_forward.tui.viewmodel.rows import Cell, header_cells, local_text, target_text
from tui_forward.tui.widgets.filter_bar import FilterBar
from tui_forward.tui.widgets.row_table import RowTable
from tui_forward.tui.widgets.status_line import StatusLine

# What is opened when it is asked for is loaded then: the first screen need not wait for it.
if TYPE_CHECKING:
    from textual.command import Provider

    from tui_forward.tui.keys.palette import PaletteCommand

SETTINGS_S = 1.0  # how often the settings file is looked at
PLACE_S = 1.0  # and where the person is
_NOTICES_AT_ONCE = 3
# What a click on its cells does, from the left; all but the last ones.
_OF_THE_TOP_LINE = ("command_palette", "context", "namespace", "log")
_ANYWHERE = ""  # where favorite contexts are kept: they are of no context


def bindable_classes() -> tuple[type[DOMNode], ...]:
    """Whose keys can be changed, and are in the help."""
    from tui_forward.tui.screens.engine_log import LogScreen
    from tui_forward.tui.screens.forward_form import ForwardForm
    from tui_forward.tui.screens.help import HelpScreen
    from tui_forward.tui.screens.paste_dialog import PasteDialog
    from tui_forward.tui.screens.picker import Picker
    from tui_forward.tui.screens.profile import ProfileScreen
    from tui_forward.tui.widgets.log_view import LogView

    return (
        Dashboard, DetailScreen, RowTable, FilterBar, LogScreen, LogView, Picker, HelpScreen,
        PasteDialog, ForwardForm, ProfileScreen, QuitScreen, RestoreScreen,
    )  # fmt: skip


def _actions() -> type[Provider]:
    from tui_forward.tui.keys.palette import ActionProvider

    return ActionProvider


class TuiForwardApp(ThemedApp[None]):
    """The dashboard.

    Args:
        session: The engine's door; closed by whoever opened it.
        context: The context to show.
        namespace: The namespace to show, "" for all of them.
        files: Where settings and favorites are kept, and the engine's log.
        clock: Seconds since the epoch, for ages and countdowns.
        histories: What flowed before; kept current from now on.
        news: What the person is told first.
        offer: What was on before, and is not.
        may_stay: Whether forwards can go on without the dashboard.
        last: Where the person was, taken up as far as it is about what is shown; kept current.
        origin: See `Place`.
    """

    TITLE = "tui-forward"
    # The dashboard's own with it: read when it is opened, all would be parsed twice.
    CSS_PATH: ClassVar = [stylesheet("app.tcss"), Dashboard.CSS_PATH]
    COMMANDS: ClassVar = App.COMMANDS | {_actions}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q,ctrl+c", "quit", "Quit", show=False, priority=True, id="app.quit-now",
                tooltip="Leave; asks once if forwards are on"),
        Binding("n", "namespace", "Namespace", id="app.namespace",
                tooltip="Look at another namespace, or at all of them"),
        Binding("c", "context", "Context", show=False, id="app.context",
                tooltip="Look at another cluster; forwards go on"),
        Binding("v", "paste", "Paste", show=False, id="app.paste",
                tooltip="Forward what you type: svc/web 8080:80, or a kubectl port-forward line"),
        Binding("P", "profiles", "Profiles", show=False, id="app.profiles",
                tooltip="Switch a profile's forwards on or off, or edit it"),
        Binding("W", "save_profile", "Save", show=False, id="app.save-profile",
                tooltip="Write what is on as a profile"),
        Binding("u", "undo", "Undo", show=False, id="app.undo",
                tooltip="Bring back the forwards that were stopped last, on the same ports"),
        Binding("ctrl+l", "log", "Log", show=False, id="app.log",
                tooltip="What the engine has to say: its log"),
        Binding("ctrl+p", "command_palette", "Palette", show=False, id="app.palette",
                tooltip="Search all commands"),
        Binding("question_mark,f1", "help", "Help", key_display="?", id="app.help",
                tooltip="Every key and every mark"),
        Binding("q", "quit", "Quit", id="app.quit", tooltip="Leave; asks once if forwards are on"),
    ]  # fmt: skip

    def __init__(
        self,
        session: Session,
        *,
        context: str,
        namespace: str,
        files: DashboardPaths | None = None,
        clock: Callable[[], float] = time.time,
        histories: TrafficHistories | None = None,
        news: str = "",
        offer: RestoreOffer | None = None,
        may_stay: bool = True,
        last: ViewStateStore | None = None,
        origin: tuple[str, str] = ("", ""),
    ) -> None:
        files = files if files is not None else DashboardPaths()
        seen = settings_identity(files.settings) if files.settings is not None else None
        settings = load_settings(files.settings) if files.settings is not None else Settings()
        super().__init__(settings.theme)
        self.session = session
        self._news = news
        self._offer = offer
        self._may_stay = may_stay
        self._settings = settings
        self._settings_seen: object = seen
        self.farewell = ""  # for the terminal, when the screen is gone
        self._files = files
        self._memory = Favorites(self._files.memory)
        self._clock = clock
        histories = histories if histories is not None else TrafficHistories()
        self._listing = self._listing_of(CatalogScope(context, namespace))
        self.dashboard = Dashboard(self._listing, histories, clock=clock)
        self._sampler = Sampler(
            session, self.dashboard, screens=lambda: self.screen_stack, tell=self._notify_all,
            clock=clock, histories=histories,
        )  # fmt: skip
        self._granter = ForwardController(session, self._sampler, self._memory, self)
        self._profiles = ProfileController(
            self, self, session, self._sampler, self._granter, self._files
        )
        self._last = last if last is not None else ViewStateStore(None)
        self._origin = origin
        if self._last.place is not None:
            self.dashboard.restore_view_state(self._last.place)

    @property
    def snapshot(self) -> Snapshot:
        """The session as it was seen last."""
        return self._sampler.snapshot

    @property
    def cluster_state(self) -> ClusterState:
        """The cluster on show."""
        return self._listing.picture

    def _listing_of(self, scope: CatalogScope) -> EntryList:
        listing = EntryList(ClusterState(scope))
        listing.favourites = self._memory.favourites(scope.context)
        listing.recent = self._memory.recent(scope.context)
        return listing

    def get_default_screen(self) -> Dashboard:
        """The dashboard: no other screen lies beneath it."""
        self.dashboard.fit_to_size(self.size)
        return self.dashboard

    def on_mount(self) -> None:
        """Begin to look and to listen."""
        keys = self._checked(self._settings)
        self._follow(self._settings, keys)
        problems = self._wrong_with(self._settings, keys)
        for endless in (
            self._sampler.run, self._sampler.listen, self._granter.run, self._follow_settings,
            self._follow_place,
        ):  # fmt: skip
            self.run_worker(endless(), group=endless.__qualname__)
        for problem in (self._news, *problems, self._memory.trouble, self._last.trouble):
            if problem:
                self.notify(problem, severity="warning", markup=False)
        if self._offer is not None:
            self.offer_restore(self._offer)

    def _wrong_with(self, settings: Settings, keys: KeyCheck) -> list[str]:
        """What is wrong with the person's settings, in words."""
        problems = [str(one) for one in (*settings.problems, *keys.problems)]
        theme = self.theme_error(settings.theme)
        return [theme, *problems] if theme else problems

    def _checked(self, settings: Settings) -> KeyCheck:
        ids = default_keys([type(self), *bindable_classes()]) if settings.keys else {}
        return check_keys(settings.keys, ids, lines=settings.key_lines, file=settings.file)

    def _follow(self, settings: Settings, keys: KeyCheck) -> None:
        """Do as these settings say from now on."""
        self._settings = settings
        self.set_keymap(keys.keymap)
        self._sampler.set_interval(settings.refresh_s)
        if settings.theme in self.available_themes:
            self.theme = settings.theme

    @property
    def keeps_running_if_lost(self) -> bool:
        """Whether forwards go on if this screen is lost: unless the person has forbidden it."""
        return self._may_stay and self._settings.keep_running is not AskPolicy.NEVER

    async def sync_keep_running(self) -> None:
        """Tell the engine so. Before the screen is shown, and when the settings change."""
        with contextlib.suppress(TuiForwardError, TimeoutError):  # the samples say so
            async with asyncio.timeout(ANSWER_S):
                await self.session.set_keep_running_if_lost(self.keeps_running_if_lost)

    async def _follow_settings(self) -> None:
        """An edit counts at once; a bad one changes nothing, and says where it is wrong."""
        path = self._files.settings
        while path is not None:
            await asyncio.sleep(SETTINGS_S)
            seen = await asyncio.to_thread(settings_identity, path)
            if seen == self._settings_seen:
                continue
            self._settings_seen = seen
            settings = await asyncio.to_thread(load_settings, path)
            keys = self._checked(settings)
            wrong = self._wrong_with(settings, keys)
            for what in wrong:
                self.notify(what, title="nothing was changed", severity="warning", markup=False)
            if not wrong:
                self._follow(settings, keys)
                await self.sync_keep_running()
                self.notify_info("the settings were read anew")

    async def _follow_place(self) -> None:
        """Write down where the person is, beside the keys: a disk may take its time."""
        while True:
            await asyncio.sleep(PLACE_S)
            await asyncio.to_thread(self._last.keep, self.dashboard.view_state(self._origin))

    def keep_place(self) -> None:
        """Write down where the person is. When the screen is gone; it blocks."""
        self._last.keep(self.dashboard.view_state(self._origin))

    async def sample(self) -> None:
        """Fetch one sample and draw it, beside those that are taken anyway.

        Before the app runs it makes the first picture a complete one.
        """
        await self._sampler.sample()

    # Telling.

    def _notify_all(self, notices: Sequence[Notification]) -> None:
        """What happens unasked, as far as the person wants to hear of it."""
        notices = filter_by_setting(notices, self._settings.notifications)
        if len(notices) > _NOTICES_AT_ONCE:
            # Fifty forwards that lose one API server are one piece of news.
            worst = min(
                notices, key=lambda n: ("error", "warning", "information").index(n.severity)
            )
            self.notify(
                f"{worst.title}: {worst.text}\nand {len(notices) - 1} more",
                title=f"{len(notices)} forwards", severity=worst.severity, markup=False,
            )  # fmt: skip
            return
        for notice in notices:
            self.notify(notice.text, title=notice.title, severity=notice.severity, markup=False)

    def notify_info(self, text: str) -> None:
        """What was done."""
        self.notify(text, markup=False)

    def exit_with_message(self, text: str) -> None:
        """Leave, with a word for the terminal."""
        self.farewell = text
        self.exit()

    def notify_error(self, error: TuiForwardError) -> None:
        """What could not be done, and why."""
        hint = f"\n{error.hint}" if error.hint else ""
        self.notify(f"{error.message}{hint}", severity="error", markup=False)

    # Wishes of the screens.

    def _wish(self, action: Action) -> None:
        if not self._granter.enqueue(action):
            self.bell()

    def on_forward_ports_requested(self, event: messages.ForwardPortsRequested) -> None:
        """Switch ports on; those that are on off, if that is wanted."""
        context = self.cluster_state.scope.context
        switch, defaults = self._granter.switch_ports, self._settings.forwards
        self._wish(partial(switch, context, event.ports, defaults, toggle=event.toggle))

    def on_forward_action_requested(self, event: messages.ForwardActionRequested) -> None:
        """Stop, pause, resume, reconnect, open, copy or edit."""
        self._wish(partial(self._serve, event.forward_ids, event.wish))

    async def _serve(self, forward_ids: Sequence[str], wish: messages.ForwardAction) -> None:
        forwards = self._granter.forwards(forward_ids)
        if wish is messages.ForwardAction.STOP:
            await self._granter.stop(forward_ids)
        elif wish is messages.ForwardAction.COPY:
            self._copy(forwards)
        elif wish is messages.ForwardAction.EDIT:
            self._edit(forwards[:1])
        elif wish is messages.ForwardAction.OPEN:
            for forward in forwards:
                self._open(forward)
        else:
            await self._granter.pause_or_reconnect(forward_ids, wish)

    def on_close_connections_requested(self, event: messages.CloseConnectionsRequested) -> None:
        """End connections."""
        self._wish(partial(self._granter.end_connections, event.connection_ids))

    def on_favorite_toggled(self, event: messages.FavoriteToggled) -> None:
        """Keep a favourite, or forget it."""
        context = self.cluster_state.scope.context
        self._memory.toggle_favourite(context, event.key)
        self._listing.favourites = self._memory.favourites(context)
        self._sampler.request_sample()

    def action_undo(self) -> None:
        """Bring back what was stopped last."""
        self._granter.undo()

    # The form.

    def on_forward_form_requested(self, event: messages.ForwardFormRequested) -> None:
        """Ask how a port is to be forwarded, then do it."""
        from tui_forward.tui.screens.forward_form import ForwardForm

        entry, context = event.entry, self.cluster_state.scope.context
        port = event.port or DeclaredPort(number=80)
        item = entry.item
        owner = item.owner.name if isinstance(item, Pod) and item.owner is not None else ""

        def answered(spec: ForwardSpec | None) -> None:
            if spec is not None:
                self._memory.record_use(context, entry.key)
                self._wish(partial(self._granter.start, (spec,), "started"))

        defaults = self._settings.forwards
        form = ForwardForm(
            defaults.spec(target_of(context, entry, port)),
            defaults=defaults,
            ports=entry.ports,
            owner=owner,
            taken=self._taken_by(),
            title="forward",
        )
        self.push_screen(form, answered)

    def _edit(self, forwards: Sequence[Forward]) -> None:
        from tui_forward.tui.screens.forward_form import ForwardForm

        for forward in forwards:
            key = key_of(TargetKind.POD, *_pod_of(forward))
            pod = self.cluster_state.pods.get(key)

            def answered(spec: ForwardSpec | None, old: Forward = forward) -> None:
                if spec is not None and spec != old.spec:
                    self._wish(partial(self._granter.replace, old, spec))

            form = ForwardForm(
                forward.spec,
                defaults=self._settings.forwards,
                ports=pod.ports if pod is not None else (),
                owner=pod.owner.name if pod is not None and pod.owner is not None else "",
                taken=self._taken_by(but=forward.id),
                title="edit",
            )
            self.push_screen(form, answered)

    def _taken_by(self, but: str = "") -> Callable[[int], str]:
        ports = {
            address.port: f"the forward to {target_text(forward)}"
            for forward in self.snapshot.forwards
            if forward.id != but
            for address in forward.listening
        }
        return lambda port: ports.get(port, "")

    # Everything about a forward.

    def on_detail_requested(self, event: messages.DetailRequested) -> None:
        """Show everything about one forward."""
        screen = DetailScreen(event.forward_id, self._settings.forwards, clock=self._clock)
        self.push_screen(screen)
        self._sampler.request_sample()
        self.run_worker(self._sampler.poll_hops(screen), group="way", exclusive=True)

    def on_pod_log_requested(self, event: messages.PodLogRequested) -> None:
        """Begin to show the pod's log, or end it."""
        if event.on and isinstance(self.screen, DetailScreen):
            log = self._sampler.poll_pod_log(self.screen, event.container)
            self.run_worker(log, group="log", exclusive=True)

    # Addresses.

    def _copy(self, forwards: Sequence[Forward]) -> None:
        from tui_forward.common.links import address_text

        texts = [address_text(forward) for forward in forwards if forward.listening]
        if not texts:
            self.notify("There is no local address yet", severity="warning")
            return
        self.copy_to_clipboard("\n".join(texts))
        what = texts[0] if len(texts) == 1 else pluralize(len(texts), "address", "addresses")
        self.notify_info(f"copied {what}")

    @work(group="open", exit_on_error=False)
    async def _open(self, forward: Forward) -> None:
        """Show a forward in the browser; asks the port what it speaks if its name does not say."""
        from tui_forward.common import links

        local = links.local_endpoint(forward)
        if local is None:
            self.notify("There is no local address yet", severity="warning")
            return
        scheme = links.scheme_of(forward)
        if scheme is True:
            scheme = await links.probe(*local) or False
        if not isinstance(scheme, links.Scheme):
            what = target_text(forward)
            self.notify(f"{what} speaks no HTTP", severity="warning", markup=False)
            return
        try:
            await links.open_in_browser(links.url(scheme, *local))
        except TuiForwardError as error:
            self.notify_error(error)

    # Other places.

    def on_status_line_clicked(self, event: StatusLine.Clicked) -> None:
        """A click on the context or the namespace in the top line changes it; on its name, all."""
        if event.line.id == "header" and event.place < len(_OF_THE_TOP_LINE):
            self.call_later(self.run_action, _OF_THE_TOP_LINE[event.place])

    def on_row_table_context_menu_requested(self) -> None:
        """What can be done with the row that was clicked: the palette knows."""
        self.action_command_palette()

    def action_namespace(self) -> None:
        """Choose a namespace, or type its name."""
        from tui_forward.tui.screens.picker import Picker
        from tui_forward.tui.viewmodel import picker_options

        picture, context = self.cluster_state, self.cluster_state.scope.context
        liked = self._memory.favourites(context)
        options = picker_options.namespace_options(picture, self.snapshot.forwards, liked)
        trouble = picture.resource_error("namespaces")
        note = f"{trouble.error}. Type a name instead." if trouble is not None else ""

        def chosen(name: str | None) -> None:
            if name is not None:
                self._look_at(context, "" if name == picker_options.ALL else name)

        def star(name: str, _on: bool) -> None:
            self._memory.toggle_favourite(context, picker_options.namespace_key(name))

        picker = Picker("namespace", options, free=True, note=note, star=star)
        self.push_screen(picker, chosen)

    @work(group="contexts", exclusive=True, exit_on_error=False)
    async def action_context(self) -> None:
        """Choose a context of the kubeconfig."""
        from tui_forward.tui.screens.picker import Picker
        from tui_forward.tui.viewmodel import picker_options

        try:
            async with asyncio.timeout(ANSWER_S):
                known = await self.session.contexts()
        except TuiForwardError as error:
            self.notify_error(error)
            return
        except TimeoutError:
            self.notify("The engine process does not answer", severity="error")
            return
        liked = self._memory.favourites(_ANYWHERE)
        options = picker_options.context_options(known, self.cluster_state.scope.context, liked)

        def chosen(name: str | None) -> None:
            context = next((one for one in known if one.name == name), None)
            if context is not None:
                self._look_at(context.name, context.namespace)

        def star(name: str, _on: bool) -> None:
            self._memory.toggle_favourite(_ANYWHERE, picker_options.context_key(name))

        self.push_screen(Picker("context", options, star=star), chosen)

    def _look_at(self, context: str, namespace: str) -> None:
        scope = CatalogScope(context, namespace)
        if scope != self.cluster_state.scope:
            self._listing = self._listing_of(scope)
            self.dashboard.show(self._listing)
            self._sampler.poll_fast()

    # Profiles.

    def action_profiles(self) -> None:
        """Choose a profile, then see what it would change."""
        self._profiles.choose()

    def action_save_profile(self) -> None:
        """Write what is on as a profile."""
        self._profiles.save()

    # Lines of commands.

    def action_paste(self) -> None:
        """Make forwards of a line that is typed or pasted."""
        self._ask_line("")

    def on_paste(self, event: events.Paste) -> None:
        """A kubectl line that is pasted anywhere becomes forwards; another shows what is wrong."""
        from tui_forward.common.kubectl_command import is_forward_command, parse_commands

        if self.screen is not self.dashboard or not is_forward_command(event.text):
            return
        context, defaults = self.cluster_state.scope.context, self._settings.forwards
        try:
            specs = parse_commands(event.text, context=context, namespace="", defaults=defaults)
        except TuiForwardError:
            self._ask_line(event.text)
        else:
            self._wish(partial(self._granter.start, specs, "started; x stops it"))

    def _ask_line(self, text: str) -> None:
        from tui_forward.tui.screens.paste_dialog import PasteDialog

        def answered(specs: tuple[ForwardSpec, ...] | None) -> None:
            if specs:
                self._wish(partial(self._granter.start, specs, "started"))

        scope = self.cluster_state.scope
        dialog = PasteDialog(
            context=scope.context, namespace=scope.namespace, defaults=self._settings.forwards,
            text=text,
        )  # fmt: skip
        self.push_screen(dialog, answered)

    # The whole app.

    def action_help(self) -> None:
        """Every key."""
        from tui_forward.tui.screens.help import HelpScreen, collect

        self.push_screen(HelpScreen(collect(self, self.screen, also=bindable_classes())))

    def action_log(self) -> None:
        """What the engine process has to say."""
        from tui_forward.tui.screens.engine_log import LogScreen

        if self._files.log is None:
            self.notify("There is no log here", severity="warning")
        else:
            self.push_screen(LogScreen(self._files.log, headline=self._headline))

    def _headline(self) -> tuple[Cell, ...]:
        scope = self.cluster_state.scope
        return header_cells(
            scope.context, scope.namespace, self.cluster_state.health, self.snapshot
        )

    def _wear(self, theme: str) -> None:
        """Another theme, also next time."""
        from tui_forward.settings.writer import save_theme

        self.theme = theme
        if self._files.settings is not None:
            try:
                save_theme(self._files.settings, theme)
                self._settings_seen = settings_identity(self._files.settings)
            except TuiForwardError as error:
                self.notify_error(error)

    def palette_commands(self) -> Iterable[PaletteCommand]:
        """See `palette.Commander`."""
        from tui_forward.tui.keys.palette import PaletteCommand

        here = self.cluster_state.scope
        for name in self.cluster_state.namespaces:
            if name != here.namespace:
                yield PaletteCommand(
                    f"Namespace: {name}", "look at it", partial(self._look_at, here.context, name)
                )
        for name in self.theme_names:
            yield PaletteCommand(f"Theme: {name}", "colours", partial(self._wear, name))
        for forward in self.snapshot.forwards:
            stop = partial(self._granter.stop, [forward.id])
            yield PaletteCommand(
                f"Stop {forward.spec.target}", local_text(forward), partial(self._wish, stop)
            )

    async def action_quit(self) -> None:
        """Leave; if forwards are on, ask once."""
        on, keep_running = self.snapshot.forwards, self.snapshot.keep_running
        if not on:
            self.exit()
        elif isinstance(self.screen, QuitScreen):
            self.screen.action_default()
        elif self._settings.keep_running is not AskPolicy.ASK and self._may_stay:
            always = self._settings.keep_running is AskPolicy.ALWAYS
            self._leave(QuitChoice.KEEP_RUNNING if always or keep_running else QuitChoice.STOP)
        else:
            connections = sum(forward.counters.connections_open for forward in on)
            may_stay = self._may_stay
            self.push_screen(
                QuitScreen(len(on), connections, keep_running=keep_running, may_stay=may_stay),
                self._leave,
            )

    def _leave(self, how: QuitChoice | None) -> None:
        if how is not None:
            self.run_worker(self._granter.quit(how), group="leave", exclusive=True)

    def offer_restore(self, offer: RestoreOffer) -> None:
        """Ask whether what was on before is to be brought back, or do as the settings say."""

        def answered(yes: bool | None) -> None:
            if yes:
                self._wish(partial(self._granter.restore, offer))
            elif yes is not None:
                offer.forget()

        if offer.unasked or self._settings.restore is AskPolicy.ALWAYS:
            answered(True)
        elif self._settings.restore is AskPolicy.ASK:
            lines = [f"{spec.target} ← {spec.local_port or 'any port'}" for spec in offer.specs]
            self.push_screen(RestoreScreen(lines), answered)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's signature
        """Keys that would do nothing are not offered."""
        if action == "undo":
            return self._granter.can_undo
        if action == "save_profile":
            return self.screen is self.dashboard and bool(self.snapshot.forwards)
        if action in ("namespace", "context", "paste", "profiles"):
            return self.screen is self.dashboard
        return True


def _pod_of(forward: Forward) -> tuple[str, str]:
    """Namespace and name of the pod behind a forward, or of what was asked for."""
    if forward.pod is not None:
        return forward.pod.namespace, forward.pod.name
    return forward.spec.target.namespace, forward.spec.target.name
