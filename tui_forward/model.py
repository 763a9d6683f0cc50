"""The language of the program: frozen, serialisable structs that every layer shares.

Nothing here does I/O, and nothing here imports the rest of the package. Everything that
crosses the door between a front end and the engine (see `session`) is one of these types,
so each of them survives a round trip through JSON or MessagePack. Those that come by the ten
thousand hold nothing that could hold them, and spare the garbage collector (`gc=False`).

Units: times are seconds since the epoch (`*_at`) or durations in seconds (`*_s`); amounts
of data are bytes; rates are bytes per second. "from the pod" is what a download counts,
"to the pod" what an upload counts.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

# --------------------------------------------------------------------------------------
# What a person asks for
# --------------------------------------------------------------------------------------


class TargetKind(StrEnum):
    """What a forward points at; the values are kubectl's short names."""

    POD = "pod"
    SERVICE = "svc"
    DEPLOYMENT = "deploy"
    STATEFULSET = "sts"
    DAEMONSET = "ds"
    REPLICASET = "rs"
    JOB = "job"
    SELECTOR = "selector"


class TransportChoice(StrEnum):
    """How the tunnel is spoken; `AUTO` tries the others in this order."""

    AUTO = "auto"
    SPDY = "spdy"
    WEBSOCKET = "websocket"
    CHANNELS = "channels"


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """An object of a cluster and one port of it.

    Attributes:
        context: kubeconfig context; never empty once a spec reaches the engine.
        namespace: Never empty once a spec reaches the engine.
        kind: What `name` names.
        name: Object name, or a label selector when `kind` is `SELECTOR`.
        port: Port number in decimal, or the name of a port. For a service: a service port.
        pin: Keep to exactly this pod name instead of following its owner.
    """

    context: str
    namespace: str
    kind: TargetKind
    name: str
    port: str
    pin: bool = False

    def __str__(self) -> str:
        """`namespace/kind/name:port`, as the dashboard and messages show it."""
        what = f"-l {self.name}" if self.kind is TargetKind.SELECTOR else f"{self.kind}/{self.name}"
        return f"{self.namespace}/{what}:{self.port}"


class ForwardDefaults(msgspec.Struct, frozen=True, kw_only=True):
    """What counts where a person says nothing of it; their settings may say otherwise.

    Attributes:
        addresses: See `ForwardSpec`, as for the others.
    """

    addresses: tuple[str, ...] = ("localhost",)
    queue_timeout_s: float = 30.0
    half_close_timeout_s: float = 5.0

    def spec(self, target: Target) -> ForwardSpec:
        """A forward of which nothing is said but where it goes."""
        return ForwardSpec(
            target=target,
            addresses=self.addresses,
            queue_timeout_s=self.queue_timeout_s,
            half_close_timeout_s=self.half_close_timeout_s,
        )


BUILT_IN = ForwardDefaults()


class ForwardSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a person can say about one forward.

    Attributes:
        target: Where it goes.
        local_port: A number is an explicit wish, and an error if it is taken. 0 is any free
            port. None is the target's own number if it is free and not privileged, else the
            next free one.
        addresses: Local addresses to listen on; "localhost" means 127.0.0.1 and ::1, of
            which only one is needed.
        transport: Force a transport, or let the program choose.
        queue_timeout_s: How long a connection is held while no tunnel is up.
        half_close_timeout_s: How long the pod may stay silent after the client's end of file before
            the connection is closed towards the pod.
        label: A word of the person's own to group and find forwards by.
        name: What it is called in its profile, if it is of one.
        profile: Which profile that is (`profiles.Profile.id`).
    """

    target: Target
    local_port: int | None = None
    addresses: tuple[str, ...] = BUILT_IN.addresses
    transport: TransportChoice = TransportChoice.AUTO
    queue_timeout_s: float = BUILT_IN.queue_timeout_s
    half_close_timeout_s: float = BUILT_IN.half_close_timeout_s
    label: str = ""
    name: str = ""
    profile: str = ""


# --------------------------------------------------------------------------------------
# What became of it
# --------------------------------------------------------------------------------------


class ForwardState(StrEnum):
    """Where a forward stands. Each state is shown with a reason in words."""

    STARTING = "starting"  # opening the local listener
    WAITING = "waiting"  # no usable pod yet
    CONNECTING = "connecting"  # a pod is chosen, no tunnel yet
    READY = "ready"  # a tunnel is upgraded and answers PINGs
    RECONNECTING = "reconnecting"  # was ready, is not, tries again
    BLOCKED = "blocked"  # only a person can help
    STOPPED = "stopped"


class BlockedBy(StrEnum):
    """What a blocked forward waits for."""

    CREDENTIALS = "credentials"
    FORBIDDEN = "forbidden"
    PORT = "port"
    TARGET = "target"
    CONFIG = "config"


class PodRef(msgspec.Struct, frozen=True, kw_only=True):
    """One incarnation of a pod."""

    namespace: str
    name: str
    uid: str
    node: str = ""


class LocalAddress(msgspec.Struct, frozen=True):
    """One address a forward listens on."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Counters(msgspec.Struct, frozen=True, kw_only=True):
    """Totals since the forward (or the program) started; they survive reconnects.

    `bytes_from_pod` counts what the local sockets took, `bytes_to_pod` what was read from
    the local sockets and handed to a tunnel: both are what the application counts.
    """

    bytes_from_pod: int = 0
    bytes_to_pod: int = 0
    rate_from_pod: float = 0.0
    rate_to_pod: float = 0.0
    connections_open: int = 0
    connections_total: int = 0
    connections_failed: int = 0


