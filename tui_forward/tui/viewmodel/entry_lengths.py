"""Lengths of the cells of all entries, measured little by little. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from tui_forward.model import TargetKind
from tui_forward.tui.viewmodel.cell_layout import LengthCounts
from tui_forward.tui.viewmodel.cluster_state import ClusterState
from tui_forward.tui.viewmodel.entries import Entry
from tui_forward.tui.viewmodel.entry_cache import EntryCache
from tui_forward.tui.viewmodel.entry_rows import (
    LENGTH_COLUMNS,
    NAME_COLUMN,
    STAR,
    entry_lengths,
    pod_lengths,
)
from tui_forward.tui.viewmodel.sorted_entries import TOP, SortedEntries

_AT_ONCE = 150  # rows: two milliseconds


class EntryLengths:
    """The longest cells of all rows of a kind, whether shown or not."""

    def __init__(
        self, cluster_state: ClusterState, cache: EntryCache, lists: SortedEntries
    ) -> None:
        self._cluster_state = cluster_state
        self._cache = cache
        self._lists = lists
        self._lengths = LengthCounts(LENGTH_COLUMNS)
        self._unmeasured: list[str] = []  # the next ones last

    def longest(self, favorites: Iterable[str]) -> list[int]:
        """Return the length of the longest cell of each column; favorites have a star."""
        longest = self._lengths.longest
        for key in favorites:
            if (lengths := self._lengths.get(key)) is not None:
                longest[NAME_COLUMN] = max(longest[NAME_COLUMN], lengths[NAME_COLUMN] + len(STAR))
        return longest

    def measure_all(self) -> None:
        """Measure the first rows now, the others little by little."""
        self._lengths.clear()
        keys = list(self._lists.listed(TOP))
        keys += [key for key, parent in self._lists.parents.items() if parent != TOP]
        self._unmeasured = keys[:_AT_ONCE:-1] if len(keys) > _AT_ONCE else []
        self._measure(keys[: _AT_ONCE + 1])

    def update(self, changed: Iterable[str]) -> None:
        """Measure rows that were added or changed, forget those removed."""
        self._measure(changed)

    def measure_more(self) -> None:
        """Measure the next of a long list."""
        if self._unmeasured:
            self._measure(self._unmeasured[-_AT_ONCE:])
            del self._unmeasured[-_AT_ONCE:]

    def _measure(self, keys: Iterable[str]) -> None:
        pods, kind, parents = self._cluster_state.pods, self._lists.kind, self._lists.parents
        with_namespace = not self._cluster_state.scope.namespace
        for key in keys:
            parent, pod = parents.get(key), pods.get(key)
            lengths = None
            if parent is not None and pod is not None:  # without an `Entry` for each of 10,000
                owner = parent.rpartition("/")[2] if parent else ""
                lengths = pod_lengths(pod, kind, owner, with_namespace)
            elif parent is not None and (entry := self._entry(key)) is not None:
                lengths = entry_lengths(entry, kind, with_namespace)
            self._lengths.set(key, lengths)

    def _entry(self, key: str) -> Entry | None:
        """Return an entry; of a workload without its pods, unless its status depends on them."""
        workload = self._cluster_state.workloads.get(key)
        if workload is None or workload.kind is TargetKind.JOB:
            return self._cache.get(key)
        return Entry(key, workload.kind, workload)
