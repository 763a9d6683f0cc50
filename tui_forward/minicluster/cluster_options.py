"""Options of an embedded cluster."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

RUNTIMES = ("embedded", "relay", "containerd")


@dataclass(frozen=True)
class ClusterOptions:
    """Options of an embedded cluster.

    Attributes:
        folder: Folder for all files; None for a temporary one.
        port: Port of the API server; 0 for any.
        runtime: One of `RUNTIMES`.
        nodes: Names of the nodes.
        pods: Number of synthetic pods.
        churn: Changes of synthetic pods per second.
        seed: Seed of names and UIDs; None for random ones.
        plain_http: Serve the API without TLS and treat every user as the administrator.
        workloads: Create the sample workloads.
        settle: Wait until every pod that can run is ready.
        containerd_socket: Socket of the containerd runtime.
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
