"""Texts, hints and failed hops of reason codes. No code parses a text back."""

from __future__ import annotations

import re
import shlex
import time
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from tui_forward.model import BlockedBy, HopKind, Reason, ReasonCode, TransportChoice

TRANSPORT_NAMES: Final = {
    TransportChoice.AUTO: "any transport",
    TransportChoice.SPDY: "SPDY",
    TransportChoice.WEBSOCKET: "WebSocket",
    TransportChoice.CHANNELS: "WebSocket channels",
}

_PART: Final = re.compile(r"\[([^\[\]]*)\]|\{(\w+)\}")
_FIELD: Final = re.compile(r"\{(\w+)\}")
# Parameters in commands of hints. Quotation marks change no valid name.
_COMMAND_FIELDS: Final = frozenset({"namespace", "object", "pod", "container", "node", "port"})
# Words and lists made of several parameters.
_DERIVED: Final = ("pods", "are", "facts", "previous_log")
# Precedes the reason of one of several pods.
_ONE_OF_MANY: Final = "[{ready} of {total} {pods}|no pods][ of {object}] {are} ready: "

_LOCAL, _API, _KUBELET, _RUNTIME, _POD, _PORT = HopKind


@dataclass(frozen=True, slots=True)
class _Entry:
    """One row of the table."""

    # Template. `{name}` is a parameter of the reason; a part in brackets is left out if one of its
    # parameters is missing, or replaced by what follows its last `|`.
    text: str
    hint: str = ""  # template of an imperative sentence; empty where nothing can be done
    hop: HopKind | None = None  # where the fault is; None for what is no fault
    blocked_by: BlockedBy | None = None  # set where only a user can help
    waits_for_pod: bool = False  # a forward waits with it, also after it was ready


_NETWORK_HINT: Final = "Check the network and VPN, and `server` in the kubeconfig"
_CLOCK_HINT: Final = "Check the clock of this machine, then renew the server's certificate"
_OWN_CLOCK_HINT: Final = "Check the clock of this machine and of the server"
_RENEW_HINT: Final = (
    "Renew it: log in again, or replace it in the kubeconfig; waiting forwards resume automatically"
)
_LOG_IN_HINT: Final = (
    "Log in again (for example with `kubectl get ns` or your cloud's login command); "
    "waiting forwards resume automatically"
)
_PORTS_HINT: Final = (
    "[Available ports: {available}|No TCP ports are declared there; "
    "a pod's port can be given by number]"
)
_DESCRIBE_HINT: Final = "Check its events: kubectl describe pod[ -n {namespace}] [{pod}|POD]"
_LOGS: Final = "kubectl logs[ -n {namespace}] [{pod}|POD][ -c {container}]{previous_log}"
_LOGS_HINT: Final = f"Check its log: {_LOGS}"
_RESTART_HINT: Final = "Start it again, or forward to a pod that keeps running"
# `facts` are limit, exit code and restarts.
_CONTAINER: Final = "[container {container}|the container][ of pod {pod}]"
_INIT_CONTAINER: Final = "init container[ {container}][ of pod {pod}]"
_NEXT_START: Final = "[ ({facts})][: {detail}][; next start about {at}]"
_CONTAINER_OR_POD: Final = "[container {container} of pod {pod}|pod {pod}|the pod]"
_EXIT: Final = "[ (exit code {exit_code}, {status})| (exit code {exit_code})]"
_NODE_HINT: Final = (
    "Check the node and its network: kubectl describe node [{node}|NODE]; "
    "it is retried automatically"
)
_THE_KUBELET: Final = "[the kubelet of {node}|the node's kubelet]"
_VIA: Final = "[ through the proxy {proxy}]"
_GATEWAY: Final = "a gateway in front of the API server[ ({gateway})]"
_PROXY: Final = "[the proxy {proxy}|the proxy]"
_OF_USER: Final = "[ of user {user}]"
_PLUGIN: Final = "the credential plugin[ {name}]"

