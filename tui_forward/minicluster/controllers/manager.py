"""The controller manager: queues changed objects, runs their controllers, collects garbage."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

from tui_forward.minicluster.apiserver import resources
from tui_forward.minicluster.apiserver.default_roles import create_default_roles
from tui_forward.minicluster.apiserver.object_writer import ObjectWriter
from tui_forward.minicluster.apiserver.resources import Object
from tui_forward.minicluster.apiserver.status_errors import StatusError
from tui_forward.minicluster.apiserver.store import Change, Item, Store
from tui_forward.minicluster.config import ApiServerConfig
from tui_forward.minicluster.controllers import deployments, endpoints, scheduler, workloads
from tui_forward.minicluster.controllers.context import (
    WORKLOADS,
    ControllerContext,
    Key,
    WorkQueue,
    key_of,
)
from tui_forward.minicluster.controllers.synthetic_pods import SyntheticPods, is_synthetic
from tui_forward.minicluster.sample_workloads import create_sample_workloads


def delete_dependents(context: ControllerContext, _: str, uid: str) -> None:
    """Delete the objects whose only owner had this UID."""
    for item in context.index.owned(uid):
        other_owners = [owner for owner in item.owners if owner != uid]
        if any(context.index.owner(owner) is not None for owner in other_owners):
            continue
        if not item.deleting:
            _delete_if_exists(context, item.resource, item.namespace, item.name)


def delete_namespace_content(context: ControllerContext, _: str, name: str) -> None:
    """Delete all objects of a terminating namespace, then the namespace itself."""
    namespace = context.store.get(resources.NAMESPACES, "", name)
    if namespace is None or not namespace.deleting:
        return
    remaining = 0
    for resource in resources.RESOURCES:
        if not resource.namespaced:
            continue
        for item in context.store.all(resource, name):
            if not item.deleting:
                _delete_if_exists(context, resource, name, item.name)
            remaining += context.store.get(resource, name, item.name) is not None
    if not remaining:
        context.store.remove(resources.NAMESPACES, "", name)


def _delete_if_exists(
    context: ControllerContext, resource: resources.Resource, namespace: str, name: str
) -> None:
    try:
        context.writer.delete(resource, namespace, name)
    except StatusError as error:
        if error.code != 404:
            raise


# Delay before a failed reconciliation (a conflict, a name already in use) is retried.
RETRY_S = 0.2
# Reconciliations in a row before other tasks of the event loop run.
BATCH_SIZE = 20

_WORKLOAD_RECONCILERS: dict[str, Callable[[ControllerContext, Item], None]] = {
    "deployment": deployments.reconcile,
    "replicaset": workloads.reconcile_replicaset,
    "statefulset": workloads.reconcile_statefulset,
    "daemonset": workloads.reconcile_daemonset,
    "job": workloads.reconcile_job,
}
_WORKLOADS = {resource.singular: resource for resource in WORKLOADS}
_RECONCILERS: dict[str, Callable[[ControllerContext, str, str], None]] = {
    "pod": scheduler.reconcile,
    "orphan": delete_dependents,
    "namespace": delete_namespace_content,
    "service": endpoints.reconcile,
}


class ControllerManager:
    """Runs the controllers."""

    def __init__(self, config: ApiServerConfig, store: Store, writer: ObjectWriter) -> None:
        self._config = config
        self._store = store
        self._queue = WorkQueue()
        self._context = ControllerContext(config, store, writer, self._queue)
        self._synthetic_pods = SyntheticPods(config, store, writer)
        self._tasks: list[asyncio.Task[None]] = []
        self._unsubscribes: list[Callable[[], None]] = []

    def start(self) -> None:
        """Create the objects of an empty cluster and start reconciling."""
        is_new = self._store.empty
        if is_new:
            create_sample_workloads(self._config, self._context.writer)
            create_default_roles(self._context.writer)
            self._synthetic_pods.populate()
        for resource, table in self._store.tables.items():
            self._unsubscribes.append(self._store.listen(resource, self._on_change))
            for item in table.items.values():
                self._add_to_index(item)
        for resource in (*WORKLOADS, resources.PODS, resources.NAMESPACES, resources.SERVICES):
            for item in self._store.all(resource):
                # Synthetic objects are created in their final state; after a restart they may
                # have changed.
                if not (is_new and is_synthetic(item.namespace)):
                    self._enqueue(item)
        self._tasks.append(asyncio.ensure_future(self._run()))
        self._tasks.append(asyncio.ensure_future(self._synthetic_pods.run()))

    async def close(self) -> None:
        """Stop all controllers."""
        for unsubscribe in self._unsubscribes:
            unsubscribe()
        self._queue.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _on_change(self, change: Change) -> None:
        item, before = change.item, change.before
        is_deleted = change.type == "DELETED"
        if before is not None:
            self._context.index.discard(before)
            if item.resource is resources.SERVICES:
                self._context.selectors.discard(before)
        if not is_deleted:
            self._add_to_index(item)
        if item.resource is resources.PODS:
            deletion_began = item.deleting and before is not None and not before.deleting
            if item.controller and (is_deleted or deletion_began):
                self._context.record_pod_loss(item.controller)
            if before is not None and before.labels != item.labels:
                self._enqueue_services_of(before)
        elif item.resource is resources.NODES and (
            is_deleted or before is None or not scheduler.is_same_node(before, item)
        ):
            self._enqueue_unscheduled()
        if is_deleted:
            self._queue.add(("orphan", "", item.uid))
        self._enqueue(item)

    def _add_to_index(self, item: Item) -> None:
        self._context.index.add(item)
        if item.resource is resources.SERVICES:
            self._context.selectors.add(item)

    def _enqueue_services_of(self, pod: Item) -> None:
        for key in self._context.selectors.selecting(pod):
            self._queue.add(key)

    def _enqueue(self, item: Item) -> None:
        """Queue everything that an object affects."""
        if item.resource in WORKLOADS:
            self._queue.add(key_of(item))
        elif item.resource is resources.PODS:
            if not item.deleting and not item.node:
                self._queue.add(key_of(item))
            self._enqueue_services_of(item)
        elif item.resource is resources.SERVICES:
            self._queue.add(key_of(item))
        elif item.resource is resources.ENDPOINTS:
            self._queue.add(("service", item.namespace, item.name))
        elif item.resource is resources.ENDPOINTSLICES:
            if service := item.labels.get(endpoints.SERVICE_LABEL):
                self._queue.add(("service", item.namespace, service))
        elif item.resource is resources.NAMESPACES:
            if item.deleting:
                self._queue.add(key_of(item))
            return
        if item.controller:
            owner = self._context.index.owner(item.controller)
            if owner is not None and owner.resource in WORKLOADS:
                self._queue.add(key_of(owner))
        if item.namespace:
            namespace = self._store.get(resources.NAMESPACES, "", item.namespace)
            if namespace is not None and namespace.deleting:
                self._queue.add(key_of(namespace))

    def _enqueue_unscheduled(self) -> None:
        """Queue the pods and DaemonSets that a changed node may have room for."""
        for pod in self._context.index.unscheduled():
            self._queue.add(key_of(pod))
        for daemonset in self._store.all(resources.DAEMONSETS):
            self._queue.add(key_of(daemonset))

    async def _run(self) -> None:
        count = 0
        while True:
            self._reconcile(await self._queue.get())
            count += 1
            if count % BATCH_SIZE == 0:
                await asyncio.sleep(0)

    def _reconcile(self, key: Key) -> None:
        kind, namespace, name = key
        try:
            if kind in _WORKLOADS:
                owner = self._store.get(_WORKLOADS[kind], namespace, name)
                if owner is not None and not owner.deleting:
                    _WORKLOAD_RECONCILERS[kind](self._context, owner)
            else:
                _RECONCILERS[kind](self._context, namespace, name)
        except StatusError as error:
            sys.stderr.write(f"{kind} {namespace}/{name}: {error.message}\n")
            self._queue.add_after(key, RETRY_S)
        except (KeyError, TypeError, ValueError) as error:
            # A malformed object must not stop the reconciliation of the others.
            sys.stderr.write(f"{kind} {namespace}/{name}: {error!r}\n")


# A check scans all pods, and a start makes many changes in a row.
CHECK_INTERVAL_S = 0.01

# Resources that create pods, with the status field that counts them.
_COUNTED = ((resources.DEPLOYMENTS, "replicas"), (resources.STATEFULSETS, "replicas"))


def _is_starting(item: Item) -> bool:
    """Return whether a pod is not ready yet but may become so."""
    body = item.copy()
    status: Object = body.get("status") or {}
    if not item.node:
        return not status.get("conditions")
    if item.deleting or status.get("phase") in ("Succeeded", "Failed"):
        return False
    containers = status.get("containerStatuses") or ()
    waiting = [(each.get("state") or {}).get("waiting") or {} for each in containers]
    if status.get("phase") == "Pending":
        return all(each.get("reason") in (None, "ContainerCreating") for each in waiting)
    is_ready = any(
        c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or ()
    )
    # A container that has restarted is expected to fail again.
    has_restarted = any(each.get("restartCount") for each in containers)
    return not is_ready and not has_restarted and not any(waiting)


def _is_settled(store: Store) -> bool:
    for namespace in store.all(resources.NAMESPACES):
        if is_synthetic(namespace.name):
            continue
        for resource, field in _COUNTED:
            for item in store.all(resource, namespace.name):
                body = item.copy()
                if (body.get("status") or {}).get(field, 0) < body["spec"].get("replicas", 1):
                    return False
        if any(_is_starting(item) for item in store.all(resources.PODS, namespace.name)):
            return False
    return True


async def wait_until_settled(store: Store, timeout_s: float) -> bool:
    """Wait until every pod that can run is ready; return False after the timeout."""
    changed = asyncio.Event()

    def on_change(_: Change) -> None:
        changed.set()

    unsubscribes = [
        store.listen(resource, on_change)
        for resource in (resources.PODS, resources.STATEFULSETS, resources.DEPLOYMENTS)
    ]
    try:
        async with asyncio.timeout(timeout_s):
            while not _is_settled(store):
                changed.clear()
                await changed.wait()
                await asyncio.sleep(CHECK_INTERVAL_S)
            return True
    except TimeoutError:
        return False
    finally:
        for unsubscribe in unsubscribes:
            unsubscribe()
