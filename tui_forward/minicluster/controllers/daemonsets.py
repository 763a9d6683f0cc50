"""DaemonSet controller: one pod on each eligible node."""

from __future__ import annotations

from tui_forward.minicluster.apiserver import resources
from tui_forward.minicluster.apiserver.defaults import template_hash
from tui_forward.minicluster.apiserver.resources import Object
from tui_forward.minicluster.controllers import pod_control, scheduler
from tui_forward.minicluster.controllers.context import ControllerContext, key_of


def reconcile(context: ControllerContext, namespace: str, name: str) -> None:
    """Create the missing pods and delete surplus ones."""
    owner = context.store.get(resources.DAEMONSETS, namespace, name)
    if owner is None or owner.deleting:
        return
    body = owner.copy()
    template = body["spec"]["template"]
    revision = template_hash(template)
    nodes = scheduler.list_nodes(context)
    if not context.all_nodes_started({node.name for node in nodes if node.ready}):
        context.queue.add_after(key_of(owner), scheduler.WAIT_S)
        return
    eligible = {node.name for node in nodes if scheduler.fits(template["spec"], node)}
    covered: set[str] = set()
    for pod in pod_control.owned_pods(context, owner):
        if pod.item.deleting:
            covered.add(pod.node)
        elif not pod.active or pod.node not in eligible or pod.node in covered:
            pod_control.delete_pod(context, owner, pod.item)
        else:
            covered.add(pod.node)
    for node_name in sorted(eligible - covered):
        if not context.may_replace_pod(owner):
            break
        new_pod = pod_control.pod_from_template(owner, template)
        new_pod["metadata"]["generateName"] = f"{name}-"
        new_pod["metadata"]["labels"] |= {
            "controller-revision-hash": revision,
            "pod-template-generation": "1",
        }
        # The real controller sets a node affinity and leaves the binding to the scheduler.
        new_pod["spec"]["nodeName"] = node_name
        pod_control.create_pod(context, owner, new_pod)
    active = [pod for pod in pod_control.owned_pods(context, owner) if pod.active]
    ready = sum(pod.ready for pod in active)
    status: Object = {
        "currentNumberScheduled": len(active),
        "numberMisscheduled": 0,
        "desiredNumberScheduled": len(eligible),
        "numberReady": ready,
        "observedGeneration": body["metadata"].get("generation", 1),
        "updatedNumberScheduled": len(active),
    }
    if ready:
        status["numberAvailable"] = ready
    if len(eligible) > ready:
        status["numberUnavailable"] = len(eligible) - ready
    pod_control.set_status(context, owner, status)
