"""What a runtime is told at its start, and what can be changed while it runs."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tui_forward.minicluster.runtime.shim_protocol import NetworkKind
from tui_forward.protocol.portforward_server import FailureStyle


class DialMode(StrEnum):
    """How a forwarded connection reaches the application."""

    EMBEDDED = "embedded"  # the streaming server dials inside the pod's network
    RELAY = "relay"  # a helper process in the pod does (`nsenter … socat`), as in dockershim


class RuntimeBehavior(msgspec.Struct, kw_only=True):
    """Behaviour that differs between real runtimes, and faults; changeable at run time.

    Attributes:
        failure_style: What follows a failed connection on the wire.
        backpressure: Five workers with 50 frames each, as spdystream has: one reader that
            stops stalls the whole tunnel. Off: only a bounded amount per connection does.
        go_writes: Write each SPDY field on its own, as Go does, instead of whole frames.
        linger_s: How long the second direction of a connection may outlive the first.
        pair_timeout_s: How long half a pair waits for the other half.
        idle_s: How long a tunnel may live without a frame.
        token_life_s: How long a streaming URL is good for.
        max_tokens: How many streaming URLs may wait for their request.
        no_protocol_status: Answer to an upgrade without `X-Stream-Protocol-Version`: 200 with
            nothing, as old libraries do, or 400.
        dial_delay_s: Wait before dialling the application.
        refuse: Dial nothing; every connection is refused.
    """

    failure_style: FailureStyle = FailureStyle.TEXT_THEN_FIN
    backpressure: bool = True
    go_writes: bool = False
    linger_s: float = 1.0
    pair_timeout_s: float = 30.0
    idle_s: float = 4 * 3600.0
    token_life_s: float = 60.0
    max_tokens: int = 1000
    no_protocol_status: int = 200
    dial_delay_s: float = 0.0
    refuse: bool = False


class RuntimeConfig(msgspec.Struct, kw_only=True, frozen=True):
    """One runtime: the CRI service and its streaming server.

    Its ready line: `{"ready": true, "pid": …, "streaming_port": …, "network": "netns"}`.

    Attributes:
        name: Name of the node, for logs.
        state_dir: A folder of its own; the shim's socket lies in it.
        listen: Path of the unix socket of the CRI service.
        control: Path of its control socket, empty for none.
        owner_pid: The pods end when this process does; 0: the parent of this process.
        driver: See `Driver`.
        network: Force a kind of network; None takes the best there is.
        pod_cidr: Addresses of its pods (/24 to /16).
        streaming_host: Address of the streaming server.
        streaming_port: 0 picks a free one.
        seed: Makes sandbox and container ids the same on every start; None for random ones.
        switches: See `Switches`.
    """

    name: str
    state_dir: str
    listen: str
    control: str = ""
    owner_pid: int = 0
    driver: DialMode = DialMode.EMBEDDED
    network: NetworkKind | None = None
    pod_cidr: str = "10.244.1.0/24"
    streaming_host: str = "127.0.0.1"
    streaming_port: int = 0
    seed: int | None = None
    switches: RuntimeBehavior = msgspec.field(default_factory=RuntimeBehavior)
