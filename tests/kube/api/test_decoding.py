from __future__ import annotations

import json
import sys
from typing import Any

import msgspec
import pytest

from tests.kube.objects import capture, capture_body, pod, service, workload
from tests.support.recorded_pods import recorded_pods
from tui_forward.kube import (
    DAEMONSETS,
    DEPLOYMENTS,
    JOBS,
    NAMESPACES,
    PODS,
    REPLICASETS,
    SERVICES,
)
from tui_forward.kube.api import api_types, decoding
from tui_forward.kube.timestamps import parse_rfc3339
from tui_forward.model import DeclaredPort, OwnerRef, Pod, PortProtocol, TargetKind


def decode(raw: dict[str, Any]) -> Pod:
    return PODS.decode(json.dumps(raw).encode())


def raw_pod(status: dict[str, Any], **spec: Any) -> dict[str, Any]:
    deleting = status.pop("deleting", False)
    metadata = {"name": "x", "namespace": "shop", "uid": "u"}
    if deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    spec = {"containers": [{"name": "a"}, {"name": "b"}], "nodeName": "n", **spec}
    return {"metadata": metadata, "spec": spec, "status": status}


def running(name: str, *, ready: bool = True, restarts: int = 0, **more: Any) -> dict[str, Any]:
    state = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
    return {"name": name, "ready": ready, "restartCount": restarts, "state": state, **more}


def waiting(name: str, reason: str, message: str = "") -> dict[str, Any]:
    return {"name": name, "state": {"waiting": {"reason": reason, "message": message}}}


def ended(name: str, **state: Any) -> dict[str, Any]:
    return {"name": name, "state": {"terminated": state}}


INIT = [{"name": "i"}, {"name": "j"}]
SIDECAR = [{"name": "s", "restartPolicy": "Always"}]
READY = [{"type": "Ready", "status": "True"}, {"type": "Initialized", "status": "True"}]


@pytest.mark.parametrize(
    ("status", "spec", "shown", "ready", "restarts"),
    [
        ({"phase": "Pending"}, {}, "Pending", "0/2", 0),
        ({"phase": "Failed", "reason": "Evicted"}, {}, "Evicted", "0/2", 0),
        (
            {
                "phase": "Pending",
                "conditions": [{"type": "PodScheduled", "reason": "SchedulingGated"}],
            },
            {},
            "SchedulingGated",
            "0/2",
            0,
        ),
        (
            {"phase": "Running", "containerStatuses": [running("a"), running("b", restarts=2)]},
            {},
            "Running",
            "2/2",
            2,
        ),
        # The first container decides.
        (
            {
                "phase": "Running",
                "containerStatuses": [waiting("a", "CrashLoopBackOff"), running("b")],
            },
            {},
            "CrashLoopBackOff",
            "1/2",
            0,
        ),
        (
            {
                "phase": "Running",
                "containerStatuses": [running("a"), waiting("b", "ImagePullBackOff")],
            },
            {},
            "ImagePullBackOff",
            "1/2",
            0,
        ),
        (
            {
                "phase": "Succeeded",
                "containerStatuses": [
                    ended("a", reason="Completed", exitCode=0),
                    ended("b", reason="Completed", exitCode=0),
                ],
            },
            {},
            "Completed",
            "0/2",
            0,
        ),
        (
            {
                "phase": "Running",
                "conditions": READY,
                "containerStatuses": [ended("a", reason="Completed"), running("b")],
            },
            {},
            "Running",
            "1/2",
            0,
        ),
        (
            {
                "phase": "Running",
                "containerStatuses": [ended("a", reason="Completed"), running("b")],
            },
            {},
            "NotReady",
            "1/2",
            0,
        ),
        (
            {"phase": "Failed", "containerStatuses": [ended("a", exitCode=137, signal=9)]},
            {},
            "Signal:9",
            "0/2",
            0,
        ),
        (
            {"phase": "Failed", "containerStatuses": [ended("a", exitCode=3)]},
            {},
            "ExitCode:3",
            "0/2",
            0,
        ),
        (
            {"phase": "Failed", "containerStatuses": [ended("a", reason="OOMKilled", exitCode=9)]},
            {},
            "OOMKilled",
            "0/2",
            0,
        ),
        (
            {
                "phase": "Pending",
                "initContainerStatuses": [
                    running("i", restarts=3),
                    waiting("j", "PodInitializing"),
                ],
                "containerStatuses": [waiting("a", "PodInitializing")],
            },
            {"initContainers": INIT},
            "Init:0/2",
            "0/2",
            3,
        ),
        (
            {
                "phase": "Pending",
                "initContainerStatuses": [
                    ended("i", exitCode=0),
                    waiting("j", "PodInitializing"),
                ],
            },
            {"initContainers": INIT},
            "Init:1/2",
            "0/2",
            0,
        ),
        (
            {"phase": "Pending", "initContainerStatuses": [waiting("i", "CrashLoopBackOff")]},
            {"initContainers": INIT},
            "Init:CrashLoopBackOff",
            "0/2",
            0,
        ),
        (
            {"phase": "Pending", "initContainerStatuses": [ended("i", reason="Error", exitCode=1)]},
            {"initContainers": INIT},
            "Init:Error",
            "0/2",
            0,
        ),
        (
            {"phase": "Pending", "initContainerStatuses": [ended("i", exitCode=2)]},
            {"initContainers": INIT},
            "Init:ExitCode:2",
            "0/2",
            0,
        ),
        (
            {"phase": "Pending", "initContainerStatuses": [ended("i", exitCode=2, signal=15)]},
            {"initContainers": INIT},
            "Init:Signal:15",
            "0/2",
            0,
        ),
        # A sidecar counts as a container once it has started.
        (
            {
                "phase": "Running",
                "initContainerStatuses": [running("s", started=True, restarts=1)],
                "containerStatuses": [running("a", restarts=2), running("b")],
            },
            {"initContainers": SIDECAR},
            "Running",
            "3/3",
            3,
        ),
        (
            {
                "phase": "Pending",
                "initContainerStatuses": [running("s", started=False, ready=False)],
            },
            {"initContainers": SIDECAR},
            "Init:0/1",
            "0/3",
            0,
        ),
        (
            {"deleting": True, "phase": "Running", "containerStatuses": [running("a")]},
            {},
            "Terminating",
            "1/2",
            0,
        ),
        (
            {"deleting": True, "phase": "Running", "reason": "NodeLost"},
            {},
            "Unknown",
            "0/2",
            0,
        ),
        (
            {
                "deleting": True,
                "phase": "Failed",
                "containerStatuses": [ended("a", reason="Error", exitCode=1)],
            },
            {},
            "Error",
            "0/2",
            0,
        ),
    ],
)
def test_pod_columns_match_kubectl(
    status: dict[str, Any], spec: dict[str, Any], shown: str, ready: str, restarts: int
) -> None:
    found = decode(raw_pod(json.loads(json.dumps(status)), **spec))
    assert found.status == shown
    assert f"{found.containers_ready}/{found.containers_total}" == ready
    assert found.restarts == restarts


