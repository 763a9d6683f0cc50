"""The components of an embedded cluster: options, configuration, processes, control sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tui_forward.errors import ApiError, TransportError, UsageError
from tui_forward.minicluster.apiserver.users import ADMINS, NODES
from tui_forward.minicluster.certificates import CertificateAuthority
from tui_forward.minicluster.cluster_folder import ClusterFolder, write_private_json
from tui_forward.minicluster.component_process import ComponentProcess
from tui_forward.minicluster.config import ApiServerConfig
from tui_forward.minicluster.control_socket import ControlClient
from tui_forward.minicluster.fork_server_client import ForkServerClient

RUNTIMES = ("embedded", "relay", "containerd")


@dataclass(frozen=True)
class ClusterOptions:
    """Options of an embedded cluster; `ApiServerConfig` describes the others."""

    folder: Path | None = None  # folder for all files; None for a temporary one
    port: int = 0
    runtime: str = "embedded"  # one of `RUNTIMES`
    nodes: tuple[str, ...] = ("node-a", "node-b")
    pods: int = 0
    churn: float = 0.0
    seed: int | None = None
    plain_http: bool = False  # serve the API without TLS and treat every user as the administrator
    workloads: bool = True
    settle: bool = True  # wait until every pod that can run is ready
    containerd_socket: str = "/run/containerd/containerd.sock"
    replace_delay_s: float = 0.0
    max_restart_period_s: float = 20.0  # longest delay before a container that ended starts again


_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class ClusterComponents:
    """The API server, and a kubelet and a runtime per node."""

    def __init__(
        self,
        options: ClusterOptions,
        folder: ClusterFolder,
        authority: CertificateAuthority,
        fork_server: ForkServerClient,
        *,
        server: str,
        port: int,
        tokens: Path,
    ) -> None:
        self._options = options
        self._folder = folder
        self._authority = authority
        self._server = server
        self._fork_server = fork_server
        self.kubelets: dict[str, ComponentProcess] = {}
        self.runtimes: dict[str, ComponentProcess] = {}  # runtimes by node; empty for containerd
        for number, node in enumerate(options.nodes, 1):
            node_folder = folder.node_folder(node)
            endpoint = f"unix://{options.containerd_socket}"
            if options.runtime != "containerd":
                endpoint = self._add_runtime(node, number, node_folder)
            self._add_kubelet(node, node_folder, endpoint)
        # Last: its configuration lists all files of the cluster.
        self.apiserver = self._create_apiserver(port, tokens)

    def _create_apiserver(self, port: int, tokens: Path) -> ComponentProcess:
        options, authority = self._options, self._authority
        serving = authority.issue_server(
            "apiserver", "kube-apiserver", *_LOOPBACK, "kubernetes", "kubernetes.default.svc"
        )
        client = authority.issue_client(
            "apiserver-kubelet", "kube-apiserver-kubelet-client", ADMINS
        )
        control, state = self._folder.socket("apiserver"), self._folder.file("state.journal")
        config = ApiServerConfig(
            port=port,
            tls=None if options.plain_http else authority.tls_files(serving),
            kubelet_tls=authority.tls_files(client),
            control=str(control),
            state=str(state),
            tokens=str(tokens),
            cleanup_paths=tuple(map(str, self._folder.created)),
            nodes=options.nodes,
            workloads=options.workloads,
            pods=options.pods,
            churn=options.churn,
            seed=options.seed,
            replace_delay_s=options.replace_delay_s,
        )
        return self._create_process("apiserver", "apiserver", config)

    def _add_runtime(self, node: str, number: int, node_folder: Path) -> str:
        """Add the runtime of a node and return its CRI endpoint."""
        options = self._options
        socket = self._folder.socket(f"cri-{node}")
        config = {
            "name": node,
            "state_dir": str(node_folder / "runtime"),
            "listen": str(socket),
            "control": str(self._folder.socket(f"runtime-{node}")),
            "driver": options.runtime,
            "pod_cidr": f"10.244.{number}.0/24",
            "seed": None if options.seed is None else options.seed * 100 + number,
        }
        self.runtimes[node] = self._create_process(f"runtime-{node}", "runtime", config)
        return f"unix://{socket}"

    def _add_kubelet(self, node: str, node_folder: Path, runtime_endpoint: str) -> None:
        name, user, authority = f"kubelet-{node}", f"system:node:{node}", self._authority
        client = authority.issue_client(name, user, NODES)
        serving = authority.issue_server(f"{name}-serving", user, *_LOOPBACK, node)
        config = {
            "node": node,
            "state_dir": str(node_folder / "kubelet"),
            "server": self._server,
            "ca": str(authority.cert),
            "client_cert": str(client.cert),
            "client_key": str(client.key),
            "serving_cert": str(serving.cert),
            "serving_key": str(serving.key),
            "client_ca": str(authority.cert),
            "runtime_endpoint": runtime_endpoint,
            "control": str(self._folder.socket(name)),
            "crash_backoff_max_s": self._options.max_restart_period_s,
        }

        def keep_port(ready: dict[str, Any]) -> None:
            # A restarted kubelet must use the port in the status of its Node.
            if ready.get("port"):
                write_private_json(self._config_path(name), {**config, "port": ready["port"]})

        self.kubelets[node] = self._create_process(name, "kubelet", config, keep_port)

    def _config_path(self, name: str) -> Path:
        return self._folder.path / "etc" / f"{name}.json"

    def _create_process(
        self,
        name: str,
        component: str,
        config: Any,
        on_ready: Callable[[dict[str, Any]], None] | None = None,
    ) -> ComponentProcess:
        path = self._config_path(name)
        write_private_json(path, config)
        return ComponentProcess(
            name,
            component,
            path,
            self._folder.path / "logs" / f"{name}.log",
            self._fork_server,
            on_ready,
        )

    def _all(self) -> list[ComponentProcess]:
        return [self.apiserver, *self.kubelets.values(), *self.runtimes.values()]

    async def start(self) -> None:
        """Start all components at once; raise a group with a `TransportError` per failed one."""
        async with asyncio.TaskGroup() as group:
            for component in self._all():
                group.create_task(component.start())

    async def stop(self) -> None:
        """Stop all pods, then all components. Idempotent."""
        runtimes = [each for each in self.runtimes.values() if each.pid is not None]
        await asyncio.gather(
            *(self.control_client(each).request("end-pods") for each in runtimes),
            return_exceptions=True,
        )
        await asyncio.gather(*(each.stop() for each in self._all()), return_exceptions=True)

    def group(self, name: str) -> dict[str, ComponentProcess]:
        """Return the kubelets or runtimes by node. Raises `UsageError`: no such component."""
        groups = {"kubelet": self.kubelets, "runtime": self.runtimes}
        if name not in groups:
            raise UsageError(f"unknown component {name!r}")
        return groups[name]

    def select(self, name: str, node: str) -> list[ComponentProcess]:
        """Return the components of a kind, on one node or on all. Raises `UsageError`: none."""
        if name == "apiserver":
            return [self.apiserver]
        selected = [each for at, each in self.group(name).items() if node in ("", at)]
        if not selected:
            raise UsageError(f"unknown component {name!r} on node {node!r}")
        return selected

    def control_client(self, component: ComponentProcess) -> ControlClient:
        """Return a client of a component's control socket."""
        return ControlClient(self._folder.socket_path(component.name))

    async def status(self) -> dict[str, Any]:
        """Return the status of every component by its name."""
        statuses: dict[str, Any] = {}
        for component in self._all():
            status = {"pid": component.pid, "restarts": component.restarts, **component.ready}
            if component.pid is not None:
                try:
                    reply = await self.control_client(component).request("status")
                    status |= {key: value for key, value in reply.items() if key != "ok"}
                except (ApiError, TransportError) as error:
                    status["error"] = error.message
            statuses[component.name] = status
        return statuses
