"""Everything about one forward: state, where it leads, what flowed, what happened, who uses it.

Like the dashboard, the screen draws what it is given and asks the app to act.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import Static

from tui_forward.common.formatting import format_age, format_bytes, pluralize
from tui_forward.common.kubectl_command import format_command
from tui_forward.errors import TuiForwardError
from tui_forward.model import (
    Connection,
    Forward,
    ForwardDefaults,
    Hop,
    PodLog,
    TimelineEntry,
    TimelineKind,
)
from tui_forward.tui import messages as messages
from tui_forward.tui.messages import ForwardAction
from tui_forward.tui.stylesheets import stylesheet
from tui_forward.tui.viewmodel import columns, hop_rows, rows
from tui_forward.tui.viewmodel.cell_layout import Column
from tui_forward.tui.widgets.key_bar import KeyBar
from tui_forward.tui.widgets.rate_chart import RateChart
from tui_forward.tui.widgets.row_table import RowTable
from tui_forward.tui.widgets.status_line import StatusLine

_TIMELINE = (
    Column("time", 8),
    Column("", 1),
    Column("what happened", 20, flexible=True, prose=True),
)
_LOG = (Column("", 20, flexible=True, prose=True),)
_MARKS = {
    TimelineKind.STATE: ("●", ""),
    TimelineKind.POD: ("↻", "strong"),
    TimelineKind.TUNNEL: ("═", "dim"),
    TimelineKind.CONNECTION: ("✗", "warn"),
    TimelineKind.NOTE: ("·", "dim"),
}


@dataclass(frozen=True, slots=True)
class DetailSample:
    """What the app has just learnt of one forward.

    Attributes:
        forward: None when it is gone.
        series: Bytes from and to the pod in each of the last seconds, oldest first.
        timeline: Oldest first.
        connections: Oldest first.
    """

    forward: Forward | None
    series: Sequence[tuple[int, int]] = ()
    timeline: Sequence[TimelineEntry] = ()
    connections: Sequence[Connection] = ()


class DetailScreen(Screen[None]):
    """One forward.

    Args:
        forward_id: Which.
        defaults: What its command need not say.
        clock: Seconds since the epoch.
    """

    CSS_PATH = stylesheet("detail.tcss")
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (24, "-low"), (32, "-tall")]  # noqa: RUF012 - as Textual declares it
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,backspace", "back", "Back", id="detail.back", tooltip="To the dashboard"),
        Binding("space,p", "forward('pause')", "Pause", id="detail.pause",
                tooltip="Stop forwarding but keep the local port; again to go on"),
        Binding("r", "forward('reconnect')", "Reconnect", id="detail.reconnect",
                tooltip="Try again now"),
        Binding("e", "forward('edit')", "Edit", id="detail.edit",
                tooltip="Change local port, address, label, …; starts it anew"),
        Binding("o", "forward('open')", "Open", id="detail.open", tooltip="Show it in the browser"),
        Binding("y", "forward('copy')", "Copy", id="detail.copy",
                tooltip="Copy the local address to the clipboard"),
        Binding("l", "log", "Log", id="detail.log",
                tooltip="What the container behind it has written, or not any more"),
        Binding("c", "container", "Container", show=False, id="detail.container",
                tooltip="The log of the pod's next container"),
        Binding("x", "end", "Stop", id="detail.stop",
                tooltip="Stop the forward; in the list of connections, end the chosen one"),
        Binding("question_mark,f1", "app.help", "Help", key_display="?", show=False,
                id="detail.help", tooltip="Every key and every mark"),
    ]  # fmt: skip
    AUTO_FOCUS = "#timeline"

    def __init__(
        self,
        forward_id: str,
        defaults: ForwardDefaults,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__()
        self.forward_id = forward_id
        self._defaults = defaults
        self._clock = clock
        self._forward: Forward | None = None
        self._gone = False
        self._entries: dict[str, TimelineEntry] = {}
        self._connections: dict[str, Connection] = {}
        self._head = StatusLine(id="detail-head")
        self._way = RowTable(hop_rows.COLUMNS, empty="Asking …", header=False, id="way")
        self._way.can_focus = False
        self._hops: dict[str, Hop] = {}
        self._trouble = Static("", id="trouble", markup=False)
        self._told = ""
        self._trouble.display = False
        self._facts = [StatusLine(classes="facts") for _ in range(3)]
        self._chart = RateChart(id="chart")
        self._timeline = RowTable(_TIMELINE, empty="Nothing yet", id="timeline")
        self._table = RowTable(columns.CONNECTIONS, empty="No connection yet", id="detail-conns")
        self._log = RowTable(_LOG, empty="Asking for the log …", header=False, id="pod-log")
        self._log.display = False
        self._log_lines: dict[str, str] = {}
        self._containers: tuple[str, ...] = ()
        self._container = ""
        self._chart.border_title = " the last minutes "
        self._timeline.title = "timeline"
        self._table.title = "connections"

    def compose(self) -> ComposeResult:
        """The way, facts, chart, timeline, connections or log; keys."""
        yield self._head
        yield self._way
        yield self._trouble
        yield from self._facts
        yield self._chart
        yield self._timeline
        yield self._table
        yield self._log
        yield KeyBar()

    def draw(self, sample: DetailSample) -> None:
        """Show a sample. A forward that is gone stays as it was last seen, and is said to be."""
        now = self._clock()
        if sample.forward is None:
            if not self._gone and self._forward is not None:
                self._gone = True
                words = rows.Cell("this forward was stopped (esc goes back)", "warn")
                self._head.show((rows.Cell("○ gone", "warn"), words))
                self.refresh_bindings()
            return
        forward = self._forward = sample.forward
        self._head.show(
            (rows.Cell(rows.target_text(forward), "strong"), *rows.detail_text(forward, now))
        )
        for line, cells in zip(
            self._facts, summary_lines(forward, now, self._defaults), strict=True
        ):
            line.show(cells)
        self._chart.show(sample.series)
        self._draw_timeline(sample.timeline)
        self._connections = {str(one.id): one for one in reversed(sample.connections)}
        self._table.show(
            tuple(self._connections),
            lambda key: rows.connection_row(self._connections[key], now),
        )

    def _draw_timeline(self, timeline: Sequence[TimelineEntry]) -> None:
        # Newest first; an entry is known by its time and its place among those of that time.
        self._entries = {
            f"{entry.at:.6f} {place}": entry for place, entry in reversed(list(enumerate(timeline)))
        }
        self._timeline.show(tuple(self._entries), lambda key: timeline_row(self._entries[key]))

    def draw_hops(self, hops: Sequence[Hop]) -> None:
        """Show the stations; they are asked for less often than the rest."""
        if self._gone:
            return
        self._hops = {hop.kind.value: hop for hop in hops}
        self._way.show(tuple(self._hops), lambda key: hop_rows.hop_row(self._hops[key]))
        text = hop_rows.hop_error_text(hops)
        if text != self._told:
            self._told = text
            self._trouble.display = bool(text)
            self._trouble.update(text)

    def draw_log(self, log: PodLog | None, error: TuiForwardError | None) -> None:
        """Show what a container has written, or why that cannot be had."""
        if error is not None:
            hint = f" → {error.hint}" if error.hint else ""
            self._log.empty = f"{error.message}{hint}"
            self._log_lines = {}
        elif log is not None:
            self._containers, self._container = log.containers, log.container
            self._log.title = f"log of {log.pod} / {log.container}"
            self._log.empty = "Nothing was written yet"
            at_end = self._log.cursor is None or self._log.cursor == next(
                reversed(self._log_lines), None
            )
            self._log_lines = {str(place): line for place, line in enumerate(log.lines)}
        self._log.show(
            tuple(self._log_lines), lambda key: rows.Row((rows.Cell(self._log_lines[key]),))
        )
        if log is not None and self._log_lines and at_end:
            self._log.cursor = next(reversed(self._log_lines))
            self._log.call_after_refresh(self._log.reveal)  # when it knows how long it is

    @property
    def log_is_on(self) -> bool:
        """Whether the log is on show."""
        return bool(self._log.display)

    def action_log(self) -> None:
        """The log in place of the connections, or back."""
        self._log.display = not self._log.display
        self._table.display = not self._log.display
        (self._log if self._log.display else self._timeline).focus()
        self._wish_log()

    def action_container(self) -> None:
        """The log of the next container."""
        if self._containers:
            place = self._containers.index(self._container) if self._container else -1
            self._container = self._containers[(place + 1) % len(self._containers)]
            self._log.cursor = None
            self._wish_log()

    def _wish_log(self) -> None:
        self.post_message(
            messages.PodLogRequested(self.forward_id, on=self.log_is_on, container=self._container)
        )

    def action_back(self) -> None:
        """To the dashboard."""
        self.dismiss()

    def action_forward(self, wish: str) -> None:
        """Do something with the forward."""
        self.post_message(messages.ForwardActionRequested([self.forward_id], ForwardAction(wish)))

    def action_end(self) -> None:
        """End the chosen connection, or stop the forward."""
        if self.focused is not self._table:
            self.action_forward(ForwardAction.STOP.value)
        elif self._table.cursor is not None:
            self.post_message(messages.CloseConnectionsRequested([int(self._table.cursor)]))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's signature
        """Nothing can be done with what is gone."""
        if action == "container":
            return self.log_is_on and len(self._containers) > 1
        return not (self._gone and action in ("forward", "end", "log"))


def summary_lines(forward: Forward, now: float, defaults: ForwardDefaults) -> list[list[rows.Cell]]:
    """Three lines: the figures, how it was asked for, and its command."""
    spec, counters = forward.spec, forward.counters
    figures = [
        rows.Cell(f"↓ {format_bytes(counters.bytes_from_pod)}"),
        rows.Cell(f"↑ {format_bytes(counters.bytes_to_pod)}"),
        rows.Cell(
            f"{pluralize(counters.connections_total, 'connection')},"
            f" {counters.connections_open} open"
        ),
        rows.Cell(
            f"{counters.connections_failed} failed",
            "warn" if counters.connections_failed else "dim",
        ),
    ]
    if forward.started_at:
        figures.append(rows.Cell(f"on for {format_age(now - forward.started_at)}", "dim"))
    asked = [
        rows.Cell(f"context {spec.target.context}", "dim"),
        rows.Cell(f"holds connections for {spec.queue_timeout_s:g} s", "dim"),
        rows.Cell("stays with this pod" if spec.target.pin else "follows its owner", "dim"),
    ]
    if spec.label:
        asked.insert(0, rows.Cell(f"label {spec.label}", "strong"))
    return [figures, asked, [rows.Cell(format_command(spec, defaults), "dim")]]


def timeline_row(entry: TimelineEntry) -> rows.Row:
    """One line of the timeline."""
    mark, style = _MARKS[entry.kind]
    at = time.strftime("%H:%M:%S", time.localtime(entry.at))
    return rows.Row((rows.Cell(at, "dim"), rows.Cell(mark, style), rows.Cell(entry.text, style)))