class TimelineKind(StrEnum):
    """What a line of a forward's timeline is about."""

    STATE = "state"
    POD = "pod"
    TUNNEL = "tunnel"
    CONNECTION = "connection"
    NOTE = "note"


class TimelineEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened to a forward, in words."""

    at: float
    kind: TimelineKind
    text: str


class Forward(msgspec.Struct, frozen=True, kw_only=True):
    """A forward as it stands at one instant.

    Attributes:
        id: Short and stable for the life of the forward ("f1").
        state: See `ForwardState`; `reason` puts it in words and is never empty.
        reason: Why the forward is in this state.
        hint: What a person can do, if anything.
        blocked_by: Set exactly when `state` is `BLOCKED`.
        since: When `state` was entered.
        retry_at: When the next try begins, where the state waits for a clock.
        paused: Stopped by the person with the intention to go on.
        listening: The addresses that really listen; empty before the listener is open.
        pod: The pod behind it now, or the last one.
        remote_port: The container port in use, None until resolved.
        transport: The transport in use, None without a tunnel.
        tunnels: How many tunnels are up.
        round_trip_s: Latest PING round trip through the whole chain.
        queued: Connections held until a tunnel is up.
        last_event: The latest timeline text about something that went wrong.
    """

    id: str
    spec: ForwardSpec
    state: ForwardState
    reason: str
    hint: str = ""
    blocked_by: BlockedBy | None = None
    since: float = 0.0
    started_at: float = 0.0
    retry_at: float | None = None
    paused: bool = False
    listening: tuple[LocalAddress, ...] = ()
    pod: PodRef | None = None
    remote_port: int | None = None
    transport: TransportChoice | None = None
    tunnels: int = 0
    round_trip_s: float | None = None
    queued: int = 0
    counters: Counters = Counters()
    last_event: str = ""


class TrafficHistory(msgspec.Struct, frozen=True, kw_only=True):
    """What flowed through a forward lately.

    Attributes:
        seconds: Bytes from and to the pod within each of the last seconds, oldest first; of ten
            minutes at most.
    """

    forward_id: str
    seconds: tuple[tuple[int, int], ...]


class ConnectionState(StrEnum):
    """Where one local connection stands."""

    QUEUED = "queued"  # accepted, no tunnel yet
    OPEN = "open"
    CLOSING = "closing"  # one side has ended
    CLOSED = "closed"


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """One accepted local connection at one instant.

    Attributes:
        process: "psql (4211)" where the system tells, else empty.
        first_byte_s: From accept to the first byte delivered from the pod.
        close_reason: Why it ended, in words; empty while it lives.
        failed: Whether it ended otherwise than by both sides' wish.
    """

    id: int
    forward_id: str
    client: str
    process: str = ""
    state: ConnectionState = ConnectionState.QUEUED
    opened_at: float = 0.0
    closed_at: float | None = None
    bytes_from_pod: int = 0
    bytes_to_pod: int = 0
    rate_from_pod: float = 0.0
    rate_to_pod: float = 0.0
    first_byte_s: float | None = None
    close_reason: str = ""
    failed: bool = False


# --------------------------------------------------------------------------------------
# The picture of a cluster
# --------------------------------------------------------------------------------------


class PortProtocol(StrEnum):
    """Transport protocol of a declared port; only TCP can be forwarded."""

    TCP = "TCP"
    UDP = "UDP"
    SCTP = "SCTP"


class DeclaredPort(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A port a container or a service declares.

    Attributes:
        container: Name of the container; empty for a service port.
        target: Of a service port, its `targetPort` as written ("http", "8080"), else empty.
    """

    number: int
    name: str = ""
    protocol: PortProtocol = PortProtocol.TCP
    container: str = ""
    target: str = ""


