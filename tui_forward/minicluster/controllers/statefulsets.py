"""StatefulSet controller: pods with fixed names, in order.

A replacement pod keeps the name, not the UID.
"""

from __future__ import annotations

from tui_forward.minicluster.apiserver import resources
from tui_forward.minicluster.apiserver.defaults import template_hash
from tui_forward.minicluster.apiserver.resources import Object
from tui_forward.minicluster.apiserver.store import Item
from tui_forward.minicluster.controllers import pod_control
from tui_forward.minicluster.controllers.context import ControllerContext

REVISION_LABEL = "controller-revision-hash"


def reconcile(context: ControllerContext, namespace: str, name: str) -> None:
    """Create, replace or delete the next pod in order."""
    owner = context.store.get(resources.STATEFULSETS, namespace, name)
    if owner is None or owner.deleting:
        return
    body = owner.copy()
    revision = f"{name}-{template_hash(body['spec']['template'])}"
    _update_pods(context, owner, body["spec"], revision)
    _update_status(context, owner, body, revision)


def _update_pods(context: ControllerContext, owner: Item, spec: Object, revision: str) -> None:
    replicas: int = spec.get("replicas", 1)
    pods = {pod.item.name: pod for pod in pod_control.owned_pods(context, owner)}
    is_ordered = spec.get("podManagementPolicy") != "Parallel"
    names = [f"{owner.name}-{ordinal}" for ordinal in range(replicas)]
    for ordinal, name in enumerate(names):
        pod = pods.get(name)
        if pod is None:
            if context.store.get(resources.PODS, owner.namespace, name) is not None:
                return  # a pod of another owner has the name; its deletion queues this again
            if not context.may_replace_pod(owner):
                return
            pod_control.create_pod(context, owner, _pod(owner, spec, name, ordinal, revision))
            if is_ordered:
                return
        elif not pod.active:
            if not pod.item.deleting:
                pod_control.delete_pod(context, owner, pod.item)
            if is_ordered:
                return
        elif is_ordered and not pod.ready:
            return
    surplus = [pod for name, pod in pods.items() if name not in names]
    for pod in sorted(surplus, key=lambda pod: -_ordinal(pod.item.name)):
        if not pod.item.deleting:
            pod_control.delete_pod(context, owner, pod.item)
        if is_ordered:
            return
    for name in reversed(names):
        pod = pods.get(name)
        if pod is None or not pod.active or not pod.ready:
            return  # a rolling update replaces one pod at a time
        if pod.item.labels.get(REVISION_LABEL) != revision:
            if (spec.get("updateStrategy") or {}).get("type") != "OnDelete":
                pod_control.delete_pod(context, owner, pod.item)
            return


def _ordinal(name: str) -> int:
    suffix = name.rpartition("-")[2]
    return int(suffix) if suffix.isdecimal() else 0


def _pod(owner: Item, spec: Object, name: str, ordinal: int, revision: str) -> Object:
    pod = pod_control.pod_from_template(owner, spec["template"])
    pod["metadata"]["name"] = name
    pod["metadata"]["generateName"] = f"{owner.name}-"
    pod["metadata"]["labels"] |= {
        "apps.kubernetes.io/pod-index": str(ordinal),
        REVISION_LABEL: revision,
        "statefulset.kubernetes.io/pod-name": name,
    }
    pod["spec"]["hostname"] = name
    if spec.get("serviceName"):
        pod["spec"]["subdomain"] = spec["serviceName"]
    return pod


def _update_status(context: ControllerContext, owner: Item, body: Object, revision: str) -> None:
    active = [pod for pod in pod_control.owned_pods(context, owner) if pod.active]
    ready = sum(pod.ready for pod in active)
    updated = sum(pod.item.labels.get(REVISION_LABEL) == revision for pod in active)
    numbers = {"readyReplicas": ready, "currentReplicas": updated, "updatedReplicas": updated}
    status: Object = {
        "observedGeneration": body["metadata"].get("generation", 1),
        "replicas": len(active),
        **{key: value for key, value in numbers.items() if value},
        "currentRevision": revision,
        "updateRevision": revision,
        "collisionCount": 0,
        "availableReplicas": ready,
    }
    pod_control.set_status(context, owner, status)
