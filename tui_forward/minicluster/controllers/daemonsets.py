"""DaemonSets: one pod on every node that has a kubelet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tui_forward.minicluster.apiserver import resources
from tui_forward.minicluster.apiserver.defaults import template_hash
from tui_forward.minicluster.controllers import pod_control as pod_control
from tui_forward.minicluster.controllers import scheduler

if TYPE_CHECKING:
    from tui_forward.minicluster.controllers.context import ControllerContext


def reconcile(context: ControllerContext, namespace: str, name: str) -> None:
    """Create what is missing on a node, delete what is too much."""
    owner = context.store.get(resources.DAEMONSETS, namespace, name)
    if owner is None or owner.deleting:
        return
    body = owner.copy()
    template = body["spec"]["template"]
    revision = template_hash(template)
    known = scheduler.nodes(context)
    if not context.nodes_there({node.name for node in known if node.ready}):
        context.requeue(("daemonset", namespace, name), scheduler.WAIT_S)
        return
    nodes = [node for node in known if scheduler.fits(template["spec"], node)]
    wanted = {node.name for node in nodes}
    owned = pod_control.owned(context, owner)
    covered: set[str] = set()
    for pod in owned:
        if pod.item.deleting:
            covered.add(pod.node)
        elif not pod.active or pod.node not in wanted or pod.node in covered:
            pod_control.delete(context, owner, pod.item)
        else:
            covered.add(pod.node)
    for node in sorted(wanted - covered):
        if not context.may_replace(owner, ("daemonset", namespace, name)):
            break
        fresh = pod_control.from_template(owner, template)
        fresh["metadata"]["generateName"] = f"{name}-"
        fresh["metadata"]["labels"] |= {
            "controller-revision-hash": revision,
            "pod-template-generation": "1",
        }
        # A real one lets the scheduler do this, by an affinity to the node's name.
        fresh["spec"]["nodeName"] = node
        pod_control.create(context, owner, fresh)
    active = [pod for pod in pod_control.owned(context, owner) if pod.active]
    ready = sum(pod.ready for pod in active)
    status: dict[str, Any] = {
        "currentNumberScheduled": len(active),
        "numberMisscheduled": 0,
        "desiredNumberScheduled": len(wanted),
        "numberReady": ready,
        "observedGeneration": body["metadata"].get("generation", 1),
        "updatedNumberScheduled": len(active),
    }
    if ready:
        status["numberAvailable"] = ready
    if len(wanted) > ready:
        status["numberUnavailable"] = len(wanted) - ready
    pod_control.set_status(context, owner, status)
