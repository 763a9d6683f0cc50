"""Configuration of a kubelet process."""

from __future__ import annotations

import msgspec


class KubeletConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Configuration of one kubelet.

    Its ready line: `{"ready": true, "pid": …, "port": 10250}`, printed once it serves and its
    Node has been registered.
    """

    node: str  # name of the node and of its Node object
    state_dir: str  # folder for container logs and the last port
    server: str  # URL of the API server
    ca: str  # CA certificate of the API server, empty for plain http
    # Client certificate for the API server: `O=system:nodes, CN=system:node:<node>`.
    client_cert: str
    client_key: str  # its key
    serving_cert: str  # certificate of the HTTPS API
    serving_key: str  # its key
    client_ca: str  # CA certificate of clients of the HTTPS API
    runtime_endpoint: str  # CRI socket, `unix:///…`
    control: str = ""  # path of the control socket, empty for none
    listen: str = "127.0.0.1"  # address of the HTTPS API, also reported as the node's InternalIP
    port: int = 0  # 0 picks the previous port if it is free, else any
    # Organizations of client certificates that are authorized.
    allowed_groups: tuple[str, ...] = ("system:masters",)
    labels: dict[str, str] = {}  # labels of the Node
    relist_s: float = 0.5  # poll interval for runtimes that send no events
    heartbeat_s: float = 30.0  # interval between reports of the Node's status
    # Delay before the second consecutive restart; doubles from then on.
    crash_backoff_s: float = 1.0
    crash_backoff_max_s: float = 20.0  # longest such delay
    crash_reset_s: float = 10.0  # uptime of a container after which the delay starts over
    pull_backoff_s: float = 1.0  # delay after a failed pull; doubles up to `crash_backoff_max_s`
    probe_fast_s: float = 0.1  # longest period of readiness probes until the first success