_TABLE: Final[dict[ReasonCode, _Entry]] = {
    # States of a forward
    ReasonCode.FORWARD_STARTING: _Entry("opening the local port"),
    ReasonCode.FORWARD_CONNECTING: _Entry("connecting to [{pod}|the pod][:{port}]"),
    ReasonCode.FORWARD_READY: _Entry("forwarding to [{pod}|the pod][:{port}][ by {transport}]"),
    ReasonCode.FORWARD_PAUSED: _Entry("paused; the local port is kept, connections are refused"),
    ReasonCode.FORWARD_RESUMING: _Entry("resuming"),
    ReasonCode.FORWARD_RECONNECTING: _Entry("reconnecting as requested"),
    ReasonCode.FORWARD_STOPPED: _Entry("stopped"),
    ReasonCode.FORWARD_FAILED: _Entry("internal error[: {detail}]; restarting the forward"),
    ReasonCode.ENGINE_STOPPED: _Entry("the engine has stopped"),
    ReasonCode.ENGINE_NOT_RESPONDING: _Entry(
        "the engine did not answer[ within {timeout_s} s]",
        "Try again; if it persists, restart the engine, which keeps all ports: tui-forward restart",
    ),
    # Local port
    ReasonCode.LOCAL_PORT_TAKEN: _Entry(
        "[local port {port}|the local port] is taken[ by {process}; starts as soon as it is free]",
        "Stop that process, or choose another local port",
        _LOCAL,
        BlockedBy.PORT,
    ),
    ReasonCode.LOCAL_ADDRESS_TAKEN: _Entry(
        "[{address}|a local address] is taken[ by {process}], and localhost may lead there",
        "Connect to [{name}|another address], or stop that process; "
        "the address is opened as soon as it is free",
        _LOCAL,
    ),
    ReasonCode.LOCAL_NO_FREE_PORT: _Entry(
        "no local port is free on all addresses",
        "Choose another local port or address",
        _LOCAL,
        BlockedBy.PORT,
    ),
    ReasonCode.LOCAL_PORT_PRIVILEGED: _Entry(
        "[local port {port}|the local port] needs privileges, as all below 1024 do",
        "Use a local port of 1024 or above[, or allow it: "
        "sysctl net.ipv4.ip_unprivileged_port_start={port}]",
        _LOCAL,
        BlockedBy.PORT,
    ),
    ReasonCode.LOCAL_ADDRESS_UNAVAILABLE: _Entry(
        "[{address}|the address] is not an address of this machine",
        "List them with `ip address` or `ifconfig`, or use localhost",
        _LOCAL,
        BlockedBy.CONFIG,
    ),
    ReasonCode.LOCAL_NO_LOOPBACK: _Entry(
        "this machine has neither 127.0.0.1 nor ::1",
        "Choose another local address",
        _LOCAL,
        BlockedBy.CONFIG,
    ),
    ReasonCode.LOCAL_LISTEN_FAILED: _Entry(
        "cannot listen on [{address}|the local address][: {detail}]",
        "Choose another local port or address",
        _LOCAL,
        BlockedBy.CONFIG,
    ),
    # Kubeconfig, profiles, settings, command line
    ReasonCode.CONFIG_INVALID: _Entry(
        "the configuration is invalid[: {detail}]",
        "Correct the file; it is read again automatically",
        _API,
        BlockedBy.CONFIG,
    ),
    ReasonCode.CONFIG_CONTEXT_MISSING: _Entry(
        '[{object}|the kubeconfig] has no context[ "{name}"]',
        "[Available: {available}|Check the kubeconfig]",
        _API,
        BlockedBy.CONFIG,
    ),
    ReasonCode.USAGE_INVALID: _Entry(
        "invalid value[: {detail}]", "Correct it and try again", _POD, BlockedBy.TARGET
    ),
    # Credentials and permissions
    ReasonCode.AUTH_FAILED: _Entry(
        "no valid credentials[: {detail}]", _LOG_IN_HINT, _API, BlockedBy.CREDENTIALS
    ),
    ReasonCode.AUTH_NO_CREDENTIALS: _Entry(
        "[user {user} of the kubeconfig has|the kubeconfig has] no credentials for "
        "[{server}|the API server]",
        "Add a token, a client certificate or an exec plugin to the user in the kubeconfig",
        _API,
        BlockedBy.CREDENTIALS,
    ),
    ReasonCode.AUTH_NOT_ENCRYPTED: _Entry(
        "credentials are not sent over plain http://, and [{server}|the API server] wants some",
        "Use https:// in `server` of the kubeconfig",
        _API,
        BlockedBy.CONFIG,
    ),
    ReasonCode.AUTH_TOKEN_EXPIRED: _Entry(
        "the token" + _OF_USER + " expired[ at {time}]", _RENEW_HINT, _API, BlockedBy.CREDENTIALS
    ),
    ReasonCode.AUTH_TOKEN_NOT_YET_VALID: _Entry(
        "the token" + _OF_USER + " is not valid[ before {time}| yet]",
        _OWN_CLOCK_HINT,
        _API,
        BlockedBy.CREDENTIALS,
    ),
    ReasonCode.AUTH_TOKEN_REFUSED: _Entry(
        "[{server}|the API server] does not accept the token" + _OF_USER + "[ (valid until {time})]"
        "[: {detail}]",
        "Check that it is of this cluster and not revoked; replace it in the kubeconfig, "
        "or log in again",
        _API,
        BlockedBy.CREDENTIALS,
    ),
    ReasonCode.AUTH_CERTIFICATE_EXPIRED: _Entry(
        "the client certificate" + _OF_USER + " expired[ at {time}]",
        _RENEW_HINT,
        _API,
        BlockedBy.CREDENTIALS,
    ),
    ReasonCode.AUTH_CERTIFICATE_NOT_YET_VALID: _Entry(
        "the client certificate" + _OF_USER + " is not valid[ before {time}| yet]",
        _OWN_CLOCK_HINT,
        _API,
        BlockedBy.CREDENTIALS,
    ),
    ReasonCode.AUTH_CERTIFICATE_REFUSED: _Entry(
        "[{server}|the API server] does not accept the client certificate"
        + _OF_USER
        + "[ (valid until {time})][: {detail}]",
        "Check that it is signed by this cluster's authority for clients; log in again or renew it",
        _API,
        BlockedBy.CREDENTIALS,
    ),
    ReasonCode.AUTH_UNAUTHORIZED: _Entry(
        "[a gateway in front of the API server ({gateway})|{server}|the API server] "
        "refused the credentials (401)[ to {action}][: {detail}]",
        _LOG_IN_HINT,
        _API,
        BlockedBy.CREDENTIALS,
    ),
    ReasonCode.AUTH_PLUGIN_FAILED: _Entry(
        "[the credential plugin {name}|the credential plugin] failed[: {detail}]",
        _LOG_IN_HINT,
        _API,
        BlockedBy.CREDENTIALS,
    ),
    ReasonCode.AUTH_PLUGIN_RUNNING: _Entry(
        f"waiting for {_PLUGIN}",
        "It may be waiting for a login in the browser or for the network",
        _API,
    ),
    ReasonCode.AUTH_LOGIN_RUNNING: _Entry(
        f"{_PLUGIN} is waiting[: {{detail}}]",
        "Do what it asks for; press L in the dashboard to open or copy it",
        _API,
        BlockedBy.CREDENTIALS,
    ),
    ReasonCode.AUTH_LOGIN_IN_TERMINAL: _Entry(
        f"{_PLUGIN} runs in a terminal of yours",
        "Log in there; forwards continue automatically",
        _API,
        BlockedBy.CREDENTIALS,
    ),
    ReasonCode.AUTH_LOGIN_ENDED: _Entry(
        f"{_PLUGIN} was ended before it had an answer",
        _LOG_IN_HINT,
        _API,
        BlockedBy.CREDENTIALS,
    ),
    ReasonCode.AUTH_TERMINAL_REQUIRED: _Entry(
        f"{_PLUGIN} needs a terminal to log in (interactiveMode: Always)",
        "Press L in the dashboard to log in, or run `tui-forward forward` in a terminal",
        _API,
        BlockedBy.CREDENTIALS,
    ),
    ReasonCode.AUTH_REFRESH_FAILED: _Entry(
        "the token cannot be refreshed[: {detail}]", _LOG_IN_HINT, _API, BlockedBy.CREDENTIALS
    ),
    ReasonCode.AUTH_SECRET_NOT_KEPT: _Entry(
        "the value of [{name}|a secret option] is kept in memory only, and the engine has ended "
        "since",
        "Stop the forward, and start it again with the same options",
        _API,
        BlockedBy.CREDENTIALS,
    ),
    ReasonCode.RBAC_FORBIDDEN: _Entry(
        "not allowed[ to {action}| to {verb} {resource} in namespace {namespace}"
        "| to {verb} {resource}][ as {user}][: {detail}]",
        'Ask for a role that allows[ "{action}"| "{verb} {resource}"| this]',
        _API,
        BlockedBy.FORBIDDEN,
    ),
    # Network between this machine and the API server
    ReasonCode.NETWORK_ERROR: _Entry(
        "[{server}|the API server] cannot be reached" + _VIA + "[: {detail}]", _NETWORK_HINT, _API
    ),
    ReasonCode.NETWORK_DNS: _Entry(
        "the name of [{server}|the API server] cannot be resolved" + _VIA + "[: {detail}]",
        _NETWORK_HINT,
        _API,
    ),
    ReasonCode.NETWORK_REFUSED: _Entry(
        "[{server}|the API server] refuses connections" + _VIA,
        "Check that it runs, and that `server` in the kubeconfig is right",
        _API,
    ),
    ReasonCode.NETWORK_TIMEOUT: _Entry(
        "[{server}|the API server] does not answer" + _VIA + "[ within {timeout_s} s]",
        "Check the network (VPN, firewall?) and `server` in the kubeconfig",
        _API,
    ),
    ReasonCode.NETWORK_TLS_TIMEOUT: _Entry(
        "[{server}|the API server] accepts connections"
        + _VIA
        + ", but does not answer the TLS handshake[ within {timeout_s} s]",
        "Check that it is not overloaded or stopped, and `server` in the kubeconfig",
        _API,
    ),
    ReasonCode.NETWORK_UNREACHABLE: _Entry(
        "no route to [{server}|the API server]" + _VIA + "[: {detail}]",
        "Check the network and VPN",
        _API,
    ),
    ReasonCode.NETWORK_RESET: _Entry(
        "the connection to [{server}|the API server] broke" + _VIA + "[: {detail}]",
        "Check the network and VPN; it is retried automatically",
        _API,
    ),
    ReasonCode.NETWORK_TLS: _Entry(
        "TLS with [{server}|the API server] failed[: {detail}]",
        "Check `server` in the kubeconfig",
        _API,
    ),
    ReasonCode.NETWORK_TLS_CLOSED: _Entry(
        "[{server}|the server] closed the connection during the TLS handshake",
        "Check that the address and the port are those of a TLS server, "
        "and whether `server` in the kubeconfig should begin with http://",
        _API,
    ),
    ReasonCode.NETWORK_CLOSED: _Entry(
        "[{server}|the server] closed the connection without an answer",
        "Check `server` in the kubeconfig, and proxies in between",
        _API,
    ),
    ReasonCode.NETWORK_NOT_TLS: _Entry(
        "[{server}|the API server] does not support TLS on this port",
        "Check whether `server` in the kubeconfig should begin with http://",
        _API,
    ),
    ReasonCode.NETWORK_NOT_HTTP: _Entry(
        "[{server}|the API server] expects TLS, but `server` in the kubeconfig begins with http://",
        "Begin `server` in the kubeconfig with https://",
        _API,
    ),
    ReasonCode.NETWORK_CERTIFICATE: _Entry(
        "the certificate of [{server}|the API server] is not trusted[: {detail}]",
        "Set certificate-authority in the kubeconfig to the authority that signed it "
        "(a proxy that terminates TLS needs its own authority there)",
        _API,
    ),
    ReasonCode.NETWORK_CERTIFICATE_NAME: _Entry(
        "the certificate of the server is not for [{server}|the name in the kubeconfig]"
        "[: {detail}]",
        "Set tls-server-name in the kubeconfig to a name in the certificate, "
        "or use an address that is in it",
        _API,
    ),
    ReasonCode.NETWORK_CERTIFICATE_EXPIRED: _Entry(
        "the certificate of [{server}|the API server] has expired", _CLOCK_HINT, _API
    ),
    ReasonCode.NETWORK_CERTIFICATE_NOT_YET_VALID: _Entry(
        "the certificate of [{server}|the API server] is not valid yet", _CLOCK_HINT, _API
    ),
    ReasonCode.NETWORK_CLIENT_CERTIFICATE: _Entry(
        "[{server}|the API server] refused the client certificate[: {detail}]",
        "Log in again, or renew the client certificate in the kubeconfig",
        _API,
    ),
    ReasonCode.NETWORK_PROXY_NOT_HTTP: _Entry(
        "unexpected data from the proxy[ {proxy}][: {detail}]",
        "Check the scheme and the port of the proxy URL",
        _API,
    ),
    ReasonCode.NETWORK_PROXY_UNREACHABLE: _Entry(
        _PROXY + " cannot be reached[: {detail}]",
        "Check that the proxy runs, and proxy-url in the kubeconfig or HTTPS_PROXY",
        _API,
    ),
    ReasonCode.NETWORK_PROXY_TIMEOUT: _Entry(
        _PROXY + " does not answer the request to connect to [{server}|the API server]"
        "[ within {timeout_s} s]",
        "Check the proxy, and whether it can reach that address",
        _API,
    ),
    ReasonCode.NETWORK_PROXY_CLOSED: _Entry(
        _PROXY + " closed the connection without an answer",
        "Check that proxy-url names a proxy, and its port",
        _API,
    ),
    ReasonCode.NETWORK_PROXY_REFUSED: _Entry(
        _PROXY + " does not allow connections to [{server}|the API server][: {detail}]",
        "Ask its operator to allow them, or except the address: NO_PROXY, or no proxy-url",
        _API,
    ),
    ReasonCode.NETWORK_PROXY_FAILED: _Entry(
        _PROXY + " cannot reach [{server}|the API server][: {detail}]",
        "Check `server` in the kubeconfig, and the network behind the proxy",
        _API,
    ),
    ReasonCode.NETWORK_PROXY_AUTH: _Entry(
        _PROXY + " requires a user and a password, or does not accept them (407)",
        "Put them into the proxy URL: http://user:password@host:port",
        _API,
    ),
    ReasonCode.NETWORK_PROTOCOL: _Entry(
        "unexpected data from [{server}|the API server][: {detail}]",
        "Check `server` in the kubeconfig, and proxies in between",
        _API,
    ),
    # API server
    ReasonCode.API_ERROR: _Entry(
        "[{server}|the API server] answered[ {status}| with an error][ to {action}][: {detail}]",
        "Check the API server and what is in front of it; it is retried automatically",
        _API,
    ),
    ReasonCode.API_FORBIDDEN: _Entry(
        _GATEWAY + " forbids the request (403)[: {detail}]",
        "Ask the gateway's operator to allow upgrades of pods/portforward; "
        "no role in the cluster is the cause",
        _API,
        BlockedBy.FORBIDDEN,
    ),
    ReasonCode.API_STARTING: _Entry(
        "[{server}|the API server] has just started and does not know its roles yet[: {detail}]",
        "Wait; it is retried automatically",
        _API,
    ),
    ReasonCode.API_GATEWAY: _Entry(
        _GATEWAY + " answered[ {status}| with an error][ to {action}][: {detail}]",
        "Check the gateway, and whether the API server behind it runs",
        _API,
    ),
    ReasonCode.API_NOT_FOUND: _Entry(
        "[{detail}|the object does not exist]",
        "Check the name, the namespace and the context",
        _POD,
    ),
    ReasonCode.API_UNKNOWN_PATH: _Entry(
        "[{server}|the API server] does not support the request[ to {action}] (404)[: {detail}]",
        "Check `server` in the kubeconfig",
        _API,
    ),
    ReasonCode.API_EXPIRED: _Entry(
        "[{server}|the API server] no longer has that version[ ({detail})]", "", _API
    ),
    ReasonCode.API_THROTTLED: _Entry(
        "[{server}|the API server] is busy (429)[: cannot {action}][: {detail}]"
        "[; it asks to wait {timeout_s} s]",
        "Wait; it is retried automatically",
        _API,
    ),
    ReasonCode.API_REDIRECTED: _Entry(
        "[{server}|a gateway in front of the API server] redirects[ to {address}], "
        "which is not followed: it may be a login page",
        "Log in there, or check `server` in the kubeconfig",
        _API,
    ),
    ReasonCode.API_RESPONSE_TOO_LARGE: _Entry(
        "[{server}|the API server] sent more than is accepted[ to {action}][: {detail}]",
        "Check that `server` in the kubeconfig is a Kubernetes API server, "
        "or choose a single namespace",
        _API,
    ),
    ReasonCode.API_UNEXPECTED_ENCODING: _Entry(
        "[{server}|the API server] sent content that is encoded in a way that was not requested"
        "[: {detail}]",
        "Check proxies in front of the API server",
        _API,
    ),
    ReasonCode.API_UPGRADE_REFUSED: _Entry(
        "the server answered the upgrade request with [{status}|an error][: {detail}]",
        "Check gateways and proxies in front of the API server",
        _API,
    ),
    ReasonCode.API_UPGRADE_STRIPPED: _Entry(
        "something between here and the API server removes the Upgrade header of requests",
        "Check gateways and proxies in front of the API server: they must pass upgrades on",
        _API,
    ),
    ReasonCode.API_UPGRADE_UNANSWERED: _Entry(
        "the server closed the connection without answering the upgrade request",
        "Check proxies and firewalls in front of the API server: they may block upgrades",
        _API,
    ),
    ReasonCode.API_UPGRADE_TIMEOUT: _Entry(
        "the API server did not answer the upgrade request[ within {timeout_s} s]",
        "Check proxies in between, which may not support upgrades, and the node",
        _API,
    ),
    # Node: kubelet and container runtime
    ReasonCode.NODE_NOT_READY: _Entry(
        "[node {node}|the node] is NotReady[ since {at}][: {detail}]",
        "Check the node: kubectl describe node [{node}|NODE]",
        _KUBELET,
    ),
    ReasonCode.NODE_MISSING: _Entry(
        "[node {node}|the node of the pod] does not exist any more",
        "Delete the pod so that it is created on another node: "
        "kubectl delete pod[ -n {namespace}] [{pod}|POD]",
        _KUBELET,
    ),
    ReasonCode.KUBELET_UNREACHABLE: _Entry(
        f"the API server cannot reach {_THE_KUBELET}[ at {{address}}][: {{detail}}]",
        _NODE_HINT,
        _KUBELET,
    ),
    ReasonCode.KUBELET_NO_ANSWER: _Entry(
        f"the API server answers, but {_THE_KUBELET} does not[ within {{timeout_s}} s]"
        "[: {detail}]",
        "Check the node: kubectl describe node [{node}|NODE]; "
        "otherwise proxies in between, which may not pass upgrades on",
        _KUBELET,
    ),
    ReasonCode.KUBELET_NO_ADDRESS: _Entry(
        "[node {node}|the node] has no address yet", _NODE_HINT, _KUBELET
    ),
    ReasonCode.KUBELET_CERTIFICATE: _Entry(
        f"the API server does not trust {_THE_KUBELET}[: {{detail}}]",
        "Renew the kubelet's certificate; your kubeconfig is not the cause",
        _KUBELET,
    ),
    ReasonCode.KUBELET_UNAUTHORIZED: _Entry(
        f"{_THE_KUBELET} refuses the API server's credentials (401)",
        "Check the API server's client certificate for kubelets; yours is not the cause",
        _KUBELET,
    ),
    ReasonCode.KUBELET_FORBIDDEN: _Entry(
        f"{_THE_KUBELET} does not allow it to the API server[, which it knows as {{user}}] (403)",
        "Allow nodes/proxy to the API server's user; no role of yours is the cause",
        _KUBELET,
    ),
    ReasonCode.KUBELET_ERROR: _Entry(
        f"{_THE_KUBELET} answered[: {{detail}}| with an error]", "", _KUBELET
    ),
    ReasonCode.RUNTIME_UNREACHABLE: _Entry(
        "the container runtime[ of {node}] is down[: {detail}]",
        "Check that the container runtime runs on [{node}|the node]",
        _RUNTIME,
    ),
    ReasonCode.RUNTIME_BUSY: _Entry(
        "the container runtime is busy (429)[: {detail}]",
        "Wait; it is retried automatically",
        _RUNTIME,
    ),
    ReasonCode.RUNTIME_SANDBOX_GONE: _Entry(
        "the pod's sandbox no longer exists",
        "Wait for a new sandbox; if none comes: kubectl delete pod[ -n {namespace}] [{pod}|POD]",
        _RUNTIME,
    ),
    ReasonCode.RUNTIME_ERROR: _Entry("the container runtime failed[: {detail}]", "", _RUNTIME),
    # Target
    ReasonCode.TARGET_RESOLVING: _Entry("looking for [{object}|a pod]"),
    ReasonCode.TARGET_NOT_FOUND: _Entry(
        'there is no [{kind}|object][ "{name}"][ in namespace {namespace}]',
        "Check the name and the namespace; the forward starts when it appears",
        _POD,
        BlockedBy.TARGET,
    ),
    ReasonCode.TARGET_NO_SELECTOR: _Entry(
        "[{object}|the target] has no selector, so it has no pods to forward to",
        "Forward to the pods or the host behind it instead",
        _POD,
        BlockedBy.TARGET,
    ),
    ReasonCode.TARGET_NO_ENDPOINTS: _Entry(
        "[{object}|the service] has neither a selector nor endpoints",
        "Check its endpoint slices: kubectl get endpointslices[ -n {namespace}]"
        "[ -l kubernetes.io/service-name={name}]; the forward starts when there are some",
        _POD,
        BlockedBy.TARGET,
    ),
    ReasonCode.TARGET_ENDPOINTS_NOT_PODS: _Entry(
        "[{object}|the service] has no selector, and its endpoints are no pods[: {detail}]",
        "Connect to these addresses directly; only pods can be forwarded to",
        _POD,
        BlockedBy.TARGET,
    ),
    ReasonCode.TARGET_NAMESPACE_NOT_FOUND: _Entry(
        "[namespace {namespace}|the namespace] does not exist",
        "Check the namespace and the context; the forward starts when it appears",
        _POD,
        BlockedBy.TARGET,
    ),
    ReasonCode.TARGET_EXTERNAL_NAME: _Entry(
        "[{object}|the service] is the ExternalName[ {name}| of another host], "
        "so it has no pods to forward to",
        "Connect to [{name}|that host] instead",
        _POD,
        BlockedBy.TARGET,
    ),
    ReasonCode.TARGET_SCALED_TO_ZERO: _Entry(
        "[{object}|the target] is scaled to 0 replicas",
        "Scale it up: kubectl scale[ -n {namespace}] [{object}|TARGET] --replicas=1",
        _POD,
        waits_for_pod=True,
    ),
    ReasonCode.TARGET_SUSPENDED: _Entry(
        "[{object}|the job] is suspended",
        "Resume it: set spec.suspend to false",
        _POD,
        waits_for_pod=True,
    ),
    ReasonCode.TARGET_COMPLETED: _Entry(
        "[{object}|the job] has completed; nothing will run again",
        _RESTART_HINT,
        _POD,
        BlockedBy.TARGET,
    ),
    ReasonCode.TARGET_FAILED: _Entry(
        "[{object}|the job] has failed[: {status}][ ({facts})][: {detail}]; nothing will run again",
        "Check the logs of its pods: kubectl logs[ -n {namespace}] [{object}|JOB]",
        _POD,
        BlockedBy.TARGET,
    ),
    ReasonCode.TARGET_NOT_OBSERVED: _Entry(
        "no controller has seen [{object}|the target] yet",
        "Check that the controller manager of the cluster runs",
        _POD,
    ),
    ReasonCode.TARGET_PODS_NOT_CREATED: _Entry(
        "[{object}|the target] cannot create pods[: {detail}]",
        "Check quotas and admission: kubectl describe[ -n {namespace}] [{object}|TARGET]",
        _POD,
    ),
    ReasonCode.TARGET_NO_NODES: _Entry(
        "[{object}|the daemon set] runs on no node",
        "Check its node selector and tolerations: "
        "kubectl describe[ -n {namespace}] [{object}|TARGET]",
        _POD,
        waits_for_pod=True,
    ),
    ReasonCode.TARGET_NO_PODS: _Entry("[{object}|the target] has no pods yet", "", _POD),
    ReasonCode.TARGET_NO_MATCHING_PODS: _Entry(
        "no pod[ in namespace {namespace}] matches [{object}|the selector][ ({detail})]", "", _POD
    ),
    ReasonCode.TARGET_PODS_TERMINATING: _Entry(
        "all pods of [{object}|the target] are Terminating[ ({detail})]; "
        "waiting for their replacements",
        "",
        _POD,
    ),
    ReasonCode.TARGET_NO_POD: _Entry(
        "there is no pod behind [{object}|the target] now[: {detail}]",
        "Try again when the forward is ready",
        _POD,
    ),
    # Pod
    ReasonCode.POD_NOT_FOUND: _Entry(
        "[pod {pod}|the pod] does not exist[ in namespace {namespace}]",
        "Check the name and the namespace; to survive replacement forward to its deployment "
        "or service",
        _POD,
    ),
    ReasonCode.POD_NO_SCHEDULER: _Entry(
        "no scheduler has looked at [pod {pod}|the pod] yet",
        "Check that the scheduler of the cluster runs",
        _POD,
    ),
    ReasonCode.POD_SCHEDULING_GATED: _Entry(
        "[pod {pod}|the pod] waits for [the scheduling gate {name}|a scheduling gate]",
        "Check the controller that removes this gate",
        _POD,
    ),
    ReasonCode.POD_NOT_SCHEDULED: _Entry(
        "[pod {pod}|the pod] is not scheduled to a node[: {detail}]", _DESCRIBE_HINT, _POD
    ),
    ReasonCode.POD_CREATING: _Entry(
        "[pod {pod}|the pod] is still being created[: {detail}]", _DESCRIBE_HINT, _POD
    ),
    ReasonCode.POD_INIT_RUNNING: _Entry(
        f"{_INIT_CONTAINER} still runs[ ({{status}})][, since {{at}}]", _LOGS_HINT, _POD
    ),
    ReasonCode.POD_INIT_FAILING: _Entry(
        f"{_INIT_CONTAINER} fails{_NEXT_START}", _LOGS_HINT, _POD, waits_for_pod=True
    ),
    ReasonCode.POD_IMAGE_PULL: _Entry(
        "[pod {pod}|the pod] cannot pull [the image {image}|its image][: {detail}]",
        _DESCRIBE_HINT,
        _POD,
        waits_for_pod=True,
    ),
    ReasonCode.POD_CRASH_LOOPING: _Entry(
        f"{_CONTAINER} is down{_NEXT_START}", _LOGS_HINT, _POD, waits_for_pod=True
    ),
    ReasonCode.POD_OUT_OF_MEMORY: _Entry(
        f"{_CONTAINER} ran out of memory{_NEXT_START}",
        f"Raise its memory limit, or check what it was doing: {_LOGS}",
        _POD,
        waits_for_pod=True,
    ),
    ReasonCode.POD_CONTAINER_ERROR: _Entry(
        f"{_CONTAINER} cannot be created[: {{detail}}]",
        _DESCRIBE_HINT,
        _POD,
        waits_for_pod=True,
    ),
    ReasonCode.POD_START_ERROR: _Entry(
        f"{_CONTAINER} cannot start its program{_NEXT_START}",
        "Check command, args and image of the container",
        _POD,
        waits_for_pod=True,
    ),
    ReasonCode.POD_NOT_READY: _Entry(
        "[pod {pod}|the pod] is not Ready[: {cause}|: {detail}]", _DESCRIBE_HINT, _POD
    ),
    ReasonCode.POD_READINESS_GATE: _Entry(
        "[pod {pod}|the pod] is not Ready: [readiness gate {name}|a readiness gate] is not set",
        "Check the controller that sets this condition",
        _POD,
    ),
    ReasonCode.POD_UNKNOWN: _Entry(
        "the state of [pod {pod}|the pod] is unknown: [node {node}|its node] does not report it",
        "Check the node: kubectl describe node [{node}|NODE]",
        _POD,
    ),
    ReasonCode.POD_NOT_RUNNING: _Entry("[pod {pod}|the pod] does not run[: {detail}]", "", _POD),
    ReasonCode.POD_COMPLETED: _Entry(
        f"{_CONTAINER_OR_POD} has completed; it will not run again",
        _RESTART_HINT,
        _POD,
        BlockedBy.TARGET,
    ),
    ReasonCode.POD_FAILED: _Entry(
        f"{_CONTAINER_OR_POD} has failed[: {{status}}][ ({{facts}})][: {{detail}}]; "
        "it will not run again",
        _LOGS_HINT,
        _POD,
        BlockedBy.TARGET,
    ),
    ReasonCode.POD_EVICTED: _Entry(
        "[pod {pod}|the pod] was evicted[: {detail}]; it will not run again",
        _RESTART_HINT,
        _POD,
        BlockedBy.TARGET,
    ),
    ReasonCode.POD_DEADLINE_EXCEEDED: _Entry(
        "[pod {pod}|the pod] has exceeded its deadline[: {detail}]; it will not run again",
        "Raise activeDeadlineSeconds, or start it again",
        _POD,
        BlockedBy.TARGET,
    ),
    ReasonCode.POD_TERMINATING: _Entry(
        "[pod {pod}|the pod] is Terminating[ and serves until {at} at the latest]", "", _POD
    ),
    ReasonCode.POD_ENDED: _Entry(
        "[pod {pod}|the pod] has ended[: {status}][ ({facts})][: {detail}]", "", _POD
    ),
    ReasonCode.POD_DELETED: _Entry("[pod {pod}|the pod] is gone", "", _POD),
    ReasonCode.POD_AWAITING_REPLACEMENT: _Entry(
        "waiting for its replacement[ by {owner}][: {cause}]", "", _POD
    ),
    ReasonCode.POD_AWAITING_SAME_NAME: _Entry("waiting for one of the same name", "", _POD),
    ReasonCode.POD_REPLACED: _Entry(
        "[pod {pod}|the pod] was replaced by [{successor}|a new one of the same name]", "", _POD
    ),
    ReasonCode.POD_LOST: _Entry(
        "[pod {pod}|the pod] is Running, but its tunnel reported it as gone", "", _POD
    ),
    ReasonCode.POD_UNUSABLE: _Entry("[pod {pod}|the pod] can no longer be used", "", _POD),
    ReasonCode.POD_PORT_CHANGED: _Entry("the port of the container has changed[ to {port}]"),
    # Port in the pod or service
    ReasonCode.PORT_REFUSED: _Entry(
        "nothing listens on [{address}|port {port}|the port] "
        "[on node {node} ({network} network)|of the node ({network} network)"
        "|in pod {pod}|in the pod]",
        "Check which port the container listens on, and that it listens on "
        "[{address} or all addresses: ::1 was not tried|localhost or all addresses]",
        _PORT,
    ),
    ReasonCode.PORT_RESET: _Entry(
        "the application reset the connection[ on port {port}]",
        "Check the log of the container",
        _PORT,
    ),
    ReasonCode.PORT_UNKNOWN_NAME: _Entry(
        '[{object}|the target] has no port named "{port}"', _PORTS_HINT, _PORT, BlockedBy.TARGET
    ),
    ReasonCode.PORT_UNKNOWN_NUMBER: _Entry(
        "[{object}|the target] has no port[ {port}| of that number]",
        _PORTS_HINT,
        _PORT,
        BlockedBy.TARGET,
    ),
    ReasonCode.PORT_TARGET_NAME_MISSING: _Entry(
        '[port {port}|the port] of [{object}|the service] leads to a port[ named "{name}"], '
        "which [pod {pod}|the pod] does not have",
        _PORTS_HINT,
        _PORT,
        BlockedBy.TARGET,
    ),
    ReasonCode.PORT_HEADLESS: _Entry(
        "[{object}|the service] is headless: [port {port} means {port}|its ports mean the same] "
        "in the pod, whatever its targetPort[ {name}]",
        "Forward to [pod/{pod}|a pod] and port [{name}|targetPort] instead",
        _PORT,
    ),
    ReasonCode.PORT_INVALID: _Entry(
        "[{port}|this] is not a port number",
        "Choose a port from 1 to 65535",
        _PORT,
        BlockedBy.TARGET,
    ),
    ReasonCode.PORT_PROTOCOL: _Entry(
        "[port {port}|the port] of [{object}|the target] is [{protocol}|not TCP], "
        "which Kubernetes cannot forward",
        "Choose a TCP port",
        _PORT,
        BlockedBy.TARGET,
    ),
    # Tunnel
    ReasonCode.TUNNEL_LOST: _Entry("the tunnel was lost[: {cause}][: {detail}]", "", _API),
    ReasonCode.TUNNEL_CLOSED_BY_SERVER: _Entry(
        "the server closed the tunnel[ (WebSocket code {status})][: {detail}]", "", _API
    ),
    ReasonCode.TUNNEL_CLOSED: _Entry("the tunnel is closed", "", _API),
    ReasonCode.TUNNEL_NOT_OPEN: _Entry("the tunnel was never open", "", _API),
    ReasonCode.TUNNEL_TIME_LIMIT: _Entry(
        "tunnels end after [{timeout_s} s|the same time] each: "
        "something in between has a time limit",
        "Raise the idle or connection timeout of gateways and proxies in front of the API server",
        _API,
    ),
    ReasonCode.TUNNEL_SILENT: _Entry(
        "nothing has come through the tunnel[ for {timeout_s} s]",
        "Check the network (VPN, sleep?); the tunnel is being replaced",
        _API,
    ),
    ReasonCode.TUNNEL_NO_PONG: _Entry(
        "the tunnel is open, but nothing answers at its other end",
        "Check proxies in front of the API server: they may break upgraded connections",
        _API,
    ),
    ReasonCode.TUNNEL_STREAM_ABANDONED: _Entry(
        "the server's end of the tunnel has stopped in part", "", _API
    ),
    # End of one local connection
    ReasonCode.CONNECTION_CLOSED: _Entry("closed"),
    ReasonCode.CONNECTION_CLOSED_BY_CLIENT: _Entry("closed by the client"),
    ReasonCode.CONNECTION_CLOSED_BY_APPLICATION: _Entry("closed by the application"),
    ReasonCode.CONNECTION_CLOSED_WITHOUT_DATA: _Entry(
        "closed by the application without a byte",
        "Check that the protocol is the one of this port, and the log of the container",
    ),
    ReasonCode.CONNECTION_POD_DELETED: _Entry("closed: [pod {pod}|its pod] was deleted", "", _POD),
    ReasonCode.CONNECTION_POD_EVICTED: _Entry(
        "closed: [pod {pod}|its pod] was evicted[ ({detail})]", "", _POD
    ),
    ReasonCode.CONNECTION_POD_ENDED: _Entry(
        "closed: [pod {pod}|its pod] ended[ ({status})]", "", _POD
    ),
    ReasonCode.CONNECTION_CONTAINER_ENDED: _Entry(
        "closed: [container {container}|the container] ended" + _EXIT, _LOGS_HINT, _POD
    ),
    ReasonCode.CONNECTION_CONTAINER_RESTARTED: _Entry(
        "closed: [container {container}|the container] was restarted" + _EXIT, _LOGS_HINT, _POD
    ),
    ReasonCode.CONNECTION_SANDBOX_RECREATED: _Entry(
        "closed: the sandbox of [pod {pod}|the pod] was lost and is recreated", "", _RUNTIME
    ),
    ReasonCode.CONNECTION_NO_ANSWER: _Entry(
        "no answer[ for {timeout_s} s]",
        "Check the log of the container: it may not accept connections, or wait for more data",
        _PORT,
    ),
    ReasonCode.CONNECTION_CLOSED_BY_USER: _Entry("closed by the user"),
    ReasonCode.CONNECTION_CLIENT_RESET: _Entry("the client reset the connection"),
    ReasonCode.CONNECTION_CLIENT_LEFT: _Entry("the client closed before it received everything"),
    ReasonCode.CONNECTION_CLIENT_RESET_QUEUED: _Entry(
        "the client reset the connection before a tunnel was up"
    ),
    ReasonCode.CONNECTION_CLIENT_LEFT_QUEUED: _Entry(
        "the client closed the connection before a tunnel was up"
    ),
    ReasonCode.CONNECTION_HALF_CLOSE_TIMEOUT: _Entry(
        "closed by the client; the pod did not close its side"
    ),
    ReasonCode.CONNECTION_STALLED: _Entry(
        "the client left, and the pod has not read[ for {timeout_s} s]"
    ),
    ReasonCode.CONNECTION_EVICTED: _Entry(
        "the client stopped reading[ while {buffered_bytes} bytes waited for it and "
        "{total} other connections shared its tunnel]",
        "Reconnect: the connection gets a tunnel of its own if one is free",
        _PORT,
    ),
    ReasonCode.CONNECTION_QUEUE_TIMEOUT: _Entry(
        "no tunnel to the pod[ within {timeout_s} s]", "See the state of the forward", _API
    ),
    ReasonCode.CONNECTION_NO_REPLY: _Entry(
        "no reply from the server for the new streams", "", _API
    ),
    ReasonCode.CONNECTION_TIMEOUT: _Entry("the connection timed out[: {detail}]", "", _API),
    ReasonCode.CONNECTION_STREAM_REFUSED: _Entry(
        "the server refused the stream[ (status {status})]", "", _API
    ),
    ReasonCode.CONNECTION_FAILED: _Entry("[{detail}|the connection failed]", "", _API),
    ReasonCode.CONNECTION_FORWARD_STOPPED: _Entry("the forward was stopped"),
    ReasonCode.CONNECTION_FORWARD_PAUSED: _Entry("the forward is paused"),
    ReasonCode.INTERNAL_ERROR: _Entry(
        "internal error[: {detail}]", "Report it with the engine log", _LOCAL
    ),
}

