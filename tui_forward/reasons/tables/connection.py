"""Reasons of ports in pods, tunnels and connections."""

from __future__ import annotations

from typing import Final

from tui_forward.model import BlockedBy, HopKind, ReasonCode
from tui_forward.reasons.entry import LOGS_HINT, Entry

_PORTS_HINT: Final = (
    "[Available ports: {available}|No TCP ports are declared there; "
    "a pod's port can be given by number]"
)
_EXIT: Final = "[ (exit code {exit_code}, {status})| (exit code {exit_code})]"

TABLE: Final[dict[ReasonCode, Entry]] = {
    ReasonCode.PORT_REFUSED: Entry(
        "nothing listens on [{port}|the port]",
        "nothing listens on [{address}|port {port}|the port] "
        "[on node {node} ({network} network)|of the node ({network} network)"
        "|in pod {pod}|in the pod]",
        "Check which port the container listens on, and that it listens on "
        "[{address} or all addresses: ::1 was not tried|localhost or all addresses]",
        HopKind.PORT,
    ),
    ReasonCode.PORT_RESET: Entry(
        "connection reset in the pod",
        "the application reset the connection[ on port {port}]",
        "Check the log of the container",
        HopKind.PORT,
    ),
    ReasonCode.PORT_CLOSES: Entry(
        "port closes at once",
        "the application accepts connections[ on port {port}] and closes them without a byte",
        LOGS_HINT,
        HopKind.PORT,
    ),
    ReasonCode.PORT_NOT_DECLARED: Entry(
        "port is not declared",
        "no container[ of pod {pod}] declares [port {port}|the port]",
        _PORTS_HINT,
        HopKind.PORT,
    ),
    ReasonCode.PORT_UNKNOWN_NAME: Entry(
        "no port[ {port}| of that name]",
        '[{object}|the target] has no port named "{port}"',
        _PORTS_HINT,
        HopKind.PORT,
        BlockedBy.TARGET,
    ),
    ReasonCode.PORT_UNKNOWN_NUMBER: Entry(
        "no port[ {port}| of that number]",
        "[{object}|the target] has no port[ {port}| of that number]",
        _PORTS_HINT,
        HopKind.PORT,
        BlockedBy.TARGET,
    ),
    ReasonCode.PORT_TARGET_NAME_MISSING: Entry(
        "pod has no port[ {name}| {port}| of that name]",
        '[port {port}|the port] of [{object}|the service] leads to a port[ named "{name}"], '
        "which [pod {pod}|the pod] does not have",
        _PORTS_HINT,
        HopKind.PORT,
        BlockedBy.TARGET,
    ),
    ReasonCode.PORT_HEADLESS: Entry(
        "headless: targetPort ignored",
        "[{object}|the service] is headless: [port {port} means {port}|its ports mean the same] "
        "in the pod, whatever its targetPort[ {name}]",
        "Forward to [pod/{pod}|a pod] and port [{name}|targetPort] instead",
        HopKind.PORT,
    ),
    ReasonCode.PORT_INVALID: Entry(
        "invalid port",
        "[{port}|this] is not a port number",
        "Choose a port from 1 to 65535",
        HopKind.PORT,
        BlockedBy.TARGET,
    ),
    ReasonCode.PORT_PROTOCOL: Entry(
        "[{protocol}|this port] is not TCP",
        "[port {port}|the port] of [{object}|the target] is [{protocol}|not TCP], "
        "which Kubernetes cannot forward",
        "Choose a TCP port",
        HopKind.PORT,
        BlockedBy.TARGET,
    ),
    ReasonCode.TUNNEL_LOST: Entry(
        "[{cause}|tunnel lost]", "the tunnel was lost[: {cause}][: {detail}]", "", HopKind.API
    ),
    ReasonCode.TUNNEL_CLOSED_BY_SERVER: Entry(
        "server closed the tunnel",
        "the server closed the tunnel[ (WebSocket code {status})][: {detail}]",
        "",
        HopKind.API,
    ),
    ReasonCode.TUNNEL_CLOSED: Entry("tunnel closed", "the tunnel is closed", "", HopKind.API),
    ReasonCode.TUNNEL_NOT_OPEN: Entry(
        "tunnel was never open", "the tunnel was never open", "", HopKind.API
    ),
    ReasonCode.TUNNEL_TIME_LIMIT: Entry(
        "tunnel has a time limit",
        "tunnels end after [{timeout_s} s|the same time] each: "
        "something in between has a time limit",
        "Raise the idle or connection timeout of gateways and proxies in front of the API server",
        HopKind.API,
    ),
    ReasonCode.TUNNEL_SILENT: Entry(
        "tunnel is silent",
        "nothing has come through the tunnel[ for {timeout_s} s]",
        "Check the network (VPN, sleep?); the tunnel is being replaced",
        HopKind.API,
    ),
    ReasonCode.TUNNEL_NO_PONG: Entry(
        "tunnel does not answer",
        "the tunnel is open, but nothing answers at its other end",
        "Check proxies in front of the API server: they may break upgraded connections",
        HopKind.API,
    ),
    ReasonCode.TUNNEL_STREAM_ABANDONED: Entry(
        "tunnel stopped in part",
        "the server's end of the tunnel has stopped in part",
        "",
        HopKind.API,
    ),
    ReasonCode.CONNECTION_CLOSED: Entry("closed", "closed"),
    ReasonCode.CONNECTION_CLOSED_BY_CLIENT: Entry("closed by the client", "closed by the client"),
    ReasonCode.CONNECTION_CLOSED_BY_APPLICATION: Entry(
        "closed by the application", "closed by the application"
    ),
    ReasonCode.CONNECTION_CLOSED_WITHOUT_DATA: Entry(
        "closed without a byte",
        "closed by the application without a byte",
        "Check that the protocol is the one of this port, and the log of the container",
    ),
    ReasonCode.CONNECTION_POD_DELETED: Entry(
        "pod was deleted", "closed: [pod {pod}|its pod] was deleted", "", HopKind.POD
    ),
    ReasonCode.CONNECTION_POD_EVICTED: Entry(
        "pod was evicted", "closed: [pod {pod}|its pod] was evicted[ ({detail})]", "", HopKind.POD
    ),
    ReasonCode.CONNECTION_POD_ENDED: Entry(
        "pod ended", "closed: [pod {pod}|its pod] ended[ ({status})]", "", HopKind.POD
    ),
    ReasonCode.CONNECTION_CONTAINER_ENDED: Entry(
        "container ended[ (exit {exit_code})]",
        "closed: [container {container}|the container] ended" + _EXIT,
        LOGS_HINT,
        HopKind.POD,
    ),
    ReasonCode.CONNECTION_CONTAINER_RESTARTED: Entry(
        "container was restarted",
        "closed: [container {container}|the container] was restarted" + _EXIT,
        LOGS_HINT,
        HopKind.POD,
    ),
    ReasonCode.CONNECTION_SANDBOX_RECREATED: Entry(
        "pod sandbox is recreated",
        "closed: the sandbox of [pod {pod}|the pod] was lost and is recreated",
        "",
        HopKind.RUNTIME,
    ),
    ReasonCode.CONNECTION_NO_ANSWER: Entry(
        "no answer[ for {timeout_s} s]",
        "no answer[ for {timeout_s} s]",
        "Check the log of the container: it may not accept connections, or wait for more data",
        HopKind.PORT,
    ),
    ReasonCode.CONNECTION_CLOSED_BY_USER: Entry("closed by the user", "closed by the user"),
    ReasonCode.CONNECTION_CLIENT_RESET: Entry(
        "reset by the client", "the client reset the connection"
    ),
    ReasonCode.CONNECTION_CLIENT_LEFT: Entry(
        "client closed early", "the client closed before it received everything"
    ),
    ReasonCode.CONNECTION_CLIENT_RESET_QUEUED: Entry(
        "reset while queued", "the client reset the connection before a tunnel was up"
    ),
    ReasonCode.CONNECTION_CLIENT_LEFT_QUEUED: Entry(
        "closed while queued", "the client closed the connection before a tunnel was up"
    ),
    ReasonCode.CONNECTION_HALF_CLOSE_TIMEOUT: Entry(
        "pod did not close its side", "closed by the client; the pod did not close its side"
    ),
    ReasonCode.CONNECTION_STALLED: Entry(
        "pod does not read", "the client left, and the pod has not read[ for {timeout_s} s]"
    ),
    ReasonCode.CONNECTION_EVICTED: Entry(
        "client stopped reading",
        "the client stopped reading[ while {buffered_bytes} bytes waited for it and "
        "{total} other connections shared its tunnel]",
        "Reconnect: the connection gets a tunnel of its own if one is free",
        HopKind.PORT,
    ),
    ReasonCode.CONNECTION_QUEUE_TIMEOUT: Entry(
        "no tunnel[ within {timeout_s} s]",
        "no tunnel to the pod[ within {timeout_s} s]",
        "See the state of the forward",
        HopKind.API,
    ),
    ReasonCode.CONNECTION_NO_REPLY: Entry(
        "no reply for new streams", "no reply from the server for the new streams", "", HopKind.API
    ),
    ReasonCode.CONNECTION_TIMEOUT: Entry(
        "connection timed out", "the connection timed out[: {detail}]", "", HopKind.API
    ),
    ReasonCode.CONNECTION_STREAM_REFUSED: Entry(
        "stream refused", "the server refused the stream[ (status {status})]", "", HopKind.API
    ),
    ReasonCode.CONNECTION_FAILED: Entry(
        "connection failed", "[{detail}|the connection failed]", "", HopKind.API
    ),
    ReasonCode.CONNECTION_FORWARD_STOPPED: Entry("forward was stopped", "the forward was stopped"),
    ReasonCode.CONNECTION_FORWARD_PAUSED: Entry("forward is paused", "the forward is paused"),
}
