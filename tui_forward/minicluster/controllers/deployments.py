"""Deployments: one ReplicaSet per template, and a rolling change from one to the next.

The arithmetic of the rolling update is that of the real controller: never more than
`replicas + maxSurge` pods, never fewer than `replicas - maxUnavailable` available ones.
"""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, Any

from tui_forward.minicluster.apiserver import resources
from tui_forward.minicluster.apiserver.defaults import template_hash
from tui_forward.minicluster.apiserver.store import Item
from tui_forward.minicluster.controllers import pod_control as pod_control

if TYPE_CHECKING:
    from tui_forward.minicluster.controllers.context import ControllerContext

Object = dict[str, Any]

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"


def reconcile(context: ControllerContext, namespace: str, name: str) -> None:
    """Move the ReplicaSets one step nearer to what the Deployment wants."""
    owner = context.store.get(resources.DEPLOYMENTS, namespace, name)
    if owner is None or owner.deleting:
        return
    body = owner.copy()
    sets = [_Set(item) for item in context.index.owned(owner.uid, resources.REPLICASETS)]
    digest = template_hash(body["spec"]["template"])
    current = next((each for each in sets if each.hash == digest), None)
    if current is None:
        revision = max((each.revision for each in sets), default=0) + 1
        current = _create(context, owner, body, digest, revision)
        sets.append(current)
    elif current.revision < max(each.revision for each in sets):
        # Rolled back to an earlier template: it is the newest revision again.
        _annotate(context, current, max(each.revision for each in sets) + 1)
    old = [each for each in sets if each is not current]
    if not body["spec"].get("paused"):
        _roll(context, body["spec"], current, old)
        _forget(context, body["spec"], old)
    _report(context, owner, body, current, old)


class _Set:
    """A ReplicaSet with the few numbers a rollout looks at."""

    def __init__(self, item: Item) -> None:
        body = item.copy()
        status = body.get("status") or {}
        annotations = body["metadata"].get("annotations") or {}
        self.item = item
        self.hash = item.labels.get(HASH_LABEL, "")
        self.revision = int(annotations.get(REVISION, "0") or 0)
        self.replicas: int = body["spec"].get("replicas", 0)
        self.present: int = status.get("replicas", 0)
        self.ready: int = status.get("readyReplicas", 0)
        self.terminating: int = status.get("terminatingReplicas", 0)
        # Only a status that has seen the specification can be believed.
        self.settled = status.get("observedGeneration") == body["metadata"].get("generation")


def _create(
    context: ControllerContext, owner: Item, body: Object, digest: str, revision: int
) -> _Set:
    template = copy.deepcopy(body["spec"]["template"])
    labels = {**(template["metadata"].get("labels") or {}), HASH_LABEL: digest}
    template["metadata"]["labels"] = labels
    selector = copy.deepcopy(body["spec"]["selector"])
    selector.setdefault("matchLabels", {})[HASH_LABEL] = digest
    item = context.writer.add(
        resources.REPLICASETS,
        {
            "metadata": {
                "name": f"{owner.name}-{digest}",
                "labels": labels,
                "annotations": _annotations(body["spec"], revision),
                "ownerReferences": [pod_control.reference(owner)],
            },
            "spec": {"replicas": 0, "selector": selector, "template": template},
        },
        owner.namespace,
    )
    return _Set(item)


def _annotations(spec: Object, revision: int) -> dict[str, str]:
    wanted = spec.get("replicas", 1)
    surge, _ = _bounds(spec, wanted)
    return {DESIRED: str(wanted), MAXIMUM: str(wanted + surge), REVISION: str(revision)}


def _annotate(context: ControllerContext, which: _Set, revision: int) -> None:
    def changed(item: Object) -> Object:
        item["metadata"].setdefault("annotations", {})[REVISION] = str(revision)
        return item

    context.writer.change(resources.REPLICASETS, which.item.namespace, which.item.name, changed)
    which.revision = revision


def _bounds(spec: Object, wanted: int) -> tuple[int, int]:
    """`maxSurge` and `maxUnavailable` as numbers."""
    rolling = (spec.get("strategy") or {}).get("rollingUpdate") or {}

    def number(value: object, rounded: Any) -> int:
        if isinstance(value, str) and value.endswith("%"):
            return int(rounded(wanted * int(value[:-1]) / 100))
        return int(value) if isinstance(value, int | str) else 0

    surge = number(rolling.get("maxSurge", "25%"), math.ceil)
    unavailable = number(rolling.get("maxUnavailable", "25%"), math.floor)
    if surge == unavailable == 0:
        unavailable = 1
    return surge, unavailable


