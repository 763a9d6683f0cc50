"""Which entries match the filter, and how well. Pure.

A query that is extended filters the previous matches.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tui_forward.model import TargetKind
from tui_forward.tui.viewmodel.cluster_state import ClusterState
from tui_forward.tui.viewmodel.entries import Entry
from tui_forward.tui.viewmodel.entry_cache import EntryCache
from tui_forward.tui.viewmodel.filter_query import FilterQuery, parse_query
from tui_forward.tui.viewmodel.sorted_entries import TOP, SortedEntries


class EntryMatches:
    """Scores of the entries that match a query."""

    def __init__(
        self, cluster_state: ClusterState, cache: EntryCache, lists: SortedEntries
    ) -> None:
        self.query: FilterQuery = parse_query("")  # the one that was applied last
        self.scores: dict[str, int] = {}  # of matching keys, if there is a query
        # Per workload: its matching pods in order, and the best score.
        self.pods_of: dict[str, tuple[Sequence[str], int]] = {}
        self._cluster_state = cluster_state
        self._cache = cache
        self._lists = lists

    def reset(self) -> None:
        """Match everything, for other lists."""
        self.query, self.scores = parse_query(""), {}
        self.pods_of.clear()

    def forget_order(self, parents: Iterable[str] | None) -> None:
        """Forget the order of the pods of these workloads; of all of them for None."""
        if parents is None:
            self.pods_of.clear()
            return
        for parent in parents:
            self.pods_of.pop(parent, None)

    def apply(self, query: FilterQuery) -> None:
        """Score all entries, or only the previous matches if the query was extended."""
        narrower = bool(self.query) and query.is_narrower_than(self.query)
        keys = self.scores if narrower else self._lists.parents
        self.pods_of.clear()
        self.query, scores = query, {}
        if query:
            score, pods, pod_entry = query.scorer, self._cluster_state.pods, None
            for key in keys:
                pod = pods.get(key)
                if pod is None:
                    entry = self._cache.get(key)
                elif pod_entry is None:
                    entry = pod_entry = Entry("", TargetKind.POD, pod)
                else:  # the same one for all of 10,000 pods
                    entry = pod_entry
                    entry.item = pod
                found = score(entry) if entry is not None else None
                if found is not None:
                    scores[key] = found
        self.scores = scores

    def rescore(self, changed: Iterable[str]) -> bool:
        """Score changed keys; return whether any score changed."""
        changed_scores = False
        if not self.query:
            return changed_scores
        for key in changed:
            before = self.scores.pop(key, None)
            entry = self._cache.get(key) if self._lists.parent_of(key) is not None else None
            found = self.query.score(entry) if entry is not None else None
            if found is not None:
                self.scores[key] = found
            if found != before:
                changed_scores = True
                self.pods_of.pop(self._lists.parents.get(key, TOP), None)
        return changed_scores
