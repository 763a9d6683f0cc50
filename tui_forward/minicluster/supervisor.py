"""The supervisor: makes the cluster's files, runs its processes, and takes everything away again.

It serves nothing itself but a control socket. State lives in the API server's journal and in the
pods; so every hop can be restarted, with its old port, certificates and state, while the rest
goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shutil
import socket
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from tui_forward.errors import ApiError, ConfigError, TransportError, UsageError
from tui_forward.minicluster import config, kubeconfig
from tui_forward.minicluster.apiserver.auth import (
    ADMINS,
    NO_PERMISSIONS_USER,
    NODES,
    PORT_FORWARD_NAMESPACE,
    PORT_FORWARD_USER,
    VIEWER,
)
from tui_forward.minicluster.certificates import CertificateAuthority, KeyPair
from tui_forward.minicluster.component_process import ComponentProcess
from tui_forward.minicluster.control_socket import ControlClient, ControlServer, Request

RUNTIMES = ("embedded", "relay", "containerd")
# A unix socket's path must fit into 108 bytes, of which macOS gives 104.
SOCKET_PATH_LIMIT = 90
SETTLE_TIMEOUT_S = 15.0
PACKAGE = "tui_forward.minicluster"
OPENSSL_CONF = """\
openssl_conf = default
[default]
ssl_conf = ssl
[ssl]
system_default = preferences
[preferences]
Ciphersuites = TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256
"""


@dataclass(frozen=True)
class ClusterOptions:
    """What can be chosen about a cluster.

    Attributes:
        folder: Where everything goes; None for a temporary one.
        port: Of the API server; 0 for any.
        runtime: One of `RUNTIMES`.
        nodes: Names of the nodes.
        pods: How many generated pods there are besides.
        churn: Changes per second among them.
        seed: Makes names and UIDs repeat.
        plain_http: No TLS at the API server, and everybody is the administrator.
        workloads: Whether to create the demonstration's objects.
        settle: Wait until every pod that can run does.
        containerd_socket: Of the real runtime.
        replace_delay_s: How long controllers wait before they replace a pod.
    """

    folder: Path | None = None
    port: int = 0
    runtime: str = "embedded"
    nodes: tuple[str, ...] = ("node-a", "node-b")
    pods: int = 0
    churn: float = 0.0
    seed: int | None = None
    plain_http: bool = False
    workloads: bool = True
    settle: bool = True
    containerd_socket: str = "/run/containerd/containerd.sock"
    replace_delay_s: float = 0.0


@dataclass(slots=True)
class _Account:
    """A user with a bearer token: where the token is written, and which context uses it."""

    context: str
    user: str
    groups: tuple[str, ...] = ()
    namespace: str = ""
    in_file: bool = False
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))


class ClusterSupervisor:
    """A running cluster.

    Args:
        options: See there.

    Attributes:
        folder: Where everything is.
        kubeconfig: Path of the kubeconfig, once started.
        control: Path of the control socket, once started.
        server: URL of the API server, once started.
    """

    def __init__(self, options: ClusterOptions) -> None:
        if options.runtime not in RUNTIMES:
            raise UsageError(
                f"unknown runtime {options.runtime!r}", hint=f"one of {', '.join(RUNTIMES)}"
            )
        self.options = options
        self.folder = Path()
        self.kubeconfig = Path()
        self.control = Path()
        self.server = ""
        self._temporary: list[Path] = []
        self._made: list[Path] = []
        self._reserved: socket.socket | None = None
        self._authority: CertificateAuthority | None = None
        self._admin: KeyPair | None = None
        self._accounts = [
            _Account("admin-token", "kubernetes-admin", (ADMINS,)),
            _Account("admin-tokenfile", "kubernetes-admin", (ADMINS,), in_file=True),
            _Account(VIEWER, VIEWER),
            _Account(PORT_FORWARD_USER, PORT_FORWARD_USER, namespace=PORT_FORWARD_NAMESPACE),
            _Account(NO_PERMISSIONS_USER, NO_PERMISSIONS_USER),
        ]
        self._apiserver: ComponentProcess | None = None
        self._kubelets: dict[str, ComponentProcess] = {}
        self._runtimes: dict[str, ComponentProcess] = {}
        self._sockets = Path()
        self._control: ControlServer | None = None

    # -- beginning and end ---------------------------------------------------------------------

    async def start(self) -> None:
        """Start everything and wait until it serves. What was started is ended on failure.

        Raises:
            ConfigError: The folder cannot be used.
            TransportError: A hop did not come up.
        """
        try:
            self._make_folders()
            self._reserve_port()
            self._make_files()
            assert self._apiserver is not None
            async with asyncio.TaskGroup() as group:
                # All at once: each of them waits for its neighbours by itself.
                group.create_task(self._apiserver.start())
                for hop in (*self._runtimes.values(), *self._kubelets.values()):
                    group.create_task(hop.start())
            if self.options.settle:
                with contextlib.suppress(TransportError):
                    await self._ask_apiserver("settle", timeout_s=SETTLE_TIMEOUT_S)
            self._control = ControlServer(self.control, self._handle)
            await self._control.start()
        except BaseException as error:
            await self.close()
            if isinstance(error, BaseExceptionGroup):
                failures = error.subgroup(TransportError)
                if failures is not None:
                    raise failures.exceptions[0] from None
            raise

    async def close(self) -> None:
        """End every process and remove every file; idempotent."""
        if self._control is not None:
            await self._control.close()
            self._control = None
        with contextlib.suppress(TransportError, ApiError):
            await self._ask_runtimes("end-pods")
        hops = [*self._kubelets.values(), *self._runtimes.values()]
        if self._apiserver is not None:
            hops.append(self._apiserver)
        await asyncio.gather(*(hop.stop() for hop in hops), return_exceptions=True)
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None
        for path in self._made:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        for path in self._temporary:
            shutil.rmtree(path, ignore_errors=True)

    def _make_folders(self) -> None:
        if self.options.folder is None:
            self.folder = Path(tempfile.mkdtemp(prefix="minicluster-"))
            self._temporary.append(self.folder)
        else:
            self.folder = self.options.folder.absolute()
            try:
                if not self.folder.exists():
                    self.folder.mkdir(parents=True, mode=0o700)
                    self._temporary.append(self.folder)
                elif any(self.folder.iterdir()):
                    raise ConfigError(
                        f"{self.folder} is not empty", hint="give a folder of its own"
                    )
            except OSError as error:
                raise ConfigError(f"{self.folder} cannot be used: {error}") from error
        for name in ("pki", "logs", "etc", "tokens"):
            self._make(name).mkdir(mode=0o700)
        self._sockets = self.folder
        if len(str(self.folder)) > SOCKET_PATH_LIMIT - 20:
            self._sockets = Path(tempfile.mkdtemp(prefix="mc-", dir="/tmp"))
            self._temporary.append(self._sockets)
        self.control = self._socket("control")
        self.kubeconfig = self._make("kubeconfig")

    def _make(self, name: str) -> Path:
        """A path in the folder that is removed at the end."""
        path = self.folder / name
        self._made.append(path)
        return path

    def _socket(self, name: str) -> Path:
        path = self._sockets / f"{name}.sock"
        self._made.append(path)
        return path

    def _reserve_port(self) -> None:
        """Hold the API server's port without listening, so that a restart finds it free."""
        reserved = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            _share(reserved)
            reserved.bind(("127.0.0.1", self.options.port))
        except OSError as error:
            reserved.close()
            raise ConfigError(
                f"port {self.options.port} cannot be used: {error.strerror}",
                hint="choose another one with --port",
            ) from error
        self._reserved = reserved
        scheme = "http" if self.options.plain_http else "https"
        self.server = f"{scheme}://127.0.0.1:{reserved.getsockname()[1]}"

    # -- files ---------------------------------------------------------------------------------

    def _make_files(self) -> None:
        options = self.options
        _replace(self.folder / "etc" / "openssl.cnf", OPENSSL_CONF.encode())
        authority = self._authority = CertificateAuthority(self.folder / "pki")
        local = ("127.0.0.1", "::1", "localhost")
        self._admin = authority.client("admin", "kubernetes-admin", ADMINS)
        serving = authority.server(
            "apiserver", "kube-apiserver", *local, "kubernetes", "kubernetes.default.svc"
        )
        dialling = authority.client("apiserver-kubelet", "kube-apiserver-kubelet-client", ADMINS)
        for number, node in enumerate(options.nodes, 1):
            self._node_files(authority, node, number)
        assert self._reserved is not None
        control, state = self._socket("apiserver"), self._make("state.journal")
        apiserver = config.ApiServerConfig(
            port=self._reserved.getsockname()[1],
            tls=None if options.plain_http else authority.files(serving),
            kubelet_tls=authority.files(dialling),
            control=str(control),
            state=str(state),
            tokens=str(self.folder / "tokens" / "tokens.json"),
            cleanup_paths=tuple(map(str, (*self._made, *self._temporary))),
            nodes=options.nodes,
            workloads=options.workloads,
            pods=options.pods,
            churn=options.churn,
            seed=options.seed,
            replace_delay_s=options.replace_delay_s,
        )
        self._write_credentials()
        self._apiserver = self._hop("apiserver", "control_plane", apiserver)

    def _node_files(self, authority: CertificateAuthority, node: str, number: int) -> None:
        options = self.options
        client = authority.client(f"kubelet-{node}", f"system:node:{node}", NODES)
        serving = authority.server(
            f"kubelet-{node}-serving", f"system:node:{node}", "127.0.0.1", "::1", "localhost", node
        )
        # Beside the sockets: a runtime has sockets of its own in there.
        folder = self._sockets / node
        self._made.append(folder)
        for name in ("kubelet", "runtime"):
            (folder / name).mkdir(parents=True, mode=0o700)
        runtime_socket = self._socket(f"cri-{node}")
        endpoint = f"unix://{runtime_socket}"
        if options.runtime == "containerd":
            endpoint = f"unix://{options.containerd_socket}"
        else:
            settings = {
                "state_dir": str(folder / "runtime"),
                "listen": str(runtime_socket),
                "control": str(self._socket(f"runtime-{node}")),
                "driver": options.runtime,
                "pod_cidr": f"10.244.{number}.0/24",
                "seed": None if options.seed is None else options.seed * 100 + number,
            }
            self._runtimes[node] = self._hop(f"runtime-{node}", "runtime", settings)
        settings = {
            "node": node,
            "state_dir": str(folder / "kubelet"),
            "server": self.server,
            "ca": str(authority.cert),
            "client_cert": str(client.cert),
            "client_key": str(client.key),
            "serving_cert": str(serving.cert),
            "serving_key": str(serving.key),
            "client_ca": str(authority.cert),
            "runtime_endpoint": endpoint,
            "control": str(self._socket(f"kubelet-{node}")),
        }
        path = self.folder / "etc" / f"kubelet-{node}.json"

        def keep_port(ready: dict[str, Any]) -> None:
            # A restarted kubelet is where it was, as its Node says.
            if ready.get("port"):
                _write(path, {**settings, "port": ready["port"]})

        self._kubelets[node] = self._hop(f"kubelet-{node}", "kubelet", settings, keep_port)

    def _hop(self, name: str, module: str, settings: Any, on_ready: Any = None) -> ComponentProcess:
        path = self.folder / "etc" / f"{name}.json"
        _write(path, settings)
        log = self.folder / "logs" / f"{name}.log"
        return ComponentProcess(
            name,
            f"{PACKAGE}.{module}",
            path,
            log,
            on_ready,
            # Go's servers prefer AES-128 in TLS 1.3, which costs less; OpenSSL's do not.
            environment={"OPENSSL_CONF": str(self.folder / "etc" / "openssl.cnf")},
        )

    def _write_credentials(self) -> None:
        """Write the API server's token list, the token files and the kubeconfig."""
        entries = [
            config.TokenUser(token=each.token, user=each.user, groups=each.groups)
            for each in self._accounts
        ]
        files: dict[str, Path] = {}
        for account in self._accounts:
            if account.in_file:
                path = files[account.context] = self.folder / "tokens" / f"{account.context}.token"
                _replace(path, account.token.encode() + b"\n")
        _replace(self.folder / "tokens" / "tokens.json", msgspec.json.encode(entries))
        secure = not self.options.plain_http
        assert self._authority is not None
        assert self._admin is not None
        text = kubeconfig.render(
            self.server,
            authority=self._authority.cert if secure else None,
            certificate=(self._admin.cert, self._admin.key) if secure else None,
            tokens={each.context: each.token for each in self._accounts if not each.in_file},
            token_files=files,
            namespaces={each.context: each.namespace for each in self._accounts},
        )
        _replace(self.kubeconfig, text.encode())

    # -- faults --------------------------------------------------------------------------------

    async def _handle(self, request: Request) -> dict[str, Any] | None:
        fault = request.get("fault")
        match fault:
            case "status":
                return await self._status()
            case "restart-hop":
                down_s, kill = float(request.get("down_s", 0)), bool(request.get("kill", False))
                chosen = self._chosen(request)
                await asyncio.gather(*(hop.restart(down_s=down_s, kill=kill) for hop in chosen))
                return None
            case "stop-hop":
                kill = bool(request.get("kill", False))
                await asyncio.gather(*(hop.stop(kill=kill) for hop in self._chosen(request)))
                return None
            case "start-hop":
                await asyncio.gather(*(hop.start() for hop in self._chosen(request)))
                return None
            case "rotate-token":
                return self._rotate(str(request.get("user", "")))
            case "crash-pod" | "stop-sandbox":
                return await self._first(self._runtimes, request)
            case "not-ready":
                return await self._first(self._kubelets, request)
            case "streaming" | "expire-tokens":
                return await self._all(self._runtimes, request)
            case "cut" | "stall" | "delay":
                return await self._at_hop(request)
            case "clear":
                await self._ask_apiserver("clear")
                await self._all(self._kubelets, request, lenient=True)
                await self._all(self._runtimes, request, lenient=True)
                return None
            case str():
                fields = {key: value for key, value in request.items() if key != "fault"}
                return await self._ask_apiserver(fault, **fields)
        raise UsageError("the request names no fault")

    def _chosen(self, request: Request) -> list[ComponentProcess]:
        """The hops a request means.

        Raises:
            UsageError: There is no such hop.
        """
        name, node = str(request.get("hop", "")), str(request.get("node", ""))
        found: list[ComponentProcess] = []
        if name == "apiserver" and self._apiserver is not None:
            return [self._apiserver]
        groups = {"kubelet": self._kubelets, "runtime": self._runtimes}
        if name in groups:
            found = [hop for each, hop in groups[name].items() if node in ("", each)]
        if not found:
            where = f" on node {node!r}" if node else ""
            raise UsageError(f"there is no hop {name!r}{where}")
        return found

    async def _at_hop(self, request: Request) -> dict[str, Any]:
        if request.get("hop") == "apiserver":
            fields = {k: v for k, v in request.items() if k not in ("fault", "hop")}
            return await self._ask_apiserver(str(request["fault"]), **fields)
        group = {"kubelet": self._kubelets, "runtime": self._runtimes}.get(str(request.get("hop")))
        if group is None:
            raise UsageError(f"there is no hop {request.get('hop')!r}")
        return await self._all(group, request)

    def _control_of(self, hop: ComponentProcess) -> ControlClient:
        return ControlClient(self._sockets / f"{hop.name}.sock")

    async def _all(
        self, group: dict[str, ComponentProcess], request: Request, *, lenient: bool = False
    ) -> dict[str, Any]:
        """Pass a request on to the hops of a group, or to that of the node it names."""
        fields = {k: v for k, v in request.items() if k not in ("fault", "hop", "node")}
        answers: dict[str, Any] = {}
        for node, hop in group.items():
            if request.get("node") in (None, "", node):
                try:
                    answer = await self._control_of(hop).request(str(request["fault"]), **fields)
                    answers[node] = {k: v for k, v in answer.items() if k != "ok"}
                except (ApiError, TransportError):
                    if not lenient:
                        raise
        return {"nodes": answers}

    async def _first(self, group: dict[str, ComponentProcess], request: Request) -> dict[str, Any]:
        """Pass a request on to whichever hop of a group can do it."""
        fields = {k: v for k, v in request.items() if k not in ("fault", "node")}
        failure: ApiError | TransportError | None = None
        for node, hop in group.items():
            if request.get("node") not in (None, "", node):
                continue
            try:
                return await self._control_of(hop).request(str(request["fault"]), **fields)
            except (ApiError, TransportError) as error:
                failure = error
        raise failure or UsageError("no hop can do that")

    async def _ask_apiserver(self, fault: str, **fields: Any) -> dict[str, Any]:
        assert self._apiserver is not None
        return await self._control_of(self._apiserver).request(fault, **fields)

    async def _ask_runtimes(self, fault: str) -> None:
        await asyncio.gather(
            *(
                self._control_of(hop).request(fault)
                for hop in self._runtimes.values()
                if hop.pid is not None
            )
        )

    async def _status(self) -> dict[str, Any]:
        hops: dict[str, Any] = {}
        groups = [*self._kubelets.values(), *self._runtimes.values()]
        if self._apiserver is not None:
            groups.insert(0, self._apiserver)
        for hop in groups:
            entry: dict[str, Any] = {"pid": hop.pid, "restarts": hop.restarts, **hop.ready}
            if hop.pid is not None:
                try:
                    answer = await self._control_of(hop).request("status")
                    entry |= {key: value for key, value in answer.items() if key != "ok"}
                except (ApiError, TransportError) as error:
                    entry["error"] = error.message
            hops[hop.name] = entry
        return {"server": self.server, "kubeconfig": str(self.kubeconfig), "hops": hops}

    def _rotate(self, user: str) -> dict[str, Any]:
        accounts = [each for each in self._accounts if user in ("", each.user, each.context)]
        if not accounts:
            raise UsageError(f"there is no user {user!r}")
        for account in accounts:
            account.token = secrets.token_urlsafe(24)
        self._write_credentials()
        return {"contexts": [account.context for account in accounts]}


def _share(sock: socket.socket) -> None:
    """Let the API server bind the same port."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "SO_REUSEPORT"):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def _write(path: Path, settings: Any) -> None:
    _replace(path, msgspec.json.format(msgspec.json.encode(settings)) + b"\n")


def _replace(path: Path, content: bytes) -> None:
    """Write a file so that nobody ever reads half of it; readable by this user only."""
    fresh = path.with_name(path.name + ".new")
    fresh.touch(mode=0o600)
    fresh.write_bytes(content)
    fresh.replace(path)
