"""The Textual application: samples a session a few times a second, and carries out wishes."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import ClassVar

import msgspec
from textual import events, work
from textual.app import App
from textual.binding import Binding, BindingType
from textual.dom import DOMNode

from tui_forward.commandline import looks_like_forward, parse_lines
from tui_forward.errors import TransportError, TuiForwardError
from tui_forward.model import (
    CatalogScope,
    Connection,
    Context,
    DeclaredPort,
    EventKind,
    Forward,
    ForwardSpec,
    Pod,
    Snapshot,
    TargetKind,
)
from tui_forward.session import Session
from tui_forward.tui import themes, wishes
from tui_forward.tui.browse.entries import Entry
from tui_forward.tui.browse.listing import Listing
from tui_forward.tui.browse.memory import Memory
from tui_forward.tui.browse.targets import forward_on, target_of
from tui_forward.tui.dashboard import Dashboard, Sample
from tui_forward.tui.detail import DetailSample, DetailScreen
from tui_forward.tui.dialogs import QuitScreen
from tui_forward.tui.figures import plural
from tui_forward.tui.files import Files
from tui_forward.tui.filter_bar import FilterBar
from tui_forward.tui.forward_form import ForwardForm
from tui_forward.tui.help import HelpScreen, collect
from tui_forward.tui.history import Histories
from tui_forward.tui.keynames import known_ids
from tui_forward.tui.line import Line
from tui_forward.tui.links import (
    Scheme,
    address_text,
    local_of,
    open_in_browser,
    probe,
    scheme_of,
    url,
)
from tui_forward.tui.log_screen import LogScreen
from tui_forward.tui.log_view import LogView
from tui_forward.tui.palette import Actions, PaletteCommand
from tui_forward.tui.paste_dialog import PasteDialog
from tui_forward.tui.picker import Option, Picker
from tui_forward.tui.picture import Picture, key_of
from tui_forward.tui.rows import Cell, header_cells, local_text, target_text
from tui_forward.tui.rowtable import RowTable
from tui_forward.tui.settings import Settings, check_keys, load, save_theme
from tui_forward.tui.stylesheets import stylesheet
from tui_forward.tui.transitions import Notice, TransitionWatch

SAMPLE_S = 0.25
# Of a cluster that was just turned to, the first rows are shown as soon as they are there.
EAGER_S = 0.02
_EAGER_FOR_S = 2.0
# What changes a state is shown at once; fifty forwards that lose one API server, in one go.
_AT_ONCE = frozenset({EventKind.LISTENING, EventKind.STATE, EventKind.STOPPED})
TOGETHER_S = 0.02
_LISTEN_AGAIN_S = 1.0
# A session that takes longer than this to answer is reported as one that does not.
ANSWER_S = 5.0
LOG_ANSWER_S = 15.0
# How often what costs the cluster a request is asked for.
WAY_S = 1.0
LOG_S = 2.0
_MAX_WISHES = 64
_MAX_UNDO = 50
_NOTICES_AT_ONCE = 3
_CHART_S = 300
_ALL = "*"  # no namespace has this name
_ANYWHERE = ""  # where favourite contexts are kept: they are of no context

Action = Callable[[], Awaitable[None]]
# Whose keys can be changed, and are in the help.
_WITH_KEYS: tuple[type[DOMNode], ...] = (
    Dashboard, DetailScreen, RowTable, FilterBar, LogScreen, LogView, Picker, HelpScreen,
    PasteDialog, ForwardForm, QuitScreen,
)  # fmt: skip


class TuiForwardApp(App[None]):
    """The dashboard.

    Args:
        session: The engine's door; closed by whoever opened it.
        context: The context to show.
        namespace: The namespace to show, "" for all of them.
        files: Where settings and favourites are kept, and the engine's log.
        clock: Seconds since the epoch, for ages and countdowns.
        histories: What flowed before; kept current from now on.
    """

    TITLE = "tui-forward"
    CSS_PATH = stylesheet("app.tcss")
    COMMANDS: ClassVar = App.COMMANDS | {Actions}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q,ctrl+c", "quit", "Quit", show=False, priority=True, id="app.quit-now",
                tooltip="Leave; asks once if forwards are on"),
        Binding("n", "namespace", "Namespace", id="app.namespace",
                tooltip="Look at another namespace, or at all of them"),
        Binding("c", "context", "Context", show=False, id="app.context",
                tooltip="Look at another cluster; forwards go on"),
        Binding("v", "paste", "Paste", show=False, id="app.paste",
                tooltip="Make forwards of a kubectl port-forward line"),
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
        files: Files | None = None,
        clock: Callable[[], float] = time.time,
        histories: Histories | None = None,
    ) -> None:
        super().__init__()
        self.session = session
        self.snapshot = Snapshot(version=0, at=0.0)
        self.crash: str | None = None
        self._files = files if files is not None else Files()
        self._memory = Memory(self._files.memory)
        self._contexts: tuple[Context, ...] = ()
        self._clock = clock
        self._histories = histories if histories is not None else Histories()
        self._transitions = TransitionWatch()
        self._listing = self._listing_of(CatalogScope(context, namespace))
        self.dashboard = Dashboard(self._listing, self._histories, clock=clock)
        self._trouble: TuiForwardError | None = None
        self._resample = asyncio.Event()
        self._wishes: asyncio.Queue[Action] = asyncio.Queue(_MAX_WISHES)
        self._undo: list[tuple[ForwardSpec, ...]] = []

    @property
    def picture(self) -> Picture:
        """The cluster on show."""
        return self._listing.picture

    def _listing_of(self, scope: CatalogScope) -> Listing:
        self._eager_until = time.monotonic() + _EAGER_FOR_S
        listing = Listing(Picture(scope))
        listing.favourites = self._memory.favourites(scope.context)
        listing.recent = self._memory.recent(scope.context)
        return listing

    async def on_mount(self) -> None:
        """Show the dashboard, then begin to look and to listen."""
        problems = self._put_settings_on()
        await self.push_screen(self.dashboard)
        self._sample_forever()
        self._grant_forever()
        for problem in (*problems, self._memory.trouble):
            if problem:
                self.notify(problem, severity="warning", markup=False)

    def _put_settings_on(self) -> list[str]:
        """The person's theme and keys; returns what is wrong with them, in words."""
        themes.register(self)
        settings = load(self._files.settings) if self._files.settings is not None else Settings()
        keys = check_keys(
            settings.keys,
            known_ids([type(self), *_WITH_KEYS]),
            lines=settings.lines,
            file=settings.file,
        )
        self.set_keymap(keys.keymap)
        wrong = themes.choose(self, settings.theme)
        return [wrong, *map(str, settings.problems), *map(str, keys.problems)]

    # Looking.

    @work(group="sample", exit_on_error=True)
    async def _sample_forever(self) -> None:
        listening = False
        while True:
            # Before: what happens while a sample is taken deserves one of its own.
            self._resample.clear()
            await self.sample()
            eager = self.picture.is_awaited and time.monotonic() < self._eager_until
            if not eager and not listening:
                # Not before the first rows are here: it makes the engine process load the engine.
                listening = True
                self._listen_forever()
            try:
                async with asyncio.timeout(EAGER_S if eager else SAMPLE_S):
                    await self._resample.wait()
                await asyncio.sleep(TOGETHER_S)
            except TimeoutError:
                continue

    @work(group="events")
    async def _listen_forever(self) -> None:
        """A change of state is on the screen at once, not with the next sample."""
        while True:
            try:
                async for event in self.session.events():
                    if event.event in _AT_ONCE:
                        self._resample.set()
            except TuiForwardError:
                pass  # the samples say so
            await asyncio.sleep(_LISTEN_AGAIN_S)

    async def sample(self) -> None:
        """Fetch one sample and draw it; trouble is shown instead of thrown."""
        picture = self.picture
        connections: tuple[Connection, ...] = ()
        try:
            async with asyncio.timeout(ANSWER_S):
                self.snapshot = await self.session.snapshot()
                picture.apply(await self.session.catalog(picture.scope, picture.version))
                # The first answer may be here before the screen's tables are.
                wanted = self.dashboard.wanted_connections if self.dashboard.is_mounted else ""
                if wanted is None or wanted in self._ids():
                    connections = await self.session.connections(wanted)
            self._trouble = None
        except TuiForwardError as error:
            self._trouble = error
        except TimeoutError:
            self._trouble = TransportError("the engine process does not answer")
        self._histories.take(self.snapshot.forwards, time.monotonic())
        self._tell(self._transitions.notice(self.snapshot.forwards, self._clock()))
        if self.dashboard.is_mounted and picture is self.picture:
            self.dashboard.draw(Sample(self.snapshot, connections, self._trouble))
        # There may be none any more: the program is ending.
        top = self.screen_stack[-1] if self.screen_stack else None
        if isinstance(top, DetailScreen) and top.is_mounted:
            await self._draw_detail(top)

    async def _draw_detail(self, screen: DetailScreen) -> None:
        wanted = screen.forward_id
        forward = next((one for one in self.snapshot.forwards if one.id == wanted), None)
        if forward is None:
            screen.draw(DetailSample(None))
            return
        try:
            async with asyncio.timeout(ANSWER_S):
                timeline = await self.session.timeline(wanted)
                connections = await self.session.connections(wanted)
        except (TuiForwardError, TimeoutError):
            return  # gone in between, or the engine is: the next sample says so
        series = self._histories.series(wanted, _CHART_S)
        screen.draw(DetailSample(forward, series, timeline, connections))

    def _ids(self) -> set[str]:
        return {forward.id for forward in self.snapshot.forwards}

    def _tell(self, notices: Sequence[Notice]) -> None:
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

    # Acting: one wish after the other, each judged by a fresh sample.

    @work(group="wishes", exit_on_error=True)
    async def _grant_forever(self) -> None:
        while True:
            wish = await self._wishes.get()
            try:
                async with asyncio.timeout(ANSWER_S):
                    await wish()
                    self.snapshot = await self.session.snapshot()
            except TuiForwardError as error:
                self._complain(error)
            except TimeoutError:
                self.notify("The engine process does not answer", severity="error")
            self._resample.set()

    def _complain(self, error: TuiForwardError) -> None:
        hint = f"\n{error.hint}" if error.hint else ""
        self.notify(f"{error.message}{hint}", severity="error", markup=False)

    def _wish(self, wish: Action) -> None:
        try:
            self._wishes.put_nowait(wish)
        except asyncio.QueueFull:
            self.bell()

    def on_ports_wished(self, event: wishes.PortsWished) -> None:
        """Switch ports on; those that are on off, if that is wanted."""
        self._wish(partial(self._switch_ports, event.ports, toggle=event.toggle))

    async def _switch_ports(
        self, ports: Sequence[tuple[Entry, DeclaredPort]], *, toggle: bool
    ) -> None:
        context = self.picture.scope.context
        stopped: list[Forward] = []
        for entry, port in ports:
            forward = forward_on(self.snapshot.forwards, context, entry, port)
            if forward is None:
                await self.session.start(ForwardSpec(target=target_of(context, entry, port)))
                self._memory.use(context, entry.key)
            elif toggle:
                await self.session.stop(forward.id)
                stopped.append(forward)
        self._remember(stopped)

    def on_forwards_wished(self, event: wishes.ForwardsWished) -> None:
        """Stop, pause, resume, reconnect, open or copy."""
        self._wish(partial(self._serve, event.forward_ids, event.wish))

    async def _serve(self, forward_ids: Sequence[str], wish: wishes.Wish) -> None:
        forwards = [one for one in self.snapshot.forwards if one.id in forward_ids]
        if wish is wishes.Wish.COPY:
            self._copy(forwards)
            return
        if wish is wishes.Wish.EDIT:
            self._edit(forwards[:1])
            return
        for forward in forwards:
            if wish is wishes.Wish.STOP:
                await self.session.stop(forward.id)
            elif wish is wishes.Wish.RECONNECT:
                await self.session.reconnect(forward.id)
            elif wish is wishes.Wish.OPEN:
                self._open(forward)
            elif forward.paused:
                await self.session.resume(forward.id)
            else:
                await self.session.pause(forward.id)
        if wish is wishes.Wish.STOP:
            self._remember(forwards)
            self.notify(f"stopped {_named(forwards)}; u brings {_it(forwards)} back", markup=False)

    # The form.

    def on_form_wished(self, event: wishes.FormWished) -> None:
        """Ask how a port is to be forwarded, then do it."""
        entry, context = event.entry, self.picture.scope.context
        port = event.port or DeclaredPort(number=80)
        item = entry.item
        owner = item.owner.name if isinstance(item, Pod) and item.owner is not None else ""

        def answered(spec: ForwardSpec | None) -> None:
            if spec is not None:
                self._memory.use(context, entry.key)
                self._wish(partial(self._start, (spec,), "started"))

        spec = ForwardSpec(target=target_of(context, entry, port))
        form = ForwardForm(
            spec, ports=entry.ports, owner=owner, taken=self._taken_by(), title="forward"
        )
        self.push_screen(form, answered)

    def _edit(self, forwards: Sequence[Forward]) -> None:
        for forward in forwards:
            key = key_of(TargetKind.POD, *_pod_of(forward))
            pod = self.picture.pods.get(key)

            def answered(spec: ForwardSpec | None, old: Forward = forward) -> None:
                if spec is not None and spec != old.spec:
                    self._wish(partial(self._replace, old, spec))

            form = ForwardForm(
                forward.spec,
                ports=pod.ports if pod is not None else (),
                owner=pod.owner.name if pod is not None and pod.owner is not None else "",
                taken=self._taken_by(but=forward.id),
                title="edit",
            )
            self.push_screen(form, answered)

    async def _replace(self, forward: Forward, spec: ForwardSpec) -> None:
        await self.session.stop(forward.id)
        self._remember([forward])
        if spec.local_port is None and forward.listening:
            spec = msgspec.structs.replace(spec, local_port=forward.listening[0].port)
        await self._start((spec,), "changed")

    def _taken_by(self, but: str = "") -> Callable[[int], str]:
        ports = {
            address.port: f"the forward to {target_text(forward)}"
            for forward in self.snapshot.forwards
            if forward.id != but
            for address in forward.listening
        }
        return lambda port: ports.get(port, "")

    def _remember(self, stopped: Sequence[Forward]) -> None:
        """What was stopped can come back on the port it had."""
        specs = tuple(
            msgspec.structs.replace(forward.spec, local_port=forward.listening[0].port)
            if forward.listening
            else forward.spec
            for forward in stopped
        )
        if specs:
            self._undo.append(specs)
            del self._undo[:-_MAX_UNDO]

    def action_undo(self) -> None:
        """Bring back what was stopped last."""
        if self._undo:
            self._wish(partial(self._start, self._undo.pop(), "back"))

    async def _start(self, specs: Sequence[ForwardSpec], how: str) -> None:
        for spec in specs:
            await self.session.start(spec)
        what = str(specs[0].target) if len(specs) == 1 else plural(len(specs), "forward")
        self.notify(f"{what} {how}", markup=False)

    def on_detail_wished(self, event: wishes.DetailWished) -> None:
        """Show everything about one forward."""
        screen = DetailScreen(event.forward_id, clock=self._clock)
        self.push_screen(screen)
        self._resample.set()
        self._follow_way(screen)

    # These may wait for the cluster, so the sampling must not wait for them.

    @work(group="way", exclusive=True)
    async def _follow_way(self, screen: DetailScreen) -> None:
        """Keep the stations of a forward current as long as they are looked at."""
        while screen in self.screen_stack:
            try:
                async with asyncio.timeout(ANSWER_S):
                    hops = await self.session.hops(screen.forward_id)
            except (TuiForwardError, TimeoutError):
                pass  # gone, or the engine is: the samples say so
            else:
                if screen.is_mounted:
                    screen.draw_way(hops)
            await asyncio.sleep(WAY_S)

    def on_log_wished(self, event: wishes.LogWished) -> None:
        """Begin to show the pod's log, or end it."""
        if event.on and isinstance(self.screen, DetailScreen):
            self._follow_log(self.screen, event.container)

    @work(group="log", exclusive=True)
    async def _follow_log(self, screen: DetailScreen, container: str) -> None:
        while screen in self.screen_stack and screen.log_is_on:
            try:
                async with asyncio.timeout(LOG_ANSWER_S):
                    log = await self.session.pod_log(screen.forward_id, container=container)
            except TuiForwardError as error:
                screen.draw_log(None, error)
            except TimeoutError:
                screen.draw_log(None, TransportError("the log did not come in time"))
            else:
                screen.draw_log(log, None)
            await asyncio.sleep(LOG_S)

    def on_connections_ended(self, event: wishes.ConnectionsEnded) -> None:
        """End connections."""

        async def end() -> None:
            for connection_id in event.connection_ids:
                await self.session.close_connection(connection_id)

        self._wish(end)

    def on_star_toggled(self, event: wishes.StarToggled) -> None:
        """Keep a favourite, or forget it."""
        context = self.picture.scope.context
        self._memory.toggle_favourite(context, event.key)
        self._listing.favourites = self._memory.favourites(context)
        self._resample.set()

    # Addresses.

    def _copy(self, forwards: Sequence[Forward]) -> None:
        texts = [address_text(forward) for forward in forwards if forward.listening]
        if not texts:
            self.notify("There is no local address yet", severity="warning")
            return
        self.copy_to_clipboard("\n".join(texts))
        what = texts[0] if len(texts) == 1 else plural(len(texts), "address", "addresses")
        self.notify(f"copied {what}", markup=False)

    @work(group="open", exit_on_error=False)
    async def _open(self, forward: Forward) -> None:
        """Show a forward in the browser; asks the port what it speaks if its name does not say."""
        local = local_of(forward)
        if local is None:
            self.notify("There is no local address yet", severity="warning")
            return
        scheme = scheme_of(forward)
        if scheme is True:
            scheme = await probe(*local) or False
        if not isinstance(scheme, Scheme):
            what = target_text(forward)
            self.notify(f"{what} speaks no HTTP", severity="warning", markup=False)
            return
        try:
            await open_in_browser(url(scheme, *local))
        except TuiForwardError as error:
            self._complain(error)

    # Other places.

    def on_line_clicked(self, event: Line.Clicked) -> None:
        """A click on the context or the namespace in the top line changes it."""
        if event.line.id == "header" and event.place in (1, 2):
            (self.action_context if event.place == 1 else self.action_namespace)()

    def action_namespace(self) -> None:
        """Choose a namespace, or type its name."""
        picture = self.picture
        shown = picture.scope.namespace
        names = dict.fromkeys([*picture.namespaces, *([shown] if shown else [])])
        context, liked = picture.scope.context, self._memory.favourites(picture.scope.context)
        options = [Option(_ALL, "all namespaces", current=not shown, starred=f"ns/{_ALL}" in liked)]
        options += [
            Option(
                name, name, self._about(name), current=name == shown, starred=f"ns/{name}" in liked
            )
            for name in sorted(names, key=lambda name: (f"ns/{name}" not in liked, name))
        ]
        trouble = picture.trouble("namespaces")
        note = f"{trouble.error}. Type a name instead." if trouble is not None else ""

        def chosen(name: str | None) -> None:
            if name is not None:
                self._look_at(context, "" if name == _ALL else name)

        def star(name: str, _on: bool) -> None:
            self._memory.toggle_favourite(context, f"ns/{name}")

        picker = Picker("namespace", options, free=True, note=note, star=star)
        self.push_screen(picker, chosen)

    def _about(self, name: str) -> str:
        here = self.picture.scope.context
        count = sum(
            (one.spec.target.context, one.spec.target.namespace) == (here, name)
            for one in self.snapshot.forwards
        )
        return plural(count, "forward") if count else ""

    @work(group="contexts", exclusive=True, exit_on_error=False)
    async def action_context(self) -> None:
        """Choose a context of the kubeconfig."""
        try:
            async with asyncio.timeout(ANSWER_S):
                self._contexts = await self.session.contexts()
        except TuiForwardError as error:
            self._complain(error)
            return
        except TimeoutError:
            self.notify("The engine process does not answer", severity="error")
            return
        here = self.picture.scope.context
        liked = self._memory.favourites(_ANYWHERE)
        options = [
            Option(
                one.name, one.name, f"cluster {one.cluster}", current=one.name == here,
                starred=f"context/{one.name}" in liked,
            )
            for one in sorted(self._contexts, key=lambda one: f"context/{one.name}" not in liked)
        ]  # fmt: skip

        def chosen(name: str | None) -> None:
            context = next((one for one in self._contexts if one.name == name), None)
            if context is not None:
                self._look_at(context.name, context.namespace)

        def star(name: str, _on: bool) -> None:
            self._memory.toggle_favourite(_ANYWHERE, f"context/{name}")

        self.push_screen(Picker("context", options, star=star), chosen)

    def _look_at(self, context: str, namespace: str) -> None:
        scope = CatalogScope(context, namespace)
        if scope != self.picture.scope:
            self._listing = self._listing_of(scope)
            self.dashboard.show(self._listing)
            self._resample.set()

    # Lines of commands.

    def action_paste(self) -> None:
        """Make forwards of a line that is typed or pasted."""
        self._ask_line("")

    def on_paste(self, event: events.Paste) -> None:
        """A kubectl line that is pasted anywhere becomes forwards; another shows what is wrong."""
        if self.screen is not self.dashboard or not looks_like_forward(event.text):
            return
        try:
            specs = parse_lines(event.text, context=self.picture.scope.context, namespace="")
        except TuiForwardError:
            self._ask_line(event.text)
        else:
            self._wish(partial(self._start, specs, "started; x stops it"))

    def _ask_line(self, text: str) -> None:
        def answered(specs: tuple[ForwardSpec, ...] | None) -> None:
            if specs:
                self._wish(partial(self._start, specs, "started"))

        scope = self.picture.scope
        self.push_screen(
            PasteDialog(context=scope.context, namespace=scope.namespace, text=text), answered
        )

    # The whole app.

    def action_help(self) -> None:
        """Every key."""
        self.push_screen(HelpScreen(collect(self, self.screen, also=_WITH_KEYS)))

    def action_log(self) -> None:
        """What the engine process has to say."""
        if self._files.log is None:
            self.notify("There is no log here", severity="warning")
        else:
            self.push_screen(LogScreen(self._files.log, headline=self._headline))

    def _headline(self) -> tuple[Cell, ...]:
        scope = self.picture.scope
        return header_cells(scope.context, scope.namespace, self.picture.health, self.snapshot)

    def _wear(self, theme: str) -> None:
        """Another theme, also next time."""
        themes.choose(self, theme)
        if self._files.settings is not None:
            try:
                save_theme(self._files.settings, theme)
            except TuiForwardError as error:
                self._complain(error)

    def palette_commands(self) -> Iterable[PaletteCommand]:
        """See `palette.Commander`."""
        here = self.picture.scope
        for name in self.picture.namespaces:
            if name != here.namespace:
                yield PaletteCommand(
                    f"Namespace: {name}", "look at it", partial(self._look_at, here.context, name)
                )
        for name in themes.names(self):
            yield PaletteCommand(f"Theme: {name}", "colours", partial(self._wear, name))
        for forward in self.snapshot.forwards:
            stop = partial(self._serve, [forward.id], wishes.Wish.STOP)
            yield PaletteCommand(
                f"Stop {forward.spec.target}", local_text(forward), partial(self._wish, stop)
            )

    async def action_quit(self) -> None:
        """Leave; if forwards are on, ask once."""
        on = [forward for forward in self.snapshot.forwards if not forward.paused]
        if not on or isinstance(self.screen, QuitScreen):
            self.exit()
            return
        connections = sum(forward.counters.connections_open for forward in on)

        def answered(quit_now: bool | None) -> None:
            if quit_now:
                self.exit()

        self.push_screen(QuitScreen(len(on), connections), answered)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's signature
        """Keys that would do nothing are not offered."""
        if action == "undo":
            return bool(self._undo)
        if action in ("namespace", "context", "paste"):
            return self.screen is self.dashboard
        return True

    def _fatal_error(self) -> None:
        """Instead of Textual's traceback on the terminal: remember it, restore the terminal."""
        self.crash = traceback.format_exc()
        self._close_messages_no_wait()


def _pod_of(forward: Forward) -> tuple[str, str]:
    """Namespace and name of the pod behind a forward, or of what was asked for."""
    if forward.pod is not None:
        return forward.pod.namespace, forward.pod.name
    return forward.spec.target.namespace, forward.spec.target.name


def _named(forwards: Sequence[Forward]) -> str:
    return target_text(forwards[0]) if len(forwards) == 1 else plural(len(forwards), "forward")


def _it(forwards: Sequence[Forward]) -> str:
    return "it" if len(forwards) == 1 else "them"
