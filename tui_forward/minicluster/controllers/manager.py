"""The queue of the controllers, and who works on what."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable

from tui_forward.minicluster.apiserver import resources
from tui_forward.minicluster.apiserver.create_update_delete import ObjectWriter
from tui_forward.minicluster.apiserver.resources import Resource
from tui_forward.minicluster.apiserver.status_errors import StatusError
from tui_forward.minicluster.apiserver.store import Change, Item, Store
from tui_forward.minicluster.config import ApiServerConfig
from tui_forward.minicluster.controllers import (
    daemonsets,
    deployments,
    garbage_collector,
    jobs,
    replicasets,
    scheduler,
    statefulsets,
)
from tui_forward.minicluster.controllers.context import ControllerContext, Key
from tui_forward.minicluster.controllers.owner_index import OwnerIndex
from tui_forward.minicluster.controllers.synthetic_pods import SyntheticPods, is_generated

# A reconciliation that failed (a conflict, a name taken) is tried again after this.
RETRY_S = 0.2
# How many reconciliations may pass before everybody else gets a turn.
AT_ONCE = 20

_OWNERS: dict[Resource, str] = {
    resources.DEPLOYMENTS: "deployment",
    resources.REPLICASETS: "replicaset",
    resources.STATEFULSETS: "statefulset",
    resources.DAEMONSETS: "daemonset",
    resources.JOBS: "job",
}


class ControllerManager:
    """Runs the controllers.

    Args:
        config: Of the API server.
        store: The objects.
        writer: Carries out writes with all rules of the API.
    """

    def __init__(self, config: ApiServerConfig, store: Store, writer: ObjectWriter) -> None:
        self._config = config
        self._store = store
        self._index = OwnerIndex(store)
        self._context = ControllerContext(store, writer, self._index, self._after, config)
        self._generated = SyntheticPods(config, store, writer)
        self._dirty: dict[Key, None] = {}
        self._wake = asyncio.Event()
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._stops: list[Callable[[], None]] = []
        self._reconcilers: dict[str, Callable[[ControllerContext, str, str], None]] = {
            "deployment": deployments.reconcile,
            "replicaset": replicasets.reconcile,
            "statefulset": statefulsets.reconcile,
            "daemonset": daemonsets.reconcile,
            "job": jobs.reconcile,
            "pod": scheduler.reconcile,
            "orphan": garbage_collector.delete_dependents,
            "namespace": garbage_collector.namespace,
        }

    def start(self) -> None:
        """Create what a fresh cluster holds, and begin to look after everything."""
        fresh = self._store.empty
        if fresh:
            from tui_forward.minicluster.sample_workloads import populate

            populate(self._config, self._context.writer)
            self._generated.populate()
        for resource, table in self._store.tables.items():
            self._stops.append(self._store.listen(resource, self._changed))
            for item in table.items.values():
                self._index.add(item)
        for resource in (*_OWNERS, resources.PODS, resources.NAMESPACES):
            for item in self._store.all(resource):
                # Generated objects are born in order; after a restart nobody knows.
                if not (fresh and is_generated(item.namespace)):
                    self._touch(item)
        self._tasks.append(asyncio.ensure_future(self._run()))
        self._tasks.append(asyncio.ensure_future(self._generated.run()))

    async def close(self) -> None:
        """Stop."""
        for stop in self._stops:
            stop()
        for timer in self._timers.values():
            timer.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- what to do --------------------------------------------------------------------------

    def _changed(self, change: Change) -> None:
        item, before = change.item, change.before
        gone = change.type == "DELETED"
        if before is not None:
            self._index.discard(before)
        if not gone:
            self._index.add(item)
        if item.resource is resources.PODS:
            if item.controller and (gone or (item.deleting and before and not before.deleting)):
                self._context.lost_at[item.controller] = time.monotonic()
        elif item.resource is resources.NODES:
            self._node_changed(item, before, gone=gone)
        if gone:
            self._enqueue(("orphan", "", item.uid))
        self._touch(item)

    def _touch(self, item: Item) -> None:
        """Queue whatever an object concerns."""
        resource = item.resource
        if kind := _OWNERS.get(resource):
            self._enqueue((kind, item.namespace, item.name))
        elif resource is resources.PODS:
            if not item.deleting and not item.node:
                self._enqueue(("pod", item.namespace, item.name))
        elif resource is resources.NAMESPACES:
            if item.deleting:
                self._enqueue(("namespace", "", item.name))
            return
        if item.controller:
            owner = self._index.owner(item.controller)
            if owner is not None and (kind := _OWNERS.get(owner.resource)):
                self._enqueue((kind, owner.namespace, owner.name))
        if item.namespace:
            home = self._store.get(resources.NAMESPACES, "", item.namespace)
            if home is not None and home.deleting:
                self._enqueue(("namespace", "", item.namespace))

    def _node_changed(self, item: Item, before: Item | None, *, gone: bool) -> None:
        """A node that came, went or changed its mind may have room for what waits."""
        if not gone and before is not None and scheduler.same_node(before, item):
            return
        for pod in self._index.unscheduled():
            self._enqueue(("pod", pod.namespace, pod.name))
        for each in self._store.all(resources.DAEMONSETS):
            self._enqueue(("daemonset", each.namespace, each.name))

    def _enqueue(self, key: Key) -> None:
        self._dirty[key] = None
        self._wake.set()

    def _after(self, key: Key, seconds: float) -> None:
        old = self._timers.pop(key, None)
        if old is not None:
            old.cancel()

        def due() -> None:
            self._timers.pop(key, None)
            self._enqueue(key)

        self._timers[key] = asyncio.get_running_loop().call_later(seconds, due)

    async def _run(self) -> None:
        done = 0
        while True:
            while self._dirty:
                key = next(iter(self._dirty))
                del self._dirty[key]
                kind, namespace, name = key
                try:
                    self._reconcilers[kind](self._context, namespace, name)
                except StatusError as failure:
                    sys.stderr.write(f"{kind} {namespace}/{name}: {failure.message}\n")
                    self._after(key, RETRY_S)
                except (KeyError, TypeError, ValueError) as error:
                    # An object somebody wrote with a shape nobody expects harms only itself.
                    sys.stderr.write(f"{kind} {namespace}/{name}: {error!r}\n")
                done += 1
                if done % AT_ONCE == 0:
                    await asyncio.sleep(0)
            self._wake.clear()
            await self._wake.wait()
