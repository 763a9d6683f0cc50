"""ReplicaSet controller: keeps the requested number of pods of one template."""

from __future__ import annotations

from tui_forward.minicluster.apiserver import resources
from tui_forward.minicluster.apiserver.resources import Object
from tui_forward.minicluster.controllers import pod_control
from tui_forward.minicluster.controllers.context import ControllerContext

# Pods created per reconciliation, as in the real controller.
BURST_REPLICAS = 500


def reconcile(context: ControllerContext, namespace: str, name: str) -> None:
    """Create missing pods or delete surplus ones."""
    owner = context.store.get(resources.REPLICASETS, namespace, name)
    if owner is None or owner.deleting:
        return
    body = owner.copy()
    spec = body["spec"]
    pods = pod_control.owned_pods(context, owner)
    active = [pod for pod in pods if pod.active]
    missing = spec.get("replicas", 1) - len(active)
    if missing > 0 and context.may_replace_pod(owner):
        for _ in range(min(missing, BURST_REPLICAS)):
            new_pod = pod_control.pod_from_template(owner, spec["template"])
            new_pod["metadata"]["generateName"] = f"{name}-"
            pod_control.create_pod(context, owner, new_pod)
    elif missing < 0:
        for pod in sorted(active, key=lambda pod: pod.deletion_rank)[:-missing]:
            pod_control.delete_pod(context, owner, pod.item)
    if missing:
        pods = pod_control.owned_pods(context, owner)
        active = [pod for pod in pods if pod.active]
    ready = sum(pod.ready for pod in active)
    status: Object = {"replicas": len(active)}
    if active:
        status["fullyLabeledReplicas"] = len(active)
    if ready:
        status |= {"readyReplicas": ready, "availableReplicas": ready}
    status["terminatingReplicas"] = sum(pod.item.deleting for pod in pods)
    status["observedGeneration"] = body["metadata"].get("generation", 1)
    pod_control.set_status(context, owner, status)
