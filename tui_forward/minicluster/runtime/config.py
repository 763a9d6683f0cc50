"""Configuration of a runtime process, and the behavior that can be changed while it runs."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tui_forward.minicluster.runtime.shim_protocol import NetworkKind
from tui_forward.protocol.portforward_server import FailureStyle


class DialMode(StrEnum):
    """How a forwarded connection reaches the application."""

    EMBEDDED = "embedded"  # the streaming server dials inside the pod's network
    RELAY = "relay"  # a helper process in the pod dials (`nsenter … socat`), as in dockershim


class RuntimeBehavior(msgspec.Struct, kw_only=True):
    """Behavior that differs between real runtimes, and faults; changeable at run time."""

    # What follows a failed connection on the wire.
    failure_style: FailureStyle = FailureStyle.TEXT_THEN_FIN
    # Five workers with 50 frames each, as in spdystream: one reader that stops stalls the whole
    # tunnel. Off: only a bounded amount per connection is queued.
    backpressure: bool = True
    go_writes: bool = False  # write each SPDY field separately, as Go does, instead of whole frames
    # How long one direction of a connection may continue after the other has ended.
    drain_timeout_s: float = 1.0
    pair_timeout_s: float = 30.0  # how long half a pair waits for the other half
    idle_s: float = 4 * 3600.0  # how long a tunnel may go without a frame
    token_life_s: float = 60.0  # how long a streaming URL is valid
    max_tokens: int = 1000  # how many streaming URLs may be pending
    # Response to an upgrade without `X-Stream-Protocol-Version`: an empty 200, as from old
    # libraries, or 400.
    no_protocol_status: int = 200
    dial_delay_s: float = 0.0  # wait before dialing the application
    refuse: bool = False  # refuse every connection without dialing
    crio_texts: bool = False  # use CRI-O's error texts instead of containerd's


class RuntimeConfig(msgspec.Struct, kw_only=True, frozen=True):
    """Configuration of one runtime: the CRI service and its streaming server.

    Its ready line: `{"ready": true, "pid": …, "streaming_port": …, "socket": "…"}`.
    """

    state_dir: str  # folder of the shim's socket and log
    listen: str  # path of the unix socket of the CRI service
    control: str = ""  # path of the control socket, empty for none
    owner_pid: int = 0  # the pods end when this process does; 0: the parent of this process
    driver: DialMode = DialMode.EMBEDDED  # how applications are dialed
    network: NetworkKind | None = None  # kind of pod network; None picks the best available
    pod_cidr: str = "10.244.1.0/24"  # addresses of the pods (/24 to /16)
    streaming_host: str = "127.0.0.1"  # address of the streaming server
    streaming_port: int = 0  # port of the streaming server; 0 picks a free one
    seed: int | None = None  # makes sandbox and container ids reproducible; None for random ones
    behavior: RuntimeBehavior = msgspec.field(default_factory=RuntimeBehavior)
