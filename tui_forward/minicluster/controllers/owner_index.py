"""Finding objects by their owner, without looking at all of them."""

from __future__ import annotations

from collections.abc import Iterator

from tui_forward.minicluster.apiserver import resources
from tui_forward.minicluster.apiserver.resources import Resource
from tui_forward.minicluster.apiserver.store import Item, Store

_OWNERS = (
    resources.DEPLOYMENTS,
    resources.REPLICASETS,
    resources.STATEFULSETS,
    resources.DAEMONSETS,
    resources.JOBS,
)


class OwnerIndex:
    """Kept up to date by `Controllers`, one change at a time."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._owned: dict[str, set[tuple[Resource, str]]] = {}
        self._owners: dict[str, tuple[Resource, str]] = {}
        self._unscheduled: set[str] = set()
        self._per_node: dict[str, int] = {}

    def add(self, item: Item) -> None:
        """An object is there in this version."""
        entry = (item.resource, item.key)
        for uid in item.owners:
            self._owned.setdefault(uid, set()).add(entry)
        if item.resource in _OWNERS:
            self._owners[item.uid] = entry
        elif item.resource is resources.PODS:
            node = item.node
            if node:
                self._per_node[node] = self._per_node.get(node, 0) + 1
            else:
                self._unscheduled.add(item.key)

    def discard(self, item: Item) -> None:
        """An object is no longer there in this version."""
        entry = (item.resource, item.key)
        for uid in item.owners:
            owned = self._owned.get(uid)
            if owned is not None:
                owned.discard(entry)
                if not owned:
                    del self._owned[uid]
        if item.resource in _OWNERS:
            self._owners.pop(item.uid, None)
        elif item.resource is resources.PODS:
            node = item.node
            if node:
                self._per_node[node] = self._per_node.get(node, 1) - 1
            else:
                self._unscheduled.discard(item.key)

    def owned(self, uid: str, resource: Resource | None = None) -> list[Item]:
        """The objects of an owner, by name."""
        tables = self._store.tables
        found = [
            tables[kind].items[key]
            for kind, key in self._owned.get(uid, ())
            if resource is None or kind is resource
        ]
        return sorted(found, key=lambda item: item.key)

    def owner(self, uid: str) -> Item | None:
        """A workload by its UID."""
        entry = self._owners.get(uid)
        if entry is None:
            return None
        resource, key = entry
        return self._store.tables[resource].items.get(key)

    def unscheduled(self) -> Iterator[Item]:
        """Pods without a node."""
        items = self._store.tables[resources.PODS].items
        return iter([items[key] for key in sorted(self._unscheduled) if key in items])

    def pods_on(self, node: str) -> int:
        """How many pods a node has."""
        return self._per_node.get(node, 0)
