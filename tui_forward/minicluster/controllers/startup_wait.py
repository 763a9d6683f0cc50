"""Wait for the workloads to settle after the start of the cluster."""

from __future__ import annotations

import asyncio

from tui_forward.minicluster.apiserver import resources
from tui_forward.minicluster.apiserver.resources import Object
from tui_forward.minicluster.apiserver.store import Change, Item, Store
from tui_forward.minicluster.controllers.synthetic_pods import is_synthetic

# A check scans all pods, and a start makes many changes in a row.
CHECK_INTERVAL_S = 0.01

# Resources that create pods, with the status field that counts them.
_COUNTED = (
    (resources.DEPLOYMENTS, "replicas"),
    (resources.STATEFULSETS, "replicas"),
)


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
