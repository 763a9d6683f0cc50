"""The Textual application: samples a session a few times a second, and carries out wishes."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from typing import ClassVar

from textual import work
from textual.app import App
from textual.binding import Binding, BindingType

from tui_forward.errors import TransportError, TuiForwardError
from tui_forward.model import (
    CatalogScope,
    Connection,
    ForwardSpec,
    Snapshot,
    Target,
    TargetKind,
)
from tui_forward.session import Session
from tui_forward.tui.dashboard import Dashboard
from tui_forward.tui.dialogs import HelpScreen, NamespaceScreen, QuitScreen
from tui_forward.tui.picture import Picture, port_word
from tui_forward.tui.rows import forward_of_port
from tui_forward.tui.stylesheets import stylesheet

SAMPLE_S = 0.25
# A session that takes longer than this to answer is reported as one that does not.
ANSWER_S = 5.0
_MAX_WISHES = 64

Wish = Callable[[], Awaitable[None]]


class TuiForwardApp(App[None]):
    """The dashboard.

    Args:
        session: The engine's door; closed by whoever opened it.
        context: The context to show.
        namespace: The namespace to show, "" for all of them.
    """

    TITLE = "tui-forward"
    CSS_PATH = stylesheet("dashboard.tcss")
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q,ctrl+c", "quit", "Quit", show=False, priority=True, id="quit.now"),
    ]

    def __init__(self, session: Session, *, context: str, namespace: str) -> None:
        super().__init__()
        self.session = session
        self.picture = Picture(CatalogScope(context, namespace))
        self.snapshot = Snapshot(version=0, at=0.0)
        self.crash: str | None = None
        self.dashboard = Dashboard()
        self._trouble: TuiForwardError | None = None
        self._resample = asyncio.Event()
        self._wishes: asyncio.Queue[Wish] = asyncio.Queue(_MAX_WISHES)

    async def on_mount(self) -> None:
        """Show the dashboard, then begin to look and to listen."""
        await self.push_screen(self.dashboard)
        self._sample_forever()
        self._grant_forever()

    # Looking.

    @work(group="sample", exit_on_error=True)
    async def _sample_forever(self) -> None:
        while True:
            await self._sample()
            self._resample.clear()
            try:
                async with asyncio.timeout(SAMPLE_S):
                    await self._resample.wait()
            except TimeoutError:
                continue

    async def _sample(self) -> None:
        """Fetch one sample and draw it; trouble is shown instead of thrown."""
        picture = self.picture
        connections: tuple[Connection, ...] = ()
        try:
            async with asyncio.timeout(ANSWER_S):
                self.snapshot = await self.session.snapshot()
                picture.apply(await self.session.catalog(picture.scope, picture.version))
                # The first answer may be here before the screen's tables are.
                chosen = self.dashboard.chosen_forward if self.dashboard.is_mounted else None
                if chosen is not None:
                    connections = await self.session.connections(chosen.id)
            self._trouble = None
        except TuiForwardError as error:
            self._trouble = error
        except TimeoutError:
            self._trouble = TransportError("the engine process does not answer")
        if self.dashboard.is_mounted and picture is self.picture:
            self.dashboard.draw(picture, self.snapshot, connections, self._trouble)

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
                hint = f"\n{error.hint}" if error.hint else ""
                self.notify(f"{error.message}{hint}", severity="error", markup=False)
            except TimeoutError:
                self.notify("The engine process does not answer", severity="error")
            self._resample.set()

    def _wish(self, wish: Wish) -> None:
        try:
            self._wishes.put_nowait(wish)
        except asyncio.QueueFull:
            self.bell()

    def on_dashboard_port_toggled(self, event: Dashboard.PortToggled) -> None:
        """Switch a port on, or off if it is on."""
        pod, port = event.pod, event.port
        context = self.picture.scope.context

        async def toggle() -> None:
            forward = forward_of_port(self.snapshot.forwards, context, pod, port)
            if forward is not None:
                await self.session.stop(forward.id)
                return
            target = Target(
                context=context,
                namespace=pod.namespace,
                kind=TargetKind.POD,
                name=pod.name,
                port=port_word(pod, port),
            )
            await self.session.start(ForwardSpec(target=target))

        self._wish(toggle)

    def on_dashboard_forward_asked(self, event: Dashboard.ForwardAsked) -> None:
        """Stop, pause, resume or reconnect."""

        async def act() -> None:
            forward = next((f for f in self.snapshot.forwards if f.id == event.forward_id), None)
            if forward is None:
                return
            if event.wish == "stop":
                await self.session.stop(forward.id)
            elif event.wish == "reconnect":
                await self.session.reconnect(forward.id)
            elif forward.paused:
                await self.session.resume(forward.id)
            else:
                await self.session.pause(forward.id)

        self._wish(act)

    def on_dashboard_connection_ended(self, event: Dashboard.ConnectionEnded) -> None:
        """End one connection."""
        self._wish(lambda: self.session.close_connection(event.connection_id))

    def on_dashboard_namespace_chosen(self, event: Dashboard.NamespaceChosen) -> None:
        """Look at another namespace."""
        if event.wanted is None:
            self.push_screen(NamespaceScreen(), self._show_namespace)
        else:
            self._show_namespace(event.wanted)

    def _show_namespace(self, namespace: str | None) -> None:
        if namespace is not None and namespace != self.picture.scope.namespace:
            self.picture = Picture(CatalogScope(self.picture.scope.context, namespace))
            self._resample.set()

    # Coming and going.

    def action_help(self) -> None:
        """Every key."""
        self.push_screen(HelpScreen())

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

    def _fatal_error(self) -> None:
        """Instead of Textual's traceback on the terminal: remember it, restore the terminal."""
        self.crash = traceback.format_exc()
        self._close_messages_no_wait()
