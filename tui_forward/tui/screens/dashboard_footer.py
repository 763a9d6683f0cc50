"""What the footer of the dashboard shows: the keys that work now, and their words."""

from __future__ import annotations

from textual.screen import Screen

from tui_forward.model import BlockedBy
from tui_forward.tui.keys.dashboard_keys import FOOTERS, SELECTION_FOOTERS, PaneFooter
from tui_forward.tui.screens.row_actions import RowActions
from tui_forward.tui.screens.sample_renderer import SampleRenderer
from tui_forward.tui.widgets.pane_tables import PaneTables


class DashboardFooter:
    """Implements `FooterSource` for the focused pane."""

    def __init__(
        self, screen: Screen[None], renderer: SampleRenderer, tables: PaneTables, rows: RowActions
    ) -> None:
        self._screen = screen
        self._renderer = renderer
        self._body = renderer.body
        self._tables = tables
        self._rows = rows
        self._key_state: tuple[object, ...] = ()

    def refresh(self) -> None:
        """Update the key bar when other keys work; Textual does so when the focus moves."""
        state = self._current_state()
        if state != self._key_state:  # it takes milliseconds
            self._key_state = state
            self._screen.refresh_bindings()

    def note_focus(self) -> None:
        """Remember what Textual is about to show after a move of the focus."""
        self._key_state = self._current_state()

    def _current_state(self) -> tuple[object, ...]:
        """Return all that keys and words depend on, except for the focus."""
        return (
            bool(self._rows.forwards()),
            self._is_paused(),
            self._tables.connections.shows_all,
            self._tables.connections.shows_closed,
            self._needs_login,
            self.prefix,
        )

    @property
    def keys(self) -> PaneFooter:
        """The keys of the focused pane."""
        pane = self._body.focused_pane
        if self.prefix and pane in SELECTION_FOOTERS:
            return SELECTION_FOOTERS[pane]
        return FOOTERS[pane]

    @property
    def prefix(self) -> str:
        """How many rows are selected in the focused pane."""
        return self._body.table(self._body.focused_pane).selection.text

    @property
    def urgent_keys(self) -> tuple[str, ...]:
        """Keys that are always shown: to log in, where the row or the cluster shown needs it."""
        return ("app.log-in",) if self._needs_login else ()

    def words(self, binding: str) -> str:
        """Return what a key does now, if that differs from its usual words."""
        connections = self._tables.connections
        if binding == "forwards.pause" and self._is_paused():
            return "Continue"
        if binding == "panes.zoom" and self._body.is_zoomed:
            return "Zoom out"
        if binding == "connections.all" and connections.shows_all:
            return "This forward"
        if binding == "connections.closed" and connections.shows_closed:
            return "Hide closed"
        return ""

    def is_idle(self, binding: str) -> bool:
        """Return whether a key that acts on forwards has none to act on."""
        is_on_forwards = binding.startswith("forwards.") and binding != "forwards.log"
        return is_on_forwards and not self._rows.forwards()

    def _is_paused(self) -> bool:
        forwards = self._rows.forwards()
        return bool(forwards) and all(forward.paused for forward in forwards)

    @property
    def _needs_login(self) -> bool:
        snapshot = self._renderer.sample.snapshot
        waiting = [self._renderer.cluster_state.health, *self._rows.forwards()]
        by_credentials = (
            one is not None and one.blocked_by is BlockedBy.CREDENTIALS for one in waiting
        )
        return bool(snapshot.logins) or any(by_credentials)
