"""Frozen, serializable structs that all layers share. No I/O; imports `known_secrets` only.

Everything that passes between a front end and the engine (see `session`) is one of these types, so
each of them survives a round trip through JSON or MessagePack. Structs of large lists cannot be
part of a reference cycle and are exempt from garbage collection (`gc=False`).

Units: times are seconds since the epoch (`*_at`) or durations in seconds (`*_s`); amounts of data
are bytes; rates are bytes per second. "From the pod" is a download, "to the pod" an upload.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from tui_forward.known_secrets import hide

# Requested forwards -------------------------------------------------------------------


class TargetKind(StrEnum):
    """Kind of a forward's target; the values are kubectl's short names."""

    POD = "pod"
    SERVICE = "svc"
    DEPLOYMENT = "deploy"
    STATEFULSET = "sts"
    DAEMONSET = "ds"
    REPLICASET = "rs"
    REPLICATION_CONTROLLER = "rc"
    JOB = "job"
    SELECTOR = "selector"


class TransportChoice(StrEnum):
    """Protocol of the tunnel; `AUTO` tries the others in this order."""

    AUTO = "auto"
    SPDY = "spdy"
    WEBSOCKET = "websocket"
    CHANNELS = "channels"


class AccessOptions(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """kubectl's options that replace parts of a context's cluster and user; empty ones do not.

    Paths are absolute. They are part of a forward's identity. The secrets in them are kept in
    memory by the engine only: what leaves it, or is saved, is `without_secrets`.
    """

    cluster: str = ""  # entries of the kubeconfig, by name
    user: str = ""
    server: str = ""
    tls_server_name: str = ""
    insecure: bool = False
    certificate_authority: str = ""
    proxy_url: str = ""  # may have a password
    disable_compression: bool = False
    client_certificate: str = ""
    client_key: str = ""
    token: str = ""
    username: str = ""
    password: str = ""
    impersonate_user: str = ""
    impersonate_uid: str = ""
    impersonate_groups: tuple[str, ...] = ()
    impersonate_extra: tuple[tuple[str, tuple[str, ...]], ...] = ()
    request_timeout_s: float = 0.0  # of one request, not of a watch or a tunnel; 0 is none
    # Where any field has a secret: the names of these fields, and a random text that tells options
    # apart without their secrets.
    secret_fields: tuple[str, ...] = ()
    secret_id: str = ""

    def __bool__(self) -> bool:
        """Return whether any option is given."""
        return self != NO_OPTIONS

    def __repr__(self) -> str:
        given = (name for name in self.__struct_fields__ if getattr(self, name))
        return f"AccessOptions({', '.join(given)})"

    @property
    def secrets(self) -> tuple[str, ...]:
        """The fields that have a secret now."""
        found = [name for name in ("token", "password") if getattr(self, name)]
        return (*found, "proxy_url") if "@" in self.proxy_url else tuple(found)

    @property
    def names_server(self) -> bool:
        """Whether no context is needed to know the server."""
        return bool(self.server or self.cluster)

    def for_other_context(self) -> AccessOptions:
        """Return the options that are safe for a context that they were not given for."""
        return AccessOptions(
            impersonate_user=self.impersonate_user,
            impersonate_uid=self.impersonate_uid,
            impersonate_groups=self.impersonate_groups,
            impersonate_extra=self.impersonate_extra,
            request_timeout_s=self.request_timeout_s,
        )

    def without_secrets(self) -> AccessOptions:
        """Return the options with empty secrets; `secret_fields` shows which ones there are."""
        return msgspec.structs.replace(self, **dict.fromkeys(self.secrets, ""))


NO_OPTIONS: Final = AccessOptions()
# In place of a context where options name the server, and the kubeconfig has no current context.
NO_CONTEXT: Final = "(no context)"


class Balance(StrEnum):
    """Which pods of a target get the new connections."""

    ONE = "one"  # all go to one pod
    SPREAD = "spread"  # each goes to the Ready pod with the fewest open ones


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Object of a cluster, and one of its ports.

    Neither context nor namespace is empty once a spec reaches the engine.
    """

    context: str
    namespace: str
    kind: TargetKind
    name: str  # or a label selector when `kind` is `SELECTOR`
    port: str  # decimal number or name; for a service, its port
    pin: bool = False  # stay on exactly this pod name instead of following its owner
    balance: Balance = Balance.ONE
    options: AccessOptions = NO_OPTIONS

    @property
    def cluster_key(self) -> ClusterKey:
        """The cluster and the identity that are used there: context and options."""
        return self.context, self.options

    def __str__(self) -> str:
        """`namespace/kind/name:port`, as the dashboard and messages show it."""
        what = f"-l {self.name}" if self.kind is TargetKind.SELECTOR else f"{self.kind}/{self.name}"
        return f"{self.namespace}/{what}:{self.port}"


ClusterKey = tuple[str, AccessOptions]
"""A context, and the options that replace parts of it."""


class ForwardDefaults(msgspec.Struct, frozen=True, kw_only=True):
    """Defaults of forwards; the user's settings may change them. Fields: see `ForwardSpec`."""

    addresses: tuple[str, ...] = ("localhost",)
    queue_timeout_s: float = 30.0
    half_close_timeout_s: float = 5.0
    transport: TransportChoice = TransportChoice.AUTO

    def spec(self, target: Target) -> ForwardSpec:
        """Return a forward to a target with these defaults."""
        return ForwardSpec(
            target=target,
            addresses=self.addresses,
            queue_timeout_s=self.queue_timeout_s,
            half_close_timeout_s=self.half_close_timeout_s,
            transport=self.transport,
        )


BUILT_IN = ForwardDefaults()


MAX_PRECONNECT = 16
"""The most connections to an application that are opened ahead of their clients."""

PRECONNECT_AGE_S = 5.0
"""How old they may get, unless chosen. Most servers wait longer for the first byte of a request."""

PRECONNECT_AGES_S = (2.0, 300.0)
"""The least and the most that can be chosen: a runtime reports the end of one a second late."""


class ForwardSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the user can specify about one forward."""

    target: Target
    # A number is required, and an error if it is taken. 0 is any free port. None is the target's
    # own number if it is free and not privileged, else the next free one.
    local_port: int | None = None
    # Local ones to listen on; "localhost" means 127.0.0.1 and ::1, of which one suffices.
    addresses: tuple[str, ...] = BUILT_IN.addresses
    transport: TransportChoice = TransportChoice.AUTO
    queue_timeout_s: float = BUILT_IN.queue_timeout_s  # of a connection that waits for a tunnel
    # How long the pod may stay silent after the client's end of file before the connection to the
    # pod is closed.
    half_close_timeout_s: float = BUILT_IN.half_close_timeout_s
    preconnect: int = 0  # connections to the application opened ahead of their clients
    preconnect_age_s: float = PRECONNECT_AGE_S  # how old these may get
    label: str = ""  # of the user, to group and find forwards
    name: str = ""  # in its profile, if it belongs to one
    profile: str = ""  # that profile (`profiles.Profile.id`)
    # Id of the cluster proxy that opened it on demand, and closes it. It has no local port: its
    # clients come from the port of the proxy.
    proxy: str = ""


CLUSTER_DOMAIN: Final = "cluster.local"
PROXY_PORT: Final = 1080
PROXY_IDLE_S: Final = 300.0


class ProxySpec(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the user can specify about a cluster proxy."""

    context: str = ""  # empty for the current one
    namespace: str = ""  # of names without one; empty for that of the context
    options: AccessOptions = NO_OPTIONS
    port: int = PROXY_PORT  # on 127.0.0.1 and ::1; 0 is any free one
    direct: bool = False  # names outside the cluster are connected to without it
    spread: bool = True  # connections to a service are spread over its ready pods
    # Absolute path of a file with one `NAME:PASSWORD`; empty: no login is needed.
    auth_file: str = ""
    domain: str = CLUSTER_DOMAIN  # of the cluster's names
    # Services get the Host of requests to `*.localhost` without that suffix and the proxy's port.
    strip_suffix: bool = False
    idle_timeout_s: float = PROXY_IDLE_S  # how long a target without connections keeps its tunnels
    queue_timeout_s: float = BUILT_IN.queue_timeout_s  # see `ForwardSpec`
    half_close_timeout_s: float = BUILT_IN.half_close_timeout_s
    transport: TransportChoice = TransportChoice.AUTO
    profile: str = ""  # that started it (`profiles.Profile.id`)


# Reasons ------------------------------------------------------------------------------


