"""A control plane in the event loop of the test, and a client for it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h11

from tui_forward.minicluster.apiserver.journal import Journal
from tui_forward.minicluster.apiserver.server import ApiServer
from tui_forward.minicluster.apiserver.store import Store
from tui_forward.minicluster.apiserver.uid_generator import UidGenerator
from tui_forward.minicluster.certificates import CertificateAuthority
from tui_forward.minicluster.config import ApiServerConfig, TokenUser
from tui_forward.minicluster.controllers.manager import ControllerManager
from tui_forward.minicluster.socket_connection import SocketConnection, connect

Object = dict[str, Any]

ADMIN = {"Authorization": "Bearer admin-token"}
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


@dataclass
class Response:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """One HTTP/1.1 connection to the API server."""

    def __init__(self, connection: SocketConnection) -> None:
        self.connection = connection
        self._http = h11.Connection(h11.CLIENT)

    async def send(
        self, method: str, path: str, headers: dict[str, str], body: bytes = b""
    ) -> h11.Response:
        """Send a request and read the status and headers of its response."""
        fields = {"Host": "test", "Content-Length": str(len(body)), **headers}
        request = h11.Request(method=method, target=path, headers=list(fields.items()))
        data = (self._http.send(request) or b"") + (self._http.send(h11.Data(data=body)) or b"")
        await self.connection.write(data + (self._http.send(h11.EndOfMessage()) or b""))
        event = await self._next_event()
        assert isinstance(event, h11.Response | h11.InformationalResponse), event
        if event.status_code == 101:
            self.connection.pushed_back = self._http.trailing_data[0]
        return event  # type: ignore[return-value]

    async def _next_event(self) -> Any:
        while True:
            event = self._http.next_event()
            if event is not h11.NEED_DATA:
                return event
            self._http.receive_data(await self.connection.read())

    async def request(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: Any = None
    ) -> Response:
        sent = dict(headers if headers is not None else ADMIN)
        raw = b""
        if body is not None:
            raw = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        head = await self.send(method, path, sent, raw)
        pieces = []
        while isinstance(event := await self._next_event(), h11.Data):
            pieces.append(bytes(event.data))
        received = {n.decode().lower(): v.decode() for n, v in head.headers}
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        return Response(head.status_code, received, b"".join(pieces))

    async def chunk(self) -> bytes:
        """Return the next piece of a streaming response; empty at its end."""
        event = await self._next_event()
        return bytes(event.data) if isinstance(event, h11.Data) else b""

    async def read_exactly(self, count: int) -> bytes:
        """Read `count` bytes of an upgraded connection, or fewer at its end."""
        data = bytearray()
        while len(data) < count and (
            chunk := await self.connection.read(min(65536, count - len(data)))
        ):
            data += chunk
        return bytes(data)

    async def read_to_end(self) -> bytes:
        """Read an upgraded connection until its end."""
        return await self.read_exactly(1 << 40)

    def close(self) -> None:
        self.connection.close()


class WatchStream:
    """The events of a watch."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._buffer = b""

    async def next_event(self) -> Any:
        """Return the next event; None at the end."""
        while b"\n" not in self._buffer:
            chunk = await self._client.chunk()
            if not chunk:
                return None
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)

    async def next_names(self, count: int) -> list[tuple[str, str]]:
        """Return type and object name of the next events."""
        events = [await self.next_event() for _ in range(count)]
        return [(event["type"], event["object"]["metadata"]["name"]) for event in events]


