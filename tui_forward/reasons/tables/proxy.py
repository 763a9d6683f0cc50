"""Reasons of the cluster proxy: names that it cannot connect, and rules."""

from __future__ import annotations

from typing import Final

from tui_forward.model import HopKind, ReasonCode
from tui_forward.reasons.entry import Entry

TABLE: Final[dict[ReasonCode, Entry]] = {
    ReasonCode.PROXY_NAME_UNKNOWN: Entry(
        "unknown name",
        'there is no [{kind}|service][ "{name}"][ in namespace {namespace}]',
        "[Similar names: {available}|Check the name and the namespace]",
        HopKind.POD,
    ),
    ReasonCode.PROXY_OUTSIDE_CLUSTER: Entry(
        "outside the cluster",
        "[{name}|the name] is outside the cluster",
        "Connect to it without the proxy, or start the proxy with --direct",
        HopKind.LOCAL,
    ),
    ReasonCode.PROXY_NOT_CONNECTED: Entry(
        "[{cause}|not connected]",
        "cannot connect to [{name}|the host][: {cause}][: {detail}]",
        "Check that this machine can reach it",
        HopKind.LOCAL,
    ),
    ReasonCode.PROXY_LOCAL_ADDRESS: Entry(
        "name of this machine",
        "[{name}|the name] is resolved to this machine or to its link, and is no name of localhost",
        "Connect to it without the proxy, or by its address",
        HopKind.LOCAL,
    ),
    ReasonCode.PROXY_API_SERVER: Entry(
        "API server has no pods",
        "[{object}|the service] is the API server itself, which is not behind pods",
        "Connect to the server that the kubeconfig names, with the credentials there",
        HopKind.POD,
    ),
    ReasonCode.PROXY_PORT_MISSING: Entry(
        "no port chosen",
        "[{object}|the service] has several ports, and none is named http or has the number 80",
        "[Choose one in the name: {available}|It declares no TCP port]",
        HopKind.PORT,
    ),
    ReasonCode.PROXY_REFUSED: Entry(
        "refused by the proxy", "refused by the proxy[: {detail}]", "", HopKind.LOCAL
    ),
}
