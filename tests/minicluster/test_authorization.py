"""RBAC of the API server: its Roles, its refusals and its reviews, compared with a real one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.minicluster.control_plane import (
    ADMIN,
    TABLE,
    ControlPlane,
    Response,
    pod,
    run_control_plane,
)
from tests.minicluster.test_auth import bearer
from tests.support.recorded_faults import load_fault, names_of

Object = dict[str, Any]
RBAC = "/apis/rbac.authorization.k8s.io/v1"
NAMESPACE = "faults"


def role(name: str, *rules: tuple[str, str], namespace: str = NAMESPACE) -> Object:
    """Return a Role, or a ClusterRole without a namespace, of (verbs, resources) in core."""
    metadata = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {
        "metadata": metadata,
        "rules": [
            {"verbs": verbs.split(), "apiGroups": [""], "resources": kinds.split()}
            for verbs, kinds in rules
        ],
    }


def binding(binding_name: str, role_kind: str, role_name: str, **subject: str) -> Object:
    group = "rbac.authorization.k8s.io"
    return {
        "metadata": {"name": binding_name},
        "roleRef": {"apiGroup": group, "kind": role_kind, "name": role_name},
        "subjects": [subject],
    }


async def add_namespace(control_plane: ControlPlane, name: str = NAMESPACE) -> None:
    await control_plane.add("/api/v1/namespaces", {"metadata": {"name": name}})


async def allow(control_plane: ControlPlane, user: str, *rules: tuple[str, str]) -> None:
    path = f"{RBAC}/namespaces/{NAMESPACE}"
    await control_plane.add(f"{path}/roles", role(user, *rules))
    bound = binding(user, "Role", user, kind="User", name=user)
    await control_plane.add(f"{path}/rolebindings", bound)


def as_user(name: str, *, group: str = "") -> dict[str, str]:
    groups = {"Impersonate-Group": group} if group else {}
    return {**ADMIN, "Impersonate-User": name, **groups}


def recorded_rules(fault: str) -> list[tuple[str, str]]:
    """Return the rules of the recorded user, from the rules review."""
    for request in load_fault(fault)["requests"]:
        if request["what"].endswith("/selfsubjectrulesreviews"):
            return [
                (" ".join(rule["verbs"]), " ".join(rule["resources"]))
                for rule in request["answer_body"]["status"]["resourceRules"]
                if rule["apiGroups"] == [""]
            ]
    raise AssertionError(fault)


UPGRADES = {
    "spdy": {
        "Connection": "Upgrade",
        "Upgrade": "SPDY/3.1",
        "X-Stream-Protocol-Version": "portforward.k8s.io",
    },
    "websocket": {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": "SPDY/3.1+portforward.k8s.io",
    },
    "channels": {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": "v4.channel.k8s.io",
    },
}


async def repeat(control_plane: ControlPlane, recorded: Object, user: str) -> Response:
    """Send a recorded request as a user."""
    headers = as_user(user)
    what = recorded["what"]
    if what.startswith("upgrade "):
        transport, _, what = what.removeprefix("upgrade ").partition(": ")
        headers |= UPGRADES[transport]
    method, path = what.split(" ")
    body = recorded["sent"].get("body")
    if body is not None and "spec" not in body and "kind" not in body:
        body = {"spec": body}  # of attributes the recording has nothing else
    return await control_plane.request(method, path, headers, body)


def is_part_of(expected: Any, found: Any) -> bool:
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(
            key in found and is_part_of(value, found[key]) for key, value in expected.items()
        )
    return bool(expected == found)


@pytest.mark.parametrize("fault", names_of("80-93"))
async def test_answers_are_those_of_a_real_server(control_plane: ControlPlane, fault: str) -> None:
    await add_namespace(control_plane)
    await control_plane.add(f"/api/v1/namespaces/{NAMESPACE}/pods", pod("ok", namespace=NAMESPACE))
    user = load_fault(fault)["requests"][0]["sent"]["user"]
    await allow(control_plane, user, *recorded_rules(fault))
    for recorded in load_fault(fault)["requests"]:
        response = await repeat(control_plane, recorded, user)
        status = int(recorded["answer_status"].split()[1])
        if status in (101, 200):
            assert response.status in (200, 400), recorded["what"]  # 400: the pod has no host
            continue
        body, headers = recorded["answer_body"], recorded["answer_headers"]
        assert response.status == status, recorded["what"]
        for name in ("Content-Type", "X-Content-Type-Options"):
            assert response.headers.get(name.lower()) == headers.get(name), recorded["what"]
        _remove_unrecorded(body)
        assert is_part_of(body, response.json), (recorded["what"], response.json)


def _remove_unrecorded(body: Object) -> None:
    """Remove what the recordings shorten, and the fingerprint of a recorded certificate."""
    status = body.get("status")
    if isinstance(status, dict):
        status.pop("nonResourceRules", None)
        status.get("userInfo", {}).pop("extra", None)


@pytest.mark.parametrize("fault", names_of("94 117 118"))
async def test_refusals_are_those_of_a_real_server(control_plane: ControlPlane, fault: str) -> None:
    await add_namespace(control_plane)
    await allow(control_plane, "s-nosvc", ("list", "pods"))
    await allow(control_plane, "s-nolist", ("get", "services"))
    for recorded in load_fault(fault)["requests"]:
        if not recorded["answer_status"].startswith("HTTP/1.1 403"):
            continue
        user = recorded["sent"]["user"]
        user = "system:anonymous" if user == "anonymous" else user
        response = await repeat(control_plane, recorded, user)
        assert response.status == 403
        assert is_part_of(recorded["answer_body"], response.json), response.json


async def review(
    control_plane: ControlPlane, user: str, attributes: Object, *, group: str = ""
) -> Object:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    body = {"spec": {"resourceAttributes": attributes}}
    response = await control_plane.request("POST", path, as_user(user, group=group), body)
    assert response.status == 201, response.json
    return dict(response.json["status"])


@pytest.mark.parametrize(
    ("user", "group", "reason"),
    [
        ("bob", "", 'ClusterRoleBinding "by-user" of ClusterRole "r" to User "bob"'),
        ("eve", "dev", 'ClusterRoleBinding "by-group" of ClusterRole "r" to Group "dev"'),
        (
            "system:serviceaccount:faults:ci",
            "",
            'ClusterRoleBinding "by-account" of ClusterRole "r" to ServiceAccount "ci/faults"',
        ),
    ],
)
async def test_subjects_are_users_groups_and_service_accounts(
    control_plane: ControlPlane, user: str, group: str, reason: str
) -> None:
    await control_plane.add(f"{RBAC}/clusterroles", role("r", ("get", "nodes"), namespace=""))
    for bound in (
        binding("by-user", "ClusterRole", "r", kind="User", name="bob"),
        binding("by-group", "ClusterRole", "r", kind="Group", name="dev"),
        binding(
            "by-account", "ClusterRole", "r", kind="ServiceAccount", name="ci", namespace="faults"
        ),
    ):
        await control_plane.add(f"{RBAC}/clusterrolebindings", bound)
    status = await review(control_plane, user, {"verb": "get", "resource": "nodes"}, group=group)
    assert status == {"allowed": True, "reason": f"RBAC: allowed by {reason}"}


async def test_role_binding_of_a_cluster_role_grants_it_in_its_namespace(
    control_plane: ControlPlane,
) -> None:
    await add_namespace(control_plane)
    bound = binding("b", "ClusterRole", "view", kind="User", name="bob")
    await control_plane.add(f"{RBAC}/namespaces/{NAMESPACE}/rolebindings", bound)
    wanted = {"verb": "list", "resource": "pods"}
    assert (await review(control_plane, "bob", {**wanted, "namespace": NAMESPACE}))["allowed"]
    assert not (await review(control_plane, "bob", {**wanted, "namespace": "shop"}))["allowed"]
    assert not (await review(control_plane, "bob", wanted))["allowed"]


async def test_changes_take_effect_at_once(control_plane: ControlPlane) -> None:
    await add_namespace(control_plane)
    path, headers = f"/api/v1/namespaces/{NAMESPACE}/pods", as_user("bob")
    assert (await control_plane.request("GET", path, headers)).status == 403
    await allow(control_plane, "bob", ("list", "pods"))
    assert (await control_plane.request("GET", path, headers)).status == 200
    await control_plane.request("DELETE", f"{RBAC}/namespaces/{NAMESPACE}/roles/bob")
    assert (await control_plane.request("GET", path, headers)).status == 403


async def test_resource_names_and_subresources(control_plane: ControlPlane) -> None:
    await add_namespace(control_plane)
    await control_plane.add(f"/api/v1/namespaces/{NAMESPACE}/pods", pod("a", namespace=NAMESPACE))
    one = role("one", ("get list", "pods"), ("get", "*/log"))
    one["rules"][0]["resourceNames"] = ["a"]
    path = f"{RBAC}/namespaces/{NAMESPACE}"
    await control_plane.add(f"{path}/roles", one)
    bound = binding("one", "Role", "one", kind="User", name="bob")
    await control_plane.add(f"{path}/rolebindings", bound)
    pods = f"/api/v1/namespaces/{NAMESPACE}/pods"
    expected = {
        f"{pods}/a": 200,
        f"{pods}/b": 403,
        f"{pods}?fieldSelector=metadata.name%3Da": 200,
        f"{pods}?fieldSelector=metadata.name%3Db": 403,
        pods: 403,
        f"{pods}/b/log": 404,
        f"{pods}/a/portforward": 403,
    }
    found = {
        each: (await control_plane.request("GET", each, as_user("bob"))).status for each in expected
    }
    assert found == expected


async def test_paths_are_granted_by_cluster_roles(control_plane: ControlPlane) -> None:
    headers = as_user("bob")
    assert (await control_plane.request("GET", "/apis/apps/v1", headers)).status == 200
    assert (await control_plane.request("GET", "/metrics", headers)).status == 403
    rules = [{"verbs": ["get"], "nonResourceURLs": ["/metrics"]}]
    await control_plane.add(
        f"{RBAC}/clusterroles", {"metadata": {"name": "metrics"}, "rules": rules}
    )
    bound = binding("metrics", "ClusterRole", "metrics", kind="User", name="bob")
    await control_plane.add(f"{RBAC}/clusterrolebindings", bound)
    assert (await control_plane.request("GET", "/metrics", headers)).status == 404


async def test_impersonation_is_a_permission(control_plane: ControlPlane) -> None:
    rules = role("i", ("impersonate", "users groups"), namespace="")
    rules["rules"][0]["resourceNames"] = ["alice", "dev"]
    await control_plane.add(f"{RBAC}/clusterroles", rules)
    bound = binding("i", "ClusterRole", "i", kind="User", name="viewer")
    await control_plane.add(f"{RBAC}/clusterrolebindings", bound)
    headers = {**bearer("viewer"), "Impersonate-User": "alice"}
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    response = await control_plane.request("POST", path, headers | {"Impersonate-Group": "dev"}, {})
    user = response.json["status"]["userInfo"]
    assert (user["username"], user["groups"]) == ("alice", ["dev", "system:authenticated"])
    headers["Impersonate-Group"] = "system:masters"
    response = await control_plane.request("POST", path, headers, {})
    assert response.json["message"] == (
        'groups "system:masters" is forbidden: User "viewer" cannot impersonate resource "groups" '
        'in API group "" at the cluster scope'
    )


async def test_reviews_of_other_users(control_plane: ControlPlane) -> None:
    spec = {
        "user": "porter",
        "resourceAttributes": {"verb": "list", "resource": "pods", "namespace": "shop"},
    }
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    response = await control_plane.request("POST", path, None, {"spec": spec})
    assert response.json["status"]["reason"] == (
        'RBAC: allowed by RoleBinding "porter/shop" of Role "port-forward" to User "porter"'
    )
    assert (
        await control_plane.request("POST", path, bearer("porter"), {"spec": spec})
    ).status == 403
    local = "/apis/authorization.k8s.io/v1/namespaces/{}/localsubjectaccessreviews"
    response = await control_plane.request("POST", local.format("shop"), None, {"spec": spec})
    assert response.json["status"]["allowed"]
    response = await control_plane.request("POST", local.format("data"), None, {"spec": spec})
    assert response.status == 400


async def test_tables_of_roles_and_bindings(control_plane: ControlPlane) -> None:
    headers = {**ADMIN, "Accept": TABLE}
    response = await control_plane.request("GET", f"{RBAC}/rolebindings", headers)
    assert [row["cells"][:2] for row in response.json["rows"]] == [["porter", "Role/port-forward"]]
    assert [row["cells"][3:] for row in response.json["rows"]] == [["porter", "", ""]]


async def test_roles_survive_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "state"
    for _ in range(2):
        async with run_control_plane(tmp_path, state=state) as control_plane:
            response = await control_plane.request("GET", f"{RBAC}/clusterroles")
            names = [item["metadata"]["name"] for item in response.json["items"]]
            assert names.count("cluster-admin") == 1
            headers = bearer("porter")
            path = "/api/v1/namespaces/shop/pods"
            assert (await control_plane.request("GET", path, headers)).status == 200