_HOP_HINTS: Final = {
    _LOCAL: "Choose another local port or address, or stop the process that holds it",
    _API: "Check the network and VPN, and `server` in the kubeconfig; it is retried automatically",
    _KUBELET: "Check the node: kubectl describe node [{node}|NODE]; it is retried automatically",
    _RUNTIME: "Check that the container runtime runs on [{node}|the node]",
    _POD: _DESCRIBE_HINT,
    _PORT: "Check which port the container listens on",
}


# A credential plugin runs: its end brings the credentials, or another reason.
_LOGIN_CODES: Final = frozenset(
    {
        ReasonCode.AUTH_PLUGIN_RUNNING,
        ReasonCode.AUTH_LOGIN_RUNNING,
        ReasonCode.AUTH_LOGIN_IN_TERMINAL,
    }
)


def is_login(code: ReasonCode | None) -> bool:
    """Whether this is a login in progress: to be waited for, although it may need the user."""
    return code in _LOGIN_CODES


def reason_text(reason: Reason) -> str:
    """Return the sentence for a reason, without a full stop."""
    text = reason.text or _render(_TABLE[reason.code].text, reason)
    text += _render("[ (tried {tried})]", reason)
    if (reason.total or 0) > 1 and reason.code.startswith("pod."):
        text = _render(_ONE_OF_MANY, reason) + text
    if reason.dialed_pod and reason.dialed_pod != reason.pod:
        text = f"cannot reach pod {reason.dialed_pod}: {text}"
    if reason.previous is not None and not _is_repeated(reason.previous, reason):
        text = f"{reason_text(reason.previous)}; {text}"
    return text


