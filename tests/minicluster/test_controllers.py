"""Controllers: what appears, what is replaced, what goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.minicluster.control_plane import ControlPlane, control_plane, deployment, pod, until
from tui_forward.minicluster.apiserver import resources

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
STATEFULSETS = "/apis/apps/v1/namespaces/default/statefulsets"
PODS = "/api/v1/namespaces/default/pods"


def names(plane: ControlPlane, *, deleting: bool = False) -> list[str]:
    found = plane.store.all(resources.PODS, "default")
    return [item.name for item in found if deleting or not item.deleting]


async def run_all(plane: ControlPlane) -> None:
    """Be the kubelet: run what is assigned, end what is to end."""
    for item in plane.store.all(resources.PODS, "default"):
        if item.deleting:
            await plane.ask("DELETE", f"{PODS}/{item.name}", body={"gracePeriodSeconds": 0})
        elif item.node and item.fields["status.phase"] == "Pending":
            await plane.run_pod("default", item.name)


async def settle(plane: ControlPlane, wanted: int) -> None:
    async def there() -> bool:
        await run_all(plane)
        found = plane.store.all(resources.PODS, "default")
        running = [item for item in found if item.fields["status.phase"] == "Running"]
        return len(found) == len(running) == wanted

    await until(there)


@pytest.fixture
async def nodes(plane: ControlPlane) -> ControlPlane:
    await plane.node("node-a")
    await plane.node("node-b")
    return plane


async def test_a_deployment_becomes_pods_on_all_nodes(nodes: ControlPlane) -> None:
    await nodes.add(DEPLOYMENTS, deployment("web", 4))
    await settle(nodes, 4)
    pods = await nodes.pods("default")
    assert sorted(each["spec"]["nodeName"] for each in pods) == ["node-a"] * 2 + ["node-b"] * 2
    owner = pods[0]["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["controller"]) == ("ReplicaSet", True)
    assert pods[0]["metadata"]["name"].startswith(owner["name"] + "-")

    async def reported() -> bool:
        status = (await nodes.ask("GET", f"{DEPLOYMENTS}/web")).json["status"]
        return bool(status.get("readyReplicas") == status.get("availableReplicas") == 4)

    await until(reported)


async def test_a_deleted_pod_is_replaced_before_it_is_gone(nodes: ControlPlane) -> None:
    await nodes.add(DEPLOYMENTS, deployment("web", 1))
    await settle(nodes, 1)
    (old,) = names(nodes)
    await nodes.ask("DELETE", f"{PODS}/{old}")

    async def replaced() -> bool:
        return len(names(nodes)) == 1 and names(nodes) != [old]

    await until(replaced)
    assert old in names(nodes, deleting=True)


async def test_replacement_can_be_delayed(tmp_path: Path) -> None:
    async with control_plane(tmp_path, replace_delay_s=0.3) as plane:
        await plane.node("node-a")
        await plane.add(DEPLOYMENTS, deployment("web", 1))
        await settle(plane, 1)
        (old,) = names(plane)
        await plane.ask("DELETE", f"{PODS}/{old}", body={"gracePeriodSeconds": 0})
        assert names(plane) == []

        async def replaced() -> bool:
            return len(names(plane)) == 1

        await until(replaced)


async def test_scaling(nodes: ControlPlane) -> None:
    await nodes.add(DEPLOYMENTS, deployment("web", 1))
    await settle(nodes, 1)
    await nodes.patch(f"{DEPLOYMENTS}/web/scale", {"spec": {"replicas": 3}})
    await settle(nodes, 3)
    await nodes.patch(f"{DEPLOYMENTS}/web/scale", {"spec": {"replicas": 0}})
    await settle(nodes, 0)


async def test_a_rollout_never_has_too_few(nodes: ControlPlane) -> None:
    await nodes.add(DEPLOYMENTS, deployment("web", 4))
    await settle(nodes, 4)
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
        most = max(most, len(names(nodes)))

    nodes.store.listen(resources.PODS, count)
    template = {"spec": {"template": {"metadata": {"annotations": {"restarted": "now"}}}}}
    await nodes.patch(f"{DEPLOYMENTS}/web", template)

    async def rolled() -> bool:
        await run_all(nodes)
        pods = await nodes.pods("default")
        return len(pods) == 4 and all(each["metadata"].get("annotations") for each in pods)

    await until(rolled, 15)
    assert fewest >= 3
    assert most <= 5
    path = "/apis/apps/v1/namespaces/default/replicasets"
    sets = (await nodes.ask("GET", path)).json["items"]
    assert sorted(each["spec"]["replicas"] for each in sets) == [0, 4]


async def test_statefulsets_go_in_order_and_keep_names(nodes: ControlPlane) -> None:
    item = deployment("db", 2)
    item["spec"]["serviceName"] = "db"
    await nodes.add(STATEFULSETS, item)

    async def first() -> bool:
        return names(nodes) == ["db-0"]

    await until(first)
    await settle(nodes, 2)
    assert names(nodes) == ["db-0", "db-1"]
    before = (await nodes.ask("GET", f"{PODS}/db-0")).json["metadata"]
    assert before["labels"]["statefulset.kubernetes.io/pod-name"] == "db-0"
    await nodes.ask("DELETE", f"{PODS}/db-0")
    assert "db-0" in names(nodes, deleting=True)

    async def replaced() -> bool:
        await run_all(nodes)
        answer = await nodes.ask("GET", f"{PODS}/db-0")
        return answer.status == 200 and answer.json["metadata"]["uid"] != before["uid"]

    await until(replaced)
    await nodes.patch(f"{STATEFULSETS}/db/scale", {"spec": {"replicas": 1}})
    await settle(nodes, 1)
    assert names(nodes) == ["db-0"]


async def test_daemonsets_follow_the_nodes(nodes: ControlPlane) -> None:
    item = deployment("agent")
    del item["spec"]["replicas"]
    await nodes.add("/apis/apps/v1/namespaces/default/daemonsets", item)
    await settle(nodes, 2)
    await nodes.node("node-c")
    await settle(nodes, 3)


async def test_jobs_end(nodes: ControlPlane) -> None:
    spec = pod("job", restartPolicy="Never", schedulerName="default-scheduler")["spec"]
    await nodes.add(
        "/apis/batch/v1/namespaces/default/jobs",
        {"metadata": {"name": "once"}, "spec": {"template": {"spec": spec}}},
    )
    await settle(nodes, 1)
    (name,) = names(nodes)
    await nodes.patch(f"{PODS}/{name}/status", {"status": {"phase": "Succeeded"}})

    async def complete() -> bool:
        path = "/apis/batch/v1/namespaces/default/jobs/once"
        status = (await nodes.ask("GET", path)).json["status"]
        return {"Complete"} <= {each["type"] for each in status.get("conditions") or ()}

    await until(complete)
    assert names(nodes) == [name]


async def test_what_belongs_to_a_deleted_owner_goes(nodes: ControlPlane) -> None:
    await nodes.add(DEPLOYMENTS, deployment("web", 2))
    await settle(nodes, 2)
    await nodes.ask("DELETE", f"{DEPLOYMENTS}/web")
    await settle(nodes, 0)
    assert nodes.store.all(resources.REPLICASETS, "default") == []


async def test_orphans_stay(nodes: ControlPlane) -> None:
    await nodes.add(DEPLOYMENTS, deployment("web", 2))
    await settle(nodes, 2)
    body = {"propagationPolicy": "Orphan"}
    await nodes.ask("DELETE", f"{DEPLOYMENTS}/web", body=body)
    assert len(nodes.store.all(resources.REPLICASETS, "default")) == 1
    assert len(names(nodes)) == 2


async def test_a_namespace_goes_with_all_it_holds(nodes: ControlPlane) -> None:
    await nodes.add("/api/v1/namespaces", {"metadata": {"name": "tmp"}})
    await nodes.add("/apis/apps/v1/namespaces/tmp/deployments", deployment("web", 2))
    await nodes.ask("DELETE", "/api/v1/namespaces/tmp")
    refused = await nodes.ask(
        "POST", "/api/v1/namespaces/tmp/pods", body=pod("late", namespace="tmp")
    )
    assert refused.status in (403, 404)

    async def gone() -> bool:
        for item in nodes.store.all(resources.PODS, "tmp"):
            path = f"/api/v1/namespaces/tmp/pods/{item.name}"
            await nodes.ask("DELETE", path, body={"gracePeriodSeconds": 0})
        return (await nodes.ask("GET", "/api/v1/namespaces/tmp")).status == 404

    await until(gone)


async def test_why_a_pod_cannot_be_scheduled(nodes: ControlPlane) -> None:
    spec: dict[str, Any] = {"schedulerName": "default-scheduler", "nodeSelector": {"disk": "nvme"}}
    await nodes.add(PODS, pod("p", **spec))

    async def told() -> bool:
        status = (await nodes.ask("GET", f"{PODS}/p")).json["status"]
        return bool(status.get("conditions"))

    await until(told)
    condition = (await nodes.ask("GET", f"{PODS}/p")).json["status"]["conditions"][0]
    assert condition["reason"] == "Unschedulable"
    assert condition["message"] == (
        "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector. no new "
        "claims to deallocate, preemption: 0/2 nodes are available: 2 Preemption is not helpful "
        "for scheduling."
    )
    events = (await nodes.ask("GET", "/api/v1/namespaces/default/events")).json["items"]
    assert [each["reason"] for each in events] == ["FailedScheduling"]
    await nodes.add("/api/v1/nodes", {"metadata": {"name": "fast", "labels": {"disk": "nvme"}}})
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    await nodes.patch("/api/v1/nodes/fast/status", {"status": ready})

    async def assigned() -> bool:
        return bool((await nodes.ask("GET", f"{PODS}/p")).json["spec"].get("nodeName") == "fast")

    await until(assigned)


async def test_everything_survives_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "state"
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    async with control_plane(tmp_path / "one", state=state) as plane:
        await plane.node("node-a")
        await plane.add(DEPLOYMENTS, deployment("web", 2))
        await settle(plane, 2)
        before = [item.raw for item in plane.store.all(resources.PODS)]
        version = plane.store.version
    async with control_plane(tmp_path / "two", state=state) as plane:
        assert [item.raw for item in plane.store.all(resources.PODS)] == before
        assert plane.store.version >= version
        old = await plane.watch(f"{PODS}?watch=1&resourceVersion={version - 1}")
        assert (await old.next())["object"]["reason"] == "Expired"
        await plane.watch(f"{PODS}?watch=1&resourceVersion={version}")
        await plane.ask("DELETE", f"{PODS}/{names(plane)[0]}")
        await settle(plane, 2)


async def test_a_torn_journal_loses_only_its_last_record(tmp_path: Path) -> None:
    state = tmp_path / "state"
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    async with control_plane(tmp_path / "one", state=state) as plane:
        await plane.add(PODS, pod("a"))
        await plane.add(PODS, pod("b"))
    state.write_bytes(state.read_bytes()[:-50])
    async with control_plane(tmp_path / "two", state=state) as plane:
        assert names(plane) == ["a"]


async def test_generated_pods_are_realistic_and_stir(tmp_path: Path) -> None:
    async with control_plane(tmp_path, pods=45, churn=200.0) as plane:
        found = plane.store.all(resources.PODS)
        assert len(found) == 45
        assert 11_000 < len(found[0].raw) < 16_000
        version = plane.store.version
        seen: set[str] = set()
        plane.store.listen(resources.PODS, lambda change: seen.add(change.type))

        async def stirred() -> bool:
            return plane.store.version > version + 50 and len(seen) == 3

        await until(stirred, 20)
        assert 40 < len(plane.store.all(resources.PODS)) < 55
        from tests.minicluster.test_relay import SPDY

        item = found[0]
        path = f"/api/v1/namespaces/{item.namespace}/pods/{item.name}/portforward"
        answer = await plane.ask("POST", path, SPDY)
        assert answer.status in (404, 500)


async def test_seeds_repeat_names(tmp_path: Path) -> None:
    seen = []
    for place in ("one", "two"):
        folder = tmp_path / place
        folder.mkdir()
        async with control_plane(folder, seed=3, workloads=True) as plane:

            async def all_there(running: ControlPlane = plane) -> bool:
                return len(running.store.all(resources.PODS, "shop")) == 9

            await until(all_there)
            seen.append([item.key for item in plane.store.all(resources.PODS, "shop")])
    assert seen[0] == seen[1]
