"""Every recorded fault that the API objects show: state, code, text, hop and hint of the forward.

The objects are served to the real watch of a target, and its resolution is fed to the state machine
as a forward does.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.catalog.harness import Setup, resolution
from tests.support.recorded_faults import (
    FOLDER,
    TABLES,
    fault_names,
    faults_of,
)
from tests.support.recorded_objects import (
    NAMESPACE,
    event_objects,
    node_object,
    pod_object,
    service_object,
)
from tui_forward.engine.forwards import reasons, state_machine
from tui_forward.kube.timestamps import parse_rfc3339
from tui_forward.model import (
    ForwardState,
    HopKind,
    Reason,
    ReasonCode,
    Resolution,
    Resolved,
    Target,
    TargetKind,
    TransportChoice,
)
from tui_forward.reasons import failed_hop, reason_hint, reason_text

TABLE = "tests/catalog/test_recorded_faults.py"

BLOCKED = ForwardState.BLOCKED
READY = ForwardState.READY
RECONNECTING = ForwardState.RECONNECTING
WAITING = ForwardState.WAITING

POD = TargetKind.POD
SVC = TargetKind.SERVICE
DEPLOY = TargetKind.DEPLOYMENT
JOB = TargetKind.JOB
Code = ReasonCode
DESCRIBE = "Check its events: kubectl describe pod -n faults "
LOGS = "Check its log: kubectl logs -n faults "
NO_PROGRAM = (
    '…runc create failed: unable to start container process: exec: "/nosuch/program": '
    "stat /nosuch/program: no such file or directory: unknown"
)
FORWARDING = "forwarding to {pod}:7000 by SPDY"
PORTS: Any = {
    "containers": [
        {"name": "c", "ports": [{"name": "echo", "containerPort": 7000, "protocol": "TCP"}]}
    ]
}


@dataclass(frozen=True)
class Case:
    """A target, the objects beside the recorded ones, and what the user is to see."""

    fault: str
    kind: TargetKind
    name: str
    state: ForwardState
    code: ReasonCode
    text: str
    hint: str = ""
    port: str = "7000"
    hop: HopKind | None = HopKind.POD
    after_ready: ForwardState | None = None  # the state if it was ready before; else the same
    at: str = ""  # time in the text
    parameters: dict[str, Any] = field(default_factory=dict)
    pods: tuple[dict[str, Any], ...] = ()
    objects: tuple[tuple[str, dict[str, Any]], ...] = ()
    denied: tuple[tuple[str, str], ...] = ()
    namespace: str = NAMESPACE
    id: str = ""


def events(fault: str, pod: str) -> tuple[tuple[str, dict[str, Any]], ...]:
    return tuple(("events", event) for event in event_objects(fault, pod))


def pod_case(
    fault: str,
    name: str,
    state: ForwardState,
    code: ReasonCode,
    text: str,
    hint: str = "",
    **options: Any,
) -> Case:
    """Return a case of a forward to the recorded pod."""
    options["pods"] = (pod_object(fault, **options.pop("spec", {})),)
    options["objects"] = events(fault, name) + options.pop("objects", ())
    return Case(fault, POD, name, state, code, text, hint, **options)


def service_case(
    fault: str,
    name: str,
    state: ForwardState,
    code: ReasonCode,
    text: str,
    hint: str = "",
    *,
    pod: str = "",
    **options: Any,
) -> Case:
    """Return a case of a forward to the recorded service, whose pod is of another recording."""
    options["pods"] = (pod_object(pod, **PORTS),) if pod else ()
    options["objects"] = (("services", service_object(fault, name)), *options.pop("objects", ()))
    return Case(fault, SVC, name, state, code, text, hint, **options)


def workload(name: str, selector: str = "", **status: Any) -> dict[str, Any]:
    replicas = status.pop("replicas", 1)
    return {
        "metadata": {"name": name, "namespace": NAMESPACE, "generation": 1},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": selector or name}},
        },
        "status": status,
    }


def over(kind: str, reason: str = "", message: str = "") -> dict[str, Any]:
    condition = {"type": kind, "status": "True", "reason": reason, "message": message}
    return {"startTime": "2026-11-29T12:52:44Z", "conditions": [condition]}


def ready(fault: str, name: str, *, caution: str = "", **options: Any) -> Case:
    text = FORWARDING.format(pod=name)
    code = options.pop("code", Code.FORWARD_READY)
    hop = options.pop("hop", HopKind.POD if caution else None)
    if caution:
        text += f"; {caution}"
    return pod_case(fault, name, READY, code, text, hop=hop, **options)


# fmt: off
CASES = [
    ready("001-healthy", "ok"),
    pod_case(
        "002-pending-unschedulable-selector", "unsched", WAITING, Code.POD_NOT_SCHEDULED,
        "pod unsched is not scheduled to a node: 0/1 nodes are available: 1 node(s) didn't match "
        "Pod's node affinity/selector",
        DESCRIBE + "unsched", after_ready=RECONNECTING,
    ),
    pod_case(
        "003-pending-unschedulable-cpu", "toobig", WAITING, Code.POD_NOT_SCHEDULED,
        "pod toobig is not scheduled to a node: 0/1 nodes are available: 1 Insufficient cpu",
        DESCRIBE + "toobig", after_ready=RECONNECTING,
    ),
    pod_case(
        "004-pending-scheduling-gated", "gated", WAITING, Code.POD_SCHEDULING_GATED,
        "pod gated waits for the scheduling gate example.com/hold",
        "Check the controller that removes this gate", after_ready=RECONNECTING,
        spec={"schedulingGates": [{"name": "example.com/hold"}]},
    ),
    pod_case(
        "005-image-never-pull", "neverpull", WAITING, Code.POD_IMAGE_PULL,
        'pod neverpull cannot pull its image: Container image "docker.io/local/absent:1" is not '
        "present with pull policy of Never",
        DESCRIBE + "neverpull", parameters={"container": "c"},
    ),
    pod_case(
        "006-image-pull-backoff", "pullbackoff", WAITING, Code.POD_IMAGE_PULL,
        "pod pullbackoff cannot pull the image 127.0.0.1:5999/absent:1: …failed to do request: "
        "Head "
        '"http://127.0.0.1:5999/v2/absent/manifests/1": dial tcp 127.0.0.1:5999: connect: '
        "connection refused",
        DESCRIBE + "pullbackoff",
        spec={"containers": [{"name": "c", "image": "127.0.0.1:5999/absent:1"}]},
    ),
    pod_case(
        "007-image-invalid-name", "invalidimage", WAITING, Code.POD_IMAGE_PULL,
        "pod invalidimage cannot pull its image: Failed to apply default image tag "
        "\"UPPER/Case:::\": couldn't parse image name \"UPPER/Case:::\": "
        "invalid reference format: repository name (Case) must be lowercase",
        DESCRIBE + "invalidimage",
    ),
    pod_case(
        "008-init-failing", "initfail", WAITING, Code.POD_INIT_FAILING,
        "init container prep of pod initfail fails (exit 3, restarted 3×); next start about {at}",
        LOGS + "initfail -c prep --previous", at="2026-11-29T12:32:17Z",
        parameters={"container": "prep", "exit_code": 3, "restarts": 3},
    ),
    pod_case(
        "009-init-running", "initrun", WAITING, Code.POD_INIT_RUNNING,
        "init container prep of pod initrun still runs (1 of 1), since {at}",
        LOGS + "initrun -c prep", at="2026-11-29T12:30:55Z", after_ready=RECONNECTING,
        parameters={"container": "prep"},
    ),
    pod_case(
        "010-pvc-missing", "nopvc", WAITING, Code.POD_NOT_SCHEDULED,
        "pod nopvc is not scheduled to a node: 0/1 nodes are available: persistentvolumeclaim "
        '"nosuch" not found',
        DESCRIBE + "nopvc", after_ready=RECONNECTING,
    ),
    pod_case(
        "011-config-missing", "nocm", WAITING, Code.POD_CONTAINER_ERROR,
        'container c of pod nocm cannot be created: configmap "nosuch" not found',
        DESCRIBE + "nocm", parameters={"container": "c"},
    ),
    pod_case(
        "012-volume-missing", "novol", WAITING, Code.POD_CREATING,
        'pod novol is still being created: MountVolume.SetUp failed for volume "d" : configmap '
        '"nosuch" not found',
        DESCRIBE + "novol", after_ready=RECONNECTING,
    ),
    pod_case(
        "012-volume-missing", "novol", WAITING, Code.POD_CREATING,
        "pod novol is still being created",
        DESCRIBE + "novol", after_ready=RECONNECTING, denied=(("list", "events"),),
        id="012 without a right to list events",
    ),
    ready("013-crashloop-running", "crash"),
    pod_case(
        "014-crashloop-terminated", "crash", WAITING, Code.POD_CRASH_LOOPING,
        "container c of pod crash is down (exit 7, restarted 4×); next start about {at}",
        LOGS + "crash -c c --previous", at="2026-11-29T12:35:29Z",
        parameters={"container": "c", "exit_code": 7, "restarts": 4},
    ),
    pod_case(
        "015-crashloop-waiting", "crash", WAITING, Code.POD_CRASH_LOOPING,
        "container c of pod crash is down (exit 7, restarted 6×); next start about {at}",
        LOGS + "crash -c c --previous", at="2026-11-29T12:44:00Z",
        parameters={"container": "c", "exit_code": 7, "restarts": 6},
    ),
    pod_case(
        "016-run-container-error", "badcmd", WAITING, Code.POD_START_ERROR,
        "container c of pod badcmd cannot start its program (exit 128, restarted 3×): "
        + NO_PROGRAM +
        "; next start about {at}",
        "Check command, args and image of the container", at="2026-11-29T12:32:18Z",
    ),
    pod_case(
        "017-start-error-never", "badcmdnever", BLOCKED, Code.POD_FAILED,
        "container c of pod badcmdnever has failed: StartError (exit 128): "
        + NO_PROGRAM +
        "; it will not run again",
        LOGS + "badcmdnever -c c",
    ),
    pod_case(
        "018-oomkilled-failed", "oom", BLOCKED, Code.POD_FAILED,
        "container c of pod oom has failed: OOMKilled (limit 16Mi, exit 137); "
        "it will not run again",
        LOGS + "oom -c c",
        spec={"containers": [{"name": "c", "resources": {"limits": {"memory": "16Mi"}}}]},
    ),
    pod_case(
        "019-oomloop-waiting", "oomloop", WAITING, Code.POD_OUT_OF_MEMORY,
        "container c of pod oomloop ran out of memory (limit 16Mi, exit 137, restarted 6×); "
        "next start about {at}",
        "Raise its memory limit, or check what it was doing: "
        "kubectl logs -n faults oomloop -c c --previous",
        at="2026-11-29T12:42:15Z",
        spec={"containers": [{"name": "c", "resources": {"limits": {"memory": "16Mi"}}}]},
    ),
    pod_case(
        "020-failed", "failed", BLOCKED, Code.POD_FAILED,
        "container c of pod failed has failed: Error (exit 5); it will not run again",
        LOGS + "failed -c c", parameters={"exit_code": 5},
    ),
    pod_case(
        "021-completed", "completed", BLOCKED, Code.POD_COMPLETED,
        "pod completed has completed; it will not run again",
        "Start it again, or forward to a pod that keeps running",
    ),
    pod_case(
        "022-deadline-exceeded", "deadline", BLOCKED, Code.POD_DEADLINE_EXCEEDED,
        "pod deadline has exceeded its deadline: Pod was active on the node longer than the "
        "specified deadline; it will not run again",
        "Raise activeDeadlineSeconds, or start it again",
    ),
    ready(
        "023-readiness-failing", "notready", code=Code.POD_NOT_READY,
        caution="pod notready is not Ready: Readiness probe failed: Get "
        '"http://10.244.0.101:7999/": dial tcp 10.244.0.101:7999: connect: connection refused',
        hint=DESCRIBE + "notready",
    ),
    ready(
        "024-startup-probe", "startup", code=Code.POD_NOT_READY,
        caution="pod startup is not Ready: Startup probe failed: dial tcp 10.244.0.99:7999: "
        "connect: connection refused",
        hint=DESCRIBE + "startup",
    ),
    ready(
        "025-readiness-gate", "gate", code=Code.POD_READINESS_GATE,
        caution="pod gate is not Ready: readiness gate example.com/load-balancer-ready is not set",
        hint="Check the controller that sets this condition",
    ),
    ready(
        "026-one-of-two-crashing", "partial", code=Code.POD_NOT_READY,
        caution="pod partial is not Ready: container bad is down (exit 9, restarted 3×); "
        "next start about {at}",
        hint=DESCRIBE + "partial", at="2026-11-29T12:32:21Z",
    ),
    Case(
        "027-deploy-image-missing", DEPLOY, "badimg", WAITING, Code.POD_IMAGE_PULL,
        'pod neverpull cannot pull its image: Container image "docker.io/local/absent:1" is not '
        "present with pull policy of Never",
        DESCRIBE + "neverpull", parameters={"object": "deploy/badimg", "ready": 0, "total": 1},
        pods=(pod_object("005-image-never-pull"),),
        objects=(("deployments", workload("badimg", "neverpull", observedGeneration=1)),),
    ),
    Case(
        "028-deployment-zero", DEPLOY, "zero", WAITING, Code.TARGET_SCALED_TO_ZERO,
        "deploy/zero is scaled to 0 replicas",
        "Scale it up: kubectl scale -n faults deploy/zero --replicas=1",
        objects=(("deployments", workload("zero", replicas=0, observedGeneration=1)),),
    ),
    ready(
        "029-terminating-long-grace", "stubborn", code=Code.POD_TERMINATING,
        caution="pod stubborn is Terminating and serves until {at} at the latest",
        at="2026-11-29T12:48:13Z",
    ),
    pod_case(
        "033-evicted-by-kubelet", "evicted", BLOCKED, Code.POD_EVICTED,
        "pod evicted was evicted: The node was low on resource: memory. Threshold quantity: "
        "100Mi, available: 60Mi; it will not run again",
        "Start it again, or forward to a pod that keeps running",
    ),
    ready(
        "037-node-cordoned-old-pod", "ok",
        objects=(("nodes", node_object("037-node-cordoned-old-pod", "node1")),),
    ),
    pod_case(
        "038-node-cordoned-new-pod", "late", WAITING, Code.POD_NOT_SCHEDULED,
        "pod late is not scheduled to a node: 0/1 nodes are available: 1 node(s) were "
        "unschedulable",
        DESCRIBE + "late", after_ready=RECONNECTING,
    ),
    Case(
        "054-controller-manager-down", DEPLOY, "orphan", WAITING, Code.TARGET_NOT_OBSERVED,
        "no controller has seen deploy/orphan yet",
        "Check that the controller manager of the cluster runs", after_ready=RECONNECTING,
        objects=(("deployments", workload("orphan")),),
    ),
    service_case(
        "060-svc-no-selector", "noselector", BLOCKED, Code.TARGET_NO_ENDPOINTS,
        "svc/noselector has neither a selector nor endpoints",
        "Check its endpoint slices: kubectl get endpointslices -n faults "
        "-l kubernetes.io/service-name=noselector; the forward starts when there are some",
        port="80",
    ),
    service_case(
        "061-svc-selector-matches-nothing", "matchesnone", WAITING, Code.TARGET_NO_MATCHING_PODS,
        "no pod matches the selector of svc/matchesnone (app=missing)", port="80",
        after_ready=RECONNECTING,
    ),
    service_case(
        "062-svc-no-ready-endpoints", "noready", READY, Code.POD_NOT_READY,
        "forwarding to notready:7000 by SPDY; pod notready is not Ready: Readiness probe failed: "
        'Get "http://10.244.0.101:7999/": dial tcp 10.244.0.101:7999: connect: connection refused',
        DESCRIBE + "notready", port="80", pod="023-readiness-failing",
        objects=events("023-readiness-failing", "notready"),
    ),
    service_case(
        "063-svc-all-pending", "allpending", WAITING, Code.POD_NOT_SCHEDULED,
        "pod unsched is not scheduled to a node: 0/1 nodes are available: 1 node(s) didn't match "
        "Pod's node affinity/selector",
        DESCRIBE + "unsched", port="80", pod="002-pending-unschedulable-selector",
        after_ready=RECONNECTING,
    ),
    service_case(
        "064-svc-crashing", "crashing", WAITING, Code.POD_START_ERROR,
        "container c of pod badcmd cannot start its program (exit 128, restarted 3×): "
        + NO_PROGRAM +
        "; next start about {at}",
        "Check command, args and image of the container", port="80",
        pod="016-run-container-error", at="2026-11-29T12:32:18Z",
    ),
    service_case(
        "065-svc-named-targetport-missing", "named", BLOCKED, Code.PORT_TARGET_NAME_MISSING,
        'port 80 of svc/named leads to a port named "nosuchname", which pod ok does not have',
        "Available ports: echo (7000)", port="80", hop=HopKind.PORT, pod="001-healthy",
    ),
    service_case(
        "066-svc-headless", "headless", READY, Code.PORT_HEADLESS,
        "forwarding to ok:80 by SPDY; svc/headless is headless: port 80 means 80 in the pod, "
        "whatever its targetPort 7000",
        "Forward to pod/ok and port 7000 instead", port="80", hop=HopKind.PORT,
        pod="001-healthy",
    ),
    service_case(
        "067-svc-external-name", "external", BLOCKED, Code.TARGET_EXTERNAL_NAME,
        "svc/external is the ExternalName db.example.com, so it has no pods to forward to",
        "Connect to db.example.com instead", port="80",
    ),
    service_case(
        "068-svc-wrong-port-number", "ok", BLOCKED, Code.PORT_UNKNOWN_NUMBER,
        "svc/ok has no port 9999", "Available ports: echo (80), named (81)", port="9999",
        hop=HopKind.PORT, pod="001-healthy",
    ),
    service_case(
        "069-svc-wrong-port-name", "ok", BLOCKED, Code.PORT_UNKNOWN_NAME,
        'svc/ok has no port named "nosuch"', "Available ports: echo (80), named (81)",
        port="nosuch", hop=HopKind.PORT, pod="001-healthy",
    ),
    service_case(
        "071-svc-udp-port", "udp", BLOCKED, Code.PORT_PROTOCOL,
        "port 53 of svc/udp is UDP, which Kubernetes cannot forward", "Choose a TCP port",
        port="53", hop=HopKind.PORT, pod="001-healthy",
    ),
    pod_case(
        "072-pod-wrong-port-name", "ok", BLOCKED, Code.PORT_UNKNOWN_NAME,
        'pod ok has no port named "nosuch"', "Available ports: echo (7000)", port="nosuch",
        hop=HopKind.PORT, spec=PORTS,
    ),
    Case(
        "074-svc-missing", SVC, "nosuch", BLOCKED, Code.TARGET_NOT_FOUND,
        'there is no service "nosuch" in namespace faults',
        "Check the name and the namespace; the forward starts when it appears", port="80",
    ),
    Case(
        "075-deploy-missing", DEPLOY, "nosuch", BLOCKED, Code.TARGET_NOT_FOUND,
        'there is no deployment "nosuch" in namespace faults',
        "Check the name and the namespace; the forward starts when it appears",
    ),
    Case(
        "076-namespace-missing", POD, "ok", BLOCKED, Code.TARGET_NAMESPACE_NOT_FOUND,
        "namespace faults-nosuch does not exist",
        "Check the namespace and the context; the forward starts when it appears",
        namespace="faults-nosuch",
    ),
    Case(
        "076-namespace-missing", POD, "ok", BLOCKED, Code.TARGET_NOT_FOUND,
        'there is no pod "ok" in namespace faults-nosuch',
        "Check the name and the namespace; to survive replacement forward to its deployment or "
        "service",
        namespace="faults-nosuch", denied=(("get", "namespaces"),),
        id="076 without a right to get namespaces",
    ),
    Case(
        "078-job-completed", JOB, "done", BLOCKED, Code.TARGET_COMPLETED,
        "job/done has completed; nothing will run again",
        "Start it again, or forward to a pod that keeps running",
        pods=(pod_object("021-completed"),),
        objects=(("jobs", workload("done", "completed", **over("Complete"))),),
    ),
    Case(
        "079-job-failed", JOB, "bad", BLOCKED, Code.TARGET_FAILED,
        "job/bad has failed: BackoffLimitExceeded (exit 5): Job has reached the specified "
        "backoff limit; nothing will run again",
        "Check the logs of its pods: kubectl logs -n faults job/bad",
        pods=(pod_object("020-failed"),),
        objects=(
            (
                "jobs",
                workload(
                    "bad", "failed",
                    **over(
                        "Failed", "BackoffLimitExceeded",
                        "Job has reached the specified backoff limit",
                    ),
                ),
            ),
        ),
    ),
    ready(
        "101-node-notready", "ok", code=Code.NODE_NOT_READY, hop=HopKind.KUBELET,
        caution="node node1 is NotReady since {at}: Kubelet stopped posting node status",
        hint="Check the node: kubectl describe node node1", at="2026-11-29T12:44:13Z",
        objects=(("nodes", node_object("101-node-notready", "node1")),),
    ),
    ready(
        "101-node-notready", "ok", code=Code.POD_NOT_READY,
        caution="pod ok is not Ready", hint=DESCRIBE + "ok",
        objects=(("nodes", node_object("101-node-notready", "node1")),),
        denied=(("get", "nodes"),), id="101 without a right to get nodes",
    ),
    service_case(
        "114-node-notready-service", "ok", READY, Code.NODE_NOT_READY,
        "forwarding to ok:7000 by SPDY; node node1 is NotReady since {at}: Kubelet stopped "
        "posting node status",
        "Check the node: kubectl describe node node1", port="80", hop=HopKind.KUBELET,
        pod="101-node-notready", at="2026-11-29T12:44:13Z",
        objects=(("nodes", node_object("114-node-notready-service", "node1")),),
    ),
    *(
        ready(fault, name)
        for fault, name in {
            # What they do to connections shows only there.
            "041-port-loopback4-only": "loopback4",
            "044-port-never-answers": "ok",
            "045-port-answers-after-eof": "ok",
            "046-port-late": "ok",
            "047-hostnetwork": "hostnet",
            "050-port-closes-at-once-silent-client": "ok",
            "051-port-reads-then-closes": "ok",
            "053-port-backlog-full": "ok",
        }.items()
    ),
    service_case(
        "070-svc-targetport-closed", "noport", READY, Code.FORWARD_READY,
        "forwarding to ok:7999 by SPDY", port="443", hop=None, pod="001-healthy",
    ),
    ready("001-healthy", "ok", id="084-rbac-getpods-bothpf"),
    *(
        ready(
            "001-healthy", "ok", denied=(("*", "pods"), ("get", "pods")), id=fault,
        )
        for fault in ("085-rbac-createpf-only", "087-rbac-bothpf-only")
    ),
    pod_case(
        "001-healthy", "ok", BLOCKED, Code.RBAC_FORBIDDEN,
        'not allowed to get pods "ok" in namespace faults as u',
        'Ask for a role that allows "get pods "ok" in namespace faults"', hop=HopKind.API,
        port="http", denied=(("*", "pods"), ("get", "pods")), id="087 with a named port",
    ),
    ready("001-healthy", "ok", denied=(("watch", "pods"),), id="092-rbac-glpods-bothpf"),
    ready("001-healthy", "ok", id="093-rbac-glwpods-bothpf"),
    pod_case(
        "077-port-number-impossible", "ok", BLOCKED, Code.PORT_INVALID,
        "70000 is not a port number", "Choose a port from 1 to 65535", port="70000",
        hop=HopKind.PORT,
    ),
    service_case(
        "101-node-notready", "ok", BLOCKED, Code.RBAC_FORBIDDEN,
        'not allowed to get services "ok" in namespace faults as u',
        'Ask for a role that allows "get services "ok" in namespace faults"', port="80",
        hop=HopKind.API, denied=(("*", "services"),), id="117-rbac-svc-nosvc",
    ),
    service_case(
        "101-node-notready", "ok", BLOCKED, Code.RBAC_FORBIDDEN,
        "not allowed to list pods in namespace faults as u",
        'Ask for a role that allows "list pods in namespace faults"', port="80",
        hop=HopKind.API, denied=(("list", "pods"), ("watch", "pods")), id="118-rbac-svc-nolist",
    ),
    pod_case(
        "119-scheduler-down", "unscheduled", WAITING, Code.POD_NO_SCHEDULER,
        "no scheduler has looked at pod unscheduled yet",
        "Check that the scheduler of the cluster runs", after_ready=RECONNECTING,
    ),
]
# fmt: on


def clock(at: str) -> str:
    """Return a time as the texts show it."""
    moment, today = time.localtime(parse_rfc3339(at)), time.localtime()
    is_today = moment[:3] == today[:3]
    return time.strftime("%H:%M:%S" if is_today else "%Y-%m-%d %H:%M", moment)


def shown(current: Resolution, before: state_machine.Status) -> state_machine.Status:
    """Return the status of a forward with this resolution."""
    if isinstance(current, Resolved):
        up = state_machine.TunnelUp(reasons.ready(current, TransportChoice.SPDY))
        return state_machine.next_status(before, up)
    return state_machine.next_status(before, state_machine.PodMissing(current.reason))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id or case.fault)
async def test_recorded_fault(setup: Setup, case: Case) -> None:
    server = setup.server
    server.denied |= set(case.denied)
    server.put("namespaces", {"metadata": {"name": NAMESPACE}})
    server.put("nodes", node_object("037-node-cordoned-old-pod", "node1"))
    for pod in case.pods:
        server.put("pods", pod)
    for plural, obj in case.objects:
        server.put(plural, obj)
    if case.kind is SVC and case.pods and "services" in server.objects:
        # The selector of the recorded service matches the pod that it matched.
        assert "selector" in case.objects[0][1]["spec"]
    target = Target(
        context="test", namespace=case.namespace, kind=case.kind, name=case.name, port=case.port
    )
    text = case.text.format(at=clock(case.at)) if case.at else case.text

    def is_expected(current: Resolution) -> bool:
        return reason_text(shown(current, state_machine.INITIAL).reason).startswith(text)

    watch = setup.resolver.watch(target)
    try:
        async with asyncio.timeout(14):
            current = await resolution(watch, is_expected)
    except TimeoutError:
        pytest.fail(f"{reason_text(shown(watch.current, state_machine.INITIAL).reason)}")
    status = shown(current, state_machine.INITIAL)
    assert (status.state, status.reason.code) == (case.state, case.code)
    assert reason_text(status.reason) == text
    assert reason_hint(status.reason) == case.hint
    assert failed_hop(status.reason) is case.hop
    for name, value in case.parameters.items():
        assert getattr(status.reason, name) == value
    was_ready = state_machine.next_status(
        state_machine.INITIAL, state_machine.TunnelUp(Reason(code=Code.FORWARD_READY))
    )
    after = shown(current, was_ready)
    assert after.state is (case.after_ready or case.state)
    assert after.reason.code is case.code


def test_table_covers_its_faults() -> None:
    covered = {case.fault for case in CASES} | {case.id for case in CASES}
    assert set(faults_of(TABLE)) <= covered
    assert {case.fault for case in CASES} <= set(faults_of(TABLE))


@pytest.mark.parametrize("table", TABLES)
def test_table_names_its_faults(table: str) -> None:
    source = (FOLDER.parents[1] / table).read_text()
    assert [name for name in faults_of(table) if name not in source] == []


def test_every_recording_belongs_to_a_table() -> None:
    covered = {name for table in TABLES for name in faults_of(table)}
    assert sorted(covered) == fault_names()