def test_pod_columns_match_the_recorded_table() -> None:
    table = json.loads(capture("pods-table")["body"])
    columns = [column["name"] for column in table["columnDefinitions"]]
    expected = [dict(zip(columns, row["cells"], strict=True)) for row in table["rows"]]
    found = [PODS.decode(json.dumps(i).encode()) for i in json.loads(capture_body("pods"))["items"]]
    assert len(found) == len(expected)
    for one, row in zip(found, expected, strict=True):
        assert one.name == row["Name"]
        assert one.status == row["Status"]
        assert f"{one.containers_ready}/{one.containers_total}" == row["Ready"]
        assert str(row["Restarts"]).split()[0] == str(one.restarts)


@pytest.mark.parametrize(
    ("name", "status", "phase", "message"),
    [
        ("pod-crashloop", "Error", "Running", ""),
        ("pod-pending", "Pending", "Pending", "nodes are available"),
        ("pod-image-missing", "ErrImagePull", "Pending", "image"),
        ("pod", "Running", "Running", ""),
    ],
)
def test_recorded_pods_are_decoded(name: str, status: str, phase: str, message: str) -> None:
    found = PODS.decode(capture_body(name))
    assert (found.status, found.phase) == (status, phase)
    assert message in found.message


def test_pod_is_decoded() -> None:
    found = decode(
        pod(
            "web-6d8c-x2k",
            uid="u1",
            labels={"app": "web", "pod-template-hash": "6d8c"},
            owner=("ReplicaSet", "web-6d8c"),
            restarts=2,
            container_id="containerd://c1",
            ready_at="2026-01-01T00:00:10Z",
            ports=[
                {"name": "http", "containerPort": 8080},
                {"containerPort": 53, "protocol": "UDP"},
            ],
        )
    )
    assert (found.namespace, found.name, found.uid, found.node) == (
        "shop",
        "web-6d8c-x2k",
        "u1",
        "node-a",
    )
    assert found.ready
    assert found.ready_since - found.created_at == 10
    assert found.max_restarts == 2
    assert found.container_ids == ("containerd://c1",)
    assert found.owner == OwnerRef("Deployment", "web")
    assert found.ports == (
        DeclaredPort(number=8080, name="http", container="main"),
        DeclaredPort(number=53, protocol=PortProtocol.UDP, container="main"),
    )
    assert not found.deleting


