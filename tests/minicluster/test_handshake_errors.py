"""Error responses to port-forward requests, compared with captures of a real cluster."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.minicluster.control_plane import ADMIN, ControlPlane, pod
from tests.minicluster.fake_kubelet import fake_kubelet

CAPTURED: dict[str, Any] = json.loads(
    (Path(__file__).parent.parent / "captures/api/portforward-handshake-errors.json").read_text()
)
CAPTURED_POD = "one-89d6b958f-swjjv"

# Responses of the kubelet in those captures.
KUBELET_RESPONSES = {
    "unknown stream protocol": (
        b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"X-Accepted-Stream-Protocol-Versions: portforward.k8s.io\r\nContent-Length: 116\r\n\r\n"
        b"unable to upgrade: unable to negotiate protocol: client supports [nope.k8s.io], "
        b"server accepts [portforward.k8s.io]\n"
    ),
    "no stream protocol": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "websocket, unknown subprotocol": b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n",
    "legacy channels without ports": (
        b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b'Content-Length: 34\r\n\r\nquery parameter "port" is required'
    ),
}


@pytest.mark.parametrize("case", CAPTURED)
async def test_error_response_equals_captured_one(control_plane: ControlPlane, case: str) -> None:
    captured = CAPTURED[case]
    request = captured["request"]

    async def script(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(KUBELET_RESPONSES[case])
        await writer.drain()

    async with fake_kubelet(control_plane, script):
        running = pod(CAPTURED_POD, namespace="shop", nodeName="node-a")
        await control_plane.add("/api/v1/namespaces/shop/pods", running)
        waiting = pod("pending", namespace="shop", nodeSelector={"no": "where"})
        await control_plane.add("/api/v1/namespaces/shop/pods", waiting)
        headers = dict(request["headers"])
        if case != "no credentials" and "Authorization" not in headers:
            headers |= ADMIN
        response = await control_plane.request(request["method"], request["path"], headers)

    assert response.status == captured["status"]
    assert response.body.decode() == captured["body"]
    for name, value in captured["headers"].items():
        assert response.headers.get(name.lower()) == value


async def test_failed_dial_of_kubelet_is_reported(control_plane: ControlPlane) -> None:
    await control_plane.add_node("node-a", 1)  # no process listens on port 1
    await control_plane.add("/api/v1/namespaces/default/pods", pod("p", nodeName="node-a"))
    headers = {**ADMIN, "Connection": "Upgrade", "Upgrade": "SPDY/3.1"}
    response = await control_plane.request(
        "POST", "/api/v1/namespaces/default/pods/p/portforward", headers
    )
    assert response.status == 500
    assert response.json == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "error dialing backend: dial tcp 127.0.0.1:1: connect: connection refused",
        "code": 500,
    }


@pytest.mark.parametrize("value", ["abc", "-1", "1.5", ""])
async def test_invalid_port_parameter_is_rejected(control_plane: ControlPlane, value: str) -> None:
    path = f"/api/v1/namespaces/default/pods/p/portforward?ports={value}"
    response = await control_plane.request("POST", path)
    assert response.status == 400
    assert response.json["message"] == (
        f'cannot convert to []int32: strconv.ParseUint: parsing "{value}": invalid syntax'
    )


async def test_unknown_tunnel_protocol_is_rejected(control_plane: ControlPlane) -> None:
    await control_plane.add_node()
    await control_plane.add("/api/v1/namespaces/default/pods", pod("p", nodeName="node-a"))
    headers = {
        **ADMIN,
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol": "SPDY/3.1+portforward.example",
    }
    response = await control_plane.request(
        "GET", "/api/v1/namespaces/default/pods/p/portforward", headers
    )
    assert (response.status, response.json["reason"]) == (400, "BadRequest")


async def test_websocket_get_requires_permission(control_plane: ControlPlane) -> None:
    path = "/api/v1/namespaces/default/pods/p/portforward"
    response = await control_plane.request("GET", path, {"Authorization": "Bearer viewer-token"})
    assert response.status == 403
    assert 'User "viewer" cannot get resource "pods/portforward"' in response.json["message"]
