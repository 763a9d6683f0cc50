"""Configuration of the API server: the schema of its `--config` file.

Paths are absolute; certificates and keys are PEM files. The schemas of the node components are
`kubelet.config` and `runtime.config`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from tui_forward.errors import ConfigError


class TlsFiles(msgspec.Struct, frozen=True, kw_only=True):
    """A certificate, its key, and the CA that verifies the peer's certificate."""

    cert: str
    key: str
    ca: str


class TokenUser(msgspec.Struct, frozen=True, kw_only=True):
    """The user of a bearer token."""

    token: str
    user: str
    groups: tuple[str, ...] = ()


class ApiServerConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The API server, with scheduler and controllers.

    Its ready line: ``{"ready": true, "port": 6443}``.
    """

    port: int = 0  # port to listen on; 0 for any free port
    listen: str = "127.0.0.1"  # address to listen on
    # Serving certificate; `ca` verifies client certificates. None serves plain HTTP.
    tls: TlsFiles | None = None
    kubelet_tls: TlsFiles  # client certificate for the kubelets; `ca` verifies their certificates
    control: str  # path of the control socket
    state: str  # file that stores all objects across restarts
    tokens: str  # file with a JSON array of `TokenUser`; reloaded when it changes
    # Files and folders to remove if the supervisor dies before it does.
    cleanup_paths: tuple[str, ...] = ()
    # Names of the nodes with a kubelet; the scheduler waits for them after a start.
    nodes: tuple[str, ...] = ("node-a", "node-b")
    workloads: bool = True  # whether to create the sample workloads in a new cluster
    pods: int = 0  # number of synthetic pods
    churn: float = 0.0  # changes of synthetic pods per second
    seed: int | None = None  # seed of names, UIDs and addresses; None for random ones
    replace_delay_s: float = 0.0  # how long controllers wait before they replace a pod
    history: int = 4096  # number of changes of each resource that watches can start from


ConfigT = TypeVar("ConfigT", bound=msgspec.Struct)


def load(path: str | Path, kind: type[ConfigT]) -> ConfigT:
    """Read the configuration of a component. Raises `ConfigError`: not a valid file."""
    try:
        return msgspec.json.decode(Path(path).read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigError(f"{path}: {error}") from error