class ReasonCode(StrEnum):
    """Why something is in its state or has failed. Part of `--json`: add, never rename."""

    # States of a forward
    FORWARD_STARTING = "forward.starting"
    FORWARD_CONNECTING = "forward.connecting"
    FORWARD_READY = "forward.ready"
    FORWARD_PAUSED = "forward.paused"
    FORWARD_RESUMING = "forward.resuming"
    FORWARD_RECONNECTING = "forward.reconnecting"
    FORWARD_STOPPED = "forward.stopped"
    FORWARD_FAILED = "forward.failed"
    ENGINE_STOPPED = "engine.stopped"
    ENGINE_NOT_RESPONDING = "engine.not_responding"

    # Local port
    LOCAL_PORT_TAKEN = "local.port_taken"
    LOCAL_ADDRESS_TAKEN = "local.address_taken"
    LOCAL_NO_FREE_PORT = "local.no_free_port"
    LOCAL_PORT_PRIVILEGED = "local.port_privileged"
    LOCAL_ADDRESS_UNAVAILABLE = "local.address_unavailable"
    LOCAL_NO_LOOPBACK = "local.no_loopback"
    LOCAL_LISTEN_FAILED = "local.listen_failed"
    LOCAL_EXHAUSTED = "local.exhausted"

    # Kubeconfig, profiles, settings, command line
    CONFIG_INVALID = "config.invalid"
    CONFIG_CONTEXT_MISSING = "config.context_missing"
    CONFIG_FILE_MISSING = "config.file_missing"
    CONFIG_CLUSTER_MISSING = "config.cluster_missing"
    CONFIG_USER_MISSING = "config.user_missing"
    USAGE_INVALID = "usage.invalid"

    # Credentials and permissions
    AUTH_FAILED = "auth.failed"
    AUTH_UNAUTHORIZED = "auth.unauthorized"
    AUTH_NO_CREDENTIALS = "auth.no_credentials"
    AUTH_NOT_ENCRYPTED = "auth.not_encrypted"
    AUTH_TOKEN_EXPIRED = "auth.token_expired"
    AUTH_TOKEN_NOT_YET_VALID = "auth.token_not_yet_valid"
    AUTH_TOKEN_REFUSED = "auth.token_refused"
    AUTH_CERTIFICATE_EXPIRED = "auth.certificate_expired"
    AUTH_CERTIFICATE_NOT_YET_VALID = "auth.certificate_not_yet_valid"
    AUTH_CERTIFICATE_REFUSED = "auth.certificate_refused"
    AUTH_WRONG_CLOCK = "auth.wrong_clock"
    AUTH_PLUGIN_FAILED = "auth.plugin_failed"
    AUTH_PLUGIN_MISSING = "auth.plugin_missing"
    AUTH_PLUGIN_DENIED = "auth.plugin_denied"
    AUTH_PLUGIN_RUNNING = "auth.plugin_running"
    AUTH_LOGIN_RUNNING = "auth.login_running"
    AUTH_LOGIN_IN_TERMINAL = "auth.login_in_terminal"
    AUTH_LOGIN_ENDED = "auth.login_ended"
    AUTH_TERMINAL_REQUIRED = "auth.terminal_required"
    AUTH_REFRESH_FAILED = "auth.refresh_failed"
    AUTH_SECRET_NOT_KEPT = "auth.secret_not_kept"
    RBAC_FORBIDDEN = "rbac.forbidden"

    # Network between this machine and the API server
    NETWORK_ERROR = "network.error"
    NETWORK_DNS = "network.dns"
    NETWORK_DNS_SHORT_NAME = "network.dns_short_name"
    NETWORK_DNS_NO_ANSWER = "network.dns_no_answer"
    NETWORK_DNS_SLOW = "network.dns_slow"
    NETWORK_REFUSED = "network.refused"
    NETWORK_TIMEOUT = "network.timeout"
    NETWORK_TLS_TIMEOUT = "network.tls_timeout"
    NETWORK_UNREACHABLE = "network.unreachable"
    NETWORK_RESET = "network.reset"
    NETWORK_TLS = "network.tls"
    NETWORK_TLS_VERSION = "network.tls_version"
    NETWORK_TLS_INTERCEPTED = "network.tls_intercepted"
    NETWORK_TLS_CLOSED = "network.tls_closed"
    NETWORK_CLOSED = "network.closed"
    NETWORK_NOT_TLS = "network.not_tls"
    NETWORK_NOT_HTTP = "network.not_http"
    NETWORK_CERTIFICATE = "network.certificate"
    NETWORK_CERTIFICATE_CHAIN = "network.certificate_chain"
    NETWORK_CERTIFICATE_REPLACED = "network.certificate_replaced"
    NETWORK_CERTIFICATE_NAME = "network.certificate_name"
    NETWORK_CERTIFICATE_EXPIRED = "network.certificate_expired"
    NETWORK_CERTIFICATE_NOT_YET_VALID = "network.certificate_not_yet_valid"
    NETWORK_CLIENT_CERTIFICATE = "network.client_certificate"
    NETWORK_PROXY_UNREACHABLE = "network.proxy_unreachable"
    NETWORK_PROXY_TIMEOUT = "network.proxy_timeout"
    NETWORK_PROXY_CLOSED = "network.proxy_closed"
    NETWORK_PROXY_REFUSED = "network.proxy_refused"
    NETWORK_PROXY_FAILED = "network.proxy_failed"
    NETWORK_PROXY_NOT_HTTP = "network.proxy_not_http"
    NETWORK_PROXY_AUTH = "network.proxy_auth"
    NETWORK_PROTOCOL = "network.protocol"

    # API server
    API_ERROR = "api.error"
    API_FORBIDDEN = "api.forbidden"
    API_STARTING = "api.starting"
    API_GATEWAY = "api.gateway"
    API_NOT_KUBERNETES = "api.not_kubernetes"
    API_LOGIN_PAGE = "api.login_page"
    API_SLOW = "api.slow"
    API_CLOCK_DIFFERENCE = "api.clock_difference"
    API_NOT_FOUND = "api.not_found"
    API_UNKNOWN_PATH = "api.unknown_path"
    API_EXPIRED = "api.expired"
    API_THROTTLED = "api.throttled"
    API_REDIRECTED = "api.redirected"
    API_RESPONSE_TOO_LARGE = "api.response_too_large"
    API_UNEXPECTED_ENCODING = "api.unexpected_encoding"
    API_UPGRADE_REFUSED = "api.upgrade_refused"
    API_UPGRADE_STRIPPED = "api.upgrade_stripped"
    API_UPGRADE_UNANSWERED = "api.upgrade_unanswered"
    API_UPGRADE_TIMEOUT = "api.upgrade_timeout"

    # Node: kubelet and container runtime
    NODE_NOT_READY = "node.not_ready"
    NODE_MISSING = "node.missing"
    KUBELET_UNREACHABLE = "kubelet.unreachable"
    KUBELET_NO_ANSWER = "kubelet.no_answer"
    KUBELET_NO_ADDRESS = "kubelet.no_address"
    KUBELET_CERTIFICATE = "kubelet.certificate"
    KUBELET_UNAUTHORIZED = "kubelet.unauthorized"
    KUBELET_FORBIDDEN = "kubelet.forbidden"
    KUBELET_ERROR = "kubelet.error"
    RUNTIME_UNREACHABLE = "runtime.unreachable"
    RUNTIME_BUSY = "runtime.busy"
    RUNTIME_PLAIN_HTTP = "runtime.plain_http"
    RUNTIME_SANDBOX_GONE = "runtime.sandbox_gone"
    RUNTIME_ERROR = "runtime.error"

    # Target: the object a forward points at
    TARGET_RESOLVING = "target.resolving"
    TARGET_NOT_FOUND = "target.not_found"
    TARGET_NAMESPACE_NOT_FOUND = "target.namespace_not_found"
    TARGET_NO_SELECTOR = "target.no_selector"
    TARGET_NO_ENDPOINTS = "target.no_endpoints"
    TARGET_ENDPOINTS_NOT_PODS = "target.endpoints_not_pods"
    TARGET_EXTERNAL_NAME = "target.external_name"
    TARGET_SCALED_TO_ZERO = "target.scaled_to_zero"
    TARGET_SUSPENDED = "target.suspended"
    TARGET_COMPLETED = "target.completed"
    TARGET_FAILED = "target.failed"
    TARGET_NOT_OBSERVED = "target.not_observed"
    TARGET_PODS_NOT_CREATED = "target.pods_not_created"
    TARGET_NO_NODES = "target.no_nodes"
    TARGET_NO_PODS = "target.no_pods"
    TARGET_NO_MATCHING_PODS = "target.no_matching_pods"
    TARGET_PODS_TERMINATING = "target.pods_terminating"
    TARGET_NO_POD = "target.no_pod"

    # Pod
    POD_NOT_FOUND = "pod.not_found"
    POD_NO_SCHEDULER = "pod.no_scheduler"
    POD_SCHEDULING_GATED = "pod.scheduling_gated"
    POD_NOT_SCHEDULED = "pod.not_scheduled"
    POD_CREATING = "pod.creating"
    POD_INIT_RUNNING = "pod.init_running"
    POD_INIT_FAILING = "pod.init_failing"
    POD_IMAGE_PULL = "pod.image_pull"
    POD_CRASH_LOOPING = "pod.crash_looping"
    POD_UNSTABLE = "pod.unstable"
    POD_OUT_OF_MEMORY = "pod.out_of_memory"
    POD_CONTAINER_ERROR = "pod.container_error"
    POD_START_ERROR = "pod.start_error"
    POD_NOT_READY = "pod.not_ready"
    POD_READINESS_GATE = "pod.readiness_gate"
    POD_UNKNOWN = "pod.unknown"
    POD_NOT_RUNNING = "pod.not_running"
    POD_COMPLETED = "pod.completed"
    POD_FAILED = "pod.failed"
    POD_EVICTED = "pod.evicted"
    POD_DEADLINE_EXCEEDED = "pod.deadline_exceeded"
    POD_TERMINATING = "pod.terminating"
    POD_ENDED = "pod.ended"
    POD_DELETED = "pod.deleted"
    POD_AWAITING_REPLACEMENT = "pod.awaiting_replacement"
    POD_AWAITING_SAME_NAME = "pod.awaiting_same_name"
    POD_REPLACED = "pod.replaced"
    POD_LOST = "pod.lost"
    POD_UNUSABLE = "pod.unusable"
    POD_PORT_CHANGED = "pod.port_changed"

    # Port in the pod or service
    PORT_REFUSED = "port.refused"
    PORT_RESET = "port.reset"
    PORT_CLOSES = "port.closes"
    PORT_NOT_DECLARED = "port.not_declared"
    PORT_UNKNOWN_NAME = "port.unknown_name"
    PORT_UNKNOWN_NUMBER = "port.unknown_number"
    PORT_TARGET_NAME_MISSING = "port.target_name_missing"
    PORT_HEADLESS = "port.headless"
    PORT_INVALID = "port.invalid"
    PORT_PROTOCOL = "port.protocol"

    # Tunnel
    TUNNEL_LOST = "tunnel.lost"
    TUNNEL_CLOSED_BY_SERVER = "tunnel.closed_by_server"
    TUNNEL_CLOSED = "tunnel.closed"
    TUNNEL_NOT_OPEN = "tunnel.not_open"
    TUNNEL_TIME_LIMIT = "tunnel.time_limit"
    TUNNEL_SILENT = "tunnel.silent"
    TUNNEL_NO_PONG = "tunnel.no_pong"
    TUNNEL_STREAM_ABANDONED = "tunnel.stream_abandoned"

    # End of one local connection
    CONNECTION_CLOSED = "connection.closed"
    CONNECTION_CLOSED_BY_CLIENT = "connection.closed_by_client"
    CONNECTION_CLOSED_BY_APPLICATION = "connection.closed_by_application"
    CONNECTION_CLOSED_WITHOUT_DATA = "connection.closed_without_data"
    CONNECTION_POD_DELETED = "connection.pod_deleted"
    CONNECTION_POD_EVICTED = "connection.pod_evicted"
    CONNECTION_POD_ENDED = "connection.pod_ended"
    CONNECTION_CONTAINER_ENDED = "connection.container_ended"
    CONNECTION_CONTAINER_RESTARTED = "connection.container_restarted"
    CONNECTION_SANDBOX_RECREATED = "connection.sandbox_recreated"
    CONNECTION_NO_ANSWER = "connection.no_answer"
    CONNECTION_CLOSED_BY_USER = "connection.closed_by_user"
    CONNECTION_CLIENT_RESET = "connection.client_reset"
    CONNECTION_CLIENT_LEFT = "connection.client_left"
    CONNECTION_CLIENT_RESET_QUEUED = "connection.client_reset_queued"
    CONNECTION_CLIENT_LEFT_QUEUED = "connection.client_left_queued"
    CONNECTION_HALF_CLOSE_TIMEOUT = "connection.half_close_timeout"
    CONNECTION_STALLED = "connection.stalled"
    CONNECTION_EVICTED = "connection.evicted"
    CONNECTION_QUEUE_TIMEOUT = "connection.queue_timeout"
    CONNECTION_NO_REPLY = "connection.no_reply"
    CONNECTION_TIMEOUT = "connection.timeout"
    CONNECTION_STREAM_REFUSED = "connection.stream_refused"
    CONNECTION_FAILED = "connection.failed"
    CONNECTION_FORWARD_STOPPED = "connection.forward_stopped"
    CONNECTION_FORWARD_PAUSED = "connection.forward_paused"

    # Cluster proxy
    PROXY_NAME_UNKNOWN = "proxy.name_unknown"
    PROXY_OUTSIDE_CLUSTER = "proxy.outside_cluster"
    PROXY_NOT_CONNECTED = "proxy.not_connected"
    PROXY_LOCAL_ADDRESS = "proxy.local_address"
    PROXY_API_SERVER = "proxy.api_server"
    PROXY_PORT_MISSING = "proxy.port_missing"
    PROXY_REFUSED = "proxy.refused"

    INTERNAL_ERROR = "internal.error"


