"""The scheduler: gives each pod a node, or says why it cannot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tui_forward.minicluster.apiserver import resources
from tui_forward.minicluster.apiserver.create_update_delete import set_condition
from tui_forward.minicluster.apiserver.store import Item

if TYPE_CHECKING:
    from tui_forward.minicluster.controllers.context import ControllerContext

Object = dict[str, Any]

SCHEDULER = "default-scheduler"
WAIT_S = 1.0


@dataclass(frozen=True, slots=True)
class Node:
    """A node as the scheduler sees it."""

    name: str
    labels: dict[str, str]
    taints: tuple[tuple[str, str], ...]
    ready: bool


def _node(item: Item) -> Node:
    body = item.copy()
    spec, status = body.get("spec") or {}, body.get("status") or {}
    conditions = {c["type"]: c["status"] for c in status.get("conditions") or ()}
    taints = [(taint["key"], taint.get("effect", "")) for taint in spec.get("taints") or ()]
    if spec.get("unschedulable"):
        taints.append(("node.kubernetes.io/unschedulable", "NoSchedule"))
    return Node(item.name, item.labels, tuple(taints), conditions.get("Ready") == "True")


def same_node(before: Item, item: Item) -> bool:
    """Whether a change of a node is none to the scheduler (a heartbeat)."""
    return _node(before) == _node(item)


def nodes(context: ControllerContext) -> list[Node]:
    """All nodes."""
    return [_node(item) for item in context.store.all(resources.NODES)]


def _tolerated(spec: Object, node: Node) -> bool:
    for key, effect in node.taints:
        if effect not in ("NoSchedule", "NoExecute"):
            continue
        for toleration in spec.get("tolerations") or ():
            same_key = toleration.get("key") in (None, "", key)
            same_effect = toleration.get("effect") in (None, "", effect)
            if same_key and same_effect:
                break
        else:
            return False
    return True


def _selected(spec: Object, node: Node) -> bool:
    wanted = spec.get("nodeSelector") or {}
    return all(node.labels.get(key) == value for key, value in wanted.items())


def fits(spec: Object, node: Node) -> bool:
    """Whether a pod may run on a node at all."""
    return _selected(spec, node) and _tolerated(spec, node)


def reconcile(context: ControllerContext, namespace: str, name: str) -> None:
    """Assign one pod."""
    item = context.store.get(resources.PODS, namespace, name)
    if item is None or item.deleting or item.node:
        return
    spec = item.copy()["spec"]
    if spec.get("schedulerName") != SCHEDULER:
        return  # somebody else's business
    known = nodes(context)
    if not context.nodes_there({node.name for node in known if node.ready}):
        # A node that comes up queues every pod that waits; this is for those that never do.
        context.requeue(("pod", namespace, name), WAIT_S)
        return
    usable = [node for node in known if node.ready and fits(spec, node)]
    if usable:
        siblings = context.index.owned(item.controller, resources.PODS) if item.controller else []

        # Spread an owner's pods, then all pods; among equals the name decides, so that a seeded
        # cluster repeats itself.
        def load(node: Node) -> tuple[int, int, str]:
            same = sum(each.node == node.name and not each.deleting for each in siblings)
            return (same, context.index.pods_on(node.name), node.name)

        best = min(usable, key=load)
        context.writer.bind(namespace, name, best.name)
        context.events.record(
            item,
            "Normal",
            "Scheduled",
            f"Successfully assigned {namespace}/{name} to {best.name}",
            SCHEDULER,
        )
        return
    message = _why(spec, known) if known else "no nodes available to schedule pods"
    changed = _set_unschedulable(context, item, message)
    if changed:
        context.events.record(item, "Warning", "FailedScheduling", message, SCHEDULER)


def _why(spec: Object, known: list[Node]) -> str:
    """The sentence a real scheduler says."""
    causes: dict[str, int] = {}
    for node in known:
        if not _selected(spec, node):
            cause = "node(s) didn't match Pod's node affinity/selector"
        elif not _tolerated(spec, node):
            cause = "node(s) had untolerated taint(s)"
        else:
            cause = "node(s) were not ready"
        causes[cause] = causes.get(cause, 0) + 1
    total = len(known)
    listed = ", ".join(f"{count} {cause}" for cause, count in sorted(causes.items()))
    return (
        f"0/{total} nodes are available: {listed}. no new claims to deallocate, preemption: "
        f"0/{total} nodes are available: {total} Preemption is not helpful for scheduling."
    )


def _set_unschedulable(context: ControllerContext, item: Item, message: str) -> bool:
    def changed(pod: Object) -> Object:
        status = pod.setdefault("status", {})
        conditions = status.get("conditions") or ()
        told = any(c["type"] == "PodScheduled" and c.get("message") == message for c in conditions)
        if not told:
            set_condition(status, "PodScheduled", "False", "Unschedulable", message)
        return pod

    after = context.writer.change(resources.PODS, item.namespace, item.name, changed, "status")
    return after.version != item.version
