"""The kubelet's HTTPS API: port-forwards, logs, pods, health."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import sys
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec

from tui_forward.errors import ProtocolError, UsageError
from tui_forward.minicluster.cri.errors import CriError
from tui_forward.minicluster.kubelet import cri_config as cri_config
from tui_forward.minicluster.kubelet import logs, portforward
from tui_forward.minicluster.kubelet.kubelet import Kubelet
from tui_forward.minicluster.kubelet.pod_worker import PodWorker
from tui_forward.minicluster.kubelet.portforward import RefusalError
from tui_forward.minicluster.relay import Relay
from tui_forward.minicluster.socket_connection import SocketConnection
from tui_forward.protocol.upgrade_server import HttpRequest, RequestReader, encode_response

_HEAD_S = 30.0
_METHODS = {
    "portForward": ("GET", "POST"),
    "containerLogs": ("GET",),
    "pods": ("GET",),
    "runningpods": ("GET",),
    "healthz": ("GET", "HEAD"),
    "metrics": ("GET",),
}


class KubeletServer:
    """Serves one kubelet.

    Args:
        kubelet: Its pods.

    Attributes:
        port: Where it listens, after `start`.
        relays: Port-forwards under way.
        stalled: New port-forwards move no byte either.
        delay_s: Every byte of new port-forwards is later by this.
        served: Port-forwards so far.
    """

    def __init__(self, kubelet: Kubelet) -> None:
        self._kubelet = kubelet
        self.port = 0
        self.relays: set[Relay] = set()
        self.stalled = False
        self.delay_s = 0.0
        self.served = 0
        self._listener: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        config = kubelet.config
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=config.client_ca)
        context.load_cert_chain(config.serving_cert, config.serving_key)
        # Without a certificate the answer is a 401, not a failed handshake.
        context.verify_mode = ssl.CERT_OPTIONAL
        context.set_alpn_protocols(["http/1.1"])
        self._context = context

    def start(self, port: int) -> None:
        """Listen; 0 picks a port.

        Raises:
            OSError: The port is taken.
        """
        listener = socket.create_server((self._kubelet.config.listen, port), backlog=1024)
        listener.setblocking(False)
        self._listener = listener
        self.port = listener.getsockname()[1]
        asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    async def close(self) -> None:
        """Stop listening and end every connection."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(64):
            try:
                sock, address = listener.accept()
            except OSError:
                return
            task = asyncio.get_running_loop().create_task(
                self._serve(SocketConnection(sock), address[0])
            )
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, wire: SocketConnection, peer: str) -> None:
        try:
            async with asyncio.timeout(_HEAD_S):
                await wire.start_tls(self._context, server_side=True)
                request = await _request(wire)
            if request is not None:
                await self._answer(wire, request, peer)
        except RefusalError as refusal:
            with contextlib.suppress(OSError):
                await wire.write(refusal.raw)
        except (OSError, ProtocolError):
            pass  # gone, too slow, or no HTTP: nobody is there to be told
        finally:
            wire.close()

    def _authorize(self, wire: SocketConnection, request: HttpRequest) -> None:
        certificate: dict[str, Any] = {}
        if wire.tls is not None:
            certificate = dict(wire.tls.getpeercert() or {})
        if not certificate:
            raise RefusalError(encode_response(401, "Unauthorized"))
        subject: dict[str, list[str]] = {}
        for part in certificate.get("subject", ()):
            for key, value in part:
                subject.setdefault(key, []).append(value)
        groups = subject.get("organizationName", [])
        if not set(groups) & set(self._kubelet.config.allowed_groups):
            user = (subject.get("commonName") or [""])[0]
            verb = {"GET": "get", "HEAD": "get", "POST": "create"}.get(
                request.method, request.method.lower()
            )
            raise RefusalError(
                encode_response(
                    403,
                    f"Forbidden (user={user}, verb={verb}, resource=nodes, "
                    "subresource(s)=[proxy])\n",
                )
            )

    async def _answer(self, wire: SocketConnection, request: HttpRequest, peer: str) -> None:
        self._authorize(wire, request)
        parts = urlsplit(request.target)
        words = [unquote(word) for word in parts.path.split("/")[1:]]
        name, *rest = words
        if rest and not rest[-1]:
            rest.pop()
        allowed = _METHODS.get(name)
        if allowed is None:
            raise RefusalError(encode_response(404, "404 page not found\n"))
        if request.method not in allowed:
            raise RefusalError(encode_response(405, "405: Method Not Allowed"))
        match [name, *rest]:
            case ["portForward", namespace, pod, *more] if len(more) <= 1:
                await self._forward(wire, request, peer, namespace, pod, "".join(more))
            case ["containerLogs", namespace, pod, container]:
                await self._logs(wire, parts.query, namespace, pod, container)
            case ["pods"]:
                await wire.write(_json(self._pods()))
            case ["runningpods"]:
                await wire.write(_json(await self._running_pods()))
            case ["healthz", *_]:
                await wire.write(encode_response(200, "ok"))
            case ["metrics"]:
                await wire.write(encode_response(200, self._metrics()))
            case _:
                raise RefusalError(encode_response(404, "404: Page Not Found"))

    # -- the endpoints --

    async def _forward(
        self,
        wire: SocketConnection,
        request: HttpRequest,
        peer: str,
        namespace: str,
        pod: str,
        uid: str,
    ) -> None:
        url = await portforward.streaming_url(self._kubelet, request, namespace, pod, uid)
        relay = await portforward.proxy_to_runtime(wire, request, url, peer)
        self.relays.add(relay)
        self.served += 1
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
                items.append(
                    {
                        "metadata": {
                            "name": metadata.name,
                            "namespace": metadata.namespace,
                            "uid": metadata.uid,
                        },
                        "spec": {"containers": []},
                        "status": {},
                    }
                )
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
            f"kubelet_port_forwards_total {self.served}\n"
        )

    async def _logs(
        self, wire: SocketConnection, query: str, namespace: str, pod: str, container: str
    ) -> None:
        try:
            options = logs.LogOptions.parse(parse_qs(query))
        except UsageError as error:
            raise RefusalError(encode_response(400, error.message)) from error
        worker = self._kubelet.find(namespace, pod)
        if worker is None:
            raise RefusalError(encode_response(404, f'pod "{pod}" does not exist\n'))
        path = _log_path(worker, container, options, Path(self._kubelet.config.state_dir))
        await wire.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
            b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        )
        ended = asyncio.Event()
        watch = asyncio.create_task(_set_when_ended(worker, container, path, ended))
        gone = asyncio.create_task(_closed(wire))
        pump = asyncio.create_task(_pump(wire, path, options, ended))
        try:
            await asyncio.wait({pump, gone}, return_when=asyncio.FIRST_COMPLETED)
            if pump.done():
                pump.result()
        finally:
            for task in (watch, gone, pump):
                task.cancel()
            await asyncio.gather(watch, gone, pump, return_exceptions=True)


