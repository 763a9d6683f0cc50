"""Details of one forward: state, hops, throughput, timeline, connections and pod log."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import ClassVar

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from tui_forward.common.access_options import describe_access_options
from tui_forward.common.formatting import (
    format_age,
    format_bytes,
    format_clock,
    format_rate,
    pluralize,
)
from tui_forward.common.kubectl_command import format_command
from tui_forward.errors import TuiForwardError
from tui_forward.model import (
    Connection,
    Forward,
    ForwardDefaults,
    ForwardState,
    Hop,
    PodLog,
    TimelineEntry,
    TimelineKind,
)
from tui_forward.settings.protected_contexts import INSECURE
from tui_forward.tui import messages
from tui_forward.tui.messages import ForwardAction
from tui_forward.tui.plain_text import PlainText, plain
from tui_forward.tui.screens.row_actions import confirm_stop
from tui_forward.tui.stylesheets import stylesheet
from tui_forward.tui.textual_internals import CompleteFrameScreen
from tui_forward.tui.viewmodel import columns, hop_rows, rows
from tui_forward.tui.viewmodel.cell_layout import Column
from tui_forward.tui.viewmodel.connection_rows import connection_labels, connection_row
from tui_forward.tui.viewmodel.header import HeaderContent
from tui_forward.tui.widgets.header_bar import HeaderBar
from tui_forward.tui.widgets.key_bar import KeyBar
from tui_forward.tui.widgets.rate_chart import RateChart
from tui_forward.tui.widgets.row_table import RowTable
from tui_forward.tui.widgets.status_line import StatusLine

_TIMELINE = (Column("time", 8), Column("", 1), Column("event", 20, flexible=True, prose=True))
_LOG = (Column("", 20, flexible=True, prose=True),)
_CHART_TITLE = " throughput, 5 min "
_MARKS = {
    TimelineKind.STATE: ("●", ""), TimelineKind.POD: ("↻", "strong"),
    TimelineKind.TUNNEL: ("═", "dim"), TimelineKind.CONNECTION: ("✗", "warn"),
    TimelineKind.NOTE: ("·", "dim"),
}  # fmt: skip


class DetailSample(msgspec.Struct, frozen=True):
    """State of one forward at one moment."""

    forward: Forward | None  # None after it was stopped
    # Bytes from and to the pod in each of the last seconds, oldest first.
    series: Sequence[tuple[int, int]] = ()
    ready: Sequence[bool] = ()  # whether a tunnel was up in each of them
    timeline: Sequence[TimelineEntry] = ()  # oldest first
    connections: Sequence[Connection] = ()  # oldest first


class DetailScreen(CompleteFrameScreen[None]):
    """Details of one forward."""

    CSS_PATH = stylesheet("detail.tcss")
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (24, "-low"), (32, "-tall")]  # noqa: RUF012 - as Textual declares it
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,backspace", "back", "Back", id="detail.back", tooltip="To the dashboard"),
        Binding("space,p", "forward('pause')", "Pause", id="detail.pause",
                tooltip="Pause the forward but keep its local port, or resume it"),
        Binding("r", "forward('reconnect')", "Reconnect", id="detail.reconnect",
                tooltip="Reconnect now"),
        Binding("e", "forward('edit')", "Edit", id="detail.edit",
                tooltip="Change local port, address, label and more; restarts the forward"),
        Binding("o", "forward('open')", "Open", id="detail.open", tooltip="Open in the browser"),
        Binding("y", "forward('copy')", "Copy", id="detail.copy",
                tooltip="Copy the local address to the clipboard"),
        Binding("l", "log", "Log", id="detail.log",
                tooltip="Show or hide the log of the container"),
        Binding("c", "container", "Container", show=False, id="detail.container",
                tooltip="Show the log of the pod's next container"),
        Binding("x", "stop", "Stop", id="detail.stop",
                tooltip="Stop the forward, or close the connection under the cursor"),
        Binding("question_mark,f1", "app.help", "Help", key_display="?", show=False,
                id="detail.help", tooltip="Show all keys and symbols"),
    ]  # fmt: skip
    AUTO_FOCUS = "#timeline"

    def __init__(
        self, forward_id: str, defaults: ForwardDefaults, *, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__()
        self.forward_id = forward_id
        self._defaults = defaults  # options its command leaves out
        self._clock = clock
        self._forward: Forward | None = None
        self._stopped = False
        self._entries: dict[str, TimelineEntry] = {}
        self._connections: dict[str, Connection] = {}
        self._session_header = HeaderBar()
        self._header = StatusLine(id="detail-head")
        self._hop_table = RowTable(hop_rows.COLUMNS, empty="Loading…", header=False, id="hops")
        self._hop_table.can_focus = False
        self._hops: dict[str, Hop] = {}
        self._error = PlainText(id="hop-error")
        self._error_text = ""
        self._error.display = False
        self._summary = [StatusLine(classes="summary") for _ in range(3)]
        self._chart = RateChart(id="chart")
        self._timeline = RowTable(_TIMELINE, empty="No events yet", id="timeline")
        self._connection_table = RowTable(
            columns.CONNECTIONS, empty="No connections yet", id="detail-conns"
        )
        self._log = RowTable(_LOG, empty="Loading…", header=False, id="pod-log")
        self._log.display = False
        self._log_lines: dict[str, str] = {}
        self._containers: tuple[str, ...] = ()
        self._container = ""
        self._chart_title = ""
        self._timeline.rule.show("timeline")
        self._connection_table.rule.show("connections")

    def compose(self) -> ComposeResult:
        """Show hops, summary, chart, timeline, connections or log, and keys."""
        yield self._session_header
        yield self._header
        yield self._hop_table
        yield self._error
        yield from self._summary
        yield self._chart
        yield self._timeline
        yield self._connection_table
        yield self._log
        yield KeyBar()

    def draw_header(self, build: Callable[[int], HeaderContent]) -> None:
        """Show the header of every screen."""
        self._session_header.show(build)

    def draw(self, sample: DetailSample) -> None:
        """Show a sample; a stopped forward stays visible with a note."""
        now = self._clock()
        if sample.forward is None:
            if not self._stopped and self._forward is not None:
                self._stopped = True
                note = rows.Cell("This forward was stopped. Press esc to go back.", "warn")
                self._header.show((rows.Cell("○ stopped", "warn"), note))
                self.refresh_bindings()
            return
        forward = self._forward = sample.forward
        target = rows.Cell(rows.target_text(forward), "strong")
        self._header.show((target, *rows.detail_text(forward, now)))
        summary = summary_lines(forward, now, self._defaults)
        for line, cells in zip(self._summary, summary, strict=True):
            line.show(cells)
        self._chart.show(sample.series, sample.ready)
        title = chart_title(forward, sample.series)
        if title != self._chart_title:
            self._chart_title = title
            self._chart.border_title = plain(title)
        self._draw_timeline(sample.timeline)
        self._connections = {str(one.id): one for one in reversed(sample.connections)}
        shown = tuple(self._connections.values())
        labels = connection_labels(shown, [forward], "", now)
        self._connection_table.show(
            tuple(self._connections),
            lambda key: connection_row(self._connections[key], now, labels),
            longest=labels.longest,
        )

    def _draw_timeline(self, timeline: Sequence[TimelineEntry]) -> None:
        # Newest first; the key is unique although several entries may have the same time.
        self._entries = {
            f"{entry.at:.6f} {position}": entry
            for position, entry in reversed(list(enumerate(timeline)))
        }
        self._timeline.show(tuple(self._entries), lambda key: timeline_row(self._entries[key]))

    def draw_hops(self, hops: Sequence[Hop]) -> None:
        """Show the hops, which are polled less often than the rest."""
        if self._stopped:
            return
        self._hops = {hop.kind.value: hop for hop in hops}
        self._hop_table.show(tuple(self._hops), lambda key: hop_rows.hop_row(self._hops[key]))
        text = hop_rows.hop_error_text(hops)
        if text != self._error_text:
            self._error_text = text
            self._error.display = bool(text)
            self._error.show(text)

    def draw_log(self, log: PodLog | None, error: TuiForwardError | None) -> None:
        """Show the log of a container, or why it cannot be loaded."""
        if error is not None:
            hint = f" → {error.hint}" if error.hint else ""
            self._log.empty = f"{error.message}{hint}"
            self._log_lines = {}
        elif log is not None:
            self._containers, self._container = log.containers, log.container
            self._log.rule.show(f"log of {log.pod} / {log.container}")
            self._log.empty = "Log is empty"
            at_end = self._log.cursor in (None, next(reversed(self._log_lines), None))
            self._log_lines = {str(position): text for position, (_, text) in enumerate(log.lines)}
        lines = self._log_lines
        self._log.show(tuple(lines), lambda key: rows.Row((rows.Cell(lines[key]),)))
        if log is not None and self._log_lines and at_end:
            self._log.cursor = next(reversed(self._log_lines))
            self._log.call_after_refresh(self._log.reveal)  # when its height is known

    @property
    def log_is_on(self) -> bool:
        """Whether the log is visible."""
        return bool(self._log.display)

    def action_log(self) -> None:
        """Show the log in place of the connections, or hide it."""
        self._log.display = not self._log.display
        self._connection_table.display = not self._log.display
        (self._log if self._log.display else self._timeline).focus()
        self._request_log()

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

    def action_forward(self, action: str) -> None:
        """Request an action, the value of a `ForwardAction`, on the forward; it may ask first."""
        forward = self._forward
        if action == ForwardAction.STOP.value and forward is not None:
            confirm_stop(self, [forward], lambda: self._request(action), binding="detail.stop")
        else:
            self._request(action)

    def _request(self, action: str) -> None:
        self.post_message(messages.ForwardActionRequested([self.forward_id], ForwardAction(action)))

    def action_stop(self) -> None:
        """Close the connection under the cursor, or stop the forward."""
        if self.focused is not self._connection_table:
            self.action_forward(ForwardAction.STOP.value)
        elif self._connection_table.cursor is not None:
            connection_id = int(self._connection_table.cursor)
            self.post_message(messages.CloseConnectionsRequested([connection_id]))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's signature
        """Return whether a key does something now; most do not for a stopped forward."""
        if action == "container":
            return self.log_is_on and len(self._containers) > 1
        return not (self._stopped and action in ("forward", "stop", "log"))


def summary_lines(forward: Forward, now: float, defaults: ForwardDefaults) -> list[list[rows.Cell]]:
    """Return three lines: the counters, the options, and the command of a forward."""
    spec, counters = forward.spec, forward.counters
    total, failed = counters.connections_total, counters.connections_failed
    counters_line = [
        rows.Cell(f"↓ {format_bytes(counters.bytes_from_pod)}"),
        rows.Cell(f"↑ {format_bytes(counters.bytes_to_pod)}"),
        rows.Cell(f"{pluralize(total, 'connection')}, {counters.connections_open} open"),
        rows.Cell(f"{failed} failed", "warn" if failed else "dim"),
    ]
    if forward.started_at:
        counters_line.append(rows.Cell(f"active for {format_age(now - forward.started_at)}", "dim"))
    options = [
        rows.Cell(f"context {spec.target.context}{INSECURE if forward.insecure else ''}", "dim"),
        rows.Cell(f"queue timeout {spec.queue_timeout_s:g} s", "dim"),
        rows.Cell("pinned to this pod" if spec.target.pin else "follows its owner", "dim"),
    ]
    if forward.environment:
        options.append(rows.Cell(f"environment of {forward.environment}", "warn"))
    if access := describe_access_options(spec.target.options):
        options.insert(1, rows.Cell(access, "warn"))
    if spec.label:
        options.insert(0, rows.Cell(f"label {spec.label}", "strong"))
    return [counters_line, options, [rows.Cell(format_command(spec, defaults), "dim")]]


def chart_title(forward: Forward, series: Sequence[tuple[int, int]]) -> str:
    """Return the title of the chart: peaks, and since when there is no tunnel."""
    parts = [_CHART_TITLE.strip()]
    for arrow, peak in (
        ("↓", max((down for down, _ in series), default=0)),
        ("↑", max((up for _, up in series), default=0)),
    ):
        if rate := format_rate(peak):
            parts.append(f"{arrow} peak {rate}")
    if forward.state is not ForwardState.READY and forward.since:
        parts.append(f"no tunnel since {format_clock(forward.since)}")
    return f" {' · '.join(parts)} "


def timeline_row(entry: TimelineEntry) -> rows.Row:
    """Return one row of the timeline."""
    mark, style = _MARKS[entry.kind]
    at = rows.Cell(format_clock(entry.at), "dim")
    return rows.Row((at, rows.Cell(mark, style), rows.Cell(entry.text, style)))
