"""Codes of states and faults, with their parameters."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from tui_forward.known_secrets import hide
from tui_forward.model.specs import TransportChoice


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
