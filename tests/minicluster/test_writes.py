"""Create, update, patch and delete requests."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.minicluster.control_plane import ADMIN, ControlPlane, deployment, pod
from tui_forward.minicluster.apiserver import patches

PODS = "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


async def test_created_pod_has_defaults(control_plane: ControlPlane) -> None:
    created = await control_plane.add(PODS, pod("a"))
    assert created["metadata"]["uid"]
    assert created["metadata"]["creationTimestamp"]
    assert created["metadata"]["generation"] == 1
    assert created["spec"]["terminationGracePeriodSeconds"] == 30
    assert created["spec"]["containers"][0]["ports"][0]["protocol"] == "TCP"
    assert created["status"] == {"phase": "Pending", "qosClass": "BestEffort"}


async def test_name_is_generated(control_plane: ControlPlane) -> None:
    item = pod("x")
    item["metadata"] = {"generateName": "job-"}
    created = await control_plane.add(PODS, item)
    assert created["metadata"]["name"].startswith("job-")
    assert len(created["metadata"]["name"]) == 9


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
async def test_invalid_objects_are_rejected(
    control_plane: ControlPlane, item: dict[str, Any], namespace: str, status: int, reason: str
) -> None:
    await control_plane.add(PODS, pod("a"))
    response = await control_plane.request(
        "POST", f"/api/v1/namespaces/{namespace}/pods", body=item
    )
    assert (response.status, response.json["reason"]) == (status, reason)


async def test_malformed_bodies_are_rejected(control_plane: ControlPlane) -> None:
    client = await control_plane.client()
    for body, status in ((b"{", 400), (b"[]", 400), (b"k8s\0", 415), (b"k8s\0\xff", 400)):
        response = await client.send("POST", PODS, ADMIN, body)
        assert response.status_code == status
        client = await control_plane.client()


async def test_dry_run_changes_nothing(control_plane: ControlPlane) -> None:
    assert (await control_plane.request("POST", f"{PODS}?dryRun=All", body=pod("a"))).status == 201
    assert (await control_plane.request("GET", f"{PODS}/a")).status == 404
    await control_plane.add(PODS, pod("a"))
    assert (await control_plane.request("DELETE", f"{PODS}/a?dryRun=All")).status == 200
    assert (await control_plane.request("GET", f"{PODS}/a")).status == 200


async def test_update_of_outdated_version_is_conflict(control_plane: ControlPlane) -> None:
    created = await control_plane.add(DEPLOYMENTS, deployment("d"))
    created["metadata"]["resourceVersion"] = "1"
    response = await control_plane.request("PUT", f"{DEPLOYMENTS}/d", body=created)
    assert (response.status, response.json["reason"]) == (409, "Conflict")
    assert "the object has been modified" in response.json["message"]


async def test_immutable_metadata_is_kept(control_plane: ControlPlane) -> None:
    created = await control_plane.add(PODS, pod("a"))
    change = {"metadata": {"creationTimestamp": "2001-01-01T00:00:00Z", "labels": {"x": "y"}}}
    after = (await control_plane.patch(f"{PODS}/a", change)).json
    for name in ("uid", "creationTimestamp", "name"):
        assert after["metadata"][name] == created["metadata"][name]
    assert after["metadata"]["labels"]["x"] == "y"


async def test_status_and_spec_are_updated_separately(control_plane: ControlPlane) -> None:
    await control_plane.add(PODS, pod("a"))
    change = {"status": {"phase": "Running"}, "spec": {"nodeName": "node-x"}}
    after = (await control_plane.patch(f"{PODS}/a/status", change)).json
    assert after["status"]["phase"] == "Running"
    assert "nodeName" not in after["spec"]
    after = (await control_plane.patch(f"{PODS}/a", {"status": {"phase": "Failed"}})).json
    assert after["status"]["phase"] == "Running"


async def test_equal_update_makes_no_version(control_plane: ControlPlane) -> None:
    await control_plane.add(PODS, pod("a"))
    before = control_plane.store.version
    await control_plane.patch(f"{PODS}/a", {"metadata": {"labels": {"app": "a"}}})
    assert control_plane.store.version == before


async def test_conditions_are_merged_by_type(control_plane: ControlPlane) -> None:
    await control_plane.add(PODS, pod("a"))
    for kind in ("Ready", "Initialized"):
        change = {"status": {"conditions": [{"type": kind, "status": "True"}]}}
        await control_plane.patch(f"{PODS}/a/status", change, "strategic-merge-patch")
    conditions = (await control_plane.request("GET", f"{PODS}/a")).json["status"]["conditions"]
    assert [each["type"] for each in conditions] == ["Ready", "Initialized"]


async def test_scale_subresource(control_plane: ControlPlane) -> None:
    await control_plane.add(DEPLOYMENTS, deployment("d"))
    scale = (await control_plane.request("GET", f"{DEPLOYMENTS}/d/scale")).json
    assert (scale["kind"], scale["spec"], scale["status"]["selector"]) == (
        "Scale",
        {"replicas": 1},
        "app=d",
    )
    scale["spec"]["replicas"] = 3
    scale["metadata"].pop("resourceVersion")
    assert (await control_plane.request("PUT", f"{DEPLOYMENTS}/d/scale", body=scale)).status == 200
    await control_plane.patch(f"{DEPLOYMENTS}/d/scale", {"spec": {"replicas": 2}})
    assert (await control_plane.request("GET", f"{DEPLOYMENTS}/d")).json["spec"]["replicas"] == 2
    refused = await control_plane.patch(f"{DEPLOYMENTS}/d/scale", {"spec": {"replicas": -1}})
    assert refused.status == 422


async def test_pod_without_node_is_deleted_immediately(control_plane: ControlPlane) -> None:
    await control_plane.add(PODS, pod("a"))
    response = await control_plane.request("DELETE", f"{PODS}/a")
    assert (response.status, response.json["kind"]) == (200, "Pod")
    assert (await control_plane.request("GET", f"{PODS}/a")).status == 404


async def test_pod_with_node_is_deleted_gracefully(control_plane: ControlPlane) -> None:
    created = await control_plane.add(
        PODS, pod("a", nodeName="node-a", terminationGracePeriodSeconds=7)
    )
    stream = await control_plane.watch(
        f"{PODS}?watch=1&resourceVersion={created['metadata']['resourceVersion']}"
    )
    response = await control_plane.request(
        "DELETE", f"{PODS}/a", body={"propagationPolicy": "Background"}
    )
    assert response.json["metadata"]["deletionGracePeriodSeconds"] == 7
    await control_plane.request("DELETE", f"{PODS}/a", body={"gracePeriodSeconds": 3})
    await control_plane.request("DELETE", f"{PODS}/a", body={"gracePeriodSeconds": 100})
    wrong_uid = {"gracePeriodSeconds": 0, "preconditions": {"uid": "other"}}
    assert (await control_plane.request("DELETE", f"{PODS}/a", body=wrong_uid)).status == 409
    right_uid = {"gracePeriodSeconds": 0, "preconditions": {"uid": created["metadata"]["uid"]}}
    assert (await control_plane.request("DELETE", f"{PODS}/a", body=right_uid)).status == 200
    events = []
    for _ in range(4):
        event = await stream.next_event()
        period = event["object"]["metadata"].get("deletionGracePeriodSeconds")
        events.append((event["type"], period))
    assert events == [("MODIFIED", 7), ("MODIFIED", 3), ("MODIFIED", 0), ("DELETED", 0)]


async def test_finalizers_delay_deletion(control_plane: ControlPlane) -> None:
    item = {"metadata": {"name": "c", "finalizers": ["example.com/wait"]}, "data": {"a": "b"}}
    await control_plane.add("/api/v1/namespaces/default/configmaps", item)
    path = "/api/v1/namespaces/default/configmaps/c"
    response = await control_plane.request("DELETE", path)
    assert response.json["metadata"]["deletionTimestamp"]
    await control_plane.patch(path, {"metadata": {"finalizers": None}})
    assert (await control_plane.request("GET", path)).status == 404


async def test_delete_collection_by_selector(control_plane: ControlPlane) -> None:
    for name in ("a", "b", "c"):
        await control_plane.add(PODS, pod(name))
    response = await control_plane.request("DELETE", f"{PODS}?labelSelector=app!%3Db")
    assert response.json["kind"] == "PodList"
    assert [item["metadata"]["name"] for item in await control_plane.pods("default")] == ["b"]


async def test_server_side_apply_creates_and_updates(control_plane: ControlPlane) -> None:
    headers = {**ADMIN, "Content-Type": "application/apply-patch+yaml"}
    item = {"apiVersion": "v1", "kind": "Pod", **pod("a")}
    path = f"{PODS}/a?fieldManager=test"
    assert (await control_plane.request("PATCH", path, headers, item)).status == 201
    item["metadata"]["labels"] = {"x": "y"}
    response = await control_plane.request("PATCH", path, headers, item)
    assert (response.status, response.json["metadata"]["labels"]) == (200, {"app": "a", "x": "y"})


async def test_unknown_patch_type_is_rejected(control_plane: ControlPlane) -> None:
    await control_plane.add(PODS, pod("a"))
    headers = {**ADMIN, "Content-Type": "application/json"}
    response = await control_plane.request("PATCH", f"{PODS}/a", headers, {})
    assert (response.status, response.json["reason"]) == (415, "UnsupportedMediaType")


@pytest.mark.parametrize("method", ["PUT", "OPTIONS", "TRACE"])
async def test_unsupported_methods_are_rejected(control_plane: ControlPlane, method: str) -> None:
    response = await control_plane.request(method, PODS, body={})
    assert (response.status, response.json["reason"]) == (405, "MethodNotAllowed")


# -- patches ---------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


OBJECTS = st.dictionaries(st.text(max_size=3), JSON, max_size=4)


@given(OBJECTS, OBJECTS)
def test_merge_patch_properties(target: dict[str, Any], change: dict[str, Any]) -> None:
    merged = patches.apply_merge_patch(target, change)
    for key in target.keys() | change.keys():
        if key not in change:
            assert merged[key] == target[key]
        elif change[key] is None:
            assert key not in merged
    assert patches.apply_merge_patch(merged, change) == merged


def test_json_patch_operations() -> None:
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


def test_strategic_patch_merges_lists() -> None:
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
