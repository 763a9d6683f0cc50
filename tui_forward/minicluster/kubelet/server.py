"""The kubelet's HTTPS server: authorization and routing of requests."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import sys
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from tui_forward.errors import ProtocolError
from tui_forward.minicluster.cri.errors import CriError
from tui_forward.minicluster.kubelet import container_logs, portforward
from tui_forward.minicluster.kubelet.config import KubeletConfig
from tui_forward.minicluster.kubelet.kubelet import Kubelet
from tui_forward.minicluster.kubelet.portforward import RefusalError
from tui_forward.minicluster.listener import Listener
from tui_forward.minicluster.relay import Relay
from tui_forward.minicluster.socket_connection import SocketConnection
from tui_forward.protocol.upgrade_server import HttpRequest, RequestReader, encode_response

_HEAD_TIMEOUT_S = 30.0
_METHODS = {
    "portForward": ("GET", "POST"),
    "containerLogs": ("GET",),
    "pods": ("GET",),
    "runningpods": ("GET",),
    "healthz": ("GET", "HEAD"),
    "metrics": ("GET",),
}


class KubeletServer:
    """HTTPS server of one kubelet."""

    def __init__(self, kubelet: Kubelet) -> None:
        self._kubelet = kubelet
        self.relays: set[Relay] = set()
        self.stalled = False  # fault: new port-forwards transfer no bytes
        self.delay_s = 0.0  # fault: bytes of new port-forwards are delayed by this
        # Fault: 401 or 403 to every request, as if client certificates were of another authority
        # or its users not allowed; 0 for none.
        self.refusal_status = 0
        self.port_forwards_total = 0
        self.listener = Listener(self._serve)
        config = kubelet.config
        self._config = config
        self._tls = _tls_context(config, config.serving_cert, config.serving_key)

    def use_certificate(self, cert: str, key: str) -> None:
        """Fault: serve another certificate to new connections; the own one again if it is empty.

        Raises `OSError`: it cannot be read.
        """
        config = self._config
        self._tls = _tls_context(config, cert or config.serving_cert, key or config.serving_key)

    async def _serve(self, sock: socket.socket, client_ip: str) -> None:
        connection = SocketConnection(sock)
        try:
            async with asyncio.timeout(_HEAD_TIMEOUT_S):
                await connection.start_tls(self._tls, server_side=True)
                request = await _read_request(connection)
            if request is not None:
                await self._route(connection, request, client_ip)
        except RefusalError as refusal:
            with contextlib.suppress(OSError):
                await connection.write(refusal.raw)
        except (OSError, ProtocolError):
            pass  # disconnected, too slow, or not HTTP
        finally:
            connection.close()

    def _authorize(self, connection: SocketConnection, request: HttpRequest) -> None:
        subject = connection.peer_names()
        if not subject or self.refusal_status == HTTPStatus.UNAUTHORIZED:
            raise RefusalError(encode_response(401, "Unauthorized"))
        groups = subject.get("organizationName", [])
        is_forbidden = self.refusal_status == HTTPStatus.FORBIDDEN
        if is_forbidden or not set(groups) & set(self._kubelet.config.allowed_groups):
            user = (subject.get("commonName") or [""])[0]
            method = request.method
            verb = {"HEAD": "get", "POST": "create"}.get(method, method.lower())
            names = f"user={user}, verb={verb}, resource=nodes, subresource(s)=[proxy]"
            raise RefusalError(encode_response(403, f"Forbidden ({names})\n"))

    async def _route(
        self, connection: SocketConnection, request: HttpRequest, client_ip: str
    ) -> None:
        self._authorize(connection, request)
        parts = urlsplit(request.target)
        name, *rest = (unquote(segment) for segment in parts.path.split("/")[1:])
        if rest and not rest[-1]:
            rest.pop()
        allowed = _METHODS.get(name)
        if allowed is None:
            raise RefusalError(encode_response(404, "404 page not found\n"))
        if request.method not in allowed:
            raise RefusalError(encode_response(405, "405: Method Not Allowed"))
        match [name, *rest]:
            case ["portForward", namespace, pod, *more] if len(more) <= 1:
                await self._port_forward(
                    connection, request, client_ip, namespace, pod, "".join(more)
                )
            case ["containerLogs", namespace, pod, container]:
                await container_logs.serve_logs(
                    self._kubelet, connection, parts.query, namespace, pod, container
                )
            case ["pods"]:
                await connection.write(_encode_json(self._pods()))
            case ["runningpods"]:
                await connection.write(_encode_json(await self._running_pods()))
            case ["healthz", *_]:
                await connection.write(encode_response(200, "ok"))
            case ["metrics"]:
                await connection.write(encode_response(200, self._metrics()))
            case _:
                raise RefusalError(encode_response(404, "404: Page Not Found"))

    async def _port_forward(
        self,
        connection: SocketConnection,
        request: HttpRequest,
        client_ip: str,
        namespace: str,
        pod: str,
        uid: str,
    ) -> None:
        url = await portforward.get_streaming_url(self._kubelet, request, namespace, pod, uid)
        relay = await portforward.proxy_to_runtime(connection, request, url, client_ip)
        self.relays.add(relay)
        self.port_forwards_total += 1
        relay.delay_s = self.delay_s
        if self.stalled:
            relay.stall()
        try:
            await relay.wait()
        finally:
            self.relays.discard(relay)

    def _pods(self) -> dict[str, Any]:
        pods = [worker.pod for worker in self._kubelet.workers.values()]
        return {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": pods}

    async def _running_pods(self) -> dict[str, Any]:
        items = []
        try:
            for sandbox in await self._kubelet.runtime.list_pod_sandboxes():
                metadata = sandbox.metadata
                names = {"name": metadata.name, "namespace": metadata.namespace}
                pod = {"metadata": {**names, "uid": metadata.uid}, "spec": {"containers": []}}
                items.append({**pod, "status": {}})
        except CriError as error:
            raise RefusalError(encode_response(500, str(error))) from error
        return {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}

    def _metrics(self) -> str:
        return (
            "# TYPE kubelet_running_pods gauge\n"
            f"kubelet_running_pods {len(self._kubelet.workers)}\n"
            "# TYPE kubelet_port_forwards gauge\n"
            f"kubelet_port_forwards {len(self.relays)}\n"
            "# TYPE kubelet_port_forwards_total counter\n"
            f"kubelet_port_forwards_total {self.port_forwards_total}\n"
        )


def _tls_context(config: KubeletConfig, cert: str, key: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=config.client_ca)
    context.load_cert_chain(cert, key)
    # Without a client certificate the response is 401, not a failed handshake.
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1"])
    return context


async def _read_request(connection: SocketConnection) -> HttpRequest | None:
    reader = RequestReader()
    while True:
        data = await connection.read()
        if not data:
            return None
        request = reader.receive_data(data)
        if request is not None:
            connection.pushed_back = reader.leftover
            return request


def _encode_json(value: Any) -> bytes:
    return encode_response(200, msgspec.json.encode(value), content_type="application/json")


def _read_port(path: Path) -> int:
    """Return the port saved in a file, 0 if there is none."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0


def start_on_previous_port(server: KubeletServer, config: KubeletConfig) -> None:
    """Listen on the configured port, else on the previous one, else on any, and save it."""
    path = Path(config.state_dir) / "port"
    path.parent.mkdir(parents=True, exist_ok=True)
    listener = server.listener
    if config.port:
        listener.start(config.listen, config.port)
    else:
        try:
            listener.start(config.listen, _read_port(path))
        except OSError as error:
            sys.stderr.write(f"kubelet: cannot listen on the previous port: {error}\n")
            listener.start(config.listen, 0)
    path.write_text(str(listener.port))