async def _request(wire: SocketConnection) -> HttpRequest | None:
    reader = RequestReader()
    while True:
        data = await wire.read()
        if not data:
            return None
        request = reader.receive_data(data)
        if request is not None:
            wire.pushed_back = reader.leftover
            return request


def _json(value: Any) -> bytes:
    return encode_response(200, msgspec.json.encode(value), content_type="application/json")


def _log_path(worker: PodWorker, container: str, options: logs.LogOptions, root: Path) -> Path:
    """The file of the incarnation that is asked for.

    Raises:
        RefusalError: 400, in a kubelet's words.
    """
    name = worker.pod["metadata"]["name"]
    views = [*worker.view.init_containers, *worker.view.containers]
    view = next((each for each in views if each.name == container), None)
    if view is None:
        raise RefusalError(
            encode_response(404, f'container "{container}" not found in pod "{name}"\n')
        )
    folder = cri_config.log_directory(root, worker.pod) / container
    if options.previous:
        if view.previous is None and not (view.ended and view.waiting):
            text = f'previous terminated container "{container}" in pod "{name}" not found\n'
            raise RefusalError(encode_response(400, text))
        # While the newest waits for its restart, the newest is the previous one.
        attempt = view.restarts if view.ended else view.restarts - 1
        return folder / f"{attempt}.log"
    if view.current is None:
        reason = (view.waiting or ("ContainerCreating", ""))[0]
        why = {
            "ErrImagePull": "image can't be pulled",
            "ImagePullBackOff": "trying and failing to pull image",
        }.get(reason, reason)
        text = f'container "{container}" in pod "{name}" is waiting to start: {why}\n'
        raise RefusalError(encode_response(400, text))
    return folder / f"{view.restarts}.log"


async def _set_when_ended(
    worker: PodWorker, container: str, path: Path, ended: asyncio.Event
) -> None:
    """Set `ended` once the incarnation that writes `path` has."""
    attempt = int(path.stem)
    while True:
        views = [*worker.view.init_containers, *worker.view.containers]
        view = next((each for each in views if each.name == container), None)
        if view is None or view.restarts != attempt or not view.running or worker.ended:
            ended.set()
            return
        await asyncio.sleep(0.1)


async def _closed(wire: SocketConnection) -> None:
    """Return when the client is gone; it has nothing more to say."""
    with contextlib.suppress(OSError):
        while await wire.read():
            pass


async def _pump(
    wire: SocketConnection, path: Path, options: logs.LogOptions, ended: asyncio.Event
) -> None:
    async for piece in logs.read(path, options, ended):
        await wire.write(b"%x\r\n%b\r\n" % (len(piece), piece))
    await wire.write(b"0\r\n\r\n")


def last_port(path: Path) -> int:
    """The port written there; 0 if there is none."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0


def start_on_previous_port(server: KubeletServer, config_port: int, path: Path) -> None:
    """Listen on the port wanted, else on that of the last time, else on any; remember it.

    Raises:
        OSError: The port wanted is taken.
    """
    if config_port:
        server.start(config_port)
    else:
        try:
            server.start(last_port(path))
        except OSError as error:
            sys.stderr.write(f"kubelet: the last port is taken: {error}\n")
            server.start(0)
    path.write_text(str(server.port))
