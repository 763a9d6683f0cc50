"""What the supervisor tells the API server: the schema of the file given with `--config`.

Paths are absolute; certificates and keys are PEM files. The node side has its own in
`kubelet.config` and `runtime.config`.
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
        leftovers: Files and folders to remove when the supervisor vanished without doing so.
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
    leftovers: tuple[str, ...] = ()
    nodes: tuple[str, ...] = ("node-a", "node-b")
    workloads: bool = True
    pods: int = 0
    churn: float = 0.0
    seed: int | None = None
    replace_delay_s: float = 0.0
    history: int = 4096


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
