"""Details of one forward: chain, cause and fix, throughput, timeline, connections, log."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import ClassVar

import msgspec
from textual.app import ComposeResult
from textual.binding import BindingType

from tui_forward.common.formatting import format_clock
from tui_forward.errors import TuiForwardError
from tui_forward.model import (
    ApiHealth,
    Connection,
    Forward,
    ForwardDefaults,
    Hop,
    PodLog,
    TimelineEntry,
)
from tui_forward.tui import messages
from tui_forward.tui.keys.detail_keys import DETAIL_BINDINGS, DETAIL_FOOTER
from tui_forward.tui.keys.key_names import format_key, keys_of
from tui_forward.tui.messages import ForwardAction
from tui_forward.tui.screens.row_actions import confirm_stop
from tui_forward.tui.stylesheets import stylesheet
from tui_forward.tui.textual_internals.screens import CompleteFrameScreen
from tui_forward.tui.viewmodel import columns, detail_lines, rows
from tui_forward.tui.viewmodel.cell_layout import Column
from tui_forward.tui.viewmodel.chain import timeline_mark
from tui_forward.tui.viewmodel.connection_rows import connection_labels, connection_row
from tui_forward.tui.viewmodel.context_names import PLAIN_NAMING, ContextNaming
from tui_forward.tui.viewmodel.detail_lines import TABS, Position
from tui_forward.tui.viewmodel.header import HeaderContent
from tui_forward.tui.viewmodel.hints import error_hint
from tui_forward.tui.viewmodel.lines import Line, part
from tui_forward.tui.viewmodel.pod_names import shorten_pods
from tui_forward.tui.widgets import row_messages
from tui_forward.tui.widgets.header_bar import HeaderBar
from tui_forward.tui.widgets.key_bar import KeyBar
from tui_forward.tui.widgets.lines_view import LinesView
from tui_forward.tui.widgets.row_table import RowTable

_TIMELINE = (Column("", 9), Column("", 1), Column("", 20, flexible=True, prose=True))
_LOG = (Column("", 20, flexible=True, prose=True),)
_TIMELINE_TAB, _CONNECTIONS_TAB, _LOG_TAB = TABS


class DetailSample(msgspec.Struct, frozen=True):
    """State of one forward at one moment."""

    forward: Forward | None  # None after it was stopped
    # Bytes from and to the pod in each of the last seconds, oldest first.
    series: Sequence[tuple[int, int]] = ()
    ready: Sequence[bool] = ()  # whether a tunnel was up in each of them
    timeline: Sequence[TimelineEntry] = ()  # oldest first
    connections: Sequence[Connection] = ()  # oldest first
    health: Sequence[ApiHealth] = ()
    position: Position = Position()
    naming: ContextNaming = PLAIN_NAMING


class DetailFooter:
    """Implements `FooterSource` for the details."""

    keys = DETAIL_FOOTER
    prefix = ""
    urgent_keys: tuple[str, ...] = ()

    def __init__(self, screen: DetailScreen) -> None:
        self._screen = screen

    def words(self, binding: str) -> str:
        """Return what a key does now, if that differs from its usual words."""
        if binding == "forwards.pause" and self._screen.is_paused:
            return "Continue"
        if binding == "forwards.stop" and self._screen.tab == _CONNECTIONS_TAB:
            return "Close"
        return ""

    def is_idle(self, binding: str) -> bool:  # noqa: ARG002 - of the protocol
        """Return whether a key has nothing to act on."""
        return False


class DetailScreen(CompleteFrameScreen[None]):
    """Details of one forward."""

    CSS_PATH = stylesheet("detail.tcss")
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (24, "-low"), (32, "-tall")]  # noqa: RUF012 - as Textual declares it
    BINDINGS: ClassVar[list[BindingType]] = DETAIL_BINDINGS
    AUTO_FOCUS = "#timeline"

    def __init__(
        self, forward_id: str, defaults: ForwardDefaults, *, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__()
        self.forward_id = forward_id
        self._defaults = defaults  # options its command leaves out
        self._clock = clock
        self._session_header = HeaderBar()
        self._title = LinesView(id="detail-head")
        self._chain = LinesView(id="chain")
        self._cause = LinesView(id="cause")
        self._chart = LinesView(id="chart")
        self._timeline = RowTable(_TIMELINE, empty="No events yet", header=False, id="timeline")
        self._connection_table = RowTable(
            columns.CONNECTIONS, empty="No connections yet", id="detail-conns"
        )
        self._log = RowTable(_LOG, empty="Loading…", header=False, id="pod-log")
        self._specification = LinesView(id="specification")
        self._tabs: dict[str, RowTable] = {
            _TIMELINE_TAB: self._timeline, _CONNECTIONS_TAB: self._connection_table,
            _LOG_TAB: self._log,
        }  # fmt: skip
        self._test_key = ""
        self.tab = _TIMELINE_TAB
        for name, table in self._tabs.items():
            table.display = name == self.tab
            table.rule.show(detail_lines.tabs_title(name))
            table.rule.shows_position = True
        self._forget()

    def _forget(self) -> None:
        """Forget what is known about the forward."""
        self._sample = DetailSample(None)
        self._is_stopped = False
        self._tested_at: float | None = None
        self._hops: Sequence[Hop] = ()
        self._log_lines: dict[str, str] = {}
        self._containers: tuple[str, ...] = ()
        self._container = ""

    def compose(self) -> ComposeResult:
        """Show title, chain, throughput, the tabs, the specification, and keys."""
        yield self._session_header
        yield self._title
        yield self._chain
        yield self._cause
        yield self._chart
        yield from self._tabs.values()
        yield self._specification
        yield KeyBar(DetailFooter(self))

    def on_mount(self) -> None:
        """Name the key that tests the chain."""
        self._test_key = "".join(map(format_key, keys_of(self.app, "detail.test")[:1]))

    def show_forward(self, forward_id: str) -> None:
        """Show another forward; the next sample has it."""
        self.forward_id = forward_id
        self._forget()
        for table in self._tabs.values():
            table.show((), lambda _key: rows.Row(()))
        self._log.rule.show(detail_lines.tabs_title(_LOG_TAB))
        self._request_log()

    def draw_header(self, build: Callable[[int], HeaderContent]) -> None:
        """Show the header of every screen."""
        self._session_header.show(build)

    def draw(self, sample: DetailSample) -> None:
        """Show a sample; a stopped forward stays visible with a note."""
        if sample.forward is None:
            if not self._is_stopped and self._sample.forward is not None:
                self._is_stopped = True
                self._title.show(_stopped_line)
                self.refresh_bindings()
            return
        was_paused = self._sample.forward is not None and self._sample.forward.paused
        self._sample = sample
        self._is_stopped = False
        self._draw_lines()
        self._draw_timeline(sample.timeline, sample.forward)
        connections = {str(one.id): one for one in reversed(sample.connections)}
        shown = tuple(connections.values())
        now = self._clock()
        labels = connection_labels(shown, [sample.forward], "", now)
        self._connection_table.show(
            tuple(connections),
            lambda key: connection_row(connections[key], now, labels),
            longest=labels.longest,
        )
        if was_paused != sample.forward.paused:
            self.refresh_bindings()

    def _draw_lines(self) -> None:
        """Show the parts that are text."""
        sample, now, hops = self._sample, self._clock(), self._hops
        forward = sample.forward
        if forward is None:
            return
        tested_s = None if self._tested_at is None else now - self._tested_at
        key = self._test_key
        self._title.show(
            lambda width, _height: [
                detail_lines.title_line(forward, sample.naming, sample.position.text, width)
            ]
        )
        self._chain.show(
            lambda width, _height: detail_lines.chain_block(
                forward, hops, sample.health, tested_s, key, width
            )
        )
        self._chart.show(
            lambda width, height: detail_lines.throughput_lines(
                forward, sample.series, sample.ready, width, height
            )
        )
        width = self.size.width
        self._show_whole(self._cause, detail_lines.cause_lines(forward, hops, now, width))
        self._show_whole(
            self._specification,
            detail_lines.specification_lines(forward, now, self._defaults, width),
        )

    def _show_whole(self, view: LinesView, lines: Sequence[Line]) -> None:
        """Show lines in a view that is as high as they are."""
        view.display = bool(lines)
        if view.styles.height is None or view.styles.height.value != len(lines):
            view.styles.height = len(lines)
        view.show(lambda _width, _height: lines)

    def on_resize(self) -> None:
        """Build the lines for the new width."""
        if not self._is_stopped:
            self._draw_lines()

    def _draw_timeline(self, timeline: Sequence[TimelineEntry], forward: Forward) -> None:
        # Newest first; the key is unique although several entries may have the same time.
        entries = {
            f"{entry.at:.6f} {position}": entry
            for position, entry in reversed(list(enumerate(timeline)))
        }
        target = forward.spec.target

        def row(key: str) -> rows.Row:
            entry = entries[key]
            mark, style = timeline_mark(entry)
            at = rows.Cell(format_clock(entry.at), "dim")
            return rows.Row(
                (at, rows.Cell(mark, style), rows.Cell(shorten_pods(entry.text, target)))
            )

        self._timeline.show(tuple(entries), row)

    def draw_hops(self, forward_id: str, hops: Sequence[Hop]) -> None:
        """Show the hops, which are tested less often than the rest is sampled."""
        if self._is_stopped or forward_id != self.forward_id:
            return
        self._hops, self._tested_at = hops, self._clock()
        self._draw_lines()

    def draw_log(self, log: PodLog | None, error: TuiForwardError | None) -> None:
        """Show the log of a container, or why it cannot be loaded."""
        at_end = False
        if error is not None:
            hint = f" → {error_hint(error)}" if error.hint else ""
            self._log.empty = f"{error.message}{hint}"
            self._log_lines = {}
        elif log is not None:
            self._containers, self._container = log.containers, log.container
            note = f"{log.pod} / {log.container}"
            self._log.rule.show(detail_lines.tabs_title(_LOG_TAB), (note,))
            self._log.empty = "Log is empty"
            at_end = self._log.cursor in (None, next(reversed(self._log_lines), None))
            self._log_lines = {str(position): text for position, (_, text) in enumerate(log.lines)}
        lines = self._log_lines
        self._log.show(tuple(lines), lambda key: rows.Row((rows.Cell(lines[key]),)))
        if at_end and lines:
            self._log.cursor = next(reversed(lines))
            self._log.call_after_refresh(self._log.reveal)  # when its height is known
        self.refresh_bindings()

    @property
    def is_paused(self) -> bool:
        """Whether the forward is paused."""
        return self._sample.forward is not None and self._sample.forward.paused

    @property
    def log_is_on(self) -> bool:
        """Whether the log is visible."""
        return self.tab == _LOG_TAB

    def action_tab(self, by: int) -> None:
        """Show the next tab (1) or the previous one (-1)."""
        self._show_tab(TABS[(TABS.index(self.tab) + by) % len(TABS)])

    def _show_tab(self, tab: str) -> None:
        self.tab = tab
        for name, table in self._tabs.items():
            table.display = name == tab
        self._tabs[tab].focus()
        self._request_log()
        self.refresh_bindings()

    def on_row_table_title_clicked(self, event: row_messages.TitleClicked) -> None:
        """Show the tab whose name is clicked."""
        tab = detail_lines.tab_at(self.tab, event.x)
        if tab is not None:
            self._show_tab(tab)

    def action_container(self) -> None:
        """Show the log of the next container."""
        if self._containers:
            following = dict(zip(self._containers, self._containers[1:], strict=False))
            self._container = following.get(self._container, self._containers[0])
            self._log.cursor = None
            self._request_log()

    def _request_log(self) -> None:
        self.post_message(
            messages.PodLogRequested(self.forward_id, on=self.log_is_on, container=self._container)
        )

    def action_back(self) -> None:
        """Go back to the dashboard."""
        self.dismiss()

    def action_move(self, by: int) -> None:
        """Show the next forward (1) or the previous one (-1)."""
        self.post_message(messages.DetailMoved(by))

    def action_test(self) -> None:
        """Test the chain again."""
        self._tested_at = None
        self._draw_lines()
        self.post_message(messages.ChainTestRequested(self.forward_id))

    def action_log(self) -> None:
        """Show the log of the pod."""
        if self._sample.forward is not None:
            self.post_message(messages.log_request(self._sample.forward))

    def action_forward(self, action: str) -> None:
        """Request an action, the value of a `ForwardAction`, on the forward; it may ask first."""
        forward = self._sample.forward
        if action == ForwardAction.STOP.value and forward is not None:
            confirm_stop(self, [forward], lambda: self._request(action))
        else:
            self._request(action)

    def _request(self, action: str) -> None:
        self.post_message(messages.ForwardActionRequested([self.forward_id], ForwardAction(action)))

    def action_stop(self) -> None:
        """Close the connection under the cursor, or stop the forward."""
        if self.tab != _CONNECTIONS_TAB:
            self.action_forward(ForwardAction.STOP.value)
        elif self._connection_table.cursor is not None:
            connection_id = int(self._connection_table.cursor)
            self.post_message(messages.CloseConnectionsRequested([connection_id]))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's signature
        """Return whether a key does something now; most do not for a stopped forward."""
        if action == "container":
            return self.log_is_on and len(self._containers) > 1
        return not (self._is_stopped and action in ("forward", "stop", "log", "test"))


def _stopped_line(_width: int, _height: int) -> Sequence[Line]:
    note = "  This forward was stopped. u restores it, esc goes back."
    return [(part(" ○ stopped", "warn"), part(note))]
