"""What a kubelet is told at its start."""

from __future__ import annotations

import msgspec


class KubeletConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One kubelet.

    Its ready line: `{"ready": true, "pid": …, "port": 10250}`, said once it serves and its Node
    has been reported.

    Attributes:
        node: Name of the node, and of the Node object it keeps.
        state_dir: A folder of its own: logs of containers, its last port.
        server: URL of the API server.
        ca: The API server's authority, empty for plain http.
        client_cert: Towards the API server: `O=system:nodes, CN=system:node:<node>`.
        client_key: Its key.
        serving_cert: For its own HTTPS API.
        serving_key: Its key.
        client_ca: Authority of those who may ask it.
        runtime_endpoint: CRI socket, `unix:///…`.
        control: Path of its control socket, empty for none.
        listen: Address of its API, also reported as the node's InternalIP.
        port: 0 takes the port of the last time if it is free, else any.
        allowed_groups: Organisations of client certificates that may do everything.
        labels: Labels of the Node.
        relist_s: How often the runtime is looked at if it sends no events.
        heartbeat_s: How often the Node's status is reported.
        crash_backoff_s: Wait before the second restart in a row; doubles from then on.
        crash_backoff_max_s: The longest such wait.
        crash_reset_s: A container that lived this long has not crashed in a row.
        pull_backoff_s: Wait after a failed pull; doubles up to `crash_backoff_max_s`.
        probe_fast_s: Readiness probes of a container that was never ready are this close,
            however long their period is.
    """

    node: str
    state_dir: str
    server: str
    ca: str
    client_cert: str
    client_key: str
    serving_cert: str
    serving_key: str
    client_ca: str
    runtime_endpoint: str
    control: str = ""
    listen: str = "127.0.0.1"
    port: int = 0
    allowed_groups: tuple[str, ...] = ("system:masters",)
    labels: dict[str, str] = {}
    relist_s: float = 0.5
    heartbeat_s: float = 30.0
    crash_backoff_s: float = 1.0
    crash_backoff_max_s: float = 20.0
    crash_reset_s: float = 10.0
    pull_backoff_s: float = 1.0
    probe_fast_s: float = 0.1