def _scale(context: ControllerContext, which: _Set, replicas: int) -> None:
    if which.replicas == replicas:
        return

    def changed(item: Object) -> Object:
        item["spec"]["replicas"] = replicas
        return item

    item = which.item
    context.writer.change(resources.REPLICASETS, item.namespace, item.name, changed)
    which.replicas = replicas
    which.settled = False


def _roll(context: ControllerContext, spec: Object, current: _Set, old: list[_Set]) -> None:
    wanted: int = spec.get("replicas", 1)
    living = [each for each in old if each.replicas or each.present]
    if (spec.get("strategy") or {}).get("type") == "Recreate":
        for each in living:
            _scale(context, each, 0)
        if not any(each.present or each.terminating for each in living):
            _scale(context, current, wanted)
        return
    if not living:
        _scale(context, current, wanted)
        return
    surge, unavailable = _bounds(spec, wanted)
    total = current.replicas + sum(each.replicas for each in living)
    room = wanted + surge - total
    if current.replicas > wanted:
        _scale(context, current, wanted)
    elif room > 0:
        _scale(context, current, min(wanted, current.replicas + room))
    total = current.replicas + sum(each.replicas for each in living)
    least = wanted - unavailable
    coming = current.replicas - current.ready
    spare = total - least - coming
    for each in sorted(living, key=lambda one: one.revision):
        if spare <= 0:
            return
        # The unhealthy ones go first, they serve nobody; then as many as are not needed.
        sick = min(each.replicas - min(each.ready, each.replicas), spare)
        _scale(context, each, each.replicas - sick)
        spare -= sick
    available = current.ready + sum(min(each.ready, each.replicas) for each in living)
    spare = min(spare, available - least)
    for each in sorted(living, key=lambda one: one.revision):
        if spare <= 0:
            return
        step = min(each.replicas, spare)
        _scale(context, each, each.replicas - step)
        spare -= step


def _forget(context: ControllerContext, spec: Object, old: list[_Set]) -> None:
    """Delete the oldest empty ReplicaSets beyond the history limit."""
    empty = [
        each
        for each in sorted(old, key=lambda one: one.revision)
        if not each.replicas and not each.present and each.settled
    ]
    for each in empty[: max(0, len(empty) - int(spec.get("revisionHistoryLimit", 10)))]:
        context.writer.end(resources.REPLICASETS, each.item.namespace, each.item.name)


def _report(
    context: ControllerContext, owner: Item, body: Object, current: _Set, old: list[_Set]
) -> None:
    wanted: int = body["spec"].get("replicas", 1)
    sets = [current, *old]
    present = sum(each.present for each in sets)
    ready = sum(each.ready for each in sets)
    conditions = list((body.get("status") or {}).get("conditions") or ())
    _, unavailable = _bounds(body["spec"], wanted)
    enough = ready >= wanted - unavailable
    pod_control.set_condition(
        conditions,
        "Available",
        str(enough),
        "MinimumReplicasAvailable" if enough else "MinimumReplicasUnavailable",
        f"Deployment {'has' if enough else 'does not have'} minimum availability.",
    )
    done = current.ready == current.present == present == wanted
    pod_control.set_condition(
        conditions,
        "Progressing",
        "True",
        "NewReplicaSetAvailable" if done else "ReplicaSetUpdated",
        f'ReplicaSet "{current.item.name}" '
        + ("has successfully progressed." if done else "is progressing."),
    )
    status: Object = {"observedGeneration": body["metadata"].get("generation", 1)}
    numbers = {
        "replicas": present,
        "updatedReplicas": current.present,
        "readyReplicas": ready,
        "availableReplicas": ready,
        "unavailableReplicas": max(0, wanted - ready),
    }
    status |= {key: value for key, value in numbers.items() if value}
    status["terminatingReplicas"] = sum(each.terminating for each in sets)
    status["conditions"] = conditions
    pod_control.set_status(context, owner, status)
    if (body["metadata"].get("annotations") or {}).get(REVISION) != str(current.revision):

        def changed(item: Object) -> Object:
            item["metadata"].setdefault("annotations", {})[REVISION] = str(current.revision)
            return item

        context.writer.change(resources.DEPLOYMENTS, owner.namespace, owner.name, changed)