class Reason(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A code with its parameters; every parameter may be missing.

    `tui_forward.reasons` derives text, hint and failed hop from it.
    """

    code: ReasonCode
    namespace: str = ""
    object: str = ""  # "svc/web", "deploy/web", "pod web-1"
    kind: str = ""
    name: str = ""
    pod: str = ""
    container: str = ""
    node: str = ""
    successor: str = ""  # pod that replaces `pod`
    owner: str = ""  # controller that replaces it ("deploy/web on node node-a")
    status: str = ""  # kubectl's STATUS of the pod, or an HTTP status
    port: str = ""  # number or name
    available: tuple[str, ...] = ()  # ports or names that exist instead
    protocol: str = ""
    action: str = ""  # verb, resource and place ("list pods in namespace shop")
    verb: str = ""
    resource: str = ""
    user: str = ""
    server: str = ""
    proxy: str = ""
    gateway: str = ""  # program in front of the API server, as it calls itself ("nginx")
    address: str = ""
    network: str = ""  # "host" for a port in the network namespace of the node
    time: str = ""  # when a credential or certificate begins or ends to be valid, in UTC
    process: str = ""
    transport: TransportChoice | None = None
    ready: int | None = None
    total: int | None = None
    restarts: int | None = None
    exit_code: int | None = None
    image: str = ""
    limit: str = ""  # of memory, as written ("16Mi"), or of open files
    at: float | None = None  # epoch seconds: the next start, a deadline, a begin
    has_previous_log: bool = False  # of `container`: `kubectl logs --previous` works
    timeout_s: float | None = None
    buffered_bytes: int | None = None
    tried: tuple[str, ...] = ()  # transports tried, all in vain
    detail: str = ""  # sanitized text of another component
    # Replaces the text of a code that stands for a family of errors described where they occur.
    text: str = ""
    hint: str = ""  # replaces the hint of the code
    dialed_pod: str = ""  # pod that no tunnel could be opened to for this reason
    cause: Reason | None = None
    previous: Reason | None = None  # why the state before was left

    def __post_init__(self) -> None:
        """Hide secrets in texts from outside, before the reason can be shown or sent."""
        for name in _TEXTS_FROM_OUTSIDE:
            text = getattr(self, name)
            if text and (hidden := hide(text)) != text:
                msgspec.structs.force_setattr(self, name, hidden)


_TEXTS_FROM_OUTSIDE: Final = ("detail", "text", "hint", "address", "proxy", "action", "process")


# State of forwards and connections ----------------------------------------------------


class ForwardState(StrEnum):
    """State of a forward; shown with a reason."""

    STARTING = "starting"  # opening the local listener
    WAITING = "waiting"  # no usable pod yet
    CONNECTING = "connecting"  # a pod is chosen, no tunnel yet
    READY = "ready"  # a tunnel is upgraded and answers PINGs
    RECONNECTING = "reconnecting"  # was ready, is not, retries
    BLOCKED = "blocked"  # needs the user
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
    """Totals since the forward (or the program) started; kept across reconnects.

    `bytes_from_pod` counts bytes written to local sockets, `bytes_to_pod` bytes read from local
    sockets and passed to a tunnel: both are the payload of the application.
    """

    bytes_from_pod: int = 0
    bytes_to_pod: int = 0
    rate_from_pod: float = 0.0
    rate_to_pod: float = 0.0
    connections_open: int = 0
    connections_total: int = 0
    connections_failed: int = 0


class FirstByteTimes(msgspec.Struct, frozen=True, kw_only=True):
    """Times from accept to the first byte from the pod, of connections of the last minutes."""

    count: int  # connections that got a byte
    p50_s: float  # which half of them did not exceed; within 5 %
    p99_s: float


FIRST_BYTE_BOUNDS_S: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
"""Upper bounds of the buckets of `FirstByteHistogram`; the last bucket has none."""


class FirstByteHistogram(msgspec.Struct, frozen=True, kw_only=True):
    """Times from accept to the first byte from the pod, of all connections so far."""

    counts: tuple[int, ...] = (0,) * (len(FIRST_BYTE_BOUNDS_S) + 1)  # by bucket, not cumulative
    sum_s: float = 0.0


class TimelineKind(StrEnum):
    """Subject of an entry of a forward's timeline."""

    STATE = "state"
    POD = "pod"
    TUNNEL = "tunnel"
    CONNECTION = "connection"
    NOTE = "note"


class TimelineEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a forward."""

    at: float
    kind: TimelineKind
    text: str
    code: ReasonCode | None = None  # set where the event has a reason
    state: ForwardState | None = None  # that was entered, or stayed with another reason


class ForwardWarning(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is wrong although the forward works."""

    code: ReasonCode
    reason: str  # text of `code`
    short_reason: str = ""  # in at most 29 cells
    hint: str = ""
    since: float = 0.0  # when it was first seen
    count: int = 0  # how often it has happened since; 0 for what lasts
    last_at: float = 0.0  # when it happened last


class PreconnectStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Connections to the application that are open ahead of their clients."""

    ready: int  # how many the next clients can use
    off: bool = False  # not used any more: the application closes silent connections soon
    max_age_s: float = 0.0  # how old they may get


class PodShareState(StrEnum):
    """Whether a pod gets new connections of a forward that spreads them."""

    READY = "ready"  # it does
    CONNECTING = "connecting"  # as soon as a tunnel is up
    LEAVING = "leaving"  # no more: it finishes those that it has


class PodShare(msgspec.Struct, frozen=True, kw_only=True):
    """One of the pods that a forward spreads its connections over, and what it has got of them."""

    pod: PodRef
    state: PodShareState
    reason: str = ""  # why no tunnel to it is up; empty if one is
    connections_open: int = 0
    connections_total: int = 0
    bytes_from_pod: int = 0
    bytes_to_pod: int = 0


class EarlierPods(msgspec.Struct, frozen=True, kw_only=True):
    """What a forward that spreads its connections got of pods that it uses no more."""

    pods: int  # that had a connection
    connections_total: int
    bytes_from_pod: int
    bytes_to_pod: int


class UnansweredConnections(msgspec.Struct, frozen=True, kw_only=True):
    """The latest connections of a forward, if they sent something and none got a byte back."""

    count: int
    since: float  # when the first of them was opened


class Forward(msgspec.Struct, frozen=True, kw_only=True):
    """A forward at one instant."""

    id: str  # short and stable for the life of the forward ("f1")
    spec: ForwardSpec
    state: ForwardState
    code: ReasonCode  # why the forward is in this state
    reason: str  # text of `code`; never empty
    short_reason: str = ""  # in at most 29 cells, with the age of `expired_at`
    expired_at: float | None = None  # set where the reason is an expired credential
    hint: str = ""
    blocked_by: BlockedBy | None = None  # set exactly when `state` is `BLOCKED`
    since: float = 0.0  # when `state` was entered
    started_at: float = 0.0
    retry_at: float | None = None  # time of the next attempt, if the state waits for one
    paused: bool = False  # stopped by the user, and can be resumed
    listening: tuple[LocalAddress, ...] = ()  # empty before the listener is open
    pod: PodRef | None = None  # the current one, or the last one
    remote_port: int | None = None  # container port in use, None until resolved
    transport: TransportChoice | None = None  # None without a tunnel
    tunnels: int = 0  # number of tunnels that are up
    round_trip_s: float | None = None  # latest PING through the whole path
    queued: int = 0  # connections that wait for a tunnel
    counters: Counters = Counters()
    first_byte: FirstByteTimes | None = None  # None without a connection that got a byte
    first_bytes: FirstByteHistogram = FirstByteHistogram()
    reconnects: int = 0  # how often it was ready again after it had been lost
    failed_at: float | None = None  # when a connection failed last
    insecure: bool = False  # the certificate of the API server is not verified
    last_event: str = ""  # latest timeline text about a failure
    # The terminal whose environment its credential plugin runs in, and the names of variables that
    # differ there; empty if it is that of the front end.
    environment: str = ""
    # The worst first. A ready forward with warnings is amber, and `code` is that of the first.
    warnings: tuple[ForwardWarning, ...] = ()
    preconnect: PreconnectStatus | None = None  # None if not requested
    pods: tuple[PodShare, ...] = ()  # with `Balance.SPREAD`, by name
    earlier_pods: EarlierPods | None = None  # with `Balance.SPREAD`, if there were any
    unanswered: UnansweredConnections | None = None  # a hint only: it may be as intended


class ProxyInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A cluster proxy at one instant; its targets are the forwards with its id."""

    id: str  # short and stable for its life ("p1")
    spec: ProxySpec  # with context and namespace filled in
    listening: tuple[LocalAddress, ...] = ()
    started_at: float = 0.0
    services: int = 0  # known names
    code: ReasonCode | None = None  # why services are not, or not all, known
    reason: str = ""  # text of `code`
    hint: str = ""
    handshakes: int = 0  # clients that have not named a target yet
    refused: int = 0  # requests refused by the rules of the proxy, or without a target
    last_refusal: str = ""


class TrafficHistory(msgspec.Struct, frozen=True, kw_only=True):
    """Recent traffic of a forward."""

    forward_id: str
    seconds: tuple[tuple[int, int], ...]  # from and to the pod, oldest first; 10 minutes at most
    ready: tuple[bool, ...] = ()  # whether a tunnel was up then; as long as `seconds`


class ConnectionState(StrEnum):
    """State of one local connection."""

    QUEUED = "queued"  # accepted, no tunnel yet
    OPEN = "open"
    CLOSING = "closing"  # one side has ended
    CLOSED = "closed"


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """One accepted local connection at one instant."""

    id: int
    forward_id: str
    client: str
    process: str = ""  # "psql (4211)" if the system provides it
    state: ConnectionState = ConnectionState.QUEUED
    opened_at: float = 0.0
    closed_at: float | None = None
    bytes_from_pod: int = 0
    bytes_to_pod: int = 0
    rate_from_pod: float = 0.0
    rate_to_pod: float = 0.0
    first_byte_s: float | None = None  # from accept to the first byte from the pod
    pod: str = ""  # name of the pod that it leads to, once it has a tunnel
    # What is worth knowing of an open one, such as `POD_TERMINATING` and `CONNECTION_NO_ANSWER`.
    code: ReasonCode | None = None
    reason: str = ""  # text of `code`
    ends_by: float | None = None  # when a pod that is Terminating is killed
    close_code: ReasonCode | None = None  # None while it is open
    close_reason: str = ""  # text of `close_code`
    failed: bool = False


# Objects of a cluster -----------------------------------------------------------------


class PortProtocol(StrEnum):
    """Transport protocol of a declared port; only TCP can be forwarded."""

    TCP = "TCP"
    UDP = "UDP"
    SCTP = "SCTP"


class DeclaredPort(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Port that a container or a service declares."""

    number: int
    name: str = ""
    protocol: PortProtocol = PortProtocol.TCP
    container: str = ""  # empty for a service port
    target: str = ""  # `targetPort` of a service port as written ("http", "8080")


class OwnerRef(msgspec.Struct, frozen=True, gc=False):
    """Kind ("ReplicaSet") and name of the controller that owns an object."""

    kind: str
    name: str


# The phases of a pod whose containers have ended for good.
ENDED_PHASES: Final = frozenset({"Succeeded", "Failed"})


class ContainerExit(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The latest end of a container that has ended at least once."""

    container: str
    number: int  # how many times the container has ended
    code: int  # exit code
    reason: str = ""  # "Error", "OOMKilled", "Completed"
    restarted: bool = False  # whether it has been started again
    ran_s: float = 0.0  # duration of the run that ended
    running_since: float = 0.0  # epoch seconds of the present start; 0 while it does not run


class ContainerFault(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A container that does not run, or an init container that has not finished."""

    name: str
    is_init: bool = False  # holds up the containers after it
    position: str = ""  # of an init container ("1 of 2")
    waiting: str = ""  # reason of the waiting state ("CrashLoopBackOff"); empty in other states
    message: str = ""  # of the waiting state, else of the latest end
    ended: str = ""  # reason of the latest end ("OOMKilled"); empty before the first one
    ended_message: str = ""
    exit_code: int | None = None  # of the latest end
    ended_at: float = 0.0  # the latest end
    ran_s: float = 0.0  # duration of the run before it
    running_since: float = 0.0  # of an init container that runs
    backoff_s: float | None = None  # from the latest end to the next start, as the kubelet says
    restarts: int = 0
    image: str = ""
    memory_limit: str = ""
    has_previous_log: bool = False
    is_final: bool = False  # it has ended and is not started again


class PodSummary(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What front ends list of a pod; timestamps are epoch seconds, 0 if absent."""

    namespace: str
    name: str
    phase: str = ""  # "Running", "Pending", …
    status: str = ""  # kubectl's STATUS column ("CrashLoopBackOff", "Terminating", …)
    ready: bool = False  # the Ready condition
    containers_ready: int = 0
    containers_total: int = 0
    restarts: int = 0  # kubectl's RESTARTS column
    restarted_at: float = 0.0  # when a container that has been restarted ended last
    created_at: float = 0.0
    deleting: bool = False
    node: str = ""
    labels: dict[str, str] = {}
    owner: OwnerRef | None = None  # controller; the Deployment of a ReplicaSet where known
    ports: tuple[DeclaredPort, ...] = ()


class Pod(PodSummary, frozen=True, kw_only=True, gc=False):
    """The used fields of a pod."""

    uid: str
    resource_version: str = ""
    reason: str = ""  # of the whole pod ("Evicted", "DeadlineExceeded", "NodeLost")
    message: str = ""  # of the cluster, why it is not running; may be empty
    scheduled: bool | None = None  # the PodScheduled condition; None if no scheduler has set it
    scheduling_gates: tuple[str, ...] = ()
    faults: tuple[ContainerFault, ...] = ()  # containers that do not run, the init one first
    unready_gates: tuple[str, ...] = ()  # readiness gates that keep it from being Ready
    ready_since: float = 0.0  # last transition of the Ready condition
    max_restarts: int = 0  # of any one container, by which kubectl chooses
    delete_by: float = 0.0  # end of the grace period, if it is being deleted
    disruption: str = ""  # why it is evicted ("EvictionByEvictionAPI"), from DisruptionTarget
    sandbox_ready: bool = True  # False while its sandbox is missing
    host_network: bool = False  # shares the network of its node
    exits: tuple[ContainerExit, ...] = ()  # of containers that have ended, init ones excluded
    ip: str = ""
    container_ids: tuple[str, ...] = ()  # of running containers; changes on a restart


class PodAddresses(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A pod and its IP addresses: none if it has none of its own, or has ended."""

    namespace: str
    name: str
    uid: str
    resource_version: str = ""
    node: str = ""
    addresses: tuple[str, ...] = ()

    @property
    def ref(self) -> PodRef:
        """The pod."""
        return PodRef(namespace=self.namespace, name=self.name, uid=self.uid, node=self.node)


class Workload(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A Deployment, StatefulSet, DaemonSet, ReplicaSet, ReplicationController or Job."""

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
    observed: bool = True  # whether its controller has seen it
    suspended: bool = False  # a Job that starts no pods
    ended: str = ""  # "Complete" or "Failed" for a Job that is over
    reason: str = ""  # why it failed, or why it cannot create pods ("BackoffLimitExceeded")
    message: str = ""  # the same in words


class Service(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A Service; `selector` is empty for one without pods of its own."""

    namespace: str
    name: str
    uid: str = ""
    resource_version: str = ""
    type: str = "ClusterIP"
    cluster_ip: str = ""
    other_cluster_ips: tuple[str, ...] = ()  # of the other IP family
    external_name: str = ""  # DNS name that an ExternalName service stands for
    selector: str = ""
    ports: tuple[DeclaredPort, ...] = ()
    affinity_s: int = 0  # how long a client stays with its pod (`ClientIP`); 0: it does not
    created_at: float = 0.0

    @property
    def headless(self) -> bool:
        """Return whether there is no virtual address; then ports are not mapped, as in kubectl."""
        return self.cluster_ip == "None"

    @property
    def cluster_ips(self) -> tuple[str, ...]:
        """Its virtual addresses; none if it is headless."""
        own = (self.cluster_ip, *self.other_cluster_ips)
        return tuple(one for one in own if one not in ("", "None"))


class Endpoint(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One address of an EndpointSlice."""

    address: str
    pod: str = ""  # name of the pod with that address, if the slice tells it
    ready: bool = True
    hostname: str = ""  # in the domain of its service; empty without one


class EndpointSlice(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Part of the addresses behind a service, all with the same ports."""

    namespace: str
    name: str
    resource_version: str = ""
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[DeclaredPort, ...] = ()  # by the names of the service's ports


class Namespace(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A namespace."""

    name: str
    status: str = "Active"
    created_at: float = 0.0
    resource_version: str = ""


class ResourceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """State of the watch of one resource in one scope."""

    resource: str  # "pods", "services", …
    synced: bool = False  # the first list is complete
    count: int = 0  # number of objects
    code: ReasonCode | None = None  # why it is not live
    error: str = ""  # text of `code`
    hint: str = ""
    forbidden: bool = False  # the error is RBAC's ("list pods in namespace shop")
    # If all namespaces cannot be listed at once: those that are listed one by one, those where
    # that is forbidden, and those that are too many.
    only_in: tuple[str, ...] = ()
    forbidden_in: tuple[str, ...] = ()
    beyond_limit: tuple[str, ...] = ()


class ApiHealth(msgspec.Struct, frozen=True, kw_only=True):
    """Health of one context's API server; `ok` is None until the first response."""

    context: str
    server: str = ""
    ok: bool | None = None
    latency_s: float | None = None
    version: str = ""
    code: ReasonCode | None = None
    error: str = ""
    short_error: str = ""  # in at most 29 cells
    hint: str = ""
    blocked_by: BlockedBy | None = None
    insecure: bool = False  # the server's certificate is not verified
    options: AccessOptions = NO_OPTIONS  # without secrets
    # When the credentials in use end to be valid, as they say themselves; None if they do not.
    credentials_end_at: float | None = None
    renews_credentials: bool = False  # without the user: a plugin or an identity provider


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """A kubeconfig context by name; no credentials."""

    name: str
    cluster: str
    namespace: str = "default"
    current: bool = False
    server: str = ""  # host of its API server, without port and credentials
    insecure: bool = False  # the server's certificate is not verified
    problem: str = ""  # why it cannot be used, for example: the kubeconfig lacks its cluster


class CatalogScope(msgspec.Struct, frozen=True):
    """Viewed part of a cluster; an empty namespace means all namespaces."""

    context: str
    namespace: str = ""
    options: AccessOptions = NO_OPTIONS

    @property
    def cluster_key(self) -> ClusterKey:
        """The `Target.cluster_key` of active forwards in this cluster: without secrets."""
        return self.context, self.options.without_secrets()


class MissingPermissions(msgspec.Struct, frozen=True, kw_only=True):
    """What the user lacks for forwards in one namespace, as far as the API server tells."""

    scope: CatalogScope  # with a namespace
    # In words ("create pods/portforward"), by the kind of the target; without those that lack
    # nothing.
    by_kind: dict[TargetKind, tuple[str, ...]] = {}


class CatalogView(msgspec.Struct, frozen=True, kw_only=True):
    """Objects of a scope, or their changes since a version."""

    scope: CatalogScope
    version: int  # grows with every change; base of the next request
    complete: bool  # else the lists hold only added and changed objects
    namespaces: tuple[Namespace, ...] = ()
    pods: tuple[PodSummary, ...] = ()
    services: tuple[Service, ...] = ()
    workloads: tuple[Workload, ...] = ()
    removed: tuple[str, ...] = ()  # keys `resource/namespace/name` ("pods/shop/web-1")
    resources: tuple[ResourceStatus, ...] = ()
    health: ApiHealth | None = None


# Resolution: from a target to one pod and one container port --------------------------


class Resolved(msgspec.Struct, frozen=True, kw_only=True, tag="resolved"):
    """A usable pod and the port to dial in it."""

    pod: PodRef
    port: int
    service_port: int | None = None  # number of the service's port, if the target is a service
    # Ready and not terminating; decides whether a refusal is final.
    ready: bool = True
    caution: Reason | None = None  # why the pod or port may not serve; None if nothing is known
    incarnation: str = ""  # changes with every restart of a container
    # With `Balance.SPREAD`: the other Ready pods, and how many seconds a client stays with its pod
    # (`sessionAffinity: ClientIP` of a service); 0 if it does not.
    others: tuple[Resolved, ...] = ()
    affinity_s: int = 0


class Unresolved(msgspec.Struct, frozen=True, kw_only=True, tag="unresolved"):
    """No usable pod now."""

    reason: Reason
    pod: PodRef | None = None  # the pod that `reason` is about, if it exists
    port: int | None = None  # to dial in it, where known
    service_port: int | None = None  # see `Resolved`

    @property
    def is_loading(self) -> bool:
        """Whether the first answer of the API server is outstanding."""
        return self.reason.code is ReasonCode.TARGET_RESOLVING


Resolution = Resolved | Unresolved


# Network path of a connection ---------------------------------------------------------


class HopKind(StrEnum):
    """Hops from a client to the application, in this order."""

    LOCAL = "local"
    API = "api"
    KUBELET = "kubelet"
    RUNTIME = "runtime"
    POD = "pod"
    PORT = "port"


class HopState(StrEnum):
    """State of a hop."""

    OK = "ok"
    DEGRADED = "degraded"  # it works now, and may not serve
    BROKEN = "bad"
    UNKNOWN = "unknown"


class Hop(msgspec.Struct, frozen=True, kw_only=True):
    """One hop, with the facts about it."""

    kind: HopKind
    name: str = ""  # "127.0.0.1:8080", "node-a", "web-6d8c-x2k"; empty if unknown
    facts: tuple[str, ...] = ()  # address, version and so on, the most important first
    state: HopState = HopState.UNKNOWN
    latency_s: float | None = None  # round trip to it, if measured
    code: ReasonCode | None = None  # last fault of the hop
    error: str = ""  # text of `code`
    hint: str = ""


class DoctorHop(StrEnum):
    """Hops that a doctor tests, in this order."""

    KUBECONFIG = "kubeconfig"
    CREDENTIALS = "credentials"
    DNS = "dns"
    PROXY = "proxy"
    TCP = "tcp"
    TLS = "tls"
    API = "api"
    IDENTITY = "identity"
    PERMISSIONS = "permissions"
    # These need a target.
    TARGET = "target"
    UPGRADE = "upgrade"
    KUBELET = "kubelet"
    RUNTIME = "runtime"
    PORT = "port"


class DoctorOutcome(StrEnum):
    """Outcome of the test of one hop."""

    RUNNING = "running"  # the outcome follows
    GOOD = "good"
    NOTE = "note"  # it works, and something is worth knowing
    FAULT = "fault"
    NOT_REACHED = "not_reached"  # not tested, because a hop before it is broken


class DoctorQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What a doctor tests. Empty names mean the current context, and its namespace."""

    context: str = ""
    namespace: str = ""
    options: AccessOptions = NO_OPTIONS
    # None stops at permissions. Its context, namespace and options are those above; without a
    # port, the first TCP port that it declares is tested.
    target: Target | None = None
    transport: TransportChoice = TransportChoice.AUTO
    forward: str = ""  # id of a forward in whose environment it is tested; empty for the caller's


class DoctorResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Result of the test of one hop; the latest of a hop and transport counts."""

    hop: DoctorHop
    outcome: DoctorOutcome
    transport: TransportChoice | None = None  # of `UPGRADE`, which has a result for each
    tried: str = ""  # "resolve api.corp", "get the version"
    duration_s: float | None = None  # of the test
    facts: tuple[str, ...] = ()  # what was found, the most important first
    code: ReasonCode | None = None  # of a fault or a note
    cause: str = ""  # text of `code`
    fix: str = ""  # a command or a setting
    manifest: str = ""  # YAML that grants what is missing
    broken: DoctorHop | None = None  # why a hop was not reached


class PortCheck(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a local port can be used now."""

    port: int
    problem: str = ""  # why it cannot ("used by java (48213)"); empty if it is free
    next_free: int | None = None  # the lowest free port above it, if there is one


class LogSource(msgspec.Struct, frozen=True, kw_only=True):
    """Whose log to read."""

    target: Target  # a pod, or what has pods; its port does not matter
    pod: str = ""  # one of its pods; empty for the preferred one
    container: str = ""  # empty for the one that is down, else that declares `port`, else the first
    port: int | None = None
    previous: bool = False  # the run before the last start of the container
    forward: str = ""  # id of a forward in whose environment it is read; empty for the caller's


class PodLog(msgspec.Struct, frozen=True, kw_only=True):
    """Log lines of a container."""

    pod: str
    container: str
    containers: tuple[str, ...] = ()  # all of the pod that have logs; empty if that is not known
    pods: tuple[str, ...] = ()  # all of the target, the preferred one first
    previous: bool = False
    state: str = ""  # of the container, if it does not run ("exited with code 1")
    # Time (RFC 3339; empty if the server sent none) and text without line end, oldest first.
    lines: tuple[tuple[str, str], ...] = ()


class ObjectCondition(msgspec.Struct, frozen=True, kw_only=True):
    """A condition of an object's status."""

    type: str
    status: str  # "True", "False", "Unknown"
    reason: str = ""
    message: str = ""
    since: float = 0.0


class ObjectEvent(msgspec.Struct, frozen=True, kw_only=True):
    """An event about an object."""

    type: str  # "Normal", "Warning"
    reason: str
    message: str
    count: int = 1
    at: float = 0.0  # the latest of its occurrences


class Description(msgspec.Struct, frozen=True, kw_only=True):
    """An object in words."""

    kind: str  # "Pod", "Deployment"
    namespace: str
    name: str
    error: str = ""  # why facts and conditions are not known
    facts: tuple[tuple[str, str], ...] = ()  # name and value
    conditions: tuple[ObjectCondition, ...] = ()
    events: tuple[ObjectEvent, ...] = ()  # latest first
    events_error: str = ""  # why the events are not known


# Session ------------------------------------------------------------------------------


class EngineNotice(msgspec.Struct, frozen=True, kw_only=True):
    """Something the engine process did, or failed to do, automatically."""

    number: int  # counts up from 1 in every engine process
    at: float
    profile: str  # the profile it concerns; empty: the engine itself
    text: str
    is_problem: bool = False  # needs the user


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """A front end and its environment, which has secrets: never saved, shown or logged."""

    environ: dict[str, str]
    terminal: str = ""  # "pts/3"; empty without one
    pid: int = 0

    def __repr__(self) -> str:
        return f"Caller(terminal={self.terminal!r}, pid={self.pid}, {len(self.environ)} variables)"


class Login(msgspec.Struct, frozen=True, kw_only=True):
    """A credential plugin that runs, and what it tells the user meanwhile."""

    clusters: tuple[ClusterKey, ...]  # that wait for it, at least one; without secrets
    code: ReasonCode
    user: str = ""  # of the kubeconfig
    plugin: str = ""
    text: str = ""  # its latest lines, without secrets: an address to open, a code to enter
    since: float = 0.0  # when it was started
    environment: str = ""  # see `Forward.environment`

    @property
    def context(self) -> str:
        """The context that began it."""
        return self.clusters[0][0]


MAX_LOGIN_OUTPUT: Final = 1024 * 1024
"""Bytes of a plugin's stdout that a front end passes on; as many are more than credentials."""


class LoginCommand(msgspec.Struct, frozen=True, kw_only=True):
    """A credential plugin for a front end that has a terminal; its stdout goes to the engine."""

    plugin: str
    arguments: tuple[str, ...]  # the first one is the path of the program
    environ: dict[str, str]  # in addition to the front end's own
    user: str = ""  # of the kubeconfig

    def __repr__(self) -> str:
        return f"LoginCommand({self.plugin!r})"


class OtherEngine(msgspec.Struct, frozen=True, kw_only=True):
    """An engine of the same user for another kubeconfig."""

    pid: int | None  # process id; None if unknown
    kubeconfig: str  # files as in KUBECONFIG; empty for kubectl's default
    forwards: int  # number of active forwards, at least one
    # The first of them in words: context, target and local port, `prod shop/svc/web:80 8080`.
    listed: tuple[str, ...] = ()


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The whole session at one instant, without the catalog.

    `version` grows with every change other than counters and rates. `keep_running`: the forwards
    keep running when no front end is left. `notices` are the latest few. `other_engines` run for
    other kubeconfigs; their forwards are not part of this session. `save_problem` says why the
    active forwards are not saved, and what follows from it.
    """

    version: int
    at: float
    keep_running: bool = False
    forwards: tuple[Forward, ...] = ()
    proxies: tuple[ProxyInfo, ...] = ()
    totals: Counters = Counters()
    health: tuple[ApiHealth, ...] = ()
    notices: tuple[EngineNotice, ...] = ()
    other_engines: tuple[OtherEngine, ...] = ()
    logins: tuple[Login, ...] = ()  # credential plugins that run now
    save_problem: str = ""


class EventKind(StrEnum):
    """The `event` field of `--json` output."""

    LISTENING = "listening"
    STATE = "state"
    CONNECTION_OPENED = "connection.opened"
    CONNECTION_CHANGED = "connection.changed"  # its `code`
    CONNECTION_CLOSED = "connection.closed"
    STOPPED = "stopped"
    LOGIN = "login"  # a line that a credential plugin wrote for the user: `context`, `reason`


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Event as one JSON object; `sequence` has no gaps within a session.

    `forward` is the forward's id; `state`, `code` and `reason` are set for STATE and STOPPED,
    `listening` for LISTENING, `connection` for the CONNECTION kinds, `context` and `reason` for
    LOGIN, which is about no single forward.
    """

    event: EventKind
    time: float
    forward: str
    sequence: int = 0
    target: str = ""
    state: ForwardState | None = None
    code: ReasonCode | None = None
    reason: str = ""
    short_reason: str = ""
    hint: str = ""
    listening: tuple[LocalAddress, ...] = ()
    remote_port: int | None = None
    connection: Connection | None = None
    context: str = ""
