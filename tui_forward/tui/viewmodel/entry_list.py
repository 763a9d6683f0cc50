"""List of entries: filtered, sorted and updated incrementally. Pure.

Made for 10,000 pods with hundreds of changes per second: only changed entries are evaluated,
sorted lists are not sorted again, and a query that is extended filters the previous matches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set

from tui_forward.model import TargetKind
from tui_forward.tui.viewmodel.cluster_state import ClusterState, owner_key
from tui_forward.tui.viewmodel.entries import Entry, EntryKind
from tui_forward.tui.viewmodel.entry_arrangement import NEVER, EntryArrangement
from tui_forward.tui.viewmodel.entry_cache import EntryCache
from tui_forward.tui.viewmodel.entry_lengths import EntryLengths
from tui_forward.tui.viewmodel.entry_matches import EntryMatches
from tui_forward.tui.viewmodel.filter_query import FilterQuery, parse_query
from tui_forward.tui.viewmodel.sorted_entries import SortedEntries
from tui_forward.tui.viewmodel.sorting import DEFAULT_ORDER

_POD = "pod/"


class EntryList:
    """Filtered and sorted list of the entries of a cluster state, with workloads that fold.

    Set its attributes, then call `update`. It is the only caller of `ClusterState.changes`.
    """

    def __init__(self, cluster_state: ClusterState) -> None:
        self.cluster_state = cluster_state
        self.kind = EntryKind.WORKLOADS
        self.order = DEFAULT_ORDER
        self.query: FilterQuery = parse_query("")
        self.favorites: Set[str] = frozenset()  # keys that come first
        self.recent: Mapping[str, int] = {}  # recently used keys with their rank, 0 for the latest
        # Lines for rows. Without room for the pods of all workloads, those of workloads that are
        # ready are folded; None is room for any number.
        self.room: int | None = None
        self.folds: dict[str, bool] = {}  # workloads that the user has folded or unfolded
        self.keys: tuple[str, ...] = ()  # keys of the shown entries, in order
        self._cache = EntryCache(cluster_state)
        self._sorted = SortedEntries(cluster_state, self._cache)
        self._matches = EntryMatches(cluster_state, self._cache, self._sorted)
        self._lengths = EntryLengths(cluster_state, self._cache, self._sorted)
        self._arrangement = EntryArrangement(self._sorted, self._matches, self.is_folded)
        self._troubled: set[str] = set()  # workloads that are not ready
        self._is_stale = True  # whether the rows have to be arranged again
        self._arranged_by: tuple[object, ...] = ()

    def entry(self, key: str) -> Entry | None:
        """Return the entry of a key, or None if the object does not exist."""
        return self._cache.get(key)

    @property
    def last_preferred(self) -> str | None:
        """The last of the favorites and recently used entries, if others follow."""
        return self._arrangement.last_preferred

    @property
    def count(self) -> int:
        """Return the number of entries of the kind, with those that the query hides."""
        return len(self._sorted.parents)

    @property
    def longest(self) -> list[int]:
        """Lengths of the longest cells of all rows of this kind, whether shown or not."""
        return self._lengths.longest(self.favorites)

    def endpoints(self, entry: Entry) -> int | None:
        """Return the number of Ready pods of a service; None for others, and if unknown."""
        return self._sorted.endpoints(entry)

    def is_listed(self, key: str) -> bool:
        """Return whether an entry is of the kind, also if the query or a fold hides it."""
        return key in self._sorted.parents

    def depth(self, key: str) -> int:
        """Return 0, or 1 for a pod below its workload."""
        return int(self.kind is EntryKind.WORKLOADS and self.parent(key) is not None)

    def owner_name(self, key: str) -> str:
        """Return the name of the workload that a pod is listed below; empty for other entries."""
        parent = self.parent(key) if self.kind is EntryKind.WORKLOADS else None
        return parent.rpartition("/")[2] if parent is not None else ""

    def fold_symbol(self, key: str) -> str:
        """Return the symbol before a row in a list where some can be folded."""
        if self.kind is not EntryKind.WORKLOADS:
            return ""
        if not self.is_foldable(key):
            return " "
        return "▸" if self.is_folded(key) and not self.query else "▾"

    def is_folded(self, key: str) -> bool:
        """Return whether the pods of a workload are hidden while no query looks for them."""
        choice = self.folds.get(key)
        return choice if choice is not None else self._folds_ready and key not in self._troubled

    @property
    def _folds_ready(self) -> bool:
        return self.room is not None and len(self._sorted.parents) > self.room

    def is_foldable(self, key: str) -> bool:
        """Return whether it is a workload with pods that can be folded."""
        return self.kind is EntryKind.WORKLOADS and bool(self.cluster_state.pods_of(key))

    def parent(self, key: str) -> str | None:
        """Return the workload above a pod, if it is listed."""
        pod = self.cluster_state.pods.get(key)
        owner = owner_key(pod) if pod is not None else None
        return owner if owner is not None and owner in self.cluster_state.workloads else None

    def merge(self) -> None:
        """Apply changes of the cluster state, but leave the rows as they are until `update`.

        Until then, rows may have entries that are gone.
        """
        if not self.cluster_state.is_all_new and not self._sorted.is_of_another_kind:
            self._merge(self._affected(self.cluster_state.changes() or set()))

    def update(self) -> None:
        """Apply changes of the cluster state and of attributes."""
        changed = self.cluster_state.changes()
        lists, matches = self._sorted, self._matches
        lists.kind, lists.order = self.kind, self.order
        if changed is None or lists.is_of_another_kind:
            self._cache.forget(None if changed is None else self._affected(changed))
            lists.rebuild()
            matches.reset()
            self._lengths.measure_all()
            self._find_troubled()
            self._is_stale = True
        else:
            self._merge(self._affected(changed))
            self._lengths.measure_more()
        self._cache.forget(self.cluster_state.forget_removed())
        if self.query != matches.query:
            matches.apply(self.query)
            self._is_stale = True
        self._arrange()

    def _merge(self, changed: set[str]) -> None:
        self._cache.forget(changed)
        # Evaluate with the previous query first, so that its matches can be narrowed.
        rescored = self._matches.rescore(changed)
        moved = self._sorted.update(changed)
        self._matches.forget_order(moved)
        self._is_stale |= rescored or moved is None or bool(moved)
        self._lengths.update(changed)
        self._note_troubled(changed)

    def _arrange(self) -> None:
        """Arrange the rows if the lists, or what they are arranged by, have changed."""
        folded = (dict(self.folds), frozenset(self._troubled) if self._folds_ready else None)
        arrangement = (self.favorites, dict(self.recent), folded)
        if not self._is_stale and arrangement == self._arranged_by:
            return
        self._is_stale = False
        if arrangement[:2] != self._arranged_by[:2]:
            self._matches.forget_order(None)
        self._arranged_by = (frozenset(self.favorites), *arrangement[1:])
        preferences = {
            key: (key not in self.favorites, self.recent.get(key, NEVER))
            for key in (*self.favorites, *self.recent)
            if self.is_listed(key) and not self._sorted.is_sorted
        }
        keys = tuple(self._arrangement.arrange(preferences))
        if keys != self.keys:  # keep the identity if equal: comparing is then cheap
            self.keys = keys

    def _affected(self, changed: Set[str]) -> set[str]:
        """Return changed keys and those that depend on them."""
        cluster_state = self.cluster_state
        affected = set(changed)
        for key in changed:
            if key.startswith(_POD):
                pod = cluster_state.pods.get(key)
                # The ports of a workload are those of its pods. `changes` has the previous owner.
                if pod is not None and (owner := owner_key(pod)) is not None:
                    affected.add(owner)
            elif (key in cluster_state.workloads) != (key in self._sorted.parents):
                affected.update(cluster_state.pods_of(key))
        return affected

    # Workloads that are not ready -----------------------------------------------------------

    def _find_troubled(self) -> None:
        """Note all workloads that are not ready."""
        self._troubled.clear()
        self._note_troubled(self.cluster_state.workloads)

    def _is_troubled(self, key: str) -> bool:
        workload = self.cluster_state.workloads.get(key)
        if workload is None:
            return False
        if workload.kind is TargetKind.JOB:
            entry = self.entry(key)
            return entry is not None and entry.in_trouble
        return workload.ready < workload.replicas

    def _note_troubled(self, keys: Iterable[str]) -> None:
        """Note which of these workloads are not ready."""
        for key in keys:
            if key in self._sorted.parents and self._is_troubled(key):
                self._troubled.add(key)
            else:
                self._troubled.discard(key)