@pytest.mark.parametrize(
    ("owner", "labels", "expected"),
    [
        (None, {}, None),
        (("StatefulSet", "db"), {}, OwnerRef("StatefulSet", "db")),
        (("ReplicaSet", "bare"), {}, OwnerRef("ReplicaSet", "bare")),
        (("ReplicaSet", "bare"), {"pod-template-hash": "abc"}, OwnerRef("ReplicaSet", "bare")),
        (("ReplicaSet", "a-b-7"), {"pod-template-hash": "7"}, OwnerRef("Deployment", "a-b")),
        (("Rollout", "x"), {}, OwnerRef("Rollout", "x")),
    ],
)
def test_owner_is_the_controller(
    owner: tuple[str, str] | None, labels: dict[str, str], expected: OwnerRef | None
) -> None:
    assert decode(pod(owner=owner, labels=labels)).owner == expected


def test_owner_without_controller_flag_is_ignored() -> None:
    raw = pod(owner=("Job", "x"))
    raw["metadata"]["ownerReferences"][0]["controller"] = None
    assert decode(raw).owner is None


EXITED = {"exitCode": 7, "reason": "Error"}
LAST: Any = {"lastState": {"terminated": EXITED}}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (running("a"), None),
        (ended("a", **EXITED), (1, 7, False)),
        ({**ended("a", **EXITED), "restartCount": 2}, (3, 7, False)),
        ({**waiting("a", "CrashLoopBackOff"), "restartCount": 2, **LAST}, (3, 7, False)),
        (running("a", restarts=3, **LAST), (3, 7, True)),
    ],
)
def test_end_of_a_container_has_a_number(
    status: dict[str, Any], expected: tuple[int, int, bool] | None
) -> None:
    decoded = decode(raw_pod({"containerStatuses": [status]}))
    found = [(one.number, one.code, one.restarted) for one in decoded.exits]
    assert found == ([expected] if expected else [])


def test_end_of_a_container_says_how_long_it_ran() -> None:
    start = {"startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:03Z"}
    last: dict[str, Any] = {"lastState": {"terminated": {"exitCode": 7, **start}}}
    again = running("a", restarts=3, **last)
    again["state"] = {"running": {"startedAt": "2026-01-01T00:01:00Z"}}
    (exit_,) = decode(raw_pod({"containerStatuses": [again]})).exits
    assert (exit_.ran_s, exit_.running_since) == (3.0, parse_rfc3339("2026-01-01T00:01:00Z"))
    (exit_,) = decode(raw_pod({"containerStatuses": [ended("a", **EXITED)]})).exits
    assert exit_.running_since == 0.0


def test_recorded_ends_of_pods_are_decoded() -> None:
    evicted = next(recorded_pods("032-evicted-by-api-mid-connection"))
    assert evicted is not None
    assert (evicted.deleting, evicted.disruption) == (True, "EvictionByEvictionAPI")
    assert evicted.delete_by == parse_rfc3339("2026-11-29T12:38:58Z")
    killed = list(recorded_pods("035-container-killed-mid-connection"))
    exits = [
        [(e.container, e.number, e.code, e.restarted) for e in pod.exits] for pod in killed if pod
    ]
    assert exits[:2] == [[("c", 1, 137, False)], [("c", 1, 137, True)]]
    lost = list(recorded_pods("036-sandbox-killed-mid-connection"))
    assert [pod.sandbox_ready for pod in lost if pod][:3] == [True, False, True]


def test_restart_has_the_time_of_the_end_before_it() -> None:
    def before(at: str) -> dict[str, Any]:
        return {"lastState": {"terminated": {"exitCode": 1, "finishedAt": at}}}

    statuses = [
        running("a", restarts=1, **before("2026-11-29T12:00:00Z")),
        running("b", restarts=2, **before("2026-11-29T12:30:00Z")),
        running("c"),
    ]
    found = decode(raw_pod({"containerStatuses": statuses}))
    assert found.restarted_at == parse_rfc3339("2026-11-29T12:30:00Z")
    assert decode(raw_pod({"containerStatuses": [running("c")]})).restarted_at == 0
    assert decode(raw_pod({"containerStatuses": [running("c", restarts=1)]})).restarted_at == 0


def test_null_fields_get_defaults() -> None:
    nothing = {
        "metadata": {
            "name": "x",
            "creationTimestamp": None,
            "labels": None,
            "ownerReferences": None,
        },
        "spec": {"containers": None, "initContainers": None},
        "status": {"conditions": None, "containerStatuses": None},
    }
    assert decode(nothing).name == "x"
    assert decode({}).name == ""


