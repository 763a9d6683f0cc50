"""What all workload controllers do with pods: make them from a template, and judge them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from tui_forward.minicluster.apiserver import resources
from tui_forward.minicluster.apiserver import timestamps as timestamps
from tui_forward.minicluster.apiserver.status_errors import StatusError
from tui_forward.minicluster.apiserver.store import Item, decode, encode

if TYPE_CHECKING:
    from tui_forward.minicluster.controllers.context import ControllerContext

Object = dict[str, Any]


def reference(owner: Item) -> Object:
    """An owner reference to a controller."""
    return {
        "apiVersion": owner.resource.api_version,
        "kind": owner.resource.kind,
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def from_template(owner: Item, template: Object) -> Object:
    """A pod as a template describes it; without a name."""
    template = decode(encode(template))  # the quickest deep copy
    metadata = template.get("metadata") or {}
    return {
        "metadata": {
            "labels": metadata.get("labels") or {},
            "annotations": metadata.get("annotations") or {},
            "ownerReferences": [reference(owner)],
        },
        "spec": template["spec"],
    }


def create(context: ControllerContext, owner: Item, pod: Object) -> Item:
    """Create a pod and record it.

    Raises:
        Failure: As the API server refuses it.
    """
    item = context.writer.add(resources.PODS, pod, owner.namespace)
    context.events.record(
        owner,
        "Normal",
        "SuccessfulCreate",
        f"Created pod: {item.name}",
        f"{owner.resource.kind.lower()}-controller",
    )
    return item


def delete(context: ControllerContext, owner: Item, pod: Item) -> None:
    """Delete a pod, gracefully, and record it."""
    try:
        context.writer.end(resources.PODS, pod.namespace, pod.name)
    except StatusError as failure:
        if failure.code != 404:
            raise
        return
    context.events.record(
        owner,
        "Normal",
        "SuccessfulDelete",
        f"Deleted pod: {pod.name}",
        f"{owner.resource.kind.lower()}-controller",
    )


class _Condition(msgspec.Struct):
    type: str = ""
    status: str = ""
    since: str | None = msgspec.field(name="lastTransitionTime", default=None)


class _Status(msgspec.Struct):
    phase: str = ""
    conditions: list[_Condition] = []


class _View(msgspec.Struct):
    status: _Status


# Decoding all of a pod takes ten times as long, and this is done at every turn.
_decode_view = msgspec.json.Decoder(_View).decode


class Pod:
    """A pod with the few facts controllers judge by."""

    __slots__ = ("item", "node", "phase", "ready", "ready_at")

    def __init__(self, item: Item) -> None:
        status = _decode_view(item.raw).status
        self.item = item
        self.phase = status.phase
        self.node = item.node
        self.ready = False
        self.ready_at = 0.0
        for each in status.conditions:
            if each.type == "Ready":
                self.ready = each.status == "True"
                self.ready_at = timestamps.seconds(each.since)

    @property
    def active(self) -> bool:
        """Whether it counts as a replica."""
        return not self.item.deleting and self.phase not in ("Succeeded", "Failed")

    @property
    def deletion_rank(self) -> tuple[bool, bool, bool, float, str]:
        """Sorts by who is to go first: unassigned, not running, not ready, ready for short."""
        running = self.phase == "Running"
        return (bool(self.node), running, self.ready, -self.ready_at, self.item.name)


def owned(context: ControllerContext, owner: Item) -> list[Pod]:
    """An owner's pods, by name."""
    return [Pod(item) for item in context.index.owned(owner.uid, resources.PODS)]


def set_status(context: ControllerContext, item: Item, status: Object) -> None:
    """Report a workload's status, if it says anything new."""
    context.writer.change(
        item.resource, item.namespace, item.name, lambda old: {**old, "status": status}, "status"
    )


def set_condition(
    conditions: list[Object], kind: str, value: str, reason: str, message: str
) -> None:
    """Set a workload's condition, keeping its times where nothing changes."""
    now = timestamps.now()
    for each in conditions:
        if each["type"] == kind:
            if each["status"] != value:
                each["lastTransitionTime"] = now
            if (each["status"], each.get("reason"), each.get("message")) != (
                value,
                reason,
                message,
            ):
                each |= {"status": value, "lastUpdateTime": now}
                each |= {"reason": reason, "message": message}
            return
    conditions.append(
        {
            "type": kind,
            "status": value,
            "lastUpdateTime": now,
            "lastTransitionTime": now,
            "reason": reason,
            "message": message,
        }
    )
