"""Telling whether the cluster has come to rest after its start."""

from __future__ import annotations

import asyncio
from typing import Any

from tui_forward.minicluster.apiserver import resources
from tui_forward.minicluster.apiserver.store import Change, Item, Store
from tui_forward.minicluster.controllers.synthetic_pods import is_generated

# Looking costs, and at a start there are many changes at once.
LOOK_EVERY_S = 0.01

# Objects that bring pods into being, and the field that counts those that are there.
_COUNTED = (
    (resources.DEPLOYMENTS, "replicas"),
    (resources.STATEFULSETS, "replicas"),
)


def _starting(item: Item) -> bool:
    """Whether a pod is on its way, and nothing yet speaks against its arriving."""
    body = item.copy()
    status: dict[str, Any] = body.get("status") or {}
    if not item.node:
        return not status.get("conditions")
    if item.deleting or status.get("phase") in ("Succeeded", "Failed"):
        return False
    waiting = [
        (each.get("state") or {}).get("waiting") or {}
        for each in status.get("containerStatuses") or ()
    ]
    if status.get("phase") == "Pending":
        return all(each.get("reason") in (None, "ContainerCreating") for each in waiting)
    ready = any(
        c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or ()
    )
    # A container that has ended before will not become ready just by waiting.
    ended = any(each.get("restartCount") for each in status.get("containerStatuses") or ())
    return not ready and not ended and not any(waiting)


def _resting(store: Store) -> bool:
    homes = [home.name for home in store.all(resources.NAMESPACES) if not is_generated(home.name)]
    for home in homes:
        for resource, field in _COUNTED:
            for item in store.all(resource, home):
                body = item.copy()
                if (body.get("status") or {}).get(field, 0) < body["spec"].get("replicas", 1):
                    return False
        if any(_starting(item) for item in store.all(resources.PODS, home)):
            return False
    return True


async def wait_until_settled(store: Store, timeout_s: float) -> bool:
    """Wait until every pod that can run does; False when the time is up."""
    changed = asyncio.Event()

    def note(_: Change) -> None:
        changed.set()

    stops = [
        store.listen(resource, note)
        for resource in (resources.PODS, resources.STATEFULSETS, resources.DEPLOYMENTS)
    ]
    try:
        async with asyncio.timeout(timeout_s):
            while not _resting(store):
                changed.clear()
                await changed.wait()
                await asyncio.sleep(LOOK_EVERY_S)
            return True
    except TimeoutError:
        return False
    finally:
        for stop in stops:
            stop()
