"""Objects of named faults: pods, services and workloads that cannot be forwarded to, and nodes.

All are in the namespace `faults` and named after their fault. `apiserver.faulty_objects` describes
the members that Kubernetes does not know: `afterPhase`, `deleted`, and the use of `status`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Object = dict[str, Any]

NAMESPACE = "faults"
PORT = 7000
_MISSING = "nosuch"
_GATE = "example.com/load-balancer-ready"
# A real pod that ends with this is one that the kernel or the kubelet has killed.
_KILLED = {"LIFE_S": "0", "EXIT_CODE": "137"}
_GRACE_S = 600


def pod(
    name: str, image: str = "echo:1", *, containers: Object | None = None, **spec: Any
) -> Object:
    """Return a pod whose container `app` declares port 7000; `env` and more go to the container."""
    container = _container("app", image, **(containers or {}))
    container["ports"] = [{"name": "echo", "containerPort": PORT}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app": name}},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [container], **spec},
    }


def _container(name: str, image: str, **more: Any) -> Object:
    full = image if "/" in image else f"docker.io/local/{image}"
    return {"name": name, "image": full, **more}


def _env(**settings: str) -> Object:
    return {"env": [{"name": key, "value": value} for key, value in settings.items()]}


def _workload(kind: str, name: str, image: str, *, replicas: int | None, **settings: str) -> Object:
    template = pod(name, image, containers=_env(**settings))
    spec: Object = {"template": {"metadata": template["metadata"], "spec": template["spec"]}}
    del spec["template"]["metadata"]["namespace"], spec["template"]["metadata"]["name"]
    if replicas is not None:
        spec |= {"replicas": replicas, "selector": {"matchLabels": {"app": name}}}
    else:
        spec["template"]["spec"]["restartPolicy"] = "Never"
        spec["backoffLimit"] = 0
    return {
        "apiVersion": "batch/v1" if kind == "Job" else "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": spec,
    }


def _service(name: str, selector: str = "", **spec: Any) -> Object:
    if selector:
        spec["selector"] = {"app": selector}
    spec.setdefault("ports", [{"name": "echo", "port": 80, "targetPort": PORT}])
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


def _ended(name: str, reason: str, message: str, *conditions: Object) -> list[Object]:
    """Return a pod that has failed, with a status that its kubelet has not written."""
    failed = pod(name, "crash-loop:3", containers=_env(**_KILLED), restartPolicy="Never")
    status = {"reason": reason, "message": message, "conditions": list(conditions)}
    return [{**failed, "afterPhase": "Failed", "status": status}]


def _on_node(name: str, node: str) -> Object:
    """Return a pod on a node without a kubelet, with the status that one would report."""
    found = pod(name, nodeName=node)
    started = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    container = {"name": "app", "ready": True, "started": True, "restartCount": 0, "state": started}
    container |= {"image": found["spec"]["containers"][0]["image"], "imageID": "", "lastState": {}}
    kinds = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    conditions = [{"type": kind, "status": "True"} for kind in kinds]
    found["status"] = {
        "phase": "Running",
        "podIP": "10.244.9.9",
        "conditions": conditions,
        "containerStatuses": [container],
    }
    return found


def _node(name: str, *addresses: Object) -> Object:
    """Return a node that no pod is scheduled to."""
    taint = {"key": "faults", "effect": "NoSchedule"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name},
        "spec": {"taints": [taint]},
        "status": {
            "addresses": list(addresses),
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        },
    }


def _port(name: str) -> list[Object]:
    behavior = name.removeprefix("port-")
    return [pod(name, "faulty-port:1", containers=_env(BEHAVIOR=behavior))]


def _udp(name: str) -> list[Object]:
    found = pod(name, "silent:1")
    found["spec"]["containers"][0]["ports"] = [
        {"name": "dns", "containerPort": PORT, "protocol": "UDP"}
    ]
    return [found]


def _disruption(reason: str, message: str) -> Object:
    return {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}


_LOW = "The node was low on resource: memory. "
_CONFIG_ENV = {"configMapKeyRef": {"name": _MISSING, "key": "x"}}
_OBJECTS: dict[str, Callable[[str], list[Object]]] = {
    "pod-unschedulable": lambda name: [pod(name, nodeSelector={"disktype": "nvme"})],
    "pod-claim-missing": lambda name: [
        pod(name, volumes=[{"name": "d", "persistentVolumeClaim": {"claimName": _MISSING}}])
    ],
    "pod-scheduling-gate": lambda name: [
        pod(name, schedulingGates=[{"name": "example.com/quota"}])
    ],
    "pod-no-scheduler": lambda name: [pod(name, schedulerName="nosuch-scheduler")],
    "pod-image-pull": lambda name: [pod(name, "registry.example/absent:1")],
    "pod-image-never-pulled": lambda name: [
        pod(name, "absent:1", containers={"imagePullPolicy": "Never"})
    ],
    "pod-image-name": lambda name: [pod(name, "UPPER/Case:::")],
    "pod-init-failing": lambda name: [
        pod(
            name,
            initContainers=[
                _container("prep", "crash-loop:3", **_env(LIFE_S="0.2", EXIT_CODE="3"))
            ],
        )
    ],
    "pod-init-running": lambda name: [pod(name, initContainers=[_container("prep", "silent:1")])],
    "pod-config-missing": lambda name: [
        pod(name, containers={"env": [{"name": "X", "valueFrom": _CONFIG_ENV}]})
    ],
    "pod-volume-missing": lambda name: [
        pod(name, volumes=[{"name": "d", "configMap": {"name": _MISSING}}])
    ],
    "pod-crash-loop": lambda name: [
        pod(name, "crash-loop:3", containers=_env(LIFE_S="0.5", EXIT_CODE="7"))
    ],
    "pod-start-error": lambda name: [pod(name, containers={"command": ["/nosuch/program"]})],
    "pod-out-of-memory": lambda name: [
        pod(name, "memory-hog:1", containers={"resources": {"limits": {"memory": "16Mi"}}})
    ],
    "pod-not-ready": lambda name: [
        pod(name, containers={"readinessProbe": {"tcpSocket": {"port": 7999}, "periodSeconds": 1}})
    ],
    "pod-readiness-gate": lambda name: [pod(name, readinessGates=[{"conditionType": _GATE}])],
    "pod-terminating": lambda name: [
        {
            **pod(
                name,
                containers=_env(TERM_DELAY_S=str(_GRACE_S)),
                terminationGracePeriodSeconds=_GRACE_S,
            ),
            "afterPhase": "Running",
            "deleted": _GRACE_S,
        }
    ],
    "pod-completed": lambda name: [
        pod(
            name,
            "crash-loop:3",
            containers=_env(LIFE_S="0", EXIT_CODE="0"),
            restartPolicy="Never",
        )
    ],
    "pod-failed": lambda name: [
        pod(
            name,
            "crash-loop:3",
            containers=_env(LIFE_S="0", EXIT_CODE="5"),
            restartPolicy="Never",
        )
    ],
    "pod-evicted": lambda name: _ended(
        name,
        "Evicted",
        f"{_LOW}Threshold quantity: 100Mi, available: 60Mi. ",
        _disruption("TerminationByKubelet", _LOW),
    ),
    "pod-deadline-exceeded": lambda name: _ended(
        name, "DeadlineExceeded", "Pod was active on the node longer than the specified deadline"
    ),
    "pod-sandbox-gone": lambda name: [{**pod(name), "afterPhase": "Running"}],
    "workload-scaled-to-zero": lambda name: [_workload("Deployment", name, "echo:1", replicas=0)],
    "workload-job-completed": lambda name: [
        _workload("Job", name, "crash-loop:3", replicas=None, LIFE_S="0", EXIT_CODE="0")
    ],
    "workload-job-failed": lambda name: [
        _workload("Job", name, "crash-loop:3", replicas=None, LIFE_S="0", EXIT_CODE="5")
    ],
    "service-no-pods": lambda name: [_service(name, selector=_MISSING)],
    "service-no-selector": lambda name: [_service(name)],
    "service-external-name": lambda name: [
        _service(name, type="ExternalName", externalName="db.example.com")
    ],
    "service-port-name-missing": lambda name: [
        pod(name),
        _service(name, name, ports=[{"name": "echo", "port": 80, "targetPort": "nosuchname"}]),
    ],
    **dict.fromkeys(
        ("port-closed", "port-ipv6-only", "port-resets", "port-closes", "port-silent"), _port
    ),
    "port-udp": _udp,
    "node-missing": lambda name: [_on_node(name, "ghost-missing")],
    "node-no-address": lambda name: [_node("ghost-no-address"), _on_node(name, "ghost-no-address")],
    "node-name-unknown": lambda name: [
        _node("ghost-name", {"type": "Hostname", "address": "ghost.invalid"}),
        _on_node(name, "ghost-name"),
    ],
}


def objects_of(fault: str) -> list[Object]:
    """Return the objects that a fault consists of."""
    return _OBJECTS[fault](fault)
