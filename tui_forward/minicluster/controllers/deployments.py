"""Deployment controller: one ReplicaSet per pod template, and rolling updates between them.

A rolling update follows the rules of the real controller: never more than `replicas + maxSurge`
pods, never fewer than `replicas - maxUnavailable` available ones.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

from tui_forward.minicluster.apiserver import resources, timestamps
from tui_forward.minicluster.apiserver.defaults import template_hash
from tui_forward.minicluster.apiserver.resources import Object
from tui_forward.minicluster.apiserver.store import Item
from tui_forward.minicluster.controllers import pod_control
from tui_forward.minicluster.controllers.context import ControllerContext

HASH_LABEL = "pod-template-hash"
REVISION_ANNOTATION = "deployment.kubernetes.io/revision"
DESIRED_REPLICAS_ANNOTATION = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS_ANNOTATION = "deployment.kubernetes.io/max-replicas"


class _ReplicaSet:
    """The numbers of a ReplicaSet that a rollout depends on."""

    def __init__(self, item: Item) -> None:
        body = item.copy()
        status = body.get("status") or {}
        annotations = body["metadata"].get("annotations") or {}
        self.item = item
        self.hash = item.labels.get(HASH_LABEL, "")
        self.revision = int(annotations.get(REVISION_ANNOTATION, "0") or 0)
        self.replicas: int = body["spec"].get("replicas", 0)
        self.current: int = status.get("replicas", 0)
        self.ready: int = status.get("readyReplicas", 0)
        self.terminating: int = status.get("terminatingReplicas", 0)
        self.is_status_current = status.get("observedGeneration") == body["metadata"].get(
            "generation"
        )

    @property
    def healthy(self) -> int:
        """Ready pods that remain if the ReplicaSet is scaled to `replicas`."""
        return min(self.ready, self.replicas)


def reconcile(context: ControllerContext, owner: Item) -> None:
    """Move the ReplicaSets one step towards the Deployment's specification."""
    body = owner.copy()
    owned = context.index.owned(owner.uid, resources.REPLICASETS)
    replica_sets = [_ReplicaSet(item) for item in owned]
    pod_hash = template_hash(body["spec"]["template"])
    newest_revision = max((each.revision for each in replica_sets), default=0)
    new = next((each for each in replica_sets if each.hash == pod_hash), None)
    if new is None:
        new = _create_replica_set(context, owner, body, pod_hash, newest_revision + 1)
        replica_sets.append(new)
    elif new.revision < newest_revision:
        # A rollback: the earlier template becomes the newest revision.
        new.revision = newest_revision + 1
        _set_revision_annotation(context, new.item, new.revision)
    old = [each for each in replica_sets if each is not new]
    if not body["spec"].get("paused"):
        _roll_out(context, body["spec"], new, old)
        _clean_up_history(context, body["spec"], old)
    _update_status(context, owner, body, new, old)


def _create_replica_set(
    context: ControllerContext, owner: Item, body: Object, pod_hash: str, revision: int
) -> _ReplicaSet:
    spec = body["spec"]
    template = copy.deepcopy(spec["template"])
    labels = {**(template["metadata"].get("labels") or {}), HASH_LABEL: pod_hash}
    template["metadata"]["labels"] = labels
    selector = copy.deepcopy(spec["selector"])
    selector.setdefault("matchLabels", {})[HASH_LABEL] = pod_hash
    replicas = spec.get("replicas", 1)
    max_surge, _ = _rolling_update_limits(spec)
    annotations = {
        DESIRED_REPLICAS_ANNOTATION: str(replicas),
        MAX_REPLICAS_ANNOTATION: str(replicas + max_surge),
        REVISION_ANNOTATION: str(revision),
    }
    metadata: Object = {"name": f"{owner.name}-{pod_hash}", "labels": labels}
    metadata["annotations"] = annotations
    metadata["ownerReferences"] = [pod_control.owner_reference(owner)]
    new_spec = {"replicas": 0, "selector": selector, "template": template}
    body = {"metadata": metadata, "spec": new_spec}
    return _ReplicaSet(context.writer.create(resources.REPLICASETS, body, owner.namespace))


def _set_revision_annotation(context: ControllerContext, item: Item, revision: int) -> None:
    def annotate(body: Object) -> Object:
        body["metadata"].setdefault("annotations", {})[REVISION_ANNOTATION] = str(revision)
        return body

    context.writer.update(item.resource, item.namespace, item.name, annotate)


def _rolling_update_limits(spec: Object) -> tuple[int, int]:
    """Return `maxSurge` and `maxUnavailable` as numbers of pods."""
    rolling_update = (spec.get("strategy") or {}).get("rollingUpdate") or {}
    replicas: int = spec.get("replicas", 1)

    def to_pods(value: object, round_: Callable[[float], int]) -> int:
        if isinstance(value, str) and value.endswith("%"):
            return round_(replicas * int(value[:-1]) / 100)
        return int(value) if isinstance(value, int | str) else 0

    max_surge = to_pods(rolling_update.get("maxSurge", "25%"), math.ceil)
    max_unavailable = to_pods(rolling_update.get("maxUnavailable", "25%"), math.floor)
    if max_surge == max_unavailable == 0:
        max_unavailable = 1
    return max_surge, max_unavailable