def reason_hint(reason: Reason) -> str:
    """Return what the user can do about a reason; empty if nothing is known."""
    if reason.hint or reason.text:  # the hint of a code does not fit another text
        return reason.hint
    return _render(_TABLE[reason.code].hint, reason, quote=True)


def hop_hint(reason: Reason) -> str:
    """Return the hint of a reason, or what to check at its failed hop."""
    template = _HOP_HINTS[failed_hop(reason) or _LOCAL]
    return reason_hint(reason) or _render(template, reason, quote=True)


def failed_hop(reason: Reason) -> HopKind | None:
    """Return the hop where the fault is; None for a reason that is no fault."""
    return _TABLE[reason.code].hop


def blocked_by(reason: Reason) -> BlockedBy | None:
    """Return what a forward with this reason waits for; None when time may help."""
    return _TABLE[reason.code].blocked_by


def waits_for_pod(reason: Reason) -> bool:
    """Whether a pod has to run again first: a forward waits then, it does not reconnect."""
    cause = reason.cause
    return _TABLE[reason.code].waits_for_pod or (cause is not None and waits_for_pod(cause))


def error_text(error: BaseException) -> str:
    """Return the message of any exception in one line, fit to follow a colon."""
    return one_line(str(error)) or type(error).__name__


def add_previous(reason: Reason, previous: Reason | None) -> Reason:
    """Return `reason` with `previous` at the start of its chain of previous reasons."""
    if previous is None:
        return reason
    if reason.previous is not None:
        previous = add_previous(reason.previous, previous)
    return replace(reason, previous=previous)


