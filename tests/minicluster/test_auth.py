"""Who may do what, and how it is said."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from tests.minicluster.control_plane import ADMIN, ControlPlane, control_plane, pod

SHOP = "/api/v1/namespaces/shop/pods"


def bearer(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {name}-token"}


async def test_a_client_certificate_is_enough(plane: ControlPlane) -> None:
    client = await plane.client(certificate=True)
    assert (await client.ask("GET", SHOP, {})).status == 200


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
async def test_rights(plane: ControlPlane, user: str, method: str, path: str, status: int) -> None:
    assert (await plane.ask(method, path, bearer(user))).status == status


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
async def test_words_of_refusal(plane: ControlPlane, path: str, message: str) -> None:
    answer = await plane.ask("GET", path, bearer("alice"))
    assert (answer.status, answer.json["message"]) == (403, message)


async def test_anonymous_may_ask_for_the_version_only(plane: ControlPlane) -> None:
    assert (await plane.ask("GET", "/version", {})).status == 200
    answer = await plane.ask("GET", "/api", {})
    assert (answer.status, answer.json["message"]) == (
        403,
        'forbidden: User "system:anonymous" cannot get path "/api"',
    )


@pytest.mark.parametrize("value", ["Bearer nope", "Basic dTpw", "Bearer"])
async def test_credentials_that_are_wrong(plane: ControlPlane, value: str) -> None:
    answer = await plane.ask("GET", SHOP, {"Authorization": value})
    assert (answer.status, answer.json["reason"]) == (401, "Unauthorized")


async def test_only_admins_impersonate(plane: ControlPlane) -> None:
    groups = {"Impersonate-User": "boss", "Impersonate-Group": "system:masters"}
    assert (await plane.ask("GET", SHOP, {**ADMIN, **groups})).status == 200
    assert (await plane.ask("GET", SHOP, {**ADMIN, "Impersonate-User": "alice"})).status == 403
    answer = await plane.ask("GET", SHOP, {**bearer("porter"), "Impersonate-User": "boss"})
    assert 'User "porter" cannot impersonate resource "users"' in answer.json["message"]


async def test_tokens_expire_and_are_replaced(plane: ControlPlane) -> None:
    assert plane.server.authenticator.expire("porter") == 1
    assert (await plane.ask("GET", SHOP, bearer("porter"))).status == 401
    assert (await plane.ask("GET", SHOP, ADMIN)).status == 200
    path = plane.folder / "tokens.json"
    entries = json.loads(path.read_text())
    entries.append({"token": "fresh-token", "user": "porter", "groups": []})
    path.write_text(json.dumps(entries))
    assert (await plane.ask("GET", SHOP, bearer("fresh"))).status == 200
    assert (await plane.ask("GET", SHOP, bearer("porter"))).status == 401
    plane.server.authenticator.restore()
    assert (await plane.ask("GET", SHOP, bearer("porter"))).status == 200


async def test_a_token_may_ride_as_a_subprotocol(plane: ControlPlane) -> None:
    encoded = base64.urlsafe_b64encode(b"alice-token").rstrip(b"=").decode()
    token = f"base64url.bearer.authorization.k8s.io.{encoded}"
    headers = {"Sec-WebSocket-Protocol": f"SPDY/3.1+portforward.k8s.io, {token}"}
    answer = await plane.ask("GET", f"{SHOP}/x/portforward", headers)
    assert 'User "alice"' in answer.json["message"]
    alone = await plane.ask("GET", f"{SHOP}/x/portforward", {"Sec-WebSocket-Protocol": token})
    assert 'User "system:anonymous"' in alone.json["message"]


@pytest.mark.parametrize(("user", "allowed"), [("porter", True), ("alice", False)])
async def test_may_i(plane: ControlPlane, user: str, *, allowed: bool) -> None:
    attributes = {
        "verb": "create",
        "resource": "pods",
        "subresource": "portforward",
        "namespace": "shop",
    }
    answer = await plane.ask(
        "POST",
        "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
        bearer(user),
        {"spec": {"resourceAttributes": attributes}},
    )
    assert (answer.status, answer.json["status"]["allowed"]) == (201, allowed)


async def test_who_am_i_and_what_may_i(plane: ControlPlane) -> None:
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    answer = await plane.ask("POST", path, bearer("porter"), {})
    assert answer.json["status"]["userInfo"]["username"] == "porter"
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    answer = await plane.ask("POST", path, bearer("porter"), {"spec": {"namespace": "shop"}})
    granted = answer.json["status"]["resourceRules"]
    assert {"verbs": ["create", "get"], "apiGroups": [""], "resources": ["pods/portforward"]} in (
        granted
    )


async def test_plain_http_needs_no_credentials(tmp_path: Path) -> None:
    async with control_plane(tmp_path, tls=False) as plane:
        assert (await plane.ask("GET", SHOP, {})).status == 200
        assert (await plane.ask("GET", SHOP, bearer("alice"))).status == 403


async def test_a_stranger_without_tls_is_dropped(plane: ControlPlane) -> None:
    from tui_forward.minicluster.socket_connection import connect

    wire = await connect("127.0.0.1", plane.server.port)
    await wire.write(b"GET / HTTP/1.1\r\n\r\n")
    data = await wire.read()
    assert b"HTTP" not in data
    wire.close()
    await plane.add(SHOP, pod("still-there", namespace="shop"))