class OwnerRef(msgspec.Struct, frozen=True, gc=False):
    """Kind ("ReplicaSet") and name of the controller that owns an object."""

    kind: str
    name: str


class Pod(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A pod as far as this program cares; timestamps are epoch seconds, 0 when absent.

    Attributes:
        phase: "Running", "Pending", …
        status: What kubectl prints in STATUS ("CrashLoopBackOff", "Terminating", …).
        message: Why it is not running, in the cluster's words; may be empty.
        ready: The Ready condition.
        ready_since: Last transition of the Ready condition.
        containers_ready: How many containers are ready, of `containers_total`.
        restarts: What kubectl prints in RESTARTS.
        max_restarts: Most restarts of any one container, by which kubectl chooses.
        container_ids: Identity of the running containers; changes on a restart.
        owner: Its controller, after following a ReplicaSet to its Deployment where known.
    """

    namespace: str
    name: str
    uid: str
    resource_version: str = ""
    phase: str = ""
    status: str = ""
    message: str = ""
    ready: bool = False
    ready_since: float = 0.0
    containers_ready: int = 0
    containers_total: int = 0
    restarts: int = 0
    max_restarts: int = 0
    created_at: float = 0.0
    deleting: bool = False
    node: str = ""
    ip: str = ""
    labels: dict[str, str] = {}
    owner: OwnerRef | None = None
    ports: tuple[DeclaredPort, ...] = ()
    container_ids: tuple[str, ...] = ()


class Workload(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A Deployment, StatefulSet, DaemonSet, ReplicaSet or Job."""

    namespace: str
    name: str
    kind: TargetKind
    uid: str = ""
    resource_version: str = ""
    selector: str = ""  # label selector in kubectl's syntax
    replicas: int = 0
    ready: int = 0
    created_at: float = 0.0
    owner: OwnerRef | None = None


class Service(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A Service; `selector` is empty for one without pods of its own."""

    namespace: str
    name: str
    uid: str = ""
    resource_version: str = ""
    type: str = "ClusterIP"
    cluster_ip: str = ""
    selector: str = ""
    ports: tuple[DeclaredPort, ...] = ()
    created_at: float = 0.0

    @property
    def headless(self) -> bool:
        """Whether there is no virtual address; then kubectl does not map ports, nor do we."""
        return self.cluster_ip == "None"


class Namespace(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A namespace."""

    name: str
    status: str = "Active"
    created_at: float = 0.0
    resource_version: str = ""


class ResourceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How well one resource is known in one scope.

    Attributes:
        resource: "pods", "services", …
        synced: Whether the first list is complete.
        count: Objects known now.
        error: Why it is not live, in one sentence, else empty.
        hint: What to do about it.
        forbidden: The error is RBAC's ("list pods in namespace shop").
    """

    resource: str
    synced: bool = False
    count: int = 0
    error: str = ""
    hint: str = ""
    forbidden: bool = False


class ApiHealth(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one context's API server.

    `ok` is None until the first answer.
    """

    context: str
    server: str = ""
    ok: bool | None = None
    latency_s: float | None = None
    version: str = ""
    error: str = ""
    hint: str = ""
    blocked_by: BlockedBy | None = None


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """A kubeconfig context by name; no credentials."""

    name: str
    cluster: str
    namespace: str = "default"
    current: bool = False


class CatalogScope(msgspec.Struct, frozen=True):
    """What part of a cluster is looked at; an empty namespace means all of them."""

    context: str
    namespace: str = ""


class CatalogView(msgspec.Struct, frozen=True, kw_only=True):
    """The picture of a scope, or what changed in it since a version.

    Attributes:
        version: Grows with every change; ask for changes since this one next time.
        complete: True: the lists are the whole picture. False: they hold only what was
            added or changed, and `removed` names what is gone.
        removed: Keys `resource/namespace/name` ("pods/shop/web-1").
    """

    scope: CatalogScope
    version: int
    complete: bool
    namespaces: tuple[Namespace, ...] = ()
    pods: tuple[Pod, ...] = ()
    services: tuple[Service, ...] = ()
    workloads: tuple[Workload, ...] = ()
    removed: tuple[str, ...] = ()
    resources: tuple[ResourceStatus, ...] = ()
    health: ApiHealth | None = None


# --------------------------------------------------------------------------------------
# Resolution: from a target to one pod and one container port
# --------------------------------------------------------------------------------------


class Resolved(msgspec.Struct, frozen=True, kw_only=True, tag="resolved"):
    """A usable pod and the port to dial in it.

    Attributes:
        ready: The pod's Ready condition: whether a refusal is to be believed.
        incarnation: Changes whenever a container of the pod was restarted.
    """

    pod: PodRef
    port: int
    ready: bool = True
    incarnation: str = ""


class Unresolved(msgspec.Struct, frozen=True, kw_only=True, tag="unresolved"):
    """No usable pod now.

    Attributes:
        reason: Why, in words ("0 of 2 pods of deploy/web are ready: web-1 is Pending").
        blocked_by: Set when waiting cannot help.
        pending: Nothing is known yet: it is still being looked for.
    """

    reason: str
    hint: str = ""
    blocked_by: BlockedBy | None = None
    is_loading: bool = False


Resolution = Resolved | Unresolved


# --------------------------------------------------------------------------------------
# The way a connection goes
# --------------------------------------------------------------------------------------


class HopKind(StrEnum):
    """One station on the way from a client to the application, in this order."""

    LOCAL = "local"
    API = "api"
    KUBELET = "kubelet"
    RUNTIME = "runtime"
    POD = "pod"
    PORT = "port"


class HopState(StrEnum):
    """Whether a station works, as far as is known."""

    OK = "ok"
    BROKEN = "bad"
    UNKNOWN = "unknown"


class Hop(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one station.

    Attributes:
        name: What it is called ("127.0.0.1:8080", "node-a", "web-6d8c-x2k"); empty if unknown.
        facts: Address, version, … in a few words each, the most telling first.
        latency_s: Round trip to it, where that is measured.
        error: What went wrong there last, in one sentence; empty if nothing did.
        hint: What to do about it.
    """

    kind: HopKind
    name: str = ""
    facts: tuple[str, ...] = ()
    state: HopState = HopState.UNKNOWN
    latency_s: float | None = None
    error: str = ""
    hint: str = ""


class PodLog(msgspec.Struct, frozen=True, kw_only=True):
    """The last lines a container of a pod has written.

    Attributes:
        containers: All containers of the pod whose logs can be asked for.
        lines: Oldest first, without line ends.
    """

    pod: str
    container: str
    containers: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()


# --------------------------------------------------------------------------------------
# What front ends read
# --------------------------------------------------------------------------------------


class EngineNotice(msgspec.Struct, frozen=True, kw_only=True):
    """Something the engine process did, or could not do, without being asked.

    Attributes:
        number: Counts up, from 1 with every engine process.
        about: A profile.
        bad: Something is wrong, and needs a person.
    """

    number: int
    at: float
    profile: str
    text: str
    is_problem: bool = False


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The whole session at one instant, without the catalogue.

    `version` grows with every change other than counters and rates. `kept` says that the
    forwards go on when no front end is left (`Session.keep`); `notices` are the latest few.
    """

    version: int
    at: float
    keep_running: bool = False
    forwards: tuple[Forward, ...] = ()
    totals: Counters = Counters()
    health: tuple[ApiHealth, ...] = ()
    notices: tuple[EngineNotice, ...] = ()


class EventKind(StrEnum):
    """The `event` field of `--json` output."""

    LISTENING = "listening"
    STATE = "state"
    CONNECTION_OPENED = "connection.opened"
    CONNECTION_CLOSED = "connection.closed"
    STOPPED = "stopped"


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something that happened, as one JSON object; `sequence` has no gaps within a session.

    `forward` is the forward's id; `state` and `reason` are set for STATE and STOPPED,
    `listening` for LISTENING, `connection` for the CONNECTION kinds.
    """

    event: EventKind
    time: float
    forward: str
    sequence: int = 0
    target: str = ""
    state: ForwardState | None = None
    reason: str = ""
    hint: str = ""
    listening: tuple[LocalAddress, ...] = ()
    remote_port: int | None = None
    connection: Connection | None = None
