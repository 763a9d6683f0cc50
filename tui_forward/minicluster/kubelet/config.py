"""Configuration of a kubelet process."""

from __future__ import annotations

import msgspec


class KubeletConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Configuration of one kubelet.

    Its ready line: `{"ready": true, "pid": …, "port": 10250}`, printed once it serves and its
    Node has been registered.

    Attributes:
        node: Name of the node and of its Node object.
        state_dir: Folder for container logs and the last port.
        server: URL of the API server.
        ca: CA certificate of the API server, empty for plain http.
        client_cert: Client certificate for the API server: `O=system:nodes, CN=system:node:<node>`.
        client_key: Its key.
        serving_cert: Certificate of the HTTPS API.
        serving_key: Its key.
        client_ca: CA certificate of clients of the HTTPS API.
        runtime_endpoint: CRI socket, `unix:///…`.
        control: Path of the control socket, empty for none.
        listen: Address of the HTTPS API, also reported as the node's InternalIP.
        port: 0 picks the previous port if it is free, else any.
        allowed_groups: Organizations of client certificates that are authorized.
        labels: Labels of the Node.
        relist_s: Poll interval for runtimes that send no events.
        heartbeat_s: Interval between reports of the Node's status.
        crash_backoff_s: Delay before the second consecutive restart; doubles from then on.
        crash_backoff_max_s: Longest such delay.
        crash_reset_s: Uptime of a container after which the delay starts over.
        pull_backoff_s: Delay after a failed pull; doubles up to `crash_backoff_max_s`.
        probe_fast_s: Longest period of readiness probes until the first success.
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
