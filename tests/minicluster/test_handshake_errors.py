"""What a port-forward that cannot be is told, held against what a real chain said."""

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
RECORDED_POD = "one-89d6b958f-swjjv"

# What the hops behind the API server said in those captures.
BEHIND = {
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
async def test_answers_as_a_real_chain(plane: ControlPlane, case: str) -> None:
    recorded = CAPTURED[case]
    request = recorded["request"]

    async def script(_: bytes, __: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(BEHIND[case])
        await writer.drain()

    async with fake_kubelet(plane, script):
        running = pod(RECORDED_POD, namespace="shop", nodeName="node-a")
        await plane.add("/api/v1/namespaces/shop/pods", running)
        waiting = pod("pending", namespace="shop", nodeSelector={"no": "where"})
        await plane.add("/api/v1/namespaces/shop/pods", waiting)
        headers = dict(request["headers"])
        if case != "no credentials" and "Authorization" not in headers:
            headers |= ADMIN
        answer = await plane.ask(request["method"], request["path"], headers)

    assert answer.status == recorded["status"]
    assert answer.body.decode() == recorded["body"]
    for name, value in recorded["headers"].items():
        assert answer.headers.get(name.lower()) == value


async def test_says_why_the_kubelet_cannot_be_dialled(plane: ControlPlane) -> None:
    await plane.node("node-a", 1)  # nobody listens on port 1
    await plane.add("/api/v1/namespaces/default/pods", pod("p", nodeName="node-a"))
    headers = {**ADMIN, "Connection": "Upgrade", "Upgrade": "SPDY/3.1"}
    answer = await plane.ask("POST", "/api/v1/namespaces/default/pods/p/portforward", headers)
    assert answer.status == 500
    assert answer.json == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "error dialing backend: dial tcp 127.0.0.1:1: connect: connection refused",
        "code": 500,
    }


@pytest.mark.parametrize("value", ["abc", "-1", "1.5", ""])
async def test_ports_that_are_no_numbers(plane: ControlPlane, value: str) -> None:
    path = f"/api/v1/namespaces/default/pods/p/portforward?ports={value}"
    answer = await plane.ask("POST", path)
    assert answer.status == 400
    assert answer.json["message"] == (
        f'cannot convert to []int32: strconv.ParseUint: parsing "{value}": invalid syntax'
    )


async def test_a_tunnel_protocol_nobody_knows(plane: ControlPlane) -> None:
    await plane.node()
    await plane.add("/api/v1/namespaces/default/pods", pod("p", nodeName="node-a"))
    headers = {
        **ADMIN,
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol": "SPDY/3.1+portforward.example",
    }
    answer = await plane.ask("GET", "/api/v1/namespaces/default/pods/p/portforward", headers)
    assert (answer.status, answer.json["reason"]) == (400, "BadRequest")


async def test_websocket_needs_create_as_well(plane: ControlPlane) -> None:
    path = "/api/v1/namespaces/default/pods/p/portforward"
    answer = await plane.ask("GET", path, {"Authorization": "Bearer viewer-token"})
    assert answer.status == 403
    assert 'User "viewer" cannot get resource "pods/portforward"' in answer.json["message"]
