"""A control plane in the test's own loop: API server, store, controllers; and a client for it."""

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

from tui_forward.minicluster.apiserver.defaults import UidGenerator
from tui_forward.minicluster.apiserver.journal import Journal
from tui_forward.minicluster.apiserver.server import ApiServer
from tui_forward.minicluster.apiserver.store import Store
from tui_forward.minicluster.certificates import CertificateAuthority
from tui_forward.minicluster.config import ApiServerConfig, TokenUser
from tui_forward.minicluster.controllers.manager import ControllerManager
from tui_forward.minicluster.socket_connection import SocketConnection, connect

Object = dict[str, Any]

ADMIN = {"Authorization": "Bearer admin-token"}
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """One connection to the API server that speaks HTTP/1.1 by hand."""

    def __init__(self, wire: SocketConnection) -> None:
        self.wire = wire
        self._http = h11.Connection(h11.CLIENT)

    async def send(
        self, method: str, path: str, headers: dict[str, str], body: bytes = b""
    ) -> h11.Response:
        """Send a request and read the head of its answer."""
        fields = {"Host": "test", "Content-Length": str(len(body)), **headers}
        request = h11.Request(method=method, target=path, headers=list(fields.items()))
        data = (self._http.send(request) or b"") + (self._http.send(h11.Data(data=body)) or b"")
        await self.wire.write(data + (self._http.send(h11.EndOfMessage()) or b""))
        event = await self._event()
        assert isinstance(event, h11.Response | h11.InformationalResponse), event
        if event.status_code == 101:
            self.wire.pushed_back = self._http.trailing_data[0]
        return event  # type: ignore[return-value]

    async def _event(self) -> Any:
        while True:
            event = self._http.next_event()
            if event is not h11.NEED_DATA:
                return event
            self._http.receive_data(await self.wire.read())

    async def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: Any = None
    ) -> Answer:
        sent = dict(headers if headers is not None else ADMIN)
        raw = b""
        if body is not None:
            raw = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        response = await self.send(method, path, sent, raw)
        pieces = []
        while isinstance(event := await self._event(), h11.Data):
            pieces.append(bytes(event.data))
        found = {n.decode().lower(): v.decode() for n, v in response.headers}
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
        return Answer(response.status_code, found, b"".join(pieces))

    async def chunk(self) -> bytes:
        """The next piece of a streamed answer, empty at its end."""
        event = await self._event()
        return bytes(event.data) if isinstance(event, h11.Data) else b""

    async def exactly(self, count: int) -> bytes:
        """So many bytes of an upgraded connection, or what there is until its end."""
        data = bytearray()
        while len(data) < count and (chunk := await self.wire.read(min(65536, count - len(data)))):
            data += chunk
        return bytes(data)

    async def rest(self) -> bytes:
        """Everything until the end of an upgraded connection."""
        return await self.exactly(1 << 40)

    def close(self) -> None:
        self.wire.close()


class Watching:
    """The lines of a watch."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._rest = b""

    async def next(self) -> Any:
        """The next event; None at the end."""
        while b"\n" not in self._rest:
            chunk = await self._client.chunk()
            if not chunk:
                return None
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\n")
        return json.loads(line)

    async def take(self, count: int) -> list[tuple[str, str]]:
        """Type and name of the next events."""
        events = [await self.next() for _ in range(count)]
        return [(event["type"], event["object"]["metadata"]["name"]) for event in events]


@dataclass
class ControlPlane:
    """The running control plane."""

    server: ApiServer
    store: Store
    controllers: ControllerManager
    authority: CertificateAuthority
    folder: Path
    client_context: ssl.SSLContext | None
    clients: list[Client] = field(default_factory=list)

    async def client(self, *, certificate: bool = False) -> Client:
        """A connection; with the administrator's certificate if asked for."""
        context = self.client_context
        if context is not None and certificate:
            context = ssl.create_default_context(cafile=self.authority.cert)
            pair = self.authority.issue_client("admin", "kubernetes-admin", "system:masters")
            context.load_cert_chain(pair.cert, pair.key)
        wire = await connect("127.0.0.1", self.server.port)
        if context is not None:
            await wire.start_tls(context, server_side=False, server_hostname="127.0.0.1")
        client = Client(wire)
        self.clients.append(client)
        return client

    async def ask(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: Any = None
    ) -> Answer:
        client = await self.client()
        try:
            return await client.ask(method, path, headers, body)
        finally:
            client.close()

    async def watch(self, path: str, headers: dict[str, str] | None = None) -> Watching:
        client = await self.client()
        response = await client.send("GET", path, headers or ADMIN)
        assert response.status_code == 200, await client.chunk()
        return Watching(client)

    async def add(self, path: str, item: Object) -> Object:
        answer = await self.ask("POST", path, body=item)
        assert answer.status == 201, answer.body
        return dict(answer.json)

    async def node(self, name: str = "node-a", port: int = 1, *, ready: bool = True) -> None:
        """A node that is ready at once."""
        await self.add("/api/v1/nodes", {"metadata": {"name": name}})
        status = {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        }
        answer = await self.patch(f"/api/v1/nodes/{name}/status", {"status": status})
        assert answer.status == 200, answer.body

    async def patch(self, path: str, change: Any, kind: str = "merge-patch") -> Answer:
        headers = {**ADMIN, "Content-Type": f"application/{kind}+json"}
        return await self.ask("PATCH", path, headers, change)

    async def run_pod(self, namespace: str, name: str, *, ready: bool = True) -> None:
        """Say of a pod, as its kubelet would, that it runs."""
        status = {
            "phase": "Running",
            "podIP": "10.0.0.1",
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [],
        }
        path = f"/api/v1/namespaces/{namespace}/pods/{name}/status"
        answer = await self.patch(path, {"status": status}, "strategic-merge-patch")
        assert answer.status == 200, answer.body

    async def pods(self, namespace: str, selector: str = "") -> list[Object]:
        query = f"?labelSelector={selector}" if selector else ""
        answer = await self.ask("GET", f"/api/v1/namespaces/{namespace}/pods{query}")
        return list(answer.json["items"])


Condition = Callable[[], Awaitable[bool]]


async def until(condition: Condition, timeout_s: float = 5.0) -> None:
    """Wait for something that can only be asked for."""
    async with asyncio.timeout(timeout_s):
        while not await condition():  # noqa: ASYNC110 - there is nothing that would set an event
            await asyncio.sleep(0.005)


def pod(name: str, *, namespace: str = "default", **spec: Any) -> Object:
    """A pod that no scheduler touches, unless the test names one."""
    spec.setdefault("schedulerName", "nobody")
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
async def control_plane(
    folder: Path, *, tls: bool = True, state: Path | None = None, **settings: Any
) -> AsyncIterator[ControlPlane]:
    """Run a control plane."""
    authority = CertificateAuthority(folder / "pki")
    serving = authority.issue_server("apiserver", "kube-apiserver", "127.0.0.1", "localhost")
    dialling = authority.issue_client("dialling", "kube-apiserver-kubelet-client", "system:masters")
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
        kubelet_tls=authority.tls_files(dialling),
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
    plane = ControlPlane(server, store, controllers, authority, folder, context)
    try:
        yield plane
    finally:
        for client in plane.clients:
            client.close()
        await controllers.close()
        await server.close()
        journal.close()
