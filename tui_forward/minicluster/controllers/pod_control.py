"""Pods of workload controllers: creation from a template, deletion, status."""

from __future__ import annotations

import msgspec

from tui_forward.minicluster.apiserver import resources, timestamps
from tui_forward.minicluster.apiserver.resources import Object
from tui_forward.minicluster.apiserver.status_errors import StatusError
from tui_forward.minicluster.apiserver.store import Item, decode, encode
from tui_forward.minicluster.controllers.context import ControllerContext


def owner_reference(owner: Item) -> Object:
    """Return the owner reference to a controller."""
    reference = {"apiVersion": owner.resource.api_version, "kind": owner.resource.kind}
    reference |= {"name": owner.name, "uid": owner.uid}
    return {**reference, "controller": True, "blockOwnerDeletion": True}


def pod_from_template(owner: Item, template: Object) -> Object:
    """Return a pod of a template, with a name that is generated from the owner's."""
    template = decode(encode(template))  # the fastest deep copy
    metadata = template.get("metadata") or {}
    return {
        "metadata": {
            "generateName": f"{owner.name}-",
            "labels": metadata.get("labels") or {},
            "annotations": metadata.get("annotations") or {},
            "ownerReferences": [owner_reference(owner)],
        },
        "spec": template["spec"],
    }


def create_pod(context: ControllerContext, owner: Item, pod: Object) -> Item:
    """Create a pod and record an event. Raises `StatusError`: the API server rejects the pod."""
    item = context.writer.create(resources.PODS, pod, owner.namespace)
    _record(context, owner, "SuccessfulCreate", f"Created pod: {item.name}")
    return item


def delete_pod(context: ControllerContext, owner: Item, pod: Item) -> None:
    """Delete a pod gracefully and record an event; do nothing if it does not exist."""
    try:
        context.writer.delete(resources.PODS, pod.namespace, pod.name)
    except StatusError as error:
        if error.code != 404:
            raise
        return
    _record(context, owner, "SuccessfulDelete", f"Deleted pod: {pod.name}")


def _record(context: ControllerContext, owner: Item, reason: str, message: str) -> None:
    component = f"{owner.resource.kind.lower()}-controller"
    context.events.record(owner, "Normal", reason, message, component)


class _Condition(msgspec.Struct):
    type: str = ""
    status: str = ""
    since: str | None = msgspec.field(name="lastTransitionTime", default=None)


class _Status(msgspec.Struct):
    phase: str = ""
    conditions: list[_Condition] = []


class _PodView(msgspec.Struct):
    status: _Status


# Decoding a whole pod takes ten times as long, and every reconciliation decodes all its pods.
_decode_view = msgspec.json.Decoder(_PodView).decode


class Pod:
    """The facts of a pod that controllers depend on."""

    __slots__ = ("item", "node", "phase", "ready", "ready_at")

    def __init__(self, item: Item) -> None:
        status = _decode_view(item.raw).status
        self.item = item
        self.phase = status.phase
        self.node = item.node
        self.ready = False
        self.ready_at = 0.0
        for condition in status.conditions:
            if condition.type == "Ready":
                self.ready = condition.status == "True"
                self.ready_at = timestamps.parse_rfc3339(condition.since)

    @property
    def active(self) -> bool:
        """Whether the pod counts as a replica."""
        return not self.item.deleting and self.phase not in ("Succeeded", "Failed")

    @property
    def deletion_rank(self) -> tuple[bool, bool, bool, float, str]:
        """Sort key of scale-down: unassigned, not running, not ready, then most recently ready."""
        is_running = self.phase == "Running"
        return (bool(self.node), is_running, self.ready, -self.ready_at, self.item.name)


def owned_pods(context: ControllerContext, owner: Item) -> list[Pod]:
    """Return the pods of a workload, sorted by name."""
    return [Pod(item) for item in context.index.owned(owner.uid, resources.PODS)]


def set_status(context: ControllerContext, item: Item, status: Object) -> None:
    """Replace the status of a workload; an equal status makes no new version."""
    context.writer.update(
        item.resource, item.namespace, item.name, lambda old: {**old, "status": status}, "status"
    )