def test_service_is_decoded() -> None:
    found = SERVICES.decode(
        json.dumps(
            service(
                selector={"b": "2", "a": "1"},
                ports=[
                    {"name": "http", "port": 80, "targetPort": "web"},
                    {"name": "n", "port": 81, "targetPort": 8081},
                    {"port": 82},
                    {"port": 53, "protocol": "UDP", "targetPort": 0},
                ],
            )
        ).encode()
    )
    assert found.selector == "a=1,b=2"
    assert [(p.number, p.target) for p in found.ports] == [
        (80, "web"),
        (81, "8081"),
        (82, ""),
        (53, ""),
    ]
    assert not found.headless
    headless = SERVICES.decode(json.dumps(service(cluster_ip="None")).encode())
    assert headless.headless
    external = {"metadata": {"name": "x"}, "spec": {"type": "ExternalName", "externalName": "y"}}
    assert SERVICES.decode(json.dumps(external).encode()).selector == ""


@pytest.mark.parametrize(
    ("affinity", "seconds"),
    [
        ({}, 0),
        ({"sessionAffinity": "None"}, 0),
        ({"sessionAffinity": "ClientIP"}, 10800),
        (
            {
                "sessionAffinity": "ClientIP",
                "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}},
            },
            60,
        ),
    ],
)
def test_session_affinity_is_decoded(affinity: dict[str, Any], seconds: int) -> None:
    raw = {"metadata": {"name": "x"}, "spec": affinity}
    assert SERVICES.decode(json.dumps(raw).encode()).affinity_s == seconds


def test_workload_is_decoded() -> None:
    raw = workload("web-6d8c", owner=("Deployment", "web"))
    raw["spec"]["selector"]["matchExpressions"] = [
        {"key": "tier", "operator": "In", "values": ["b", "a"]},
        {"key": "env", "operator": "NotIn", "values": ["dev"]},
        {"key": "x", "operator": "Exists"},
        {"key": "y", "operator": "DoesNotExist"},
    ]
    found = REPLICASETS.decode(json.dumps(raw).encode())
    assert found.kind is TargetKind.REPLICASET
    assert found.selector == "app=web,tier in (a,b),env notin (dev),x,!y"
    assert (found.replicas, found.ready) == (2, 2)
    assert found.owner == OwnerRef("Deployment", "web")
    daemonset = {
        "metadata": {"name": "d"},
        "status": {"desiredNumberScheduled": 3, "numberReady": 1},
    }
    found = DAEMONSETS.decode(json.dumps(daemonset).encode())
    assert (found.replicas, found.ready, found.selector) == (3, 1, "")
    job = {"metadata": {"name": "j"}, "spec": {"parallelism": 4}, "status": {"ready": 2}}
    found = JOBS.decode(json.dumps(job).encode())
    assert (found.replicas, found.ready) == (4, 2)
    default = DEPLOYMENTS.decode(b'{"metadata":{"name":"d"},"spec":{}}')
    assert (default.replicas, default.ready) == (1, 0)


def test_namespace_is_decoded() -> None:
    raw = {"metadata": {"name": "shop"}, "status": {"phase": "Terminating"}}
    assert NAMESPACES.decode(json.dumps(raw).encode()).status == "Terminating"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, 0.0),
        ("", 0.0),
        ("garbage", 0.0),
        ("1970-01-01T00:00:01Z", 1.0),
        ("1970-01-01T00:00:01.500000000Z", 1.5),
        ("1970-01-01T01:00:01+01:00", 1.0),
    ],
)
def test_timestamp_is_parsed(text: str | None, expected: float) -> None:
    assert parse_rfc3339(text) == expected


def test_large_values_are_not_kept_in_caches() -> None:
    """The caches outlive the objects, and are shared by all clusters."""
    texts = {name: name * 10_000 for name in ("n", "k", "v", "o", "p", "c", "i")}
    raw = msgspec.convert(
        {
            "metadata": {
                "namespace": texts["n"],
                "labels": {texts["k"]: texts["v"]},
                "ownerReferences": [{"kind": "X", "name": texts["o"], "controller": True}],
                "creationTimestamp": texts["i"],
            },
            "spec": {
                "nodeName": texts["n"],
                "containers": [
                    {"name": texts["c"], "ports": [{"containerPort": 1, "name": texts["p"]}]}
                ],
            },
        },
        api_types.Pod,
    )
    before = {name: sys.getrefcount(text) for name, text in texts.items()}
    found = decoding.decode_pod(raw)
    assert found.ports[0].name == texts["p"]
    del found
    assert {name: sys.getrefcount(text) for name, text in texts.items()} == before
