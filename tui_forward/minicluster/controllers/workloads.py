"""Controllers of the workloads that own pods: ReplicaSet, DaemonSet, StatefulSet, Job.

A replacement pod of a StatefulSet keeps the name, not the UID.
"""

from __future__ import annotations

from tui_forward.minicluster.apiserver import resources, timestamps
from tui_forward.minicluster.apiserver.defaults import template_hash
from tui_forward.minicluster.apiserver.resources import Object
from tui_forward.minicluster.apiserver.store import Item
from tui_forward.minicluster.controllers import pod_control, scheduler
from tui_forward.minicluster.controllers.context import ControllerContext, key_of

# Pods created per reconciliation, as in the real controller.
BURST_REPLICAS = 500


def reconcile_replicaset(context: ControllerContext, owner: Item) -> None:
    """Create missing pods or delete surplus ones."""
    body = owner.copy()
    spec = body["spec"]
    pods = pod_control.owned_pods(context, owner)
    active = [pod for pod in pods if pod.active]
    missing = spec.get("replicas", 1) - len(active)
    if missing > 0 and context.may_replace_pod(owner):
        for _ in range(min(missing, BURST_REPLICAS)):
            new_pod = pod_control.pod_from_template(owner, spec["template"])
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


def reconcile_daemonset(context: ControllerContext, owner: Item) -> None:
    """Create the missing pods and delete surplus ones."""
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
        labels = {REVISION_LABEL: revision, "pod-template-generation": "1"}
        new_pod["metadata"]["labels"] |= labels
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


REVISION_LABEL = "controller-revision-hash"


def reconcile_statefulset(context: ControllerContext, owner: Item) -> None:
    """Create, replace or delete the next pod in order."""
    body = owner.copy()
    revision = f"{owner.name}-{template_hash(body['spec']['template'])}"
    _update_statefulset_pods(context, owner, body["spec"], revision)
    _update_statefulset_status(context, owner, body, revision)


def _update_statefulset_pods(
    context: ControllerContext, owner: Item, spec: Object, revision: str
) -> None:
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
            new_pod = _statefulset_pod(owner, spec, name, ordinal, revision)
            pod_control.create_pod(context, owner, new_pod)
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


def _statefulset_pod(owner: Item, spec: Object, name: str, ordinal: int, revision: str) -> Object:
    pod = pod_control.pod_from_template(owner, spec["template"])
    pod["metadata"]["name"] = name
    pod["metadata"]["labels"] |= {
        "apps.kubernetes.io/pod-index": str(ordinal),
        REVISION_LABEL: revision,
        "statefulset.kubernetes.io/pod-name": name,
    }
    pod["spec"]["hostname"] = name
    if spec.get("serviceName"):
        pod["spec"]["subdomain"] = spec["serviceName"]
    return pod


def _update_statefulset_status(
    context: ControllerContext, owner: Item, body: Object, revision: str
) -> None:
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


def reconcile_job(context: ControllerContext, owner: Item) -> None:
    """Start missing pods; report when the Job has completed or failed."""
    body = owner.copy()
    spec: Object = body["spec"]
    status: Object = body.get("status") or {}
    if any(each["type"] in ("Complete", "Failed") for each in status.get("conditions") or ()):
        return
    status.setdefault("startTime", timestamps.now())
    pods = pod_control.owned_pods(context, owner)
    succeeded = sum(pod.phase == "Succeeded" for pod in pods)
    failed = sum(pod.phase == "Failed" for pod in pods)
    active = [pod for pod in pods if pod.active]
    missing = int(spec.get("completions", 1)) - succeeded
    conditions: list[Object] = list(status.get("conditions") or ())
    if failed > int(spec.get("backoffLimit", 6)):
        for pod in active:
            pod_control.delete_pod(context, owner, pod.item)
        message = "Job has reached the specified backoff limit"
        conditions.append(_job_condition("Failed", "BackoffLimitExceeded", message))
    elif missing <= 0:
        reason, message = "CompletionsReached", "Reached expected number of succeeded pods"
        kinds = ("SuccessCriteriaMet", "Complete")
        conditions += [_job_condition(kind, reason, message) for kind in kinds]
        status["completionTime"] = timestamps.now()
    elif not spec.get("suspend"):
        for _ in range(min(int(spec.get("parallelism", 1)), missing) - len(active)):
            new_pod = pod_control.pod_from_template(owner, spec["template"])
            pod_control.create_pod(context, owner, new_pod)
        active = [pod for pod in pod_control.owned_pods(context, owner) if pod.active]
    numbers = {"active": len(active), "succeeded": succeeded, "failed": failed}
    for key, value in numbers.items():
        if value:
            status[key] = value
        else:
            status.pop(key, None)
    status["ready"] = sum(pod.ready for pod in active)
    if conditions:
        status["conditions"] = conditions
    pod_control.set_status(context, owner, status)


def _job_condition(kind: str, reason: str, message: str) -> Object:
    now = timestamps.now()
    times = {"lastProbeTime": now, "lastTransitionTime": now}
    return {"type": kind, "status": "True", **times, "reason": reason, "message": message}
