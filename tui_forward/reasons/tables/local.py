"""Reasons of forwards themselves: their states, local ports, configuration."""

from __future__ import annotations

from typing import Final

from tui_forward.model import BlockedBy, HopKind, ReasonCode
from tui_forward.reasons.entry import Entry

TABLE: Final[dict[ReasonCode, Entry]] = {
    ReasonCode.FORWARD_STARTING: Entry("opening the local port", "opening the local port"),
    ReasonCode.FORWARD_CONNECTING: Entry(
        "connecting to the pod", "connecting to [{pod}|the pod][:{port}]"
    ),
    ReasonCode.FORWARD_READY: Entry(
        "forwarding",
        "forwarding to [{pod}|the Ready pods of {object}|the pod][:{port}][ by {transport}]",
    ),
    ReasonCode.FORWARD_PAUSED: Entry(
        "paused", "paused; the local port is kept, connections are refused"
    ),
    ReasonCode.FORWARD_RESUMING: Entry("resuming", "resuming"),
    ReasonCode.FORWARD_RECONNECTING: Entry(
        "reconnecting as requested", "reconnecting as requested"
    ),
    ReasonCode.FORWARD_STOPPED: Entry("stopped", "stopped"),
    ReasonCode.FORWARD_FAILED: Entry(
        "internal error · restarting", "internal error[: {detail}]; restarting the forward"
    ),
    ReasonCode.ENGINE_STOPPED: Entry("engine stopped", "the engine has stopped"),
    ReasonCode.ENGINE_NOT_RESPONDING: Entry(
        "engine does not answer",
        "the engine did not answer[ within {timeout_s} s]",
        "Try again; if it persists, restart the engine, which keeps all ports: tui-forward restart",
    ),
    ReasonCode.LOCAL_PORT_TAKEN: Entry(
        "[port used by {process}|port {port} is used|port is used]",
        "[local port {port}|the local port] is taken[ by {process}; starts as soon as it is free]",
        "Stop that process, or choose another local port",
        HopKind.LOCAL,
        BlockedBy.PORT,
    ),
    ReasonCode.LOCAL_ADDRESS_TAKEN: Entry(
        "[{address}|a local address] is used",
        "[{address}|a local address] is taken[ by {process}], and localhost may lead there",
        "Connect to [{name}|another address], or stop that process; "
        "the address is opened as soon as it is free",
        HopKind.LOCAL,
    ),
    ReasonCode.LOCAL_NO_FREE_PORT: Entry(
        "no free local port",
        "no local port is free on all addresses",
        "Choose another local port or address",
        HopKind.LOCAL,
        BlockedBy.PORT,
    ),
    ReasonCode.LOCAL_EXHAUSTED: Entry(
        "too many open files",
        "no more files or connections can be opened[: the limit of this process is {limit}]"
        "[: {detail}]",
        "Close connections, or start again with a higher limit: ulimit -n",
        HopKind.LOCAL,
    ),
    ReasonCode.LOCAL_PORT_PRIVILEGED: Entry(
        "[port {port}|port] needs privileges",
        "[local port {port}|the local port] needs privileges, as all below 1024 do",
        "Use a local port of 1024 or above[, or allow it: "
        "sysctl net.ipv4.ip_unprivileged_port_start={port}]",
        HopKind.LOCAL,
        BlockedBy.PORT,
    ),
    ReasonCode.LOCAL_ADDRESS_UNAVAILABLE: Entry(
        "no such local address",
        "[{address}|the address] is not an address of this machine",
        "List them with `ip address` or `ifconfig`, or use localhost",
        HopKind.LOCAL,
        BlockedBy.CONFIG,
    ),
    ReasonCode.LOCAL_NO_LOOPBACK: Entry(
        "no loopback address",
        "this machine has neither 127.0.0.1 nor ::1",
        "Choose another local address",
        HopKind.LOCAL,
        BlockedBy.CONFIG,
    ),
    ReasonCode.LOCAL_LISTEN_FAILED: Entry(
        "cannot open the local port",
        "cannot listen on [{address}|the local address][: {detail}]",
        "Choose another local port or address",
        HopKind.LOCAL,
        BlockedBy.CONFIG,
    ),
    ReasonCode.CONFIG_INVALID: Entry(
        "configuration is invalid",
        "the configuration is invalid[: {detail}]",
        "Correct the file",
        HopKind.API,
        BlockedBy.CONFIG,
        automatic="it is read again automatically",
    ),
    ReasonCode.CONFIG_CONTEXT_MISSING: Entry(
        "no context[ {name}| of that name]",
        '[{object}|the kubeconfig] has no context[ "{name}"]',
        "[Available: {available}|Check the kubeconfig]",
        HopKind.API,
        BlockedBy.CONFIG,
    ),
    ReasonCode.CONFIG_FILE_MISSING: Entry(
        "no kubeconfig",
        "there is no kubeconfig[ at {detail}]",
        "Get one for your cluster and set KUBECONFIG or --kubeconfig",
        HopKind.API,
        BlockedBy.CONFIG,
    ),
    ReasonCode.CONFIG_CLUSTER_MISSING: Entry(
        "cluster is not in kubeconfig",
        'the context names [the cluster "{name}"|a cluster], which is not in the kubeconfig',
        "[Available: {available}|Add the cluster, or correct `cluster` of the context]",
        HopKind.API,
        BlockedBy.CONFIG,
    ),
    ReasonCode.CONFIG_USER_MISSING: Entry(
        "user is not in kubeconfig",
        'the context names [the user "{name}"|a user], which is not in the kubeconfig',
        "Correct `user` of the context, or add the user",
        HopKind.API,
        BlockedBy.CONFIG,
    ),
    ReasonCode.USAGE_INVALID: Entry(
        "invalid value",
        "invalid value[: {detail}]",
        "Correct it and try again",
        HopKind.POD,
        BlockedBy.TARGET,
    ),
    ReasonCode.INTERNAL_ERROR: Entry(
        "internal error",
        "internal error[: {detail}]",
        "Report it with the engine log",
        HopKind.LOCAL,
    ),
}