def mentions_pod(reason: Reason | None, pod: str) -> bool:
    """Whether a reason, its cause or what came before it names a pod."""
    if reason is None:
        return False
    named = pod in (reason.pod, reason.dialed_pod, reason.successor)
    return named or mentions_pod(reason.cause, pod) or mentions_pod(reason.previous, pod)


def _is_repeated(previous: Reason, reason: Reason) -> bool:
    return previous in (reason.cause, replace(reason, previous=None, dialed_pod=""))


def _render(template: str, reason: Reason, *, quote: bool = False) -> str:
    """Fill in a template; `quote` the parameters of commands, which users paste into a shell."""

    def value_of(name: str) -> str:
        value = _value(reason, name)
        return shlex.quote(value) if quote and value and name in _COMMAND_FIELDS else value

    def part(match: re.Match[str]) -> str:
        if match[2]:
            return value_of(match[2])
        for option in match[1].split("|"):
            values = {name: value_of(name) for name in _FIELD.findall(option)}
            if all(values.values()):
                return option.format_map(values)
        return ""

    return _PART.sub(part, template)


def _value(reason: Reason, name: str) -> str:
    if name in _DERIVED:
        return _derived(reason, name)
    value = getattr(reason, name)
    match value:
        case None:
            return ""
        case Reason():
            return reason_text(value)
        case TransportChoice():
            return TRANSPORT_NAMES[value]
        case tuple():
            return ", ".join(value)
        case float() if name == "at":
            return _clock(value)
        case float():
            return f"{value:g}"
        case _:
            return one_line(str(value))


def _derived(reason: Reason, name: str) -> str:
    match name:
        case "pods":
            return "pod" if reason.total == 1 else "pods"
        case "are":
            return "is" if reason.total == 1 else "are"
        case "previous_log":
            return " --previous" if reason.has_previous_log else ""
    facts = []
    if reason.limit:
        facts.append(f"limit {one_line(reason.limit)}")
    if reason.exit_code is not None:
        facts.append(f"exit {reason.exit_code}")
    if reason.restarts:
        facts.append(f"restarted {reason.restarts}×")
    return ", ".join(facts)


def _clock(at: float) -> str:
    """Return a time of this machine's clock, with the date if it is not today."""
    moment = time.localtime(at)
    today = time.localtime()
    same_day = (moment.tm_year, moment.tm_yday) == (today.tm_year, today.tm_yday)
    return time.strftime("%H:%M:%S" if same_day else "%Y-%m-%d %H:%M", moment)


def one_line(text: str) -> str:
    """Return a text with its white space collapsed and without a full stop at its end."""
    return " ".join(text.split()).rstrip(".")
