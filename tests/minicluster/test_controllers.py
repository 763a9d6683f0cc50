"""Controllers: creation, replacement and deletion of pods."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.minicluster.control_plane import (
    ControlPlane,
    deployment,
    pod,
    run_control_plane,
    wait_until,
)
from tui_forward.minicluster.apiserver import resources

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
STATEFULSETS = "/apis/apps/v1/namespaces/default/statefulsets"
PODS = "/api/v1/namespaces/default/pods"


def pod_names(control_plane: ControlPlane, *, deleting: bool = False) -> list[str]:
    found = control_plane.store.all(resources.PODS, "default")
    return [item.name for item in found if deleting or not item.deleting]


async def act_as_kubelet(control_plane: ControlPlane) -> None:
    """Run assigned pods and finish the deletion of terminating ones, as a kubelet does."""
    for item in control_plane.store.all(resources.PODS, "default"):
        if item.deleting:
            await control_plane.request(
                "DELETE", f"{PODS}/{item.name}", body={"gracePeriodSeconds": 0}
            )
        elif item.node and item.fields["status.phase"] == "Pending":
            await control_plane.set_running("default", item.name)


async def wait_running(control_plane: ControlPlane, count: int) -> None:
    async def are_running() -> bool:
        await act_as_kubelet(control_plane)
        found = control_plane.store.all(resources.PODS, "default")
        running = [item for item in found if item.fields["status.phase"] == "Running"]
        return len(found) == len(running) == count

    await wait_until(are_running)


@pytest.fixture
async def nodes(control_plane: ControlPlane) -> ControlPlane:
    await control_plane.add_node("node-a")
    await control_plane.add_node("node-b")
    return control_plane


async def test_deployment_creates_pods_on_all_nodes(nodes: ControlPlane) -> None:
    await nodes.add(DEPLOYMENTS, deployment("web", 4))
    await wait_running(nodes, 4)
    pods = await nodes.pods("default")
    assert sorted(each["spec"]["nodeName"] for each in pods) == ["node-a"] * 2 + ["node-b"] * 2
    owner = pods[0]["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["controller"]) == ("ReplicaSet", True)
    assert pods[0]["metadata"]["name"].startswith(owner["name"] + "-")

    async def reported() -> bool:
        status = (await nodes.request("GET", f"{DEPLOYMENTS}/web")).json["status"]
        return bool(status.get("readyReplicas") == status.get("availableReplicas") == 4)

    await wait_until(reported)


async def test_terminating_pod_is_replaced_before_its_end(nodes: ControlPlane) -> None:
    await nodes.add(DEPLOYMENTS, deployment("web", 1))
    await wait_running(nodes, 1)
    (old,) = pod_names(nodes)
    await nodes.request("DELETE", f"{PODS}/{old}")

    async def replaced() -> bool:
        return len(pod_names(nodes)) == 1 and pod_names(nodes) != [old]

    await wait_until(replaced)
    assert old in pod_names(nodes, deleting=True)


async def test_replacement_waits_for_configured_delay(tmp_path: Path) -> None:
    async with run_control_plane(tmp_path, replace_delay_s=0.3) as control_plane:
        await control_plane.add_node("node-a")
        await control_plane.add(DEPLOYMENTS, deployment("web", 1))
        await wait_running(control_plane, 1)
        (old,) = pod_names(control_plane)
        await control_plane.request("DELETE", f"{PODS}/{old}", body={"gracePeriodSeconds": 0})
        assert pod_names(control_plane) == []

        async def replaced() -> bool:
            return len(pod_names(control_plane)) == 1

        await wait_until(replaced)


async def test_deployment_scales_up_and_down(nodes: ControlPlane) -> None:
    await nodes.add(DEPLOYMENTS, deployment("web", 1))
    await wait_running(nodes, 1)
    await nodes.patch(f"{DEPLOYMENTS}/web/scale", {"spec": {"replicas": 3}})
    await wait_running(nodes, 3)
    await nodes.patch(f"{DEPLOYMENTS}/web/scale", {"spec": {"replicas": 0}})
    await wait_running(nodes, 0)


async def test_rolling_update_keeps_surge_and_availability_limits(nodes: ControlPlane) -> None:
    await nodes.add(DEPLOYMENTS, deployment("web", 4))
    await wait_running(nodes, 4)
    fewest = 4
    most = 4

    def count(_: object) -> None:
        nonlocal fewest, most
        ready = [
            item
            for item in nodes.store.all(resources.PODS, "default")
            if not item.deleting and item.fields["status.phase"] == "Running"
        ]
        fewest = min(fewest, len(ready))
        most = max(most, len(pod_names(nodes)))

    nodes.store.listen(resources.PODS, count)
    template = {"spec": {"template": {"metadata": {"annotations": {"restarted": "now"}}}}}
    await nodes.patch(f"{DEPLOYMENTS}/web", template)

    async def rolled() -> bool:
        await act_as_kubelet(nodes)
        pods = await nodes.pods("default")
        return len(pods) == 4 and all(each["metadata"].get("annotations") for each in pods)

    await wait_until(rolled, 60)
    assert fewest >= 3
    assert most <= 5
    path = "/apis/apps/v1/namespaces/default/replicasets"
    sets = (await nodes.request("GET", path)).json["items"]
    assert sorted(each["spec"]["replicas"] for each in sets) == [0, 4]


async def test_statefulset_pods_start_in_order_and_keep_pod_names(nodes: ControlPlane) -> None:
    item = deployment("db", 2)
    item["spec"]["serviceName"] = "db"
    await nodes.add(STATEFULSETS, item)

    async def first() -> bool:
        return pod_names(nodes) == ["db-0"]

    await wait_until(first)
    await wait_running(nodes, 2)
    assert pod_names(nodes) == ["db-0", "db-1"]
    before = (await nodes.request("GET", f"{PODS}/db-0")).json["metadata"]
    assert before["labels"]["statefulset.kubernetes.io/pod-name"] == "db-0"
    await nodes.request("DELETE", f"{PODS}/db-0")
    assert "db-0" in pod_names(nodes, deleting=True)

    async def replaced() -> bool:
        await act_as_kubelet(nodes)
        response = await nodes.request("GET", f"{PODS}/db-0")
        return response.status == 200 and response.json["metadata"]["uid"] != before["uid"]

    await wait_until(replaced)
    await nodes.patch(f"{STATEFULSETS}/db/scale", {"spec": {"replicas": 1}})
    await wait_running(nodes, 1)
    assert pod_names(nodes) == ["db-0"]


async def test_daemonset_follows_added_nodes(nodes: ControlPlane) -> None:
    item = deployment("agent")
    del item["spec"]["replicas"]
    await nodes.add("/apis/apps/v1/namespaces/default/daemonsets", item)
    await wait_running(nodes, 2)
    await nodes.add_node("node-c")
    await wait_running(nodes, 3)


async def test_job_completes(nodes: ControlPlane) -> None:
    spec = pod("job", restartPolicy="Never", schedulerName="default-scheduler")["spec"]
    await nodes.add(
        "/apis/batch/v1/namespaces/default/jobs",
        {"metadata": {"name": "once"}, "spec": {"template": {"spec": spec}}},
    )
    await wait_running(nodes, 1)
    (name,) = pod_names(nodes)
    await nodes.patch(f"{PODS}/{name}/status", {"status": {"phase": "Succeeded"}})

    async def complete() -> bool:
        path = "/apis/batch/v1/namespaces/default/jobs/once"
        status = (await nodes.request("GET", path)).json["status"]
        return {"Complete"} <= {each["type"] for each in status.get("conditions") or ()}

    await wait_until(complete)
    assert pod_names(nodes) == [name]


async def test_dependents_of_deleted_owner_are_deleted(nodes: ControlPlane) -> None:
    await nodes.add(DEPLOYMENTS, deployment("web", 2))
    await wait_running(nodes, 2)
    await nodes.request("DELETE", f"{DEPLOYMENTS}/web")
    await wait_running(nodes, 0)
    assert nodes.store.all(resources.REPLICASETS, "default") == []


async def test_orphaned_dependents_remain(nodes: ControlPlane) -> None:
    await nodes.add(DEPLOYMENTS, deployment("web", 2))
    await wait_running(nodes, 2)
    body = {"propagationPolicy": "Orphan"}
    await nodes.request("DELETE", f"{DEPLOYMENTS}/web", body=body)
    assert len(nodes.store.all(resources.REPLICASETS, "default")) == 1
    assert len(pod_names(nodes)) == 2


async def test_deleted_namespace_takes_its_objects(nodes: ControlPlane) -> None:
    await nodes.add("/api/v1/namespaces", {"metadata": {"name": "tmp"}})
    await nodes.add("/apis/apps/v1/namespaces/tmp/deployments", deployment("web", 2))
    await nodes.request("DELETE", "/api/v1/namespaces/tmp")
    refused = await nodes.request(
        "POST", "/api/v1/namespaces/tmp/pods", body=pod("late", namespace="tmp")
    )
    assert refused.status in (403, 404)

    async def is_deleted() -> bool:
        for item in nodes.store.all(resources.PODS, "tmp"):
            path = f"/api/v1/namespaces/tmp/pods/{item.name}"
            await nodes.request("DELETE", path, body={"gracePeriodSeconds": 0})
        return (await nodes.request("GET", "/api/v1/namespaces/tmp")).status == 404

    await wait_until(is_deleted)


async def test_unschedulable_pod_reports_cause(nodes: ControlPlane) -> None:
    spec: dict[str, Any] = {"schedulerName": "default-scheduler", "nodeSelector": {"disk": "nvme"}}
    await nodes.add(PODS, pod("p", **spec))

    async def has_condition() -> bool:
        status = (await nodes.request("GET", f"{PODS}/p")).json["status"]
        return bool(status.get("conditions"))

    await wait_until(has_condition)
    condition = (await nodes.request("GET", f"{PODS}/p")).json["status"]["conditions"][0]
    assert condition["reason"] == "Unschedulable"
    assert condition["message"] == (
        "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector. no new "
        "claims to deallocate, preemption: 0/2 nodes are available: 2 Preemption is not helpful "
        "for scheduling."
    )
    events = (await nodes.request("GET", "/api/v1/namespaces/default/events")).json["items"]
    assert [each["reason"] for each in events] == ["FailedScheduling"]
    await nodes.add("/api/v1/nodes", {"metadata": {"name": "fast", "labels": {"disk": "nvme"}}})
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    await nodes.patch("/api/v1/nodes/fast/status", {"status": ready})

    async def assigned() -> bool:
        return bool(
            (await nodes.request("GET", f"{PODS}/p")).json["spec"].get("nodeName") == "fast"
        )

    await wait_until(assigned)


async def test_objects_survive_restart(tmp_path: Path) -> None:
    state = tmp_path / "state"
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    async with run_control_plane(tmp_path / "one", state=state) as control_plane:
        await control_plane.add_node("node-a")
        await control_plane.add(DEPLOYMENTS, deployment("web", 2))
        await wait_running(control_plane, 2)
        before = [item.raw for item in control_plane.store.all(resources.PODS)]
        version = control_plane.store.version
    async with run_control_plane(tmp_path / "two", state=state) as control_plane:
        assert [item.raw for item in control_plane.store.all(resources.PODS)] == before
        assert control_plane.store.version >= version
        old = await control_plane.watch(f"{PODS}?watch=1&resourceVersion={version - 1}")
        assert (await old.next_event())["object"]["reason"] == "Expired"
        await control_plane.watch(f"{PODS}?watch=1&resourceVersion={version}")
        await control_plane.request("DELETE", f"{PODS}/{pod_names(control_plane)[0]}")
        await wait_running(control_plane, 2)


async def test_incomplete_last_journal_record_is_ignored(tmp_path: Path) -> None:
    state = tmp_path / "state"
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    async with run_control_plane(tmp_path / "one", state=state) as control_plane:
        await control_plane.add(PODS, pod("a"))
        await control_plane.add(PODS, pod("b"))
    state.write_bytes(state.read_bytes()[:-50])
    async with run_control_plane(tmp_path / "two", state=state) as control_plane:
        assert pod_names(control_plane) == ["a"]


async def test_synthetic_pods_are_realistic_and_churn(tmp_path: Path) -> None:
    async with run_control_plane(tmp_path, pods=45, churn=200.0) as control_plane:
        found = control_plane.store.all(resources.PODS)
        assert len(found) == 45
        assert 11_000 < len(found[0].raw) < 16_000
        version = control_plane.store.version
        seen: set[str] = set()
        control_plane.store.listen(resources.PODS, lambda change: seen.add(change.type))

        async def has_churned() -> bool:
            return control_plane.store.version > version + 50 and len(seen) == 3

        await wait_until(has_churned, 60)
        assert 40 < len(control_plane.store.all(resources.PODS)) < 55
        from tests.minicluster.test_relay import SPDY

        item = found[0]
        path = f"/api/v1/namespaces/{item.namespace}/pods/{item.name}/portforward"
        response = await control_plane.request("POST", path, SPDY)
        assert response.status in (404, 500)


async def test_equal_seeds_generate_equal_names(tmp_path: Path) -> None:
    keys = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        async with run_control_plane(folder, seed=3, workloads=True) as control_plane:

            async def has_all_pods(running: ControlPlane = control_plane) -> bool:
                return len(running.store.all(resources.PODS, "shop")) == 12

            await wait_until(has_all_pods)
            keys.append([item.key for item in control_plane.store.all(resources.PODS, "shop")])
    assert keys[0] == keys[1]
