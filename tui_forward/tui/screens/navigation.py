"""Where keys and commands move the focus and the cursors of the dashboard."""

from __future__ import annotations

from collections.abc import Callable

from textual.screen import Screen

from tui_forward.model import Forward
from tui_forward.tui import messages
from tui_forward.tui.screens.sample_renderer import SampleRenderer
from tui_forward.tui.viewmodel.entries import EntryKind
from tui_forward.tui.viewmodel.forward_rows import has_problem
from tui_forward.tui.viewmodel.pane_layout import Pane
from tui_forward.tui.widgets.pane_tables import PaneTables


class Navigation:
    """Moves to panes, forwards and entries; a filter that hides the row is cleared."""

    def __init__(
        self, screen: Screen[None], renderer: SampleRenderer, tables: PaneTables,
        on_change: Callable[[], None],
    ) -> None:  # fmt: skip
        self._screen = screen
        self._renderer = renderer
        self._body = renderer.body
        self._tables = tables
        self._on_change = on_change  # draws what depends on the cursor

    def next_pane(self, by: int) -> None:
        """Go to the next pane, in the same order in every layout."""
        panes = list(Pane)
        self._body.focus_pane(panes[(panes.index(self._body.focused_pane) + by) % len(panes)])

    def next_problem(self) -> None:
        """Go to the next forward with a problem."""
        forwards = self._tables.forwards
        keys = forwards.keys
        problems = [key for key in keys if key in forwards.rule.problems]
        if not problems:
            hidden = any(map(has_problem, self._renderer.sample.snapshot.forwards))
            text = "No problem matches the filter. esc clears it." if hidden else "No problems"
            self._screen.notify(text, severity="warning" if hidden else "information")
            return
        at = keys.index(forwards.cursor) if forwards.cursor in keys else -1
        is_there = self._body.focused_pane is Pane.FORWARDS
        start = at + 1 if is_there else 0
        after = [key for key in keys[start:] if key in problems]
        forwards.follow(after[0] if after else problems[0])
        self._leave_top_talkers()
        self._body.focus_pane(Pane.FORWARDS)

    def go_to_forward(self, forward: Forward) -> None:
        """Move to the row of a forward; a filter that hides it is cleared."""
        forwards = self._tables.forwards
        if forward.id not in forwards.keys and forwards.filter_query:
            forwards.clear_filter()
        forwards.follow(forward.id)
        self._leave_top_talkers()
        self._body.focus_pane(Pane.FORWARDS)

    def _leave_top_talkers(self) -> None:
        """Show the connections of the forward that the user goes to, after a look at all."""
        self._tables.connections.leave_top_talkers()
        self._tables.redraw(self._tables.connections)
        self._screen.post_message(messages.SampleRequested())

    def go_to_entry(self, kind: EntryKind, key: str) -> None:
        """Show a kind of entries, and move to one of them unless the key is empty."""
        table = self._tables.entries
        table.show_kind(kind)
        if key:
            if table.filter_query:
                table.clear_filter()
            table.unfold_to(key)
            table.follow(key)
        self._body.focus_pane(Pane.CLUSTER)
        self._on_change()

    def follow_started(self, forward_id: str, always: bool) -> None:
        """Move the cursor of the forwards to one, unless they have the focus or `always`."""
        if always or self._body.focused_pane is not Pane.FORWARDS:
            self._tables.forwards.follow(forward_id)