def _scale(context: ControllerContext, replica_set: _ReplicaSet, replicas: int) -> None:
    if replica_set.replicas == replicas:
        return

    def set_replicas(body: Object) -> Object:
        body["spec"]["replicas"] = replicas
        return body

    item = replica_set.item
    context.writer.update(resources.REPLICASETS, item.namespace, item.name, set_replicas)
    replica_set.replicas = replicas
    replica_set.is_status_current = False


def _roll_out(
    context: ControllerContext, spec: Object, new: _ReplicaSet, old: list[_ReplicaSet]
) -> None:
    replicas: int = spec.get("replicas", 1)
    active = [each for each in old if each.replicas or each.current]
    if (spec.get("strategy") or {}).get("type") == "Recreate":
        for replica_set in active:
            _scale(context, replica_set, 0)
        if not any(each.current or each.terminating for each in active):
            _scale(context, new, replicas)
    elif not active:
        _scale(context, new, replicas)
    else:
        max_surge, max_unavailable = _rolling_update_limits(spec)
        total = new.replicas + sum(each.replicas for each in active)
        if new.replicas > replicas:
            _scale(context, new, replicas)
        elif (room := replicas + max_surge - total) > 0:
            _scale(context, new, min(replicas, new.replicas + room))
        _scale_down_old(context, new, active, min_available=replicas - max_unavailable)


def _scale_down_old(
    context: ControllerContext, new: _ReplicaSet, old: list[_ReplicaSet], *, min_available: int
) -> None:
    by_age = sorted(old, key=lambda each: each.revision)
    total = new.replicas + sum(each.replicas for each in old)
    surplus = total - min_available - (new.replicas - new.ready)
    # Unhealthy pods first: they do not count as available.
    for replica_set in by_age:
        if surplus <= 0:
            return
        unhealthy = min(replica_set.replicas - replica_set.healthy, surplus)
        _scale(context, replica_set, replica_set.replicas - unhealthy)
        surplus -= unhealthy
    available = new.ready + sum(each.healthy for each in old)
    surplus = min(surplus, available - min_available)
    for replica_set in by_age:
        if surplus <= 0:
            return
        step = min(replica_set.replicas, surplus)
        _scale(context, replica_set, replica_set.replicas - step)
        surplus -= step


def _clean_up_history(context: ControllerContext, spec: Object, old: list[_ReplicaSet]) -> None:
    """Delete the oldest empty ReplicaSets beyond `revisionHistoryLimit`."""
    empty = [
        each
        for each in sorted(old, key=lambda each: each.revision)
        if not each.replicas and not each.current and each.is_status_current
    ]
    surplus = max(0, len(empty) - int(spec.get("revisionHistoryLimit", 10)))
    for replica_set in empty[:surplus]:
        item = replica_set.item
        context.writer.delete(resources.REPLICASETS, item.namespace, item.name)


def _update_status(
    context: ControllerContext, owner: Item, body: Object, new: _ReplicaSet, old: list[_ReplicaSet]
) -> None:
    replicas: int = body["spec"].get("replicas", 1)
    replica_sets = [new, *old]
    current = sum(each.current for each in replica_sets)
    ready = sum(each.ready for each in replica_sets)
    conditions = list((body.get("status") or {}).get("conditions") or ())
    _, max_unavailable = _rolling_update_limits(body["spec"])
    is_available = ready >= replicas - max_unavailable
    reason = f"MinimumReplicas{'Available' if is_available else 'Unavailable'}"
    message = f"Deployment {'has' if is_available else 'does not have'} minimum availability."
    _set_condition(conditions, "Available", str(is_available), reason, message)
    is_complete = new.ready == new.current == current == replicas
    reason = "NewReplicaSetAvailable" if is_complete else "ReplicaSetUpdated"
    progress = "has successfully progressed" if is_complete else "is progressing"
    message = f'ReplicaSet "{new.item.name}" {progress}.'
    _set_condition(conditions, "Progressing", "True", reason, message)
    status: Object = {"observedGeneration": body["metadata"].get("generation", 1)}
    numbers = {
        "replicas": current,
        "updatedReplicas": new.current,
        "readyReplicas": ready,
        "availableReplicas": ready,
        "unavailableReplicas": max(0, replicas - ready),
    }
    status |= {key: value for key, value in numbers.items() if value}
    status["terminatingReplicas"] = sum(each.terminating for each in replica_sets)
    status["conditions"] = conditions
    pod_control.set_status(context, owner, status)
    annotations = body["metadata"].get("annotations") or {}
    if annotations.get(REVISION_ANNOTATION) != str(new.revision):
        _set_revision_annotation(context, owner, new.revision)


def _set_condition(
    conditions: list[Object], kind: str, value: str, reason: str, message: str
) -> None:
    """Set a condition; its timestamps change only if it changes."""
    now = timestamps.now()
    for condition in conditions:
        if condition["type"] != kind:
            continue
        if condition["status"] != value:
            condition["lastTransitionTime"] = now
        before = (condition["status"], condition.get("reason"), condition.get("message"))
        if before != (value, reason, message):
            condition |= {"status": value, "lastUpdateTime": now}
            condition |= {"reason": reason, "message": message}
        return
    new = {"type": kind, "status": value, "lastUpdateTime": now, "lastTransitionTime": now}
    conditions.append({**new, "reason": reason, "message": message})
