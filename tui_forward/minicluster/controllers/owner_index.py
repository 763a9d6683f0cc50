"""Index of objects by owner and by node, so that a lookup does not scan the store."""

from __future__ import annotations

from tui_forward.minicluster.apiserver import resources
from tui_forward.minicluster.apiserver.resources import Resource
from tui_forward.minicluster.apiserver.store import Item, Store

# Resources whose objects own pods or ReplicaSets.
WORKLOADS = (
    resources.DEPLOYMENTS,
    resources.REPLICASETS,
    resources.STATEFULSETS,
    resources.DAEMONSETS,
    resources.JOBS,
)


class OwnerIndex:
    """Index that `ControllerManager` updates with every change of the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._owned: dict[str, set[tuple[Resource, str]]] = {}
        self._owners: dict[str, tuple[Resource, str]] = {}
        self._unscheduled: set[str] = set()
        self._pods_per_node: dict[str, int] = {}

    def add(self, item: Item) -> None:
        """Add a version of an object."""
        entry = (item.resource, item.key)
        for uid in item.owners:
            self._owned.setdefault(uid, set()).add(entry)
        if item.resource in WORKLOADS:
            self._owners[item.uid] = entry
        elif item.resource is resources.PODS:
            if item.node:
                self._pods_per_node[item.node] = self._pods_per_node.get(item.node, 0) + 1
            else:
                self._unscheduled.add(item.key)

    def discard(self, item: Item) -> None:
        """Remove a version of an object that was replaced or deleted."""
        entry = (item.resource, item.key)
        for uid in item.owners:
            owned = self._owned.get(uid)
            if owned is not None:
                owned.discard(entry)
                if not owned:
                    del self._owned[uid]
        if item.resource in WORKLOADS:
            self._owners.pop(item.uid, None)
        elif item.resource is resources.PODS:
            if item.node:
                self._pods_per_node[item.node] = self._pods_per_node.get(item.node, 1) - 1
            else:
                self._unscheduled.discard(item.key)

    def owned(self, uid: str, resource: Resource | None = None) -> list[Item]:
        """Return the objects of an owner, sorted by key."""
        tables = self._store.tables
        found = [
            tables[kind].items[key]
            for kind, key in self._owned.get(uid, ())
            if resource is None or kind is resource
        ]
        return sorted(found, key=lambda item: item.key)

    def owner(self, uid: str) -> Item | None:
        """Return the workload with this UID."""
        entry = self._owners.get(uid)
        if entry is None:
            return None
        resource, key = entry
        return self._store.tables[resource].items.get(key)

    def unscheduled(self) -> list[Item]:
        """Return the pods without a node, sorted by key."""
        items = self._store.tables[resources.PODS].items
        return [items[key] for key in sorted(self._unscheduled) if key in items]

    def count_pods(self, node: str) -> int:
        """Return the number of pods on a node."""
        return self._pods_per_node.get(node, 0)
