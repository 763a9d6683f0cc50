"""The scheduler: binds each pod to a node, or reports why it cannot."""

from __future__ import annotations

from dataclasses import dataclass

from tui_forward.minicluster.apiserver import resources
from tui_forward.minicluster.apiserver.object_writer import set_pod_condition
from tui_forward.minicluster.apiserver.resources import Object
from tui_forward.minicluster.apiserver.store import Item
from tui_forward.minicluster.controllers.context import ControllerContext, key_of

SCHEDULER_NAME = "default-scheduler"
WAIT_S = 1.0


@dataclass(frozen=True, slots=True)
class Node:
    """The facts of a node that scheduling depends on."""

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


def is_same_node(before: Item, after: Item) -> bool:
    """Return whether a change of a node (a heartbeat) does not affect scheduling."""
    return _node(before) == _node(after)


def list_nodes(context: ControllerContext) -> list[Node]:
    """Return all nodes."""
    return [_node(item) for item in context.store.all(resources.NODES)]


def _tolerates_taints(spec: Object, node: Node) -> bool:
    for key, effect in node.taints:
        if effect not in ("NoSchedule", "NoExecute"):
            continue
        for toleration in spec.get("tolerations") or ():
            is_same_key = toleration.get("key") in (None, "", key)
            is_same_effect = toleration.get("effect") in (None, "", effect)
            if is_same_key and is_same_effect:
                break
        else:
            return False
    return True


def _matches_node_selector(spec: Object, node: Node) -> bool:
    selector = spec.get("nodeSelector") or {}
    return all(node.labels.get(key) == value for key, value in selector.items())


def fits(spec: Object, node: Node) -> bool:
    """Return whether a pod with this specification may run on a node."""
    return _matches_node_selector(spec, node) and _tolerates_taints(spec, node)


def reconcile(context: ControllerContext, namespace: str, name: str) -> None:
    """Bind one pod to a node."""
    item = context.store.get(resources.PODS, namespace, name)
    if item is None or item.deleting or item.node:
        return
    spec = item.copy()["spec"]
    if spec.get("schedulerName") != SCHEDULER_NAME:
        return
    if spec.get("schedulingGates"):
        message = "Scheduling is blocked due to non-empty scheduling gates"
        _set_unschedulable(context, item, message, "SchedulingGated")
        return
    nodes = list_nodes(context)
    if not context.all_nodes_started({node.name for node in nodes if node.ready}):
        # A node that becomes ready queues all waiting pods. This covers nodes that never do.
        context.queue.add_after(key_of(item), WAIT_S)
        return
    feasible = [node for node in nodes if node.ready and fits(spec, node)]
    claim = _claim(spec)
    if feasible and not claim:
        node = _least_loaded(context, item, feasible)
        context.writer.bind(namespace, name, node.name)
        message = f"Successfully assigned {namespace}/{name} to {node.name}"
        context.events.record(item, "Normal", "Scheduled", message, SCHEDULER_NAME)
        return
    if claim:  # the cluster has no volumes, so that none exists
        missing = f'persistentvolumeclaim "{claim}" not found'
        message = f"0/{len(nodes)} nodes are available: {missing}. not found"
    else:
        message = (
            _unschedulable_message(spec, nodes) if nodes else "no nodes available to schedule pods"
        )
    if _set_unschedulable(context, item, message):
        context.events.record(item, "Warning", "FailedScheduling", message, SCHEDULER_NAME)


def _claim(spec: Object) -> str:
    """Return the first PersistentVolumeClaim that a pod needs; empty if it needs none."""
    claims = (volume.get("persistentVolumeClaim") for volume in spec.get("volumes") or ())
    return next((str(claim.get("claimName")) for claim in claims if claim), "")


def _least_loaded(context: ControllerContext, item: Item, nodes: list[Node]) -> Node:
    siblings = context.index.owned(item.controller, resources.PODS) if item.controller else []

    # Spread an owner's pods first, then all pods. The name decides between equal nodes, which
    # makes a seeded cluster reproducible.
    def load(node: Node) -> tuple[int, int, str]:
        on_node = sum(each.node == node.name and not each.deleting for each in siblings)
        return (on_node, context.index.count_pods(node.name), node.name)

    return min(nodes, key=load)


def _unschedulable_message(spec: Object, nodes: list[Node]) -> str:
    """Return the message of a real scheduler."""
    causes: dict[str, int] = {}
    for node in nodes:
        if not _matches_node_selector(spec, node):
            cause = "node(s) didn't match Pod's node affinity/selector"
        elif not _tolerates_taints(spec, node):
            cause = "node(s) had untolerated taint(s)"
        else:
            cause = "node(s) were not ready"
        causes[cause] = causes.get(cause, 0) + 1
    total = len(nodes)
    listed = ", ".join(f"{count} {cause}" for cause, count in sorted(causes.items()))
    return (
        f"0/{total} nodes are available: {listed}. no new claims to deallocate, preemption: "
        f"0/{total} nodes are available: {total} Preemption is not helpful for scheduling."
    )


def _set_unschedulable(
    context: ControllerContext, item: Item, message: str, reason: str = "Unschedulable"
) -> bool:
    """Set the PodScheduled condition; return whether it changed."""

    def set_condition(pod: Object) -> Object:
        status = pod.setdefault("status", {})
        conditions = status.get("conditions") or ()
        if not any(c["type"] == "PodScheduled" and c.get("message") == message for c in conditions):
            set_pod_condition(status, "PodScheduled", "False", reason, message)
        return pod

    after = context.writer.update(
        resources.PODS, item.namespace, item.name, set_condition, "status"
    )
    return after.version != item.version
