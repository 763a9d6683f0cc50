"""The API server: connections in, requests authenticated, authorised and answered."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from collections.abc import Callable
from typing import cast

from tui_forward.minicluster.apiserver import access_reviews, auth, openapi, pod_logs, resources
from tui_forward.minicluster.apiserver import get_and_list as get_and_list
from tui_forward.minicluster.apiserver import watch as watch_module
from tui_forward.minicluster.apiserver.auth import Attributes, Authenticator, User
from tui_forward.minicluster.apiserver.create_update_delete import ObjectWriter
from tui_forward.minicluster.apiserver.defaults import UidGenerator
from tui_forward.minicluster.apiserver.fault_injection import Faults
from tui_forward.minicluster.apiserver.get_and_list import Selection
from tui_forward.minicluster.apiserver.http import Answer, Connection, Peer, Request, Response
from tui_forward.minicluster.apiserver.kubelet_dialer import KubeletDialer
from tui_forward.minicluster.apiserver.portforward import ActivePortForward, PortForward
from tui_forward.minicluster.apiserver.router import Target, route
from tui_forward.minicluster.apiserver.status_errors import (
    StatusError,
    bad_request,
    method_not_allowed,
    no_such_path,
)
from tui_forward.minicluster.apiserver.store import Store
from tui_forward.minicluster.config import ApiServerConfig
from tui_forward.minicluster.socket_connection import SocketConnection

HANDSHAKE_TIMEOUT_S = 10.0
# Thousands of clients may come at once.
BACKLOG = 4096
ACCEPT_AT_ONCE = 64


class ApiServer:
    """Serves the API.

    Args:
        config: See there.
        store: The objects.
        identities: Makes UIDs and names.

    Attributes:
        port: Where it listens, once started.
        tunnels: The upgraded connections that are up.
        connections: All connections that are up.
    """

    def __init__(self, config: ApiServerConfig, store: Store, identities: UidGenerator) -> None:
        self.config = config
        self.store = store
        self.faults = Faults()
        self.authenticator = Authenticator(config.tokens)
        self.writer = ObjectWriter(store, identities)
        self.kubelets = KubeletDialer(store, config.kubelet_tls)
        self.portforward = PortForward(store, self.kubelets, self.faults, self._tunnel_started)
        self.tunnels: set[ActivePortForward] = set()
        self.watches: set[watch_module.Watch] = set()
        self.connections: dict[asyncio.Task[None], Connection | None] = {}
        self.port = config.port
        self.requests = 0
        self._tls = _server_context(config)
        self._listener: socket.socket | None = None
        self._moving = asyncio.Event()  # cleared while everything is stalled
        self._moving.set()

    # -- connections ---------------------------------------------------------------------------

    def start(self) -> None:
        """Listen.

        Raises:
            OSError: The port is taken.
        """
        family = socket.AF_INET6 if ":" in self.config.listen else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if hasattr(socket, "SO_REUSEPORT"):
                # The supervisor holds the port, without listening, across restarts.
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind((self.config.listen, self.config.port))
            listener.listen(BACKLOG)
            listener.setblocking(False)
        except OSError:
            listener.close()
            raise
        self.port = listener.getsockname()[1]
        self._listener = listener
        asyncio.get_running_loop().add_reader(listener, self._accept)

    async def close(self) -> None:
        """Stop listening and end every connection."""
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        for watch in list(self.watches):
            watch.end()
        for task in list(self.connections):
            task.cancel()
        await asyncio.gather(*self.connections, return_exceptions=True)

    def _accept(self) -> None:
        if self._listener is None:
            return
        for _ in range(ACCEPT_AT_ONCE):
            try:
                sock, address = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                # Out of descriptors, most likely; those that wait are taken later.
                sys.stderr.write(f"accept: {error}\n")
                return
            task = asyncio.ensure_future(self._serve(SocketConnection(sock), str(address[0])))
            self.connections[task] = None
            task.add_done_callback(self._served)

    def _served(self, task: asyncio.Task[None]) -> None:
        self.connections.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            sys.stderr.write(f"connection: {error!r}\n")

    async def _serve(self, wire: SocketConnection, address: str) -> None:
        user = ""
        groups: tuple[str, ...] = ()
        try:
            await self._moving.wait()
            if self._tls is not None:
                async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
                    await wire.start_tls(self._tls, server_side=True)
                user, groups = _certificate_user(wire)
        except OSError:  # ssl.SSLError and TimeoutError are OSErrors
            wire.close()
            return
        except BaseException:
            wire.close()
            raise
        connection = Connection(wire, Peer(address, user, groups), self.handle)
        task = asyncio.current_task()
        if task is not None:
            self.connections[task] = connection
        await connection.run()

    def _tunnel_started(self, tunnel: ActivePortForward) -> Callable[[], None]:
        self.tunnels.add(tunnel)
        tunnel.delay_s = self.faults.delay_s
        if self.faults.stalled in ("tunnels", "all"):
            tunnel.stall()
        return lambda: self.tunnels.discard(tunnel)

    # -- requests --------------------------------------------------------------------------------

    async def handle(self, request: Request) -> Answer:
        """Answer one request; a failure is an answer like any other."""
        self.requests += 1
        await self._moving.wait()
        try:
            user = auth.impersonate(self._authenticate(request), request)
            target = self._route(request, user)
            if target is None:
                auth.authorize(user, Attributes(request.method.lower(), path=request.path))
                return self._about(request)
            return await self._objects(request, user, target)
        except StatusError as failure:
            return Response.failure(failure)
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - one request must not end the server
            import traceback

            traceback.print_exc()
            message = f"Internal error occurred: {error!r}"
            return Response.failure(StatusError(500, "InternalError", message))

    def _authenticate(self, request: Request) -> User:
        user = self.authenticator.user(request)
        if self._tls is None and user.name == auth.ANONYMOUS:
            # Plain http is for clients that cannot do better: there everybody is the admin.
            return User("kubernetes-admin", frozenset({auth.ADMINS, auth.AUTHENTICATED}))
        return user

    def _route(self, request: Request, user: User) -> Target | None:
        try:
            return route(request)
        except StatusError as failure:
            # Who may not look does not learn what is there.
            if failure.code == 404 and auth.ADMINS not in user.groups:
                path = Attributes(request.method.lower(), path=request.path)
                auth.authorize(user, path)
            raise

    def _about(self, request: Request) -> Response:
        """Discovery, version and health."""
        path = request.path.rstrip("/") or "/"
        if request.method not in ("GET", "HEAD"):
            raise method_not_allowed()
        parts = path.strip("/").split("/")
        answer: object = None
        if path.split("/")[1] in ("healthz", "livez", "readyz"):
            return Response(body=b"ok", content_type="text/plain; charset=utf-8")
        if path == "/version":
            answer = resources.VERSION
        elif path == "/api":
            answer = resources.api_versions(f"{self.config.listen}:{self.port}")
        elif path == "/apis":
            answer = resources.api_group_list()
        elif path == "/api/v1":
            answer = resources.api_resource_list("", "v1")
        elif path == "/openapi/v3":
            answer = openapi.index()
        elif path.startswith("/openapi/v3/"):
            answer = openapi.document(path.removeprefix("/openapi/v3/"))
        elif parts[0] == "apis" and len(parts) == 2:
            answer = resources.api_group(parts[1])
        elif parts[0] == "apis" and len(parts) == 3:
            answer = resources.api_resource_list(parts[1], parts[2])
        elif path == "/":
            answer = {"paths": ["/api", "/api/v1", "/apis", "/healthz", "/livez", "/version"]}
        if answer is None:
            raise no_such_path()
        return Response.of(answer)

    async def _objects(self, request: Request, user: User, target: Target) -> Answer:
        auth.authorize(user, target.attributes)
        resource, verb = target.resource, target.verb
        namespace = target.namespace if resource.namespaced else ""
        name, sub = target.name, target.sub
        if resource in resources.REVIEWS:
            return access_reviews.review(request, resource, user)
        if sub == "portforward":
            if verb == "get":
                # Since Kubernetes 1.35 the GET of a WebSocket needs `create` as well.
                attributes = Attributes(
                    "create",
                    group="",
                    resource="pods/portforward",
                    namespace=namespace,
                    name=name,
                )
                auth.authorize(user, attributes)
            return await self.portforward.handle(request, namespace, name)
        if sub == "log":
            return await pod_logs.serve(self.store, self.kubelets, request, namespace, name)
        if sub == "binding" and verb == "create":
            node = request.json().get("target")
            if not isinstance(node, dict) or not node.get("name"):
                raise bad_request("a binding names its target")
            self.writer.bind(namespace, name, str(node["name"]))
            success = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
            return Response.of({**success, "code": 201}, 201)
        match verb:
            case "watch":
                return self._watch(request, Selection.of(request, resource, namespace, name))
            case "list":
                if request.param("continue") and self.faults.take_gone():
                    return watch_module.gone()
                selection = Selection.of(request, resource, namespace)
                return get_and_list.list_objects(self.store, request, selection)
            case "get":
                if sub == "scale":
                    item = self.store.get(resource, namespace, name)
                    if item is not None:
                        from tui_forward.minicluster.apiserver.create_update_delete import scale_of

                        return Response.of(scale_of(item))
                return get_and_list.get(self.store, request, resource, namespace, name)
            case "create" if not name:
                return self.writer.create(request, resource, namespace)
            case "update" if name:
                return self.writer.update(request, resource, namespace, name, sub)
            case "patch" if name:
                return self.writer.patch(request, resource, namespace, name, sub)
            case "delete" if not sub:
                return self.writer.delete(request, resource, namespace, name)
            case "deletecollection":
                selection = Selection.of(request, resource, namespace)
                return self.writer.delete_collection(request, selection)
        raise method_not_allowed()

    def _watch(self, request: Request, selection: Selection) -> Answer:
        if self.faults.take_gone():
            return watch_module.gone()
        watch, stream = watch_module.start(self.store, request, selection)
        if watch is not None:
            self.watches.add(watch)
            watch.on_end = lambda: self.watches.discard(watch)
            if self.faults.stalled in ("watches", "all"):
                watch.stall()
        return stream

    # -- faults ----------------------------------------------------------------------------------

    def cut(self, what: str) -> int:
        """End tunnels, watches or all connections with RST; gives how many."""
        ended = 0
        if what in ("tunnels", "all"):
            for tunnel in list(self.tunnels):
                tunnel.reset()
                ended += 1
        for task, connection in list(self.connections.items()):
            if connection is None or connection.tunnel:
                continue
            if what == "all" or (what == "watches" and connection.streaming):
                connection.wire.abort()
                task.cancel()
                ended += 1
        return ended

    def delay(self, seconds: float) -> None:
        """Deliver every byte of a tunnel later by this."""
        self.faults.delay_s = seconds
        for tunnel in list(self.tunnels):
            tunnel.delay_s = seconds

    def stall(self, what: str) -> None:
        """Stop moving tunnels, watches or everything; an empty word ends it."""
        self.faults.stalled = what
        for tunnel in list(self.tunnels):
            if what in ("tunnels", "all"):
                tunnel.stall()
            else:
                tunnel.resume()
        for watch in list(self.watches):
            if what in ("watches", "all"):
                watch.stall()
            else:
                watch.resume()
        if what == "all":
            self._moving.clear()
        else:
            self._moving.set()


def _server_context(config: ApiServerConfig) -> ssl.SSLContext | None:
    if config.tls is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=config.tls.ca)
    context.load_cert_chain(config.tls.cert, config.tls.key)
    # A client without a certificate may have a token, or be anonymous.
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1"])
    # Tickets only cost: no client resumes, and a tunnel's first bytes would follow them.
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET
    return context


def _certificate_user(wire: SocketConnection) -> tuple[str, tuple[str, ...]]:
    if wire.tls is None:
        return "", ()
    certificate = wire.tls.getpeercert()
    if not certificate:
        return "", ()
    names: dict[str, list[str]] = {}
    # A sequence of relative names, each a sequence of (attribute, value).
    for relative in cast("tuple[tuple[tuple[str, str], ...], ...]", certificate.get("subject", ())):
        for attribute, value in relative:
            names.setdefault(attribute, []).append(value)
    return names.get("commonName", [""])[0], tuple(names.get("organizationName", ()))
