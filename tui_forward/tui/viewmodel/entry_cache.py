"""Entries of a cluster state, made when they are needed. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from tui_forward.tui.viewmodel.cluster_state import ClusterState
from tui_forward.tui.viewmodel.entries import Entry, entry_of, entry_of_item


class EntryCache:
    """The entry of each key, until its object changes."""

    def __init__(self, cluster_state: ClusterState) -> None:
        self._cluster_state = cluster_state
        self.made: dict[str, Entry] = {}

    def get(self, key: str) -> Entry | None:
        """Return the entry of a key, or None if the object does not exist.

        An object that is gone, but is still shown, exists.
        """
        entry = self.made.get(key)
        if entry is None:
            state = self._cluster_state
            if (entry := entry_of(state, key)) is not None:
                self.made[key] = entry
            elif (removed := state.removed.get(key)) is not None:
                return entry_of_item(state, removed)
        return entry

    def forget(self, keys: Iterable[str] | None) -> None:
        """Forget entries whose objects have changed; all of them for None."""
        if keys is None:
            self.made.clear()
            return
        for key in keys:
            self.made.pop(key, None)
