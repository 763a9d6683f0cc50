"""Messages between runtime and shim: one JSON object per line over a unix socket.

The shim keeps the state of a node: every sandbox and container with its configuration, so that a
new runtime process can continue. It sends the new state of an object to all clients whenever it
changes, and then the reply to the request that caused it.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tui_forward.errors import TuiForwardError

Address = tuple[str, int]


class ShimError(TuiForwardError):
    """The shim cannot carry out a request, or is not running."""


class NetworkKind(StrEnum):
    """How a pod gets a network of its own."""

    NETNS = "netns"  # a network namespace; ports are the application's
    LOOPBACK = "loopback"  # an address of 127.0.0.0/8; ports are the application's if permitted
    MAPPED = "mapped"  # 127.0.0.1; every port is mapped to another one


class Sandbox(msgspec.Struct, kw_only=True):
    """A pod sandbox."""

    id: str
    config: bytes  # the CRI's `PodSandboxConfig`, serialized
    created_at: int  # nanoseconds since the epoch, as everywhere in the CRI
    ip: str  # address of the pod in the cluster
    network: NetworkKind
    host: str  # address its applications listen on, without a network namespace
    netns: str = ""  # path through which the namespace can be opened, empty without one
    label: str = ""  # name of the namespace in error texts
    ready: bool = True


class Container(msgspec.Struct, kw_only=True):
    """A container."""

    id: str
    sandbox_id: str
    config: bytes  # the CRI's `ContainerConfig`, serialized
    created_at: int
    log_path: str = ""  # path of its log, empty for none
    started_at: int = 0
    finished_at: int = 0
    exit_code: int = 0
    reason: str = ""  # why it ended, if it is not its exit code ("OOMKilled", "StartError")
    message: str = ""  # the same in words
    pid: int = 0  # 0 unless it runs
    ready: bool = False  # whether the application reported that it is ready to serve
    # Address of each port of the pod, for networks that map ports.
    listening: dict[int, Address] = {}

    @property
    def running(self) -> bool:
        """Whether its process exists."""
        return self.pid > 0


# -- requests --


class Request(msgspec.Struct, kw_only=True, tag_field="op"):
    """A request of the runtime; the reply has the same `seq`."""

    seq: int = 0


class RunSandbox(Request, tag="run-sandbox"):
    """Create a sandbox; `network` None picks the best available kind."""

    id: str
    config: bytes
    ip: str
    label: str
    network: NetworkKind | None = None


class StopSandbox(Request, tag="stop-sandbox"):
    """Kill the containers of a sandbox and release its network."""

    id: str


class RemoveSandbox(Request, tag="remove-sandbox"):
    """Stop and remove a sandbox with its containers."""

    id: str


class CreateContainer(Request, tag="create-container"):
    """Create a container without starting it."""

    id: str
    sandbox_id: str
    config: bytes
    log_path: str


class StartContainer(Request, tag="start-container"):
    """Start the process of a container."""

    id: str
    app: str
    args: list[str]
    env: dict[str, str]


class FailContainer(Request, tag="fail-container"):
    """End a container that cannot be started."""

    id: str
    message: str


class SignalContainer(Request, tag="signal-container"):
    """Send a signal to a container's processes; no effect if it has exited."""

    id: str
    signal: int


class RemoveContainer(Request, tag="remove-container"):
    """Remove a container that is not running."""

    id: str


class Shutdown(Request, tag="shutdown"):
    """Kill all containers, reply, and exit."""


AnyRequest = (
    RunSandbox
    | StopSandbox
    | RemoveSandbox
    | CreateContainer
    | StartContainer
    | FailContainer
    | SignalContainer
    | RemoveContainer
    | Shutdown
)

# -- replies and events --


class Snapshot(msgspec.Struct, kw_only=True, tag_field="event", tag="snapshot"):
    """All sandboxes and containers: the first message to every client."""

    pid: int
    sandboxes: list[Sandbox]
    containers: list[Container]


class SandboxChanged(msgspec.Struct, kw_only=True, tag_field="event", tag="sandbox"):
    """New state of a sandbox."""

    sandbox: Sandbox


class SandboxRemoved(msgspec.Struct, kw_only=True, tag_field="event", tag="sandbox-removed"):
    """Removal of a sandbox."""

    id: str


class ContainerChanged(msgspec.Struct, kw_only=True, tag_field="event", tag="container"):
    """New state of a container."""

    container: Container


class ContainerRemoved(msgspec.Struct, kw_only=True, tag_field="event", tag="container-removed"):
    """Removal of a container."""

    id: str


class Reply(msgspec.Struct, kw_only=True, tag_field="event", tag="reply"):
    """Outcome of a request; `error` is empty if it succeeded."""

    seq: int
    error: str = ""


AnyMessage = (
    Snapshot | SandboxChanged | SandboxRemoved | ContainerChanged | ContainerRemoved | Reply
)

encode = msgspec.json.Encoder().encode
decode_request = msgspec.json.Decoder(AnyRequest).decode
decode_message = msgspec.json.Decoder(AnyMessage).decode
