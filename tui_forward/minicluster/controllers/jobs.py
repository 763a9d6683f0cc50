"""Jobs: pods until so many have succeeded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tui_forward.minicluster.apiserver import resources
from tui_forward.minicluster.apiserver import timestamps as timestamps
from tui_forward.minicluster.controllers import pod_control as pod_control

if TYPE_CHECKING:
    from tui_forward.minicluster.controllers.context import ControllerContext


def reconcile(context: ControllerContext, namespace: str, name: str) -> None:
    """Start what is still to be done; say so when all is done, or too much has failed."""
    owner = context.store.get(resources.JOBS, namespace, name)
    if owner is None or owner.deleting:
        return
    body = owner.copy()
    spec = body["spec"]
    status: dict[str, Any] = dict(body.get("status") or {})
    if any(each["type"] in ("Complete", "Failed") for each in status.get("conditions") or ()):
        return
    status.setdefault("startTime", timestamps.now())
    owned = pod_control.owned(context, owner)
    succeeded = sum(pod.phase == "Succeeded" for pod in owned)
    failed = sum(pod.phase == "Failed" for pod in owned)
    active = [pod for pod in owned if pod.active]
    left = int(spec.get("completions", 1)) - succeeded
    conditions: list[dict[str, Any]] = list(status.get("conditions") or ())
    if failed > int(spec.get("backoffLimit", 6)):
        for pod in active:
            pod_control.delete(context, owner, pod.item)
        conditions.append(
            _condition(
                "Failed",
                "BackoffLimitExceeded",
                "Job has reached the specified backoff limit",
            )
        )
    elif left <= 0:
        reason, message = "CompletionsReached", "Reached expected number of succeeded pods"
        conditions += [
            _condition("SuccessCriteriaMet", reason, message),
            _condition("Complete", reason, message),
        ]
        status["completionTime"] = timestamps.now()
    elif not spec.get("suspend"):
        for _ in range(min(int(spec.get("parallelism", 1)), left) - len(active)):
            pod_spec = pod_control.from_template(owner, spec["template"])
            pod_spec["metadata"]["generateName"] = f"{name}-"
            pod_control.create(context, owner, pod_spec)
        active = [pod for pod in pod_control.owned(context, owner) if pod.active]
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


def _condition(kind: str, reason: str, message: str) -> dict[str, Any]:
    return {
        "type": kind,
        "status": "True",
        "lastProbeTime": timestamps.now(),
        "lastTransitionTime": timestamps.now(),
        "reason": reason,
        "message": message,
    }
