"""Reasons of the API server and gateways in front of it."""

from __future__ import annotations

from typing import Final

from tui_forward.model import BlockedBy, HopKind, ReasonCode
from tui_forward.reasons.entry import RETRIED, Entry

_GATEWAY: Final = "a gateway in front of the API server[ ({gateway})]"

TABLE: Final[dict[ReasonCode, Entry]] = {
    ReasonCode.API_ERROR: Entry(
        "API server error[ {status}]",
        "[{server}|the API server] answered[ {status}| with an error][ to {action}][: {detail}]",
        "Check the API server and what is in front of it",
        HopKind.API,
        automatic=RETRIED,
    ),
    ReasonCode.API_FORBIDDEN: Entry(
        "forbidden by a gateway (403)",
        _GATEWAY + " forbids the request (403)[: {detail}]",
        "Ask the gateway's operator to allow upgrades of pods/portforward; "
        "no role in the cluster is the cause",
        HopKind.API,
        BlockedBy.FORBIDDEN,
    ),
    ReasonCode.API_STARTING: Entry(
        "API server is starting",
        "[{server}|the API server] has just started and does not know its roles yet[: {detail}]",
        "Wait a moment",
        HopKind.API,
        automatic=RETRIED,
    ),
    ReasonCode.API_GATEWAY: Entry(
        "gateway error[ {status}]",
        _GATEWAY + " answered[ {status}| with an error][ to {action}][: {detail}]",
        "Check the gateway, and whether the API server behind it runs",
        HopKind.API,
    ),
    ReasonCode.API_NOT_KUBERNETES: Entry(
        "not a Kubernetes API server",
        "[{server}|the server] is no Kubernetes API server: it answers[ {detail}| otherwise]",
        "Correct `server` in the kubeconfig",
        HopKind.API,
    ),
    ReasonCode.API_LOGIN_PAGE: Entry(
        "login page instead of API",
        "[{server}|a gateway in front of the API server] answers with a login page[: {detail}]",
        "Log in to the network or the gateway first (a browser shows the page), "
        "or check `server` in the kubeconfig",
        HopKind.API,
    ),
    ReasonCode.API_SLOW: Entry(
        "API server is slow",
        "[{server}|the API server] took [{timeout_s} s|long] to answer",
        "Check the network to it and its load",
        HopKind.API,
    ),
    ReasonCode.API_CLOCK_DIFFERENCE: Entry(
        "clocks differ",
        "the clock of this machine is [{detail}|another one than that of the API server]",
        "Set the clock of this machine (for example with timedatectl set-ntp true)",
        HopKind.API,
    ),
    ReasonCode.API_NOT_FOUND: Entry(
        "object not found",
        "[{detail}|the object does not exist]",
        "Check the name, the namespace and the context",
        HopKind.POD,
    ),
    ReasonCode.API_UNKNOWN_PATH: Entry(
        "request not supported (404)",
        "[{server}|the API server] does not support the request[ to {action}] (404)[: {detail}]",
        "Check `server` in the kubeconfig",
        HopKind.API,
    ),
    ReasonCode.API_EXPIRED: Entry(
        "version of the list is gone",
        "[{server}|the API server] no longer has that version[ ({detail})]",
        "",
        HopKind.API,
    ),
    ReasonCode.API_THROTTLED: Entry(
        "API server is busy (429)",
        "[{server}|the API server] is busy (429)[: cannot {action}][: {detail}]"
        "[; it asks to wait {timeout_s} s]",
        "Wait a moment",
        HopKind.API,
        automatic=RETRIED,
    ),
    ReasonCode.API_REDIRECTED: Entry(
        "redirected, maybe to a login",
        "[{server}|a gateway in front of the API server] redirects[ to {address}], "
        "which is not followed: it may be a login page",
        "Log in there, or check `server` in the kubeconfig",
        HopKind.API,
    ),
    ReasonCode.API_RESPONSE_TOO_LARGE: Entry(
        "answer is too large",
        "[{server}|the API server] sent more than is accepted[ to {action}][: {detail}]",
        "Check that `server` in the kubeconfig is a Kubernetes API server, "
        "or choose a single namespace",
        HopKind.API,
    ),
    ReasonCode.API_UNEXPECTED_ENCODING: Entry(
        "unexpected content encoding",
        "[{server}|the API server] sent content that is encoded in a way that was not requested"
        "[: {detail}]",
        "Check proxies in front of the API server",
        HopKind.API,
    ),
    ReasonCode.API_UPGRADE_REFUSED: Entry(
        "upgrade refused[ ({status})]",
        "the server answered the upgrade request with [{status}|an error][: {detail}]",
        "Check gateways and proxies in front of the API server",
        HopKind.API,
    ),
    ReasonCode.API_UPGRADE_STRIPPED: Entry(
        "upgrade header was removed",
        "something between here and the API server removes the Upgrade header of requests",
        "Check gateways and proxies in front of the API server: they must pass upgrades on",
        HopKind.API,
    ),
    ReasonCode.API_UPGRADE_UNANSWERED: Entry(
        "upgrade not answered",
        "the server closed the connection without answering the upgrade request",
        "Check proxies and firewalls in front of the API server: they may block upgrades",
        HopKind.API,
    ),
    ReasonCode.API_UPGRADE_TIMEOUT: Entry(
        "upgrade timed out",
        "the API server did not answer the upgrade request[ within {timeout_s} s]",
        "Check proxies in between, which may not support upgrades, and the node",
        HopKind.API,
    ),
}
