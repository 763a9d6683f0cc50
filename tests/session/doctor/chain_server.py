"""A chain for a doctor: an API server with reviews, and tunnels to an application behind it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from tests.engine.fake_cluster import FakeCluster, running_cluster
from tests.kube.api_server import ApiServer, Object, Reply, Request, status_body
from tests.kube.port_forward_api import discovery

NAMESPACE = "shop"
POD = "web-1"
PORT = 1001  # of the echo server of `FakeCluster`
ALL_VERBS: Object = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}


def pod(name: str = POD, port: int = PORT, node: str = "node-a", **status: Any) -> Object:
    """Return a pod that is ready; without a port it declares none."""
    started = "2026-01-01T00:00:00Z"
    ports = [{"name": "http", "containerPort": port}] if port else []
    container = {
        "name": "main", "ready": True, "restartCount": 0, "image": "i", "imageID": "",
        "state": {"running": {"startedAt": started}},
    }  # fmt: skip
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "name": name, "namespace": NAMESPACE, "uid": f"uid-{name}", "labels": {"app": "web"},
            "creationTimestamp": started,
        },
        "spec": {
            "nodeName": node,
            "containers": [{"name": "main", "ports": ports}],
        },
        "status": {
            "phase": "Running", "podIP": "10.0.0.1", "startTime": started,
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": started}],
            "containerStatuses": [container], **status,
        },
    }  # fmt: skip


def service(name: str = "web", **spec: Any) -> Object:
    """Return a service of the pods, whose port 80 leads to port `http`."""
    ports = [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}]
    return {
        "kind": "Service",
        "apiVersion": "v1",
        "metadata": {"name": name, "namespace": NAMESPACE, "uid": f"uid-{name}"},
        "spec": {"clusterIP": "10.1.0.1", "ports": ports, "selector": {"app": "web"}, **spec},
    }


@dataclass
class ChainServer(ApiServer):
    """An API server whose user may do everything, with one healthy pod behind it.

    `upgrades` has raw answers to upgrades by transport, None for none at all; the others are passed
    on to `application`. `headers` are added to every answer.
    """

    application: FakeCluster = field(default_factory=FakeCluster)
    upgrades: dict[str, bytes | None] = field(default_factory=dict)
    user: str = "jane"
    groups: tuple[str, ...] = ("dev", "system:authenticated")
    rules: list[Object] = field(default_factory=lambda: [ALL_VERBS])
    answers: dict[str, Reply] = field(default_factory=dict)  # to requests, by the end of their path
    upgraded: list[str] = field(default_factory=list)
    # Verbs that upgrades need.
    permitted: dict[str, tuple[str, ...]] = field(
        default_factory=lambda: {
            "spdy": ("create",),
            "websocket": ("get", "create"),
            "channels": ("get", "create"),
        }
    )
    open_paths: tuple[str, ...] = ()  # that need no token

    def __post_init__(self) -> None:
        super().__post_init__()
        self.intercept = self._review
        self.put("namespaces", {"metadata": {"name": NAMESPACE}})
        self.put("pods", pod())
        self.put("services", service())
        self.put("nodes", {
            "metadata": {"name": "node-a"},
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "addresses": [{"type": "InternalIP", "address": "10.0.0.9"}],
                "nodeInfo": {
                    "kubeletVersion": "v1.36.2", "containerRuntimeVersion": "containerd://1.6.20",
                },
            },
        })  # fmt: skip

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            request = self._request(head.decode())
            if request.path.endswith("/portforward"):
                await self._upgrade(request, head, reader, writer)
                return
            request.body = await reader.readexactly(int(request.header("content-length") or 0))
            await self._answer(request, writer)

    async def _upgrade(
        self, request: Request, head: bytes, reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:  # fmt: skip
        protocol = request.header("sec-websocket-protocol") or ""
        kind = "spdy" if request.method == "POST" else "websocket"
        if "channel.k8s.io" in protocol:
            kind = "channels"
        self.upgraded.append(kind)
        for verb in self.permitted[kind]:
            if not self._permits(verb, "pods/portforward"):
                text = self._forbidden_text(verb, "pods/portforward")
                writer.write(refusal(403, "Forbidden", text))
                await writer.drain()
                return
        if kind not in self.upgrades:
            await self._pass_on(head, reader, writer)
            return
        answer = self.upgrades[kind]
        if answer is None:
            await reader.read()  # until the client gives up
            return
        writer.write(answer)
        await writer.drain()

    async def _pass_on(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.application.port)
        far_writer.write(head)

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while chunk := await source.read(65536):
                sink.write(chunk)
                await sink.drain()

        pumps = [
            asyncio.create_task(pump(reader, far_writer)),
            asyncio.create_task(pump(far_reader, writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            far_writer.transport.abort()
            for one in pumps:
                one.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    def _refusal(self, request: Request) -> Reply | None:
        if request.path in self.open_paths:
            return None
        is_object = request.method == "GET" and request.path.startswith("/api/v1/namespaces/")
        if is_object and not self._permits(request.verb, request.plural):
            message = self._forbidden_text(request.verb, request.plural)
            return Reply(403, status_body(403, "Forbidden", message))
        return super()._refusal(request)

    def _permits(self, verb: str, resource: str) -> bool:
        return any(
            {"*", verb} & set(rule["verbs"]) and {"*", resource} & set(rule["resources"])
            for rule in self.rules
        )

    def _forbidden_text(self, verb: str, resource: str) -> str:
        plural = resource.partition("/")[0]
        return (
            f'{plural} is forbidden: User "{self.user}" cannot {verb} resource "{resource}" '
            f'in API group "" in the namespace "{NAMESPACE}"'
        )

    def _read(self, request: Request) -> Reply:
        reply = super()._read(request)
        if request.plural == "pods":  # a typed client accepts no other kind
            reply.body = reply.body.replace(b'{"kind":"List"', b'{"kind":"PodList"')
        return reply

    def _review(self, request: Request) -> Reply | None:
        for end, reply in self.answers.items():
            if request.path.endswith(end):
                return reply
        if request.method != "POST":
            found = discovery(request.path)
            return None if found is None else Reply(200, json.dumps(found).encode())
        spec = json.loads(request.body).get("spec") or {}
        if request.path.endswith("/selfsubjectreviews"):
            info = {"username": self.user, "groups": list(self.groups)}
            return _created({"userInfo": info})
        if request.path.endswith("/selfsubjectrulesreviews"):
            return _created({"resourceRules": self.rules, "incomplete": False})
        if request.path.endswith("/selfsubjectaccessreviews"):
            return _created({"allowed": self._allows(spec["resourceAttributes"])})
        return None

    def _allows(self, attributes: Object) -> bool:
        resource = attributes["resource"]
        if attributes.get("subresource"):
            resource += f"/{attributes['subresource']}"
        return self._permits(attributes["verb"], resource)


def _created(status: Object) -> Reply:
    return Reply(201, json.dumps({"status": status}).encode())


def refusal(status: int, reason: str, message: str) -> bytes:
    """Return the API server's own refusal of an upgrade."""
    return _answer(status, "application/json", status_body(status, reason, message), "Audit-Id: a")


def plain_refusal(status: int, text: str) -> bytes:
    """Return a kubelet's refusal, which the API server passes on."""
    return _answer(status, "text/plain; charset=utf-8", text.encode())


def page(status: int, title: str, *headers: str) -> bytes:
    """Return a page of something in between."""
    html = f"<html><head><title>{title}</title></head><body></body></html>"
    return _answer(status, "text/html", html.encode(), *headers)


def _answer(status: int, content_type: str, body: bytes, *headers: str) -> bytes:
    phrase = HTTPStatus(status).phrase
    lines = [f"HTTP/1.1 {status} {phrase}", f"Content-Type: {content_type}", *headers]
    lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@contextlib.asynccontextmanager
async def running_chain(
    tls: ssl.SSLContext | None = None, *, tokens: Iterable[str] | None = None
) -> AsyncIterator[ChainServer]:
    """Run a healthy chain; with `tokens`, only these are accepted."""
    async with running_cluster() as application:
        server = ChainServer(
            tls=tls, application=application, tokens=None if tokens is None else set(tokens)
        )
        await server.start()
        try:
            yield server
        finally:
            await server.stop()
