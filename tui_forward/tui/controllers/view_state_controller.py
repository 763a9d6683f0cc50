"""Restores what the dashboard showed last, and saves what it shows."""

from __future__ import annotations

import asyncio

from tui_forward.tui.screens.dashboard import Dashboard
from tui_forward.tui.storage.view_state import ViewState, ViewStateStore

SAVE_INTERVAL_S = 1.0


class ViewStateController:
    """Saves kind, sort orders, filters and cursor of the dashboard."""

    def __init__(
        self, dashboard: Dashboard, store: ViewStateStore, origin: tuple[str, str]
    ) -> None:
        self._dashboard = dashboard
        self._store = store
        self._origin = origin  # see `ViewState`
        self._input = asyncio.Event()

    @property
    def problem(self) -> str:
        """Why the file cannot be read or written, in a sentence; empty if it can."""
        return self._store.problem

    @property
    def current(self) -> ViewState:
        """What the dashboard shows."""
        entry_table, forward_table = self._dashboard.tables.entries, self._dashboard.tables.forwards
        entries, scope = entry_table.entries, self._dashboard.cluster_state.scope
        return ViewState(
            origin=self._origin, context=scope.context, namespace=scope.namespace,
            view=entries.kind, sort=str(entry_table.order), query=entries.query.text,
            row=entry_table.cursor_rules.pending or entry_table.cursor or "",
            forward_sort=str(forward_table.order), forward_group=forward_table.group,
            forward_query=forward_table.filter_query.text,
            heights=self._dashboard.body.stored_heights(),
        )  # fmt: skip

    def restore(self) -> None:
        """Restore kinds and sort orders; filters and the cursor only in the same scope."""
        state = self._store.state
        if state is not None:
            scope = self._dashboard.cluster_state.scope
            same_scope = (state.context, state.namespace) == (scope.context, scope.namespace)
            self._dashboard.tables.entries.restore(state, same_scope=same_scope)
            self._dashboard.tables.forwards.restore(state, same_scope=same_scope)
            self._dashboard.body.restore_heights(state.heights)

    def save(self) -> None:
        """Save now; blocks while the file is written."""
        self._store.save(self.current)

    def note_input(self) -> None:
        """Note a key or a move of the mouse, which may change what is shown."""
        self._input.set()

    async def run(self) -> None:
        """Save a moment after the user did something, until canceled."""
        while True:
            await self._input.wait()
            await asyncio.sleep(SAVE_INTERVAL_S)
            self._input.clear()
            await asyncio.to_thread(self._store.save, self.current)
