"""StatefulSets: pods with fixed names, in order; a replacement keeps the name, not the UID."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tui_forward.minicluster.apiserver import resources
from tui_forward.minicluster.apiserver.defaults import template_hash
from tui_forward.minicluster.apiserver.store import Item
from tui_forward.minicluster.controllers import pod_control as pod_control

if TYPE_CHECKING:
    from tui_forward.minicluster.controllers.context import ControllerContext

Object = dict[str, Any]

REVISION_LABEL = "controller-revision-hash"


def reconcile(context: ControllerContext, namespace: str, name: str) -> None:
    """Create, replace or delete the one pod whose turn it is."""
    owner = context.store.get(resources.STATEFULSETS, namespace, name)
    if owner is None or owner.deleting:
        return
    body = owner.copy()
    revision = f"{name}-{template_hash(body['spec']['template'])}"
    _step(context, owner, body["spec"], revision)
    _report(context, owner, body, revision)


def _step(context: ControllerContext, owner: Item, spec: Object, revision: str) -> None:
    wanted: int = spec.get("replicas", 1)
    by_name = {pod.item.name: pod for pod in pod_control.owned(context, owner)}
    ordered = spec.get("podManagementPolicy") != "Parallel"
    names = [f"{owner.name}-{ordinal}" for ordinal in range(wanted)]
    for ordinal, name in enumerate(names):
        pod = by_name.get(name)
        if pod is None:
            if context.store.get(resources.PODS, owner.namespace, name) is not None:
                return  # somebody else's pod has the name; look again when it goes
            if not context.may_replace(owner, ("statefulset", owner.namespace, owner.name)):
                return
            pod_control.create(context, owner, _pod(owner, spec, name, ordinal, revision))
            if ordered:
                return
        elif not pod.active:
            if not pod.item.deleting:
                pod_control.delete(context, owner, pod.item)
            if ordered:
                return
        elif ordered and not pod.ready:
            return
    extra = [pod for name, pod in by_name.items() if name not in names]
    for pod in sorted(extra, key=lambda each: -_ordinal(each.item.name)):
        if not pod.item.deleting:
            pod_control.delete(context, owner, pod.item)
        if ordered:
            return
    for name in reversed(names):
        pod = by_name.get(name)
        if pod is None or not pod.active or not pod.ready:
            return  # one at a time
        if pod.item.labels.get(REVISION_LABEL) != revision:
            if (spec.get("updateStrategy") or {}).get("type") != "OnDelete":
                pod_control.delete(context, owner, pod.item)
            return


def _ordinal(name: str) -> int:
    last = name.rpartition("-")[2]
    return int(last) if last.isdecimal() else 0


def _pod(owner: Item, spec: Object, name: str, ordinal: int, revision: str) -> Object:
    pod = pod_control.from_template(owner, spec["template"])
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


def _report(context: ControllerContext, owner: Item, body: Object, revision: str) -> None:
    active = [pod for pod in pod_control.owned(context, owner) if pod.active]
    ready = sum(pod.ready for pod in active)
    updated = sum(pod.item.labels.get(REVISION_LABEL) == revision for pod in active)
    numbers = {
        "readyReplicas": ready,
        "currentReplicas": updated,
        "updatedReplicas": updated,
    }
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