@dataclass
class ControlPlane:
    """A running control plane."""

    server: ApiServer
    store: Store
    controllers: ControllerManager
    authority: CertificateAuthority
    folder: Path
    client_context: ssl.SSLContext | None
    clients: list[Client] = field(default_factory=list)

    async def client(self, *, certificate: bool = False) -> Client:
        """Connect to the API server, optionally with the administrator's certificate."""
        context = self.client_context
        if context is not None and certificate:
            context = ssl.create_default_context(cafile=self.authority.cert)
            pair = self.authority.issue_client("admin", "kubernetes-admin", "system:masters")
            context.load_cert_chain(pair.cert, pair.key)
        connection = await connect("127.0.0.1", self.server.port)
        if context is not None:
            await connection.start_tls(context, server_side=False, server_hostname="127.0.0.1")
        client = Client(connection)
        self.clients.append(client)
        return client

    async def request(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: Any = None
    ) -> Response:
        client = await self.client()
        try:
            return await client.request(method, path, headers, body)
        finally:
            client.close()

    async def watch(self, path: str, headers: dict[str, str] | None = None) -> WatchStream:
        client = await self.client()
        response = await client.send("GET", path, headers or ADMIN)
        assert response.status_code == 200, await client.chunk()
        return WatchStream(client)

    async def add(self, path: str, item: Object) -> Object:
        response = await self.request("POST", path, body=item)
        assert response.status == 201, response.body
        return dict(response.json)

    async def add_node(self, name: str = "node-a", port: int = 1, *, ready: bool = True) -> None:
        """Add a node with the status of its kubelet."""
        await self.add("/api/v1/nodes", {"metadata": {"name": name}})
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        }
        response = await self.patch(f"/api/v1/nodes/{name}/status", {"status": status})
        assert response.status == 200, response.body

    async def patch(self, path: str, change: Any, kind: str = "merge-patch") -> Response:
        headers = {**ADMIN, "Content-Type": f"application/{kind}+json"}
        return await self.request("PATCH", path, headers, change)

    async def set_running(
        self, namespace: str, name: str, *, ready: bool = True, ip: str = "10.0.0.1"
    ) -> None:
        """Report a pod as running, as its kubelet would."""
        status = {
            "phase": "Running",
            "podIP": ip,
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [],
        }
        path = f"/api/v1/namespaces/{namespace}/pods/{name}/status"
        response = await self.patch(path, {"status": status}, "strategic-merge-patch")
        assert response.status == 200, response.body

    async def pods(self, namespace: str, selector: str = "") -> list[Object]:
        query = f"?labelSelector={selector}" if selector else ""
        response = await self.request("GET", f"/api/v1/namespaces/{namespace}/pods{query}")
        return list(response.json["items"])


Condition = Callable[[], Awaitable[bool]]


async def wait_until(condition: Condition, timeout_s: float = 60.0) -> None:
    """Poll a condition until it is true."""
    async with asyncio.timeout(timeout_s):
        while not await condition():  # noqa: ASYNC110 - no event reports the change
            await asyncio.sleep(0.005)


def pod(name: str, *, namespace: str = "default", **spec: Any) -> Object:
    """Return a pod that is not scheduled unless the test names a scheduler."""
    spec.setdefault("schedulerName", "none")
    ports = [{"name": "http", "containerPort": 8080}]
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {"containers": [{"name": "c", "image": "local/echo", "ports": ports}], **spec},
    }


def deployment(name: str, replicas: int = 1) -> Object:
    return {
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": pod(name, schedulerName="default-scheduler")["spec"],
            },
        },
    }


@contextlib.asynccontextmanager
async def run_control_plane(
    folder: Path, *, tls: bool = True, state: Path | None = None, **settings: Any
) -> AsyncIterator[ControlPlane]:
    """Run a control plane with API server and controllers."""
    authority = CertificateAuthority(folder / "pki")
    serving = authority.issue_server("apiserver", "kube-apiserver", "127.0.0.1", "localhost")
    kubelet_client = authority.issue_client(
        "kubelet-client", "kube-apiserver-kubelet-client", "system:masters"
    )
    tokens = folder / "tokens.json"
    users = [
        TokenUser(token="admin-token", user="kubernetes-admin", groups=("system:masters",)),
        TokenUser(token="porter-token", user="porter"),
        TokenUser(token="alice-token", user="alice"),
        TokenUser(token="viewer-token", user="viewer"),
        TokenUser(token="node-token", user="system:node:node-a", groups=("system:nodes",)),
    ]
    tokens.write_text(
        json.dumps([{"token": u.token, "user": u.user, "groups": list(u.groups)} for u in users])
    )
    config = ApiServerConfig(
        tls=authority.tls_files(serving) if tls else None,
        kubelet_tls=authority.tls_files(kubelet_client),
        control=str(folder / "control.sock"),
        state=str(state or folder / "state"),
        tokens=str(tokens),
        **{"workloads": False, "nodes": (), "seed": 7, **settings},
    )
    journal = Journal(config.state)
    store = Store(history=config.history, journal=journal, first_version=100)
    server = ApiServer(config, store, UidGenerator(config.seed))
    controllers = ControllerManager(config, store, server.writer)
    controllers.start()
    server.start()
    context = ssl.create_default_context(cafile=authority.cert) if tls else None
    control_plane = ControlPlane(server, store, controllers, authority, folder, context)
    try:
        yield control_plane
    finally:
        for client in control_plane.clients:
            client.close()
        await controllers.close()
        await server.close()
        journal.close()
