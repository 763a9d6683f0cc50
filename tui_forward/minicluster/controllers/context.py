"""The state that the controllers share: work queue, index of owners, events.

It does not import any controller.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TypeAlias

from tui_forward.minicluster.apiserver import resources, timestamps
from tui_forward.minicluster.apiserver.object_writer import ObjectWriter
from tui_forward.minicluster.apiserver.resources import Resource
from tui_forward.minicluster.apiserver.store import Item, Store
from tui_forward.minicluster.config import ApiServerConfig

# The kind of work (the resource's singular name, or "orphan"), then namespace and name.
Key: TypeAlias = tuple[str, str, str]


def key_of(item: Item) -> Key:
    """Return the key that reconciles an object."""
    return (item.resource.singular, item.namespace, item.name)


class WorkQueue:
    """First-in, first-out queue of keys without duplicates, for one event loop and consumer."""

    def __init__(self) -> None:
        self._keys: dict[Key, None] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._added = asyncio.Event()

    def add(self, key: Key) -> None:
        """Queue a key unless it is queued already."""
        self._keys[key] = None
        self._added.set()

    def add_after(self, key: Key, seconds: float) -> None:
        """Queue a key after a delay, which replaces an earlier delay of the key."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

        def add() -> None:
            self._timers.pop(key, None)
            self.add(key)

        self._timers[key] = asyncio.get_running_loop().call_later(seconds, add)

    async def get(self) -> Key:
        """Remove and return the oldest key; wait for one if the queue is empty."""
        while not self._keys:
            self._added.clear()
            await self._added.wait()
        key = next(iter(self._keys))
        del self._keys[key]
        return key

    def close(self) -> None:
        """Cancel all delayed keys."""
        for timer in self._timers.values():
            timer.cancel()


# Resources whose objects own pods or ReplicaSets.
WORKLOADS = (
    *(resources.DEPLOYMENTS, resources.REPLICASETS, resources.STATEFULSETS),
    *(resources.DAEMONSETS, resources.JOBS),
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


class ServiceSelectors:
    """The selectors of all services, which `ControllerManager` updates, by namespace."""

    def __init__(self) -> None:
        self._selectors: dict[str, dict[str, dict[str, str]]] = {}

    def add(self, service: Item) -> None:
        """Add a version of a service."""
        selector = service.copy().get("spec", {}).get("selector")
        if selector:
            self._selectors.setdefault(service.namespace, {})[service.name] = selector

    def discard(self, service: Item) -> None:
        """Remove a version of a service that was replaced or deleted."""
        self._selectors.get(service.namespace, {}).pop(service.name, None)

    def selecting(self, pod: Item) -> list[Key]:
        """Return the services that select a pod."""
        labels = pod.labels.items()
        found = self._selectors.get(pod.namespace, {}).items()
        return [
            ("service", pod.namespace, name)
            for name, selector in found
            if selector.items() <= labels
        ]


# A real API server deletes events after an hour; this one keeps the latest.
MAX_EVENTS = 500


class EventRecorder:
    """Records events and counts repeated ones."""

    def __init__(self, store: Store, writer: ObjectWriter) -> None:
        self._store = store
        self._writer = writer
        self._names: deque[tuple[str, str]] = deque()
        self._name_by_cause: dict[tuple[str, str, str], tuple[str, str]] = {}

    def record(self, involved: Item, kind: str, reason: str, message: str, component: str) -> None:
        """Record an event, or increase the count of an equal one."""
        now = timestamps.now()
        cause = (involved.uid, reason, message)
        earlier = self._name_by_cause.get(cause)
        existing = self._store.get(resources.EVENTS, *earlier) if earlier else None
        if existing is not None:
            event = existing.copy()
            event["lastTimestamp"] = now
            event["count"] = event.get("count", 1) + 1
            self._store.put(resources.EVENTS, event)
            return
        name = f"{involved.name}.{self._writer.uid_generator.uid().replace('-', '')[:16]}"
        namespace_name = involved.namespace or "default"
        reference = {"kind": involved.resource.kind, "namespace": involved.namespace}
        reference |= {"name": involved.name, "uid": involved.uid}
        reference["apiVersion"] = involved.resource.api_version
        reference["resourceVersion"] = str(involved.version)
        event = {"metadata": {"name": name, "namespace": namespace_name}}
        event |= {"involvedObject": reference, "reason": reason, "message": message}
        event |= {"source": {"component": component}, "firstTimestamp": now, "lastTimestamp": now}
        event |= {"count": 1, "type": kind, "eventTime": None}
        event |= {"reportingComponent": component, "reportingInstance": ""}
        namespace = self._store.get(resources.NAMESPACES, "", namespace_name)
        if namespace is None or namespace.deleting:
            return
        self._writer.create(resources.EVENTS, event, namespace_name)
        self._names.append((namespace_name, name))
        self._name_by_cause[cause] = (namespace_name, name)
        if len(self._names) > MAX_EVENTS:
            oldest = self._names.popleft()
            self._store.remove(resources.EVENTS, *oldest)
            self._name_by_cause = {
                key: value for key, value in self._name_by_cause.items() if value != oldest
            }


# How long pods wait after a start for all nodes to become ready.
NODES_TIMEOUT_S = 5.0


class ControllerContext:
    """Access of the controllers to the cluster."""

    def __init__(
        self, config: ApiServerConfig, store: Store, writer: ObjectWriter, queue: WorkQueue
    ) -> None:
        self.store = store
        self.writer = writer
        self.queue = queue
        self.index = OwnerIndex(store)
        self.selectors = ServiceSelectors()
        self.events = EventRecorder(store, writer)
        self._replace_delay_s = config.replace_delay_s
        self._missing_nodes = set(config.nodes)
        self._nodes_deadline = time.monotonic() + NODES_TIMEOUT_S
        self._pod_lost_at: dict[str, float] = {}

    def all_nodes_started(self, ready: set[str]) -> bool:
        """Return whether all nodes have been ready, so that the first does not get every pod."""
        self._missing_nodes -= ready
        if self._missing_nodes and time.monotonic() < self._nodes_deadline:
            return False
        self._missing_nodes.clear()
        return True

    def record_pod_loss(self, controller_uid: str) -> None:
        """Start the replacement delay of the workload that controls a lost pod."""
        self._pod_lost_at[controller_uid] = time.monotonic()

    def may_replace_pod(self, owner: Item) -> bool:
        """Return whether a workload may replace a missing pod now; if not, queue it for later."""
        lost_at = self._pod_lost_at.get(owner.uid)
        if lost_at is None or self._replace_delay_s <= 0:
            return True
        remaining_s = lost_at + self._replace_delay_s - time.monotonic()
        if remaining_s <= 0:
            del self._pod_lost_at[owner.uid]
            return True
        self.queue.add_after(key_of(owner), remaining_s)
        return False
