"""Job controller: runs pods until the requested number has succeeded."""

from __future__ import annotations

from tui_forward.minicluster.apiserver import resources, timestamps
from tui_forward.minicluster.apiserver.resources import Object
from tui_forward.minicluster.controllers import pod_control
from tui_forward.minicluster.controllers.context import ControllerContext


def reconcile(context: ControllerContext, namespace: str, name: str) -> None:
    """Start missing pods; report when the Job has completed or failed."""
    owner = context.store.get(resources.JOBS, namespace, name)
    if owner is None or owner.deleting:
        return
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
        conditions.append(_condition("Failed", "BackoffLimitExceeded", message))
    elif missing <= 0:
        reason, message = "CompletionsReached", "Reached expected number of succeeded pods"
        conditions += [
            _condition("SuccessCriteriaMet", reason, message),
            _condition("Complete", reason, message),
        ]
        status["completionTime"] = timestamps.now()
    elif not spec.get("suspend"):
        for _ in range(min(int(spec.get("parallelism", 1)), missing) - len(active)):
            new_pod = pod_control.pod_from_template(owner, spec["template"])
            new_pod["metadata"]["generateName"] = f"{name}-"
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


def _condition(kind: str, reason: str, message: str) -> Object:
    return {
        "type": kind,
        "status": "True",
        "lastProbeTime": timestamps.now(),
        "lastTransitionTime": timestamps.now(),
        "reason": reason,
        "message": message,
    }
