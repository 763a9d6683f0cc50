"""ReplicaSets: so many pods of one template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tui_forward.minicluster.apiserver import resources
from tui_forward.minicluster.controllers import pod_control as pod_control

if TYPE_CHECKING:
    from tui_forward.minicluster.controllers.context import ControllerContext

# As many as a real controller creates before it looks again.
BURST = 500


def reconcile(context: ControllerContext, namespace: str, name: str) -> None:
    """Create or delete pods until the number is right."""
    owner = context.store.get(resources.REPLICASETS, namespace, name)
    if owner is None or owner.deleting:
        return
    body = owner.copy()
    spec = body["spec"]
    wanted = spec.get("replicas", 1)
    owned = pod_control.owned(context, owner)
    active = [pod for pod in owned if pod.active]
    missing = wanted - len(active)
    if missing > 0 and context.may_replace(owner, ("replicaset", namespace, name)):
        for _ in range(min(missing, BURST)):
            pod = pod_control.from_template(owner, spec["template"])
            pod["metadata"]["generateName"] = f"{name}-"
            pod_control.create(context, owner, pod)
    elif missing < 0:
        for extra in sorted(active, key=lambda pod: pod.deletion_rank)[:-missing]:
            pod_control.delete(context, owner, extra.item)
    if missing:
        owned = pod_control.owned(context, owner)
        active = [pod for pod in owned if pod.active]
    ready = sum(pod.ready for pod in active)
    status: dict[str, Any] = {"replicas": len(active)}
    if active:
        status["fullyLabeledReplicas"] = len(active)
    if ready:
        status |= {"readyReplicas": ready, "availableReplicas": ready}
    status["terminatingReplicas"] = sum(pod.item.deleting for pod in owned)
    status["observedGeneration"] = body["metadata"].get("generation", 1)
    pod_control.set_status(context, owner, status)
