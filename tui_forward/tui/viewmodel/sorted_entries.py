"""All entries of a view, sorted: a list for the top, and one for each workload asked for. Pure.

Independent of favorites, folds and the filter, so that a change of these sorts nothing.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable, Sequence, Set
from typing import Any, Final

from tui_forward.model import Service
from tui_forward.tui.viewmodel.cluster_state import ClusterState, owner_key
from tui_forward.tui.viewmodel.endpoint_counts import EndpointCounts
from tui_forward.tui.viewmodel.entries import Entry, EntryKind
from tui_forward.tui.viewmodel.entry_cache import EntryCache
from tui_forward.tui.viewmodel.entry_sorts import ENDPOINTS, is_sorted, sort_value
from tui_forward.tui.viewmodel.sorting import DEFAULT_ORDER, SortOrder

TOP: Final = ""  # the list of entries without a parent
_MAX_INSERTS = 500  # beyond, sorting is faster than inserting one by one


class SortedEntries:
    """Keys of the entries of a kind in an order; `update` moves those that changed."""

    def __init__(self, cluster_state: ClusterState, cache: EntryCache) -> None:
        self.kind = EntryKind.WORKLOADS
        self.order = DEFAULT_ORDER
        self.parents: dict[str, str] = {}  # the list of each key
        self._cluster_state = cluster_state
        self._cache = cache
        # Sorted keys per parent: the top, and workloads whose pods were asked for.
        self._lists: dict[str, list[str]] = {}
        self._sort_values: dict[str, Any] = {}  # sorted before the name
        self._endpoints = EndpointCounts(cluster_state)  # while services are listed
        self._built_for: tuple[EntryKind, SortOrder] | None = None

    @property
    def is_of_another_kind(self) -> bool:
        """Whether the lists are not those of the kind."""
        return self._built_for is None or self._built_for[0] is not self.kind

    def rebuild(self) -> None:
        """Build and sort all lists."""
        self._count_endpoints(None)
        self._build_lists()

    def update(self, changed: Set[str]) -> set[str] | None:
        """Move changed keys; return the lists that changed or are gone, None if all were built."""
        self._count_endpoints(changed)
        if (self.kind, self.order) != self._built_for or (changed and self._sorts_by_pods):
            self._build_lists()
            return None
        return self._move(changed) if changed else set()

    def listed(self, parent: str) -> Sequence[str]:
        """Return the sorted keys of the top, or of the pods of a workload."""
        keys = self._lists.get(parent)
        if keys is None:
            keys = self._sort(parent, list(self._cluster_state.pods_of(parent)))
            if keys:
                self._lists[parent] = keys
        return keys

    def endpoints(self, entry: Entry) -> int | None:
        """Return the number of Ready pods of a service; None for others, and if unknown."""
        item = entry.item
        return self._endpoints.of(entry.key, item) if isinstance(item, Service) else None

    def _count_endpoints(self, changed: Set[str] | None) -> None:
        """Count the Ready pods of services while they are listed."""
        if self.kind is not EntryKind.SERVICES:
            self._endpoints.clear()
            return
        if changed is None or self.is_of_another_kind:
            self._endpoints.rebuild()
        else:
            self._endpoints.update(changed)

    @property
    def _sorts_by_pods(self) -> bool:
        return self.is_sorted and self.order.column == ENDPOINTS

    @property
    def is_sorted(self) -> bool:
        """Whether the order is that of a column of the kind, not the default order."""
        return is_sorted(self.kind, self.order)

    def _build_lists(self) -> None:
        self._built_for = (self.kind, self.order)
        self.parents, tops = self._all_parents()
        self._sort_values = (
            {key: self._sort_value(key) for key in self.parents} if self.is_sorted else {}
        )
        self._lists = {TOP: self._sort(TOP, tops)}

    def _sort(self, parent: str, keys: list[str]) -> list[str]:
        """Sort the keys of a list in place; return them."""
        name = self._name_key(parent)
        keys.sort(key=None if name is _identity else name)  # a call for each of 10,000
        if self.is_sorted:
            keys.sort(key=self._sort_values.__getitem__)
        return keys

    def _move(self, changed: Iterable[str]) -> set[str]:
        """Move changed keys to their position; return the lists that changed or are gone."""
        gone: set[str] = set()
        removed: dict[str, set[str]] = {}
        added: dict[str, list[str]] = {}
        is_sorted, values = self.is_sorted, self._sort_values
        for key in changed:
            before, parent = self.parents.pop(key, None), self.parent_of(key)
            previous_value = values.pop(key, 0)
            if parent is None:
                gone.add(key)
            else:
                self.parents[key] = parent
                if is_sorted:
                    values[key] = self._sort_value(key)
                if parent == before and values.get(key, 0) == previous_value:
                    continue
                added.setdefault(parent, []).append(key)
            if before is not None:
                removed.setdefault(before, set()).add(key)
        for parent, keys in removed.items():
            if (listed := self._lists.get(parent)) is not None:
                self._lists[parent] = [key for key in listed if key not in keys]
        for parent, new_keys in added.items():
            if (listed := self._lists.get(parent)) is not None:
                self._insert(listed, new_keys, self._name_key(parent))
        for parent in removed:
            if parent != TOP and not self._lists.get(parent, True):
                del self._lists[parent]
        return {*removed, *added, *gone} if removed or added else set()

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

    def _all_parents(self) -> tuple[dict[str, str], list[str]]:
        """Return the parent lists of all keys in this view, and the keys at the top."""
        state, parents = self._cluster_state, {}
        tops: list[str] = []
        if self.kind is EntryKind.WORKLOADS:
            tops += state.workloads
            for key in tops:
                parents.update(dict.fromkeys(state.pods_of(key), key))
            tops += state.pods.keys() - parents.keys()
        else:
            tops += state.services if self.kind is EntryKind.SERVICES else state.pods
        parents.update(dict.fromkeys(tops, TOP))
        return parents, tops

    def parent_of(self, key: str) -> str | None:
        """Return the list that a key belongs to, or None if it is not in this view."""
        cluster_state = self._cluster_state
        if self.kind is EntryKind.SERVICES:
            return TOP if key in cluster_state.services else None
        pod = cluster_state.pods.get(key)
        if self.kind is EntryKind.PODS:
            return TOP if pod is not None else None
        if pod is None:
            return TOP if key in cluster_state.workloads else None
        owner = owner_key(pod)
        return owner if owner is not None and owner in cluster_state.workloads else TOP

    def _sort_value(self, key: str) -> Any:
        entry = self._cache.get(key)
        if entry is None:
            return 0
        return sort_value(entry, self.order, self.endpoints(entry) if self._sorts_by_pods else None)

    def _name_key(self, parent: str) -> Callable[[str], str]:
        # Keys of one kind sort as they are; pods and workloads together sort by name.
        mixed = self.kind is EntryKind.WORKLOADS and parent == TOP
        return _by_name if mixed else _identity


def _identity(key: str) -> str:
    return key


def _by_name(key: str) -> str:
    kind, _, name = key.partition("/")
    return f"{name}\0{kind}"
