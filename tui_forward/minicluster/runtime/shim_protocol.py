"""What runtime and shim say to each other: one JSON object per line over a unix socket.

The shim is the memory of a node: it holds every sandbox and container with the configuration
it was made from, so that a new runtime process knows what the old one knew. It sends the new
state of an object to everybody whenever it changes, and then answers the request that caused it.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from tui_forward.errors import TuiForwardError

Address = tuple[str, int]


class ShimError(TuiForwardError):
    """The shim cannot do what was asked, or is gone."""


class NetworkKind(StrEnum):
    """How a pod gets a network of its own."""

    NETNS = "netns"  # a network namespace; ports are the application's own
    LOOPBACK = "loopback"  # an address of 127.0.0.0/8; ports are its own where it may bind them
    MAPPED = "mapped"  # 127.0.0.1; every port is somewhere else


class Sandbox(msgspec.Struct, kw_only=True):
    """A pod sandbox.

    Attributes:
        config: The CRI's `PodSandboxConfig`, serialised.
        created_at: Nanoseconds since the epoch, as everywhere in the CRI.
        ip: The pod's address as the cluster sees it.
        host: Where its applications listen, as far as the node is concerned.
        netns: Path through which the namespace can be opened, empty without one.
        label: What error texts call the namespace.
    """

    id: str
    config: bytes
    created_at: int
    ip: str
    network: NetworkKind
    host: str
    netns: str = ""
    label: str = ""
    ready: bool = True


class Container(msgspec.Struct, kw_only=True):
    """A container.

    Attributes:
        config: The CRI's `ContainerConfig`, serialised.
        log: Path of its log, empty for none.
        pid: 0 unless it runs.
        up: The application said that it is ready to serve.
        listening: Where each port of the pod really is, for networks that map ports.
    """

    id: str
    sandbox_id: str
    config: bytes
    created_at: int
    log: str = ""
    started_at: int = 0
    finished_at: int = 0
    exit_code: int = 0
    signalled: bool = False
    error: str = ""
    pid: int = 0
    up: bool = False
    listening: dict[int, Address] = {}

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self.pid > 0


# -- requests --


class Request(msgspec.Struct, kw_only=True, tag_field="op"):
    """Asked by the runtime; `seq` comes back with the answer."""

    seq: int = 0


class RunSandbox(Request, tag="run-sandbox"):
    """Make a sandbox; `network` None picks the best this system has."""

    id: str
    config: bytes
    ip: str
    label: str
    network: NetworkKind | None = None


class StopSandbox(Request, tag="stop-sandbox"):
    """Kill its containers, give up its network."""

    id: str


class RemoveSandbox(Request, tag="remove-sandbox"):
    """Forget a stopped sandbox with its containers."""

    id: str


class CreateContainer(Request, tag="create-container"):
    """Take note of a container."""

    id: str
    sandbox_id: str
    config: bytes
    log: str


class StartContainer(Request, tag="start-container"):
    """Start the process of a container."""

    id: str
    app: str
    args: list[str]
    env: dict[str, str]


class SignalContainer(Request, tag="signal-container"):
    """Send a signal to a container's processes; nothing happens if it has ended."""

    id: str
    signal: int


class RemoveContainer(Request, tag="remove-container"):
    """Forget a container that does not run."""

    id: str


class Shutdown(Request, tag="end"):
    """Kill everything, answer, exit."""


AnyRequest = (
    RunSandbox
    | StopSandbox
    | RemoveSandbox
    | CreateContainer
    | StartContainer
    | SignalContainer
    | RemoveContainer
    | Shutdown
)

# -- answers and events --


class Hello(msgspec.Struct, kw_only=True, tag_field="event", tag="hello"):
    """The first message to every client: everything there is."""

    pid: int
    sandboxes: list[Sandbox]
    containers: list[Container]


class SandboxChanged(msgspec.Struct, kw_only=True, tag_field="event", tag="sandbox"):
    """The new state of a sandbox."""

    sandbox: Sandbox


class SandboxRemoved(msgspec.Struct, kw_only=True, tag_field="event", tag="sandbox-removed"):
    """A sandbox was forgotten."""

    id: str


class ContainerChanged(msgspec.Struct, kw_only=True, tag_field="event", tag="container"):
    """The new state of a container."""

    container: Container


class ContainerRemoved(msgspec.Struct, kw_only=True, tag_field="event", tag="container-removed"):
    """A container was forgotten."""

    id: str


class Reply(msgspec.Struct, kw_only=True, tag_field="event", tag="answer"):
    """The end of a request; `error` is empty if it was done."""

    seq: int
    error: str = ""


AnyMessage = Hello | SandboxChanged | SandboxRemoved | ContainerChanged | ContainerRemoved | Reply

encode = msgspec.json.Encoder().encode
decode_request = msgspec.json.Decoder(AnyRequest).decode
decode_message = msgspec.json.Decoder(AnyMessage).decode
