"""Creating, changing, deleting; and what each of them answers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.minicluster.control_plane import ADMIN, ControlPlane, deployment, pod
from tui_forward.minicluster.apiserver import patches

PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


async def test_a_created_pod_has_its_defaults(plane: ControlPlane) -> None:
    made = await plane.add(PODS, pod("a"))
    assert made["metadata"]["uid"]
    assert made["metadata"]["creationTimestamp"]
    assert made["metadata"]["generation"] == 1
    assert made["spec"]["terminationGracePeriodSeconds"] == 30
    assert made["spec"]["containers"][0]["ports"][0]["protocol"] == "TCP"
    assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}


async def test_names_can_be_generated(plane: ControlPlane) -> None:
    item = pod("x")
    item["metadata"] = {"generateName": "job-"}
    made = await plane.add(PODS, item)
    assert made["metadata"]["name"].startswith("job-")
    assert len(made["metadata"]["name"]) == 9


@pytest.mark.parametrize(
    ("item", "namespace", "status", "reason"),
    [
        (pod("a"), "default", 409, "AlreadyExists"),
        (pod("b", namespace="shop"), "default", 400, "BadRequest"),
        (pod("b", namespace="nowhere"), "nowhere", 404, "NotFound"),
        ({"metadata": {"name": "b"}, "spec": {"containers": []}}, "default", 422, "Invalid"),
        ({"metadata": {}, "spec": pod("b")["spec"]}, "default", 422, "Invalid"),
        ({"kind": "Service", "metadata": {"name": "b"}}, "default", 400, "BadRequest"),
    ],
)
async def test_what_cannot_be_created(
    plane: ControlPlane, item: dict[str, Any], namespace: str, status: int, reason: str
) -> None:
    await plane.add(PODS, pod("a"))
    answer = await plane.ask("POST", f"/api/v1/namespaces/{namespace}/pods", body=item)
    assert (answer.status, answer.json["reason"]) == (status, reason)


async def test_bodies_that_are_not_json(plane: ControlPlane) -> None:
    client = await plane.client()
    for body, status in ((b"{", 400), (b"[]", 400), (b"k8s\0", 415), (b"k8s\0\xff", 400)):
        response = await client.send("POST", PODS, ADMIN, body)
        assert response.status_code == status
        client = await plane.client()


async def test_dry_runs_change_nothing(plane: ControlPlane) -> None:
    assert (await plane.ask("POST", f"{PODS}?dryRun=All", body=pod("a"))).status == 201
    assert (await plane.ask("GET", f"{PODS}/a")).status == 404
    await plane.add(PODS, pod("a"))
    assert (await plane.ask("DELETE", f"{PODS}/a?dryRun=All")).status == 200
    assert (await plane.ask("GET", f"{PODS}/a")).status == 200


async def test_an_update_of_something_newer_is_a_conflict(plane: ControlPlane) -> None:
    made = await plane.add(DEPLOYMENTS, deployment("d"))
    made["metadata"]["resourceVersion"] = "1"
    answer = await plane.ask("PUT", f"{DEPLOYMENTS}/d", body=made)
    assert (answer.status, answer.json["reason"]) == (409, "Conflict")
    assert "the object has been modified" in answer.json["message"]


async def test_identity_cannot_be_changed(plane: ControlPlane) -> None:
    made = await plane.add(PODS, pod("a"))
    change = {"metadata": {"creationTimestamp": "2001-01-01T00:00:00Z", "labels": {"x": "y"}}}
    after = (await plane.patch(f"{PODS}/a", change)).json
    for name in ("uid", "creationTimestamp", "name"):
        assert after["metadata"][name] == made["metadata"][name]
    assert after["metadata"]["labels"]["x"] == "y"


async def test_status_and_specification_are_separate(plane: ControlPlane) -> None:
    await plane.add(PODS, pod("a"))
    change = {"status": {"phase": "Running"}, "spec": {"nodeName": "node-x"}}
    after = (await plane.patch(f"{PODS}/a/status", change)).json
    assert after["status"]["phase"] == "Running"
    assert "nodeName" not in after["spec"]
    after = (await plane.patch(f"{PODS}/a", {"status": {"phase": "Failed"}})).json
    assert after["status"]["phase"] == "Running"


async def test_a_change_of_nothing_makes_no_version(plane: ControlPlane) -> None:
    await plane.add(PODS, pod("a"))
    before = plane.store.version
    await plane.patch(f"{PODS}/a", {"metadata": {"labels": {"app": "a"}}})
    assert plane.store.version == before


async def test_conditions_are_merged_by_type(plane: ControlPlane) -> None:
    await plane.add(PODS, pod("a"))
    for kind in ("Ready", "Initialized"):
        change = {"status": {"conditions": [{"type": kind, "status": "True"}]}}
        await plane.patch(f"{PODS}/a/status", change, "strategic-merge-patch")
    conditions = (await plane.ask("GET", f"{PODS}/a")).json["status"]["conditions"]
    assert [each["type"] for each in conditions] == ["Ready", "Initialized"]


async def test_scale(plane: ControlPlane) -> None:
    await plane.add(DEPLOYMENTS, deployment("d"))
    scale = (await plane.ask("GET", f"{DEPLOYMENTS}/d/scale")).json
    assert (scale["kind"], scale["spec"], scale["status"]["selector"]) == (
        "Scale",
        {"replicas": 1},
        "app=d",
    )
    scale["spec"]["replicas"] = 3
    scale["metadata"].pop("resourceVersion")
    assert (await plane.ask("PUT", f"{DEPLOYMENTS}/d/scale", body=scale)).status == 200
    await plane.patch(f"{DEPLOYMENTS}/d/scale", {"spec": {"replicas": 2}})
    assert (await plane.ask("GET", f"{DEPLOYMENTS}/d")).json["spec"]["replicas"] == 2
    refused = await plane.patch(f"{DEPLOYMENTS}/d/scale", {"spec": {"replicas": -1}})
    assert refused.status == 422


async def test_a_pod_without_a_node_is_gone_at_once(plane: ControlPlane) -> None:
    await plane.add(PODS, pod("a"))
    answer = await plane.ask("DELETE", f"{PODS}/a")
    assert (answer.status, answer.json["kind"]) == (200, "Pod")
    assert (await plane.ask("GET", f"{PODS}/a")).status == 404


async def test_a_pod_with_a_node_is_asked_to_end(plane: ControlPlane) -> None:
    made = await plane.add(PODS, pod("a", nodeName="node-a", terminationGracePeriodSeconds=7))
    watching = await plane.watch(
        f"{PODS}?watch=1&resourceVersion={made['metadata']['resourceVersion']}"
    )
    answer = await plane.ask("DELETE", f"{PODS}/a", body={"propagationPolicy": "Background"})
    assert answer.json["metadata"]["deletionGracePeriodSeconds"] == 7
    await plane.ask("DELETE", f"{PODS}/a", body={"gracePeriodSeconds": 3})
    await plane.ask("DELETE", f"{PODS}/a", body={"gracePeriodSeconds": 100})
    wrong = {"gracePeriodSeconds": 0, "preconditions": {"uid": "other"}}
    assert (await plane.ask("DELETE", f"{PODS}/a", body=wrong)).status == 409
    right = {"gracePeriodSeconds": 0, "preconditions": {"uid": made["metadata"]["uid"]}}
    assert (await plane.ask("DELETE", f"{PODS}/a", body=right)).status == 200
    seen = []
    for _ in range(4):
        event = await watching.next()
        period = event["object"]["metadata"].get("deletionGracePeriodSeconds")
        seen.append((event["type"], period))
    assert seen == [("MODIFIED", 7), ("MODIFIED", 3), ("MODIFIED", 0), ("DELETED", 0)]


async def test_finalizers_hold_an_object(plane: ControlPlane) -> None:
    item = {"metadata": {"name": "c", "finalizers": ["example.com/wait"]}, "data": {"a": "b"}}
    await plane.add("/api/v1/namespaces/default/configmaps", item)
    path = "/api/v1/namespaces/default/configmaps/c"
    answer = await plane.ask("DELETE", path)
    assert answer.json["metadata"]["deletionTimestamp"]
    await plane.patch(path, {"metadata": {"finalizers": None}})
    assert (await plane.ask("GET", path)).status == 404


async def test_a_collection_can_be_deleted(plane: ControlPlane) -> None:
    for name in ("a", "b", "c"):
        await plane.add(PODS, pod(name))
    answer = await plane.ask("DELETE", f"{PODS}?labelSelector=app!%3Db")
    assert answer.json["kind"] == "PodList"
    assert [item["metadata"]["name"] for item in await plane.pods("default")] == ["b"]


async def test_server_side_apply_creates_and_changes(plane: ControlPlane) -> None:
    headers = {**ADMIN, "Content-Type": "application/apply-patch+yaml"}
    item = {"apiVersion": "v1", "kind": "Pod", **pod("a")}
    path = f"{PODS}/a?fieldManager=test"
    assert (await plane.ask("PATCH", path, headers, item)).status == 201
    item["metadata"]["labels"] = {"x": "y"}
    answer = await plane.ask("PATCH", path, headers, item)
    assert (answer.status, answer.json["metadata"]["labels"]) == (200, {"app": "a", "x": "y"})


async def test_unknown_patches(plane: ControlPlane) -> None:
    await plane.add(PODS, pod("a"))
    headers = {**ADMIN, "Content-Type": "application/json"}
    answer = await plane.ask("PATCH", f"{PODS}/a", headers, {})
    assert (answer.status, answer.json["reason"]) == (415, "UnsupportedMediaType")


@pytest.mark.parametrize("method", ["PUT", "OPTIONS", "TRACE"])
async def test_verbs_that_do_not_exist(plane: ControlPlane, method: str) -> None:
    answer = await plane.ask(method, PODS, body={})
    assert (answer.status, answer.json["reason"]) == (405, "MethodNotAllowed")


# -- patches ---------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=3), JSON), st.dictionaries(st.text(max_size=3), JSON))
def test_merge_patches_obey_their_rule(target: dict[str, Any], change: dict[str, Any]) -> None:
    merged = patches.apply_merge_patch(target, change)
    for key in target.keys() | change.keys():
        if key not in change:
            assert merged[key] == target[key]
        elif change[key] is None:
            assert key not in merged
    assert patches.apply_merge_patch(merged, change) == merged


def test_json_patches() -> None:
    document = {"a": [1, 2], "b": {"c": 1}, "x/y": 1}
    operations = [
        {"op": "add", "path": "/a/-", "value": 3},
        {"op": "add", "path": "/a/0", "value": 0},
        {"op": "replace", "path": "/b/c", "value": 2},
        {"op": "copy", "from": "/b/c", "path": "/d"},
        {"op": "move", "from": "/x~1y", "path": "/e"},
        {"op": "remove", "path": "/a/1"},
        {"op": "test", "path": "/d", "value": 2},
    ]
    assert patches.apply_json_patch(document, operations) == {
        "a": [0, 2, 3],
        "b": {"c": 2},
        "d": 2,
        "e": 1,
    }


def test_strategic_lists() -> None:
    old = {"containers": [{"name": "a", "image": "1"}, {"name": "b", "image": "1"}], "args": [1]}
    change = {
        "$setElementOrder/containers": [{"name": "c"}, {"name": "a"}],
        "containers": [
            {"name": "c", "image": "3"},
            {"name": "b", "$patch": "delete"},
            {"name": "a", "image": "2"},
        ],
        "args": [2],
    }
    assert patches.apply_strategic_patch(old, change) == {
        "containers": [{"name": "c", "image": "3"}, {"name": "a", "image": "2"}],
        "args": [2],
    }
    assert patches.apply_strategic_patch({"a": {"b": 1}}, {"a": {"$patch": "replace", "c": 2}}) == {
        "a": {"c": 2}
    }
    assert (
        patches.apply_strategic_patch(
            {"finalizers": ["x"]}, {"$deleteFromPrimitiveList/finalizers": ["x"]}
        )["finalizers"]
        == []
    )
