"""The supervisor of an embedded cluster: creates its files, runs its processes, removes both.

It serves a control socket only, and routes requests to those of the components. The cluster's
state is in the API server's journal and in the pods, so every component can be restarted with its
port, certificates and state while the others keep running.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path
from typing import Any

from tui_forward.errors import ApiError, ConfigError, TransportError, UsageError
from tui_forward.minicluster.certificates import CertificateAuthority
from tui_forward.minicluster.cluster_components import RUNTIMES, ClusterComponents, ClusterOptions
from tui_forward.minicluster.cluster_credentials import ClusterCredentials
from tui_forward.minicluster.cluster_folder import ClusterFolder, write_private_file
from tui_forward.minicluster.component_process import ComponentProcess
from tui_forward.minicluster.control_socket import ControlServer, Reply, Request
from tui_forward.minicluster.fault_switch import FaultSwitch, FaultyCertificates
from tui_forward.minicluster.fork_server_client import ForkServerClient

SETTLE_TIMEOUT_S = 15.0
_CONTAINERD_TIMEOUT_S = 3.0
# Go's servers prefer AES-128 in TLS 1.3, which is cheaper; OpenSSL's do not.
OPENSSL_CONF = """\
openssl_conf = default
[default]
ssl_conf = ssl
[ssl]
system_default = preferences
[preferences]
Ciphersuites = TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256
"""


class ClusterSupervisor:
    """Starts and stops a cluster."""

    def __init__(self, options: ClusterOptions) -> None:
        if options.runtime not in RUNTIMES:
            raise UsageError(
                f"unknown runtime {options.runtime!r}", hint=f"Choose {' or '.join(RUNTIMES)}."
            )
        self._options = options
        self.folder = Path()
        self.kubeconfig = Path()
        self.control = Path()
        self.server = ""
        self._files: ClusterFolder | None = None
        self._fork_server = ForkServerClient()
        self._reserved_port: socket.socket | None = None
        self._components: ClusterComponents | None = None
        self._router: FaultRouter | None = None
        self._control_server: ControlServer | None = None

    async def start(self) -> None:
        """Start all components and wait until they are ready; clean up on failure.

        Raises `ConfigError`: folder, port or containerd; `TransportError`: a component did not
        start.
        """
        if self._options.runtime == "containerd":
            await asyncio.to_thread(_require_containerd, self._options.containerd_socket)
        try:
            self._files = folder = ClusterFolder(self._options.folder)
            # First: it imports while the certificates are created.
            await self._start_fork_server(folder)
            components = self._create_components(folder)
            await components.start()
            if self._options.settle:
                client = components.control_client(components.apiserver)
                with contextlib.suppress(TransportError):
                    await client.request("settle", timeout_s=SETTLE_TIMEOUT_S)
            self._control_server = ControlServer(self.control, self._handle)
            await self._control_server.start()
        except BaseException as error:
            await self.close()
            if isinstance(error, BaseExceptionGroup):
                start_errors = error.subgroup(TransportError)
                if start_errors is not None:
                    raise start_errors.exceptions[0] from None
            raise

    async def wait_until_lost(self) -> None:
        """Wait until the components have ended unexpectedly, all at once."""
        await self._fork_server.lost.wait()

    async def _start_fork_server(self, folder: ClusterFolder) -> None:
        openssl_conf = folder.path / "etc" / "openssl.cnf"
        write_private_file(openssl_conf, OPENSSL_CONF.encode())
        await self._fork_server.start(
            folder.path / "logs" / "fork-server.log", {"OPENSSL_CONF": str(openssl_conf)}
        )

    def _create_components(self, folder: ClusterFolder) -> ClusterComponents:
        options = self._options
        self.folder, self.control = folder.path, folder.control
        self.kubeconfig = folder.kubeconfig
        self._reserved_port = _reserve_port(options.port)
        port = self._reserved_port.getsockname()[1]
        self.server = f"{'http' if options.plain_http else 'https'}://127.0.0.1:{port}"
        authority = CertificateAuthority(folder.path / "pki")
        ca = None if options.plain_http else authority
        credentials = ClusterCredentials(folder, self.server, ca)
        credentials.write()
        tokens = credentials.tokens_path
        self._components = ClusterComponents(
            options,
            folder,
            authority,
            self._fork_server,
            server=self.server,
            port=port,
            tokens=tokens,
        )
        certificates = FaultyCertificates(authority, folder)
        self._router = FaultRouter(self._components, credentials, certificates)
        return self._components

    async def close(self) -> None:
        """Stop all processes and remove all files. Idempotent."""
        if self._control_server is not None:
            await self._control_server.close()
            self._control_server = None
        if self._components is not None:
            await self._components.stop()
        await self._fork_server.close()
        if self._reserved_port is not None:
            self._reserved_port.close()
            self._reserved_port = None
        if self._files is not None:
            self._files.remove()

    async def _handle(self, request: Request) -> Reply | None:
        assert self._components is not None
        assert self._router is not None
        if request.get("fault") == "status":
            return {
                "server": self.server,
                "kubeconfig": str(self.kubeconfig),
                "components": await self._components.status(),
            }
        return await self._router.handle(request)


def _require_containerd(path: str) -> None:
    """Raise ConfigError unless something listens at containerd's socket. Blocks for a moment."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(_CONTAINERD_TIMEOUT_S)
        try:
            client.connect(path)
        except OSError as error:
            cause = (error.strerror or str(error)).lower()
            raise ConfigError(
                f"cannot connect to containerd at {path}: {cause}",
                hint="Start containerd, and run this command as root; or choose another runtime",
            ) from error


