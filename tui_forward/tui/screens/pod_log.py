"""Log of a pod or of the pods of a workload, with or without a forward."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import ClassVar, Final

from msgspec.structs import replace
from textual import work
from textual.binding import Binding, BindingType

from tui_forward.common.blocking_call import run_in_thread
from tui_forward.common.user_folders import short_path
from tui_forward.errors import TuiForwardError
from tui_forward.model import LogSource, PodLog
from tui_forward.tui.screens.text_screen import TextScreen
from tui_forward.tui.viewmodel.hints import error_hint
from tui_forward.tui.viewmodel.log_tail import sanitize_terminal_text
from tui_forward.tui.viewmodel.pod_log import LogOptions, PodLogLines
from tui_forward.tui.viewmodel.rows import Cell

FOLLOW_S: Final = 1.0  # between two requests, each for what is new
_RETRY_S: Final = 3.0

ReadLog = Callable[[LogSource, str], Awaitable[PodLog]]
SaveLog = Callable[[str, str], Path]  # name and text; returns the file


class PodLogScreen(TextScreen):
    """The log of a container, which is followed; of another run, container or pod by a key."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("f,end,G", "follow", "Follow", key_display="f", id="podlog.follow",
                tooltip="Go to the end and follow new lines"),
        Binding("p", "previous_run", "Previous run", id="podlog.run",
                tooltip="Show the log of the run before the last start, or of the current one"),
        Binding("c", "container", "Container", id="podlog.container",
                tooltip="Show the next container of the pod"),
        Binding("J", "pod(1)", "Next pod", id="podlog.next-pod",
                tooltip="Show the next pod of the workload"),
        Binding("K", "pod(-1)", "Previous pod", show=False, id="podlog.previous-pod",
                tooltip="Show the previous pod of the workload"),
        Binding("ampersand", "only_matches", "Only matches", key_display="&", id="podlog.matches",
                tooltip="Show only lines that match the search"),
        Binding("t", "time", "Time", id="podlog.time", tooltip="Show the time of each line"),
        Binding("i", "json", "JSON", id="podlog.json",
                tooltip="Show lines that are JSON objects on several lines"),
        Binding("y", "copy", "Copy line", id="podlog.copy",
                tooltip="Copy the line of the match, else the last one shown"),
        Binding("ctrl+s", "save", "Save", id="podlog.save", tooltip="Save the log to a file"),
    ]  # fmt: skip

    def __init__(
        self, source: LogSource, read: ReadLog, save: SaveLog, *, follow_s: float = FOLLOW_S
    ) -> None:
        super().__init__()
        self.source = source
        self._read = read
        self._save = save
        self._follow_s = follow_s
        self._lines = PodLogLines()
        self._options = LogOptions()
        self._log: PodLog | None = None  # the latest answer
        self._containers: tuple[str, ...] = ()
        self._pods: tuple[str, ...] = ()
        self._state = ""
        self._error: TuiForwardError | None = None

    def on_mount(self) -> None:
        """Read the log."""
        super().on_mount()
        self._show(source=self.source)

    def _show(self, *, source: LogSource) -> None:
        """Show another log."""
        self.source = source
        self._lines.clear()
        self._log, self._error, self._state = None, None, ""
        self.text_view.following = True
        self._draw_lines()
        self._follow()

    @work(group="pod log", exclusive=True)
    async def _follow(self) -> None:
        while True:
            try:
                log = await self._read(self.source, self._lines.last_time)
            except TuiForwardError as error:
                self._take_error(error)
                await asyncio.sleep(_RETRY_S)
                continue
            self._take(log)
            if self.source.previous:
                return  # it does not change any more
            await asyncio.sleep(self._follow_s)

    def _take_error(self, error: TuiForwardError) -> None:
        self._error = error
        self._draw_lines()

    def _take(self, log: PodLog) -> None:
        is_first, had_error = self._log is None, self._error is not None
        self._log, self._error = log, None
        self.source = replace(self.source, pod=log.pod, container=log.container)
        self._containers = log.containers or self._containers
        self._pods = log.pods or self._pods
        if is_first:
            self._state = log.state
        if not self._lines.last_time:
            self._lines.clear()  # without times the whole log is read again
        if self._lines.add(log.lines) or is_first or had_error:
            self._draw_lines()
        else:
            self.draw_headline()
        self.refresh_bindings()

    def _draw_lines(self) -> None:
        shown = self._lines.shown(self._options)
        self.text_view.empty = self._empty_text()
        self.text_view.show(shown)
        self.draw_headline()

    def _empty_text(self) -> str:
        error = self._error
        if error is not None:
            hint = f" → {error_hint(error)}" if error.hint else ""
            return sanitize_terminal_text(f"{error.message}{hint}")
        if self._log is None:
            return "Loading…"
        if len(self._lines):
            return f"No line has “{sanitize_terminal_text(self._options.only_matches)}”"
        return "Log is empty"

    def headline_cells(self) -> Sequence[Cell]:
        """Return whose log it is, and what is known about it."""
        source = self.source
        name = source.pod or source.target.name
        title = f"log of {name}{f' / {source.container}' if source.container else ''}"
        cells = [Cell(sanitize_terminal_text(title), "strong")]
        if source.previous:
            cells.append(Cell("previous run", "warn"))
        if self._state:
            cells.append(Cell(sanitize_terminal_text(self._state), "warn"))
        if len(self._pods) > 1 and source.pod in self._pods:
            cells.append(Cell(f"pod {self._pods.index(source.pod) + 1}/{len(self._pods)}", "dim"))
        if self._error is not None and len(self._lines):
            cells.append(Cell(f"✗ {sanitize_terminal_text(self._error.message)}", "bad"))
        elif not source.previous:
            following = self.text_view.following
            cells.append(Cell("▼ following" if following else "‖ held", "ok" if following else ""))
        if self._options.only_matches:
            text = sanitize_terminal_text(self._options.only_matches)
            cells.append(Cell(f"only /{text}", "warn"))
        return cells

    def action_follow(self) -> None:
        """Go to the end and follow it."""
        self.text_view.action_scroll_end()
        self.draw_headline()

    def action_previous_run(self) -> None:
        """Show the run before the last start of the container, or the current one."""
        self._show(source=replace(self.source, previous=not self.source.previous))

    def action_container(self) -> None:
        """Show the next container of the pod."""
        if len(self._containers) < 2:
            self.notify("The pod has no other container", severity="warning")
            return
        name = _next(self._containers, self.source.container, 1)
        self._show(source=replace(self.source, container=name, previous=False))

    def action_pod(self, by: int) -> None:
        """Show the next pod (1) of the workload, or the previous one (-1)."""
        if len(self._pods) < 2:
            self.notify("There is no other pod", severity="warning")
            return
        name = _next(self._pods, self.source.pod, by)
        self._show(source=replace(self.source, pod=name, container="", previous=False))

    def action_only_matches(self) -> None:
        """Show only lines that match the search, or all."""
        wanted = "" if self._options.only_matches else self.search_text
        if not wanted and not self._options.only_matches:
            self.notify("Search first: / finds a text", severity="warning")
            return
        self._set(replace(self._options, only_matches=wanted))

    def search_for(self, text: str) -> None:
        """Search a text; lines that do not match stay hidden if they were."""
        if self._options.only_matches:
            self._set(replace(self._options, only_matches=text))
        super().search_for(text)

    def action_time(self) -> None:
        """Show or hide the time of each line."""
        options = self._options
        self._set(replace(options, with_time=not options.with_time))

    def action_json(self) -> None:
        """Show JSON objects on several lines, or as they were written."""
        options = self._options
        self._set(replace(options, pretty_json=not options.pretty_json))

    def _set(self, options: LogOptions) -> None:
        self._options = options
        self._draw_lines()

    def action_copy(self) -> None:
        """Copy the line of the current match, else the last one that is visible."""
        text = self.text_view.current_text()
        if text:
            self.app.copy_to_clipboard(text)
            self.notify("Copied the line")
        else:
            self.notify("There is no line to copy", severity="warning")

    @work(group="save log", exclusive=True)
    async def action_save(self) -> None:
        """Save all lines that are kept to a file."""
        name = "-".join(filter(None, (self.source.pod or "log", self.source.container)))
        text = self._lines.text()
        try:
            path = await run_in_thread(lambda: self._save(name, text), name="save log")
        except OSError as error:
            cause = error.strerror or type(error).__name__
            self.notify(f"The log was not saved: {cause}", severity="error", markup=False)
        else:
            self.notify(f"Saved {short_path(path)}", markup=False)


def _next(names: Sequence[str], name: str, by: int) -> str:
    position = names.index(name) if name in names else -by
    return names[(position + by) % len(names)]
