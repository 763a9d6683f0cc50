"""What the supervisor tells each hop: the schema of the files given with `--config`.

Paths are absolute. Certificates and keys are PEM files. A hop that does not know a field
ignores it, so that the two sides may grow apart by one version.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from tui_forward.errors import ConfigError


class TlsFiles(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate with its key, and the authority that the peer's certificate must be of."""

    cert: str
    key: str
    ca: str


class TokenUser(msgspec.Struct, frozen=True, kw_only=True):
    """Who a bearer token stands for."""

    token: str
    user: str
    groups: tuple[str, ...] = ()


class ApiServerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The API server, with scheduler and controllers.

    Its ready line: ``{"ready": true, "port": 6443}``.

    Attributes:
        listen: Address to listen on.
        port: 0 picks a free one; a restart is given the port of the first start.
        tls: Serving certificate; `ca` verifies client certificates. None serves plain http.
        kubelet_tls: Client certificate for the kubelets; `ca` verifies theirs.
        control: Path of its control socket.
        state: File that keeps every object, so that a restart finds them again.
        tokens: File with a JSON array of `TokenUser`, read again whenever it changes.
        orphan_folder: Removed when the supervisor vanished without cleaning up; may be empty.
        nodes: Names of the nodes that get a kubelet; the scheduler waits for nothing else.
        workloads: Create the demonstration's objects on the first start.
        pods: How many pods to generate in addition; they have no runtime behind them.
        churn: Changes per second among the generated pods.
        seed: Makes names, UIDs and addresses the same on every start; None for random ones.
        replace_delay_s: How long controllers wait before they replace a pod.
        history: How many changes of each resource a watch can go back.
    """

    port: int = 0
    listen: str = "127.0.0.1"
    tls: TlsFiles | None = None
    kubelet_tls: TlsFiles
    control: str
    state: str
    tokens: str
    orphan_folder: str = ""
    nodes: tuple[str, ...] = ("node-a", "node-b")
    workloads: bool = True
    pods: int = 0
    churn: float = 0.0
    seed: int | None = None
    replace_delay_s: float = 0.0
    history: int = 4096


class KubeletConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One kubelet.

    Its ready line: ``{"ready": true, "port": 10250}``: the port of its HTTPS API, said once
    it serves and its Node object has been reported to the API server.

    Attributes:
        node: Name of the node, and of the Node object it keeps.
        server: URL of the API server (``https://127.0.0.1:6443``, or ``http://`` on request).
        client_tls: For the API server: ``CN=system:node:<node>``; `ca` verifies the server.
        serving_tls: For its own API; `ca` verifies the client certificate, which is required.
        listen: Address of its API, also reported as the node's InternalIP.
        port: 0 picks a free one; a restart is given the port of the first start.
        runtime: Path of the runtime's CRI socket.
        control: Path of its control socket.
        folder: A folder of its own (logs of containers, checkpoints).
    """

    node: str
    server: str
    client_tls: TlsFiles
    serving_tls: TlsFiles
    runtime: str
    control: str
    folder: str
    listen: str = "127.0.0.1"
    port: int = 0


class RuntimeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One runtime: the CRI service and its streaming server.

    Its ready line: ``{"ready": true, "streaming_port": 40001}``.

    Attributes:
        node: The node it belongs to.
        driver: "embedded", "relay" or "containerd".
        socket: Path of the unix socket its CRI service listens on.
        control: Path of its control socket.
        folder: A folder of its own; what it leaves outside (network namespaces) it removes.
        pod_cidr: Addresses of its pods.
        seed: Makes container IDs the same on every start; None for random ones.
        containerd_socket: For the driver "containerd": the real runtime's CRI socket.
    """

    node: str
    socket: str
    control: str
    folder: str
    driver: str = "embedded"
    pod_cidr: str = "10.244.0.0/24"
    seed: int | None = None
    containerd_socket: str = "/run/containerd/containerd.sock"


ConfigT = TypeVar("ConfigT", bound=msgspec.Struct)


def load(path: str | Path, kind: type[ConfigT]) -> ConfigT:
    """Read a hop's configuration.

    Raises:
        ConfigError: The file is missing or does not fit `kind`.
    """
    try:
        return msgspec.json.decode(Path(path).read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigError(f"{path}: {error}") from error


def save(path: str | Path, config: msgspec.Struct) -> None:
    """Write a hop's configuration; readable by this user only."""
    target = Path(path)
    target.touch(mode=0o600)
    target.write_bytes(msgspec.json.format(msgspec.json.encode(config)) + b"\n")