def _reserve_port(port: int) -> socket.socket:
    """Bind a port without listening, so that the API server can bind it after a restart."""
    reserved = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        reserved.bind(("127.0.0.1", port))
    except OSError as error:
        reserved.close()
        raise ConfigError(
            f"cannot use port {port}: {error.strerror}", hint="Choose another port with --port."
        ) from error
    return reserved


class FaultRouter:
    """Handles faults of whole processes and passes all others to the components."""

    def __init__(
        self,
        components: ClusterComponents,
        credentials: ClusterCredentials,
        certificates: FaultyCertificates,
    ) -> None:
        self._components = components
        self._credentials = credentials
        self._certificates = certificates
        self._switch = FaultSwitch(self.handle)

    async def handle(self, request: Request) -> Reply | None:
        """Handle one request. Raises `UsageError`, and the errors of `ControlClient.request`."""
        components = self._components
        fault = request.get("fault")
        match fault:
            case "list":
                return self._switch.list_all()
            case "set":
                on = bool(request.get("on", True))
                return await self._switch.set(str(request.get("name", "")), on=on)
            case "pause-component":
                for each in self._select(request):
                    each.pause()
            case "resume-component":
                for each in self._select(request):
                    each.resume()
            case "restart-component":
                down_s = float(request.get("down_s", 0))
                kill = bool(request.get("kill", False))
                selected = self._select(request)
                await asyncio.gather(*(each.restart(down_s=down_s, kill=kill) for each in selected))
            case "stop-component":
                kill = bool(request.get("kill", False))
                await asyncio.gather(*(each.stop(kill=kill) for each in self._select(request)))
            case "start-component":
                await asyncio.gather(*(each.start() for each in self._select(request)))
            case "rotate-token":
                return {"contexts": self._credentials.rotate(str(request.get("user", "")))}
            case "add-user":
                groups = request.get("groups") or ()
                groups = groups.split(",") if isinstance(groups, str) else map(str, groups)
                namespace = str(request.get("namespace", ""))
                user = str(request.get("user", ""))
                context = self._credentials.add_user(user, tuple(groups), namespace)
                return {"context": context}
            case "crash-pod" | "stop-sandbox":
                return await self._send_to_first(components.runtimes, request)
            case "not-ready":
                return await self._send_to_first(components.kubelets, request)
            case "streaming" | "expire-tokens":
                return await self._send_to_all(components.runtimes, request)
            case "certificate":
                if flaw := str(request.get("flaw", "")):
                    pair = self._certificates.pair(flaw)
                    request = {**request, "cert": str(pair.cert), "key": str(pair.key)}
                return await self._send_to(request)
            case "cut" | "stall" | "delay" | "authorization" | "node-ready":
                return await self._send_to(request)
            case "clear":
                await self._switch.clear()
                await self._send_to_apiserver(request)
                await self._send_to_all(components.kubelets, request, ignore_errors=True)
                await self._send_to_all(components.runtimes, request, ignore_errors=True)
            case str():
                return await self._send_to_apiserver(request)
            case _:
                raise UsageError("the request has no fault")
        return None

    async def _send_to(self, request: Request) -> Reply:
        """Pass a request to the component that it names."""
        name = str(request.get("component", ""))
        if name == "apiserver":
            return await self._send_to_apiserver(request)
        return await self._send_to_all(self._components.group(name), request)

    def _select(self, request: Request) -> list[ComponentProcess]:
        name, node = str(request.get("component", "")), str(request.get("node", ""))
        return self._components.select(name, node)

    async def _send(self, component: ComponentProcess, request: Request) -> Reply:
        fields = {
            k: v for k, v in request.items() if k not in ("fault", "component", "node", "flaw")
        }
        client = self._components.control_client(component)
        return await client.request(str(request["fault"]), **fields)

    async def _send_to_apiserver(self, request: Request) -> Reply:
        return await self._send(self._components.apiserver, request)

    async def _send_to_all(
        self, group: dict[str, ComponentProcess], request: Request, *, ignore_errors: bool = False
    ) -> Reply:
        """Pass a request to the components of a group, or to that of the request's node."""
        replies: dict[str, Any] = {}
        for node, component in _on_requested_node(group, request):
            try:
                reply = await self._send(component, request)
                replies[node] = {key: value for key, value in reply.items() if key != "ok"}
            except (ApiError, TransportError):
                if not ignore_errors:
                    raise
        return {"nodes": replies}

    async def _send_to_first(self, group: dict[str, ComponentProcess], request: Request) -> Reply:
        """Pass a request to the components of a group until one of them succeeds."""
        last_error: ApiError | TransportError | None = None
        for _, component in _on_requested_node(group, request):
            try:
                return await self._send(component, request)
            except (ApiError, TransportError) as error:
                last_error = error
        raise last_error or UsageError("no component can handle the request")


def _on_requested_node(
    group: dict[str, ComponentProcess], request: Request
) -> list[tuple[str, ComponentProcess]]:
    requested = request.get("node")
    return [(node, each) for node, each in group.items() if requested in (None, "", node)]
