"""Authentication, and the permissions of the sample users."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from tests.minicluster.control_plane import ADMIN, ControlPlane, pod, run_control_plane
from tui_forward.minicluster.socket_connection import connect

SHOP = "/api/v1/namespaces/shop/pods"


def bearer(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {name}-token"}


async def test_client_certificate_authenticates(control_plane: ControlPlane) -> None:
    client = await control_plane.client(certificate=True)
    assert (await client.request("GET", SHOP, {})).status == 200


@pytest.mark.parametrize(
    ("user", "method", "path", "status"),
    [
        ("porter", "GET", SHOP, 200),
        ("porter", "GET", f"{SHOP}/x", 404),
        ("porter", "POST", f"{SHOP}/x/portforward", 404),
        ("porter", "GET", f"{SHOP}/x/portforward", 404),
        ("porter", "DELETE", f"{SHOP}/x", 403),
        ("porter", "GET", "/api/v1/pods", 403),
        ("porter", "GET", "/api/v1/namespaces", 403),
        ("porter", "GET", "/api/v1/namespaces/data/pods", 403),
        ("porter", "GET", "/api/v1/namespaces/shop/services", 403),
        ("porter", "GET", "/api/v1", 200),
        ("viewer", "GET", "/api/v1/pods", 200),
        ("viewer", "GET", "/apis/apps/v1/deployments", 200),
        ("viewer", "POST", f"{SHOP}/x/portforward", 403),
        ("alice", "GET", SHOP, 403),
        ("alice", "GET", "/apis", 200),
        ("node", "GET", "/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-a", 200),
        ("node", "GET", "/apis/apps/v1/deployments", 403),
    ],
)
async def test_permissions_of_users(
    control_plane: ControlPlane, user: str, method: str, path: str, status: int
) -> None:
    assert (await control_plane.request(method, path, bearer(user))).status == status


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "/apis/apps/v1/namespaces/shop/deployments/web",
            'deployments.apps "web" is forbidden: User "alice" cannot get resource "deployments" '
            'in API group "apps" in the namespace "shop"',
        ),
        (
            "/api/v1/nodes?watch=1",
            'nodes is forbidden: User "alice" cannot watch resource "nodes" in API group "" at '
            "the cluster scope",
        ),
        (
            "/api/v1/namespaces/shop",
            'namespaces "shop" is forbidden: User "alice" cannot get resource "namespaces" in '
            'API group "" in the namespace "shop"',
        ),
        ("/metrics", 'forbidden: User "alice" cannot get path "/metrics"'),
    ],
)
async def test_forbidden_messages(control_plane: ControlPlane, path: str, message: str) -> None:
    response = await control_plane.request("GET", path, bearer("alice"))
    assert (response.status, response.json["message"]) == (403, message)


async def test_anonymous_user_may_read_version_only(control_plane: ControlPlane) -> None:
    assert (await control_plane.request("GET", "/version", {})).status == 200
    response = await control_plane.request("GET", "/api", {})
    assert (response.status, response.json["message"]) == (
        403,
        'forbidden: User "system:anonymous" cannot get path "/api"',
    )


@pytest.mark.parametrize("value", ["Bearer nope", "Basic dTpw", "Bearer"])
async def test_invalid_credentials_are_unauthorized(
    control_plane: ControlPlane, value: str
) -> None:
    response = await control_plane.request("GET", SHOP, {"Authorization": value})
    assert (response.status, response.json["reason"]) == (401, "Unauthorized")


async def test_only_admins_may_impersonate(control_plane: ControlPlane) -> None:
    groups = {"Impersonate-User": "boss", "Impersonate-Group": "system:masters"}
    assert (await control_plane.request("GET", SHOP, {**ADMIN, **groups})).status == 200
    assert (
        await control_plane.request("GET", SHOP, {**ADMIN, "Impersonate-User": "alice"})
    ).status == 403
    response = await control_plane.request(
        "GET", SHOP, {**bearer("porter"), "Impersonate-User": "boss"}
    )
    assert 'User "porter" cannot impersonate resource "users"' in response.json["message"]


async def test_expired_tokens_are_rejected_and_new_ones_loaded(control_plane: ControlPlane) -> None:
    assert control_plane.server.authenticator.expire("porter") == 1
    assert (await control_plane.request("GET", SHOP, bearer("porter"))).status == 401
    assert (await control_plane.request("GET", SHOP, ADMIN)).status == 200
    path = control_plane.folder / "tokens.json"
    entries = json.loads(path.read_text())
    entries.append({"token": "fresh-token", "user": "porter", "groups": []})
    path.write_text(json.dumps(entries))
    assert (await control_plane.request("GET", SHOP, bearer("fresh"))).status == 200
    assert (await control_plane.request("GET", SHOP, bearer("porter"))).status == 401
    control_plane.server.authenticator.restore()
    assert (await control_plane.request("GET", SHOP, bearer("porter"))).status == 200


async def test_token_as_websocket_subprotocol(control_plane: ControlPlane) -> None:
    encoded = base64.urlsafe_b64encode(b"alice-token").rstrip(b"=").decode()
    token = f"base64url.bearer.authorization.k8s.io.{encoded}"
    headers = {"Sec-WebSocket-Protocol": f"SPDY/3.1+portforward.k8s.io, {token}"}
    response = await control_plane.request("GET", f"{SHOP}/x/portforward", headers)
    assert 'User "alice"' in response.json["message"]
    alone = await control_plane.request(
        "GET", f"{SHOP}/x/portforward", {"Sec-WebSocket-Protocol": token}
    )
    assert 'User "system:anonymous"' in alone.json["message"]


@pytest.mark.parametrize(("user", "allowed"), [("porter", True), ("alice", False)])
async def test_self_subject_access_review(
    control_plane: ControlPlane, user: str, *, allowed: bool
) -> None:
    attributes = {
        "verb": "create",
        "resource": "pods",
        "subresource": "portforward",
        "namespace": "shop",
    }
    response = await control_plane.request(
        "POST",
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        bearer(user),
        {"spec": {"resourceAttributes": attributes}},
    )
    assert (response.status, response.json["status"]["allowed"]) == (201, allowed)


async def test_self_subject_and_rules_reviews(control_plane: ControlPlane) -> None:
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    response = await control_plane.request("POST", path, bearer("porter"), {})
    assert response.json["status"]["userInfo"]["username"] == "porter"
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    response = await control_plane.request(
        "POST", path, bearer("porter"), {"spec": {"namespace": "shop"}}
    )
    rules = response.json["status"]["resourceRules"]
    assert {"verbs": ["get", "create"], "apiGroups": [""], "resources": ["pods/portforward"]} in (
        rules
    )


async def test_plain_http_requires_no_credentials(tmp_path: Path) -> None:
    async with run_control_plane(tmp_path, tls=False) as control_plane:
        assert (await control_plane.request("GET", SHOP, {})).status == 200
        assert (await control_plane.request("GET", SHOP, bearer("alice"))).status == 403


async def test_connection_without_tls_is_closed(control_plane: ControlPlane) -> None:
    connection = await connect("127.0.0.1", control_plane.server.port)
    await connection.write(b"GET / HTTP/1.1\r\n\r\n")
    data = await connection.read()
    assert b"HTTP" not in data
    connection.close()
    await control_plane.add(SHOP, pod("still-there", namespace="shop"))
