"""List of entries: filtered, sorted and updated incrementally. Pure.

Made for 10,000 pods with hundreds of changes per second: only changed entries are evaluated,
sorted lists are not sorted again, and a query that is extended filters the previous matches.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable, Mapping, Set
from typing import Any

from tui_forward.model import Service, TargetKind
from tui_forward.tui.viewmodel.cell_layout import LengthCounts
from tui_forward.tui.viewmodel.cluster_state import ClusterState, owner_key
from tui_forward.tui.viewmodel.endpoint_counts import EndpointCounts
from tui_forward.tui.viewmodel.entries import Entry, EntryKind, entry_of
from tui_forward.tui.viewmodel.entry_rows import (
    LENGTH_COLUMNS,
    NAME_COLUMN,
    STAR,
    entry_lengths,
    pod_lengths,
)
from tui_forward.tui.viewmodel.entry_sorts import ENDPOINTS, is_sorted, sort_value
from tui_forward.tui.viewmodel.filter_query import FilterQuery, parse_query
from tui_forward.tui.viewmodel.sorting import DEFAULT_ORDER, SortOrder

_TOP = ""  # the list of entries without a parent
_NEVER = 1 << 30
_MEASURED_AT_ONCE = 250  # rows: two milliseconds
_MAX_INSERTS = 500  # beyond, sorting is faster than inserting one by one
_LEAST_PREFERRED = (True, _NEVER + 1)  # after every preferred key
_NO_PREFERENCES: Mapping[str, tuple[bool, int]] = {}
_NO_MATCHES: tuple[list[str], int] = ([], -1)
_POD = "pod/"


class EntryList:
    """Filtered and sorted list of the entries of a cluster state.

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
        # The last of the favorites and recently used entries, if others follow.
        self.last_preferred: str | None = None
        self._entries: dict[str, Entry] = {}
        # The lists are independent of favorites, folds and the query, so that a change of
        # these does not sort anything.
        self._list_order: tuple[EntryKind, SortOrder] | None = None
        self._lists: dict[str, list[str]] = {}  # sorted, per parent: the top and each workload
        self._parents: dict[str, str] = {}  # the list of each key
        self._troubled: set[str] = set()  # workloads that are not ready
        self._sort_values: dict[str, Any] = {}  # sorted before the name
        self._lengths = LengthCounts(LENGTH_COLUMNS)
        self._unmeasured: list[str] = []  # the next ones last
        self._endpoints = EndpointCounts(cluster_state)  # while services are listed
        self._applied_query = self.query
        self._scores: dict[str, int] = {}  # of matching keys, if there is a query
        # Per workload: its matching pods, and the best score.
        self._matching_pods: dict[str, tuple[list[str], int]] = {}
        self._arranged_by: tuple[object, ...] = ()

    def entry(self, key: str) -> Entry | None:
        """Return the entry of a key, or None if the object does not exist."""
        entry = self._entries.get(key)
        if entry is None and (entry := entry_of(self.cluster_state, key)) is not None:
            self._entries[key] = entry
        return entry

    @property
    def count(self) -> int:
        """Return the number of entries of the kind, with those that the query hides."""
        return len(self._parents)

    def is_listed(self, key: str) -> bool:
        """Return whether an entry is of the kind, also if the query or a fold hides it."""
        return key in self._parents

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
        return self.room is not None and len(self._parents) > self.room

    def is_foldable(self, key: str) -> bool:
        """Return whether it is a workload with pods that can be folded."""
        return self.kind is EntryKind.WORKLOADS and bool(self.cluster_state.pods_of(key))

    def parent(self, key: str) -> str | None:
        """Return the workload above a pod, if it is listed."""
        pod = self.cluster_state.pods.get(key)
        owner = owner_key(pod) if pod is not None else None
        return owner if owner is not None and owner in self.cluster_state.workloads else None

    def update(self) -> None:
        """Apply changes of the cluster state and of attributes."""
        changed = self.cluster_state.changes()
        list_order = (self.kind, self.order)
        if changed is None:
            self._entries.clear()
        else:
            changed = self._affected(changed)
            for key in changed:
                self._entries.pop(key, None)
        self._count_endpoints(changed)
        stale = True
        if changed is None or self._list_order is None or list_order[0] is not self._list_order[0]:
            self._build_lists()
            self._measure_all()
            self._applied_query, self._scores = parse_query(""), {}
        else:
            # Evaluate with the previous query first, so that its matches can be narrowed.
            rescored = bool(changed) and self._rescore(changed)
            if list_order != self._list_order or (changed and self._sorts_by_pods):
                self._build_lists()
            else:
                stale = (bool(changed) and self._move(changed)) or rescored
            self._measure(changed)
            self._note_troubled(changed)
            if self._unmeasured:
                self._measure(self._unmeasured[-_MEASURED_AT_ONCE:])
                del self._unmeasured[-_MEASURED_AT_ONCE:]
        self._list_order = list_order
        if self.query != self._applied_query:
            self._apply_query()
            stale = True
        folded = (dict(self.folds), frozenset(self._troubled) if self._folds_ready else None)
        arrangement = (self.favorites, dict(self.recent), folded)
        if stale or arrangement != self._arranged_by:
            if arrangement[:2] != self._arranged_by[:2]:
                self._matching_pods.clear()
            self._arranged_by = (frozenset(self.favorites), *arrangement[1:])
            keys = tuple(self._arrange())
            if keys != self.keys:  # keep the identity if equal: comparing is then cheap
                self.keys = keys

    def _count_endpoints(self, changed: Set[str] | None) -> None:
        """Count the Ready pods of services while they are listed."""
        if self.kind is not EntryKind.SERVICES:
            return
        is_new = self._list_order is None or self._list_order[0] is not self.kind
        if changed is None or is_new:
            self._endpoints.rebuild()
        else:
            self._endpoints.update(changed)

    def endpoints(self, entry: Entry) -> int | None:
        """Return the number of Ready pods of a service; None for others, and if unknown."""
        item = entry.item
        return self._endpoints.of(entry.key, item) if isinstance(item, Service) else None

    @property
    def _sorts_by_pods(self) -> bool:
        return self._sorts and self.order.column == ENDPOINTS

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
            elif (key in cluster_state.workloads) != (key in self._parents):
                affected.update(cluster_state.pods_of(key))
        return affected

    @property
    def longest(self) -> list[int]:
        """Lengths of the longest cells of all rows of this kind, whether shown or not."""
        longest = self._lengths.longest
        for key in self.favorites:
            if (lengths := self._lengths.get(key)) is not None:
                longest[NAME_COLUMN] = max(longest[NAME_COLUMN], lengths[NAME_COLUMN] + len(STAR))
        return longest

    def _measure_all(self) -> None:
        """Measure the cells of all rows: of the first ones now, of many others little by little."""
        self._lengths.clear()
        self._troubled = {
            key for key in self.cluster_state.workloads if key in self._parents
            and self._is_troubled(key)
        }  # fmt: skip
        keys = [*self._lists[_TOP], *(key for key, parent in self._parents.items() if parent)]
        self._unmeasured = keys[:_MEASURED_AT_ONCE:-1] if len(keys) > _MEASURED_AT_ONCE else []
        self._measure(keys[: _MEASURED_AT_ONCE + 1])

    def _measure(self, keys: Iterable[str]) -> None:
        """Measure the cells of rows that were added or changed, and forget those removed."""
        pods, kind = self.cluster_state.pods, self.kind
        with_namespace = not self.cluster_state.scope.namespace
        for key in keys:
            parent, pod = self._parents.get(key), pods.get(key)
            lengths = None
            if parent is not None and pod is not None:  # without an `Entry` for each of 10,000
                owner = parent.rpartition("/")[2] if parent else ""
                lengths = pod_lengths(pod, kind, owner, with_namespace)
            elif parent is not None and (entry := self.entry(key)) is not None:
                lengths = entry_lengths(entry, kind, with_namespace)
            self._lengths.set(key, lengths)

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
            if key in self._parents and self._is_troubled(key):
                self._troubled.add(key)
            else:
                self._troubled.discard(key)

    # Lists: all entries of the view, sorted -----------------------------------------------

    def _build_lists(self) -> None:
        """Build and sort all lists."""
        self._matching_pods.clear()
        self._lists = {_TOP: []}
        self._parents = self._all_parents()
        self._sort_values = (
            {key: self._sort_value(key) for key in self._parents} if self._sorts else {}
        )
        for key, parent in self._parents.items():
            self._lists.setdefault(parent, []).append(key)
        for parent, listed in self._lists.items():
            listed.sort(key=self._name_key(parent))
            if self._sorts:
                listed.sort(key=self._sort_values.__getitem__)

    def _move(self, changed: Iterable[str]) -> bool:
        """Move changed keys to their position; return whether any position changed."""
        removed: dict[str, set[str]] = {}
        added: dict[str, list[str]] = {}
        for key in changed:
            before, parent = self._parents.pop(key, None), self._parent_list(key)
            previous_value = self._sort_values.pop(key, 0)
            if parent is None:
                self._matching_pods.pop(key, None)
            else:
                self._parents[key] = parent
                if self._sorts:
                    self._sort_values[key] = self._sort_value(key)
                if parent == before and self._sort_values.get(key, 0) == previous_value:
                    continue
                added.setdefault(parent, []).append(key)
            if before is not None:
                removed.setdefault(before, set()).add(key)
        for parent, keys in removed.items():
            self._matching_pods.pop(parent, None)
            remaining = [key for key in self._lists[parent] if key not in keys]
            if remaining or parent == _TOP:
                self._lists[parent] = remaining
            else:
                del self._lists[parent]
        for parent, new_keys in added.items():
            self._matching_pods.pop(parent, None)
            self._insert(self._lists.setdefault(parent, []), new_keys, self._name_key(parent))
        return bool(removed or added)

    def _insert(self, listed: list[str], keys: list[str], name: Callable[[str], str]) -> None:
        values = self._sort_values

        def rank(key: str) -> tuple[Any, str]:
            return values.get(key, 0), name(key)

        if len(keys) > _MAX_INSERTS:
            listed.extend(keys)
            listed.sort(key=rank)
        else:
            for key in keys:
                insort(listed, key, key=rank)

    def _all_parents(self) -> dict[str, str]:
        """Return the parent lists of all keys in this view."""
        cluster_state = self.cluster_state
        if self.kind is not EntryKind.WORKLOADS:
            services = self.kind is EntryKind.SERVICES
            return dict.fromkeys(cluster_state.services if services else cluster_state.pods, _TOP)
        parents = dict.fromkeys((*cluster_state.workloads, *cluster_state.pods), _TOP)
        for key in cluster_state.workloads:
            parents.update(dict.fromkeys(cluster_state.pods_of(key), key))
        return parents

    def _parent_list(self, key: str) -> str | None:
        """Return the list that a key belongs to, or None if it is not in this view."""
        cluster_state = self.cluster_state
        if self.kind is EntryKind.SERVICES:
            return _TOP if key in cluster_state.services else None
        pod = cluster_state.pods.get(key)
        if self.kind is EntryKind.PODS:
            return _TOP if pod is not None else None
        if pod is None:
            return _TOP if key in cluster_state.workloads else None
        owner = owner_key(pod)
        return owner if owner is not None and owner in cluster_state.workloads else _TOP

    @property
    def _sorts(self) -> bool:
        return is_sorted(self.kind, self.order)

    def _sort_value(self, key: str) -> Any:
        entry = self.entry(key)
        if entry is None:
            return 0
        return sort_value(entry, self.order, self.endpoints(entry) if self._sorts_by_pods else None)

    def _name_key(self, parent: str) -> Callable[[str], str]:
        # Keys of one kind sort as they are; pods and workloads together sort by name.
        mixed = self.kind is EntryKind.WORKLOADS and parent == _TOP
        return _by_name if mixed else _identity

    # Matches --------------------------------------------------------------------------------

    def _apply_query(self) -> None:
        """Score all entries, or only the previous matches if the query was extended."""
        narrower = bool(self._applied_query) and self.query.is_narrower_than(self._applied_query)
        keys = self._scores if narrower else self._parents
        self._matching_pods.clear()
        self._applied_query, scores = self.query, {}
        if self.query:
            entries, score, pods = self._entries, self.query.scorer, self.cluster_state.pods
            for key in keys:
                entry = entries.get(key)
                if entry is None:  # inlined `entry`: no call for each of 10,000 pods
                    pod = pods.get(key)
                    entry = Entry(key, TargetKind.POD, pod) if pod is not None else self.entry(key)
                    if entry is None:
                        continue
                    entries[key] = entry
                found = score(entry)
                if found is not None:
                    scores[key] = found
        self._scores = scores

    def _rescore(self, changed: Iterable[str]) -> bool:
        """Score changed keys; return whether any score changed."""
        changed_scores = False
        if not self._applied_query:
            return changed_scores
        for key in changed:
            before = self._scores.pop(key, None)
            entry = self.entry(key) if self._parent_list(key) is not None else None
            found = self._applied_query.score(entry) if entry is not None else None
            if found is not None:
                self._scores[key] = found
            if found != before:
                changed_scores = True
                self._matching_pods.pop(self._parents.get(key, _TOP), None)
        return changed_scores

    # Arrangement ----------------------------------------------------------------------------

    def _arrange(self) -> list[str]:
        parents = self._parents
        scores = self._scores if self._applied_query else None
        preferences = {
            key: (key not in self.favorites, self.recent.get(key, _NEVER))
            for key in (*self.favorites, *self.recent)
            if key in parents and not self._sorts
        }
        self.last_preferred = None
        if self.kind is not EntryKind.WORKLOADS:
            shown = _in_order(self._lists[_TOP], scores, preferences)
            if scores is None and preferences and len(preferences) < len(shown):
                self.last_preferred = shown[len(preferences) - 1]
            return shown
        # A workload is shown with its pods, in the position of its most preferred pod.
        for key, preference in list(preferences.items()):
            if (parent := parents[key]) and preference < preferences.get(parent, _LEAST_PREFERRED):
                preferences[parent] = preference
        tops, lists = self._lists[_TOP], self._lists
        shown = []
        if scores is None:
            preferred_before = False
            for key in _in_order(tops, None, preferences):
                is_preferred = key in preferences
                if preferred_before and not is_preferred:
                    self.last_preferred = shown[-1]
                preferred_before = is_preferred
                shown.append(key)
                if key in lists and not self.is_folded(key):
                    preferred = key in preferences
                    shown += _in_order(lists[key], None, preferences) if preferred else lists[key]
            return shown
        matching_pods, top_scores = self._matching_pods, {}
        if not matching_pods:
            workloads = set(map(parents.__getitem__, scores))
            matching_pods.update((key, _NO_MATCHES) for key in tops if key not in workloads)
        for key in tops:
            pods = matching_pods.get(key) or self._find_matching_pods(key, scores, preferences)
            score = max(scores.get(key, -1), pods[1])
            if score >= 0:
                top_scores[key] = score
        for key in _in_order(tops, top_scores, preferences):
            shown.append(key)
            shown += matching_pods[key][0]
        return shown

    def _find_matching_pods(
        self, key: str, scores: Mapping[str, int], preferences: Mapping[str, tuple[bool, int]]
    ) -> tuple[list[str], int]:
        """Return the matching pods of a workload in order, and their best score."""
        pods = _in_order(
            self._lists.get(key, []), scores, preferences if key in preferences else _NO_PREFERENCES
        )
        found = pods, max((scores[pod] for pod in pods), default=-1)
        self._matching_pods[key] = found
        return found


def _in_order(
    keys: list[str], scores: Mapping[str, int] | None, preferences: Mapping[str, tuple[bool, int]]
) -> list[str]:
    """Return matching keys: preferred first, then by score, otherwise in the given order."""
    if scores is not None:
        keys = [key for key in keys if key in scores]
        keys.sort(key=scores.__getitem__, reverse=True)  # stable
    if preferences and (front := [key for key in keys if key in preferences]):
        front.sort(key=preferences.__getitem__)
        return front + [key for key in keys if key not in preferences]
    return keys


def _identity(key: str) -> str:
    return key


def _by_name(key: str) -> str:
    kind, _, name = key.partition("/")
    return f"{name}\0{kind}"
