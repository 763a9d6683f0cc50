"""Diagnosis of a forward: which hop of its network path has failed. Pure.

Works on reason codes and on what the API server reports about pod and node; it parses no text.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from msgspec.structs import replace

from tui_forward.kube.api.details import NodeDetails, PodDetails
from tui_forward.model import (
    ApiHealth,
    Connection,
    ConnectionState,
    Forward,
    ForwardState,
    HopKind,
    Reason,
    ReasonCode,
)
from tui_forward.reasons import failed_hop, hop_hint, reason_text

_KUBELET_PORT: Final = 10250
_OF_THE_NODE: Final = (ReasonCode.KUBELET_UNREACHABLE, ReasonCode.KUBELET_NO_ANSWER)


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """What the API server reports about the hops; None where it reports nothing."""

    server: str = ""  # address without credentials
    health: ApiHealth | None = None
    pod: PodDetails | None = None  # the pod behind the forward, or its successor
    node: NodeDetails | None = None  # of that pod


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The failed hop, and why it failed."""

    hop: HopKind | None = None  # None if no hop is known to have failed
    is_broken: bool = True  # False: it works now, and may not serve
    code: ReasonCode | None = None
    error: str = ""  # text of `code`
    hint: str = ""


HEALTHY: Final = Diagnosis()


def diagnose(
    forward: Forward, cause: Reason | None, facts: ClusterFacts, refusal: Reason | None = None
) -> Diagnosis:
    """Return which hop has failed, from `Engine.not_ready_cause` and `latest_refusal`."""
    if forward.state is ForwardState.STOPPED:
        return HEALTHY
    if forward.state is ForwardState.READY:
        refused = [one for one in forward.warnings if one.code is ReasonCode.PORT_REFUSED]
        if refused:
            refusal = Reason(code=refused[0].code, text=refused[0].reason, hint=refused[0].hint)
        if refusal is not None:
            return _fault(refusal, forward, facts)
        codes = [warning.code for warning in forward.warnings]
        if cause is None or cause.code not in codes:
            return HEALTHY
        return _doubt(cause, forward, facts)
    own = Reason(code=forward.code, text=forward.reason, hint=forward.hint)
    if failed_hop(own) is HopKind.LOCAL and not forward.listening:
        return _fault(own, forward, facts)
    if cause is None:
        return _fault(own, forward, facts) if forward.blocked_by is not None else HEALTHY
    return _diagnose_cause(cause, forward, facts)


def latest_refusal(forward: Forward, connections: Sequence[Connection]) -> Reason | None:
    """Return why the application refused, if the latest conclusive connection was refused.

    Connections are ordered oldest first.
    """
    if forward.remote_port is None:
        return None
    for connection in reversed(connections):
        if connection.close_code is ReasonCode.PORT_REFUSED:
            return Reason(code=ReasonCode.PORT_REFUSED, port=str(forward.remote_port))
        ended = connection.state is ConnectionState.CLOSED and not connection.failed
        if ended or connection.first_byte_s is not None:
            return None
    return None


def _diagnose_cause(cause: Reason, forward: Forward, facts: ClusterFacts) -> Diagnosis:
    loading = cause.code is ReasonCode.TARGET_RESOLVING
    waits_for_pod = failed_hop(cause) is HopKind.POD and forward.blocked_by is None
    if loading or (waits_for_pod and not _is_reported_by_cluster(cause)):
        # The cluster may be the reason why no pod is known.
        health, node = facts.health, facts.node
        if health is not None and health.ok is False:
            code = health.code or ReasonCode.NETWORK_ERROR
            text = health.error or reason_text(cause)
            return _fault(Reason(code=code, text=text, hint=health.hint), forward, facts)
        if node is not None and node.ready is False:
            not_ready = Reason(code=ReasonCode.NODE_NOT_READY, node=node.name, detail=node.trouble)
            return _fault(not_ready, forward, facts)
        if loading:
            return HEALTHY  # nothing has failed yet
    return _fault(_refine(cause, facts), forward, facts)


def _is_reported_by_cluster(cause: Reason) -> bool:
    """Whether an answer to a dial, not a watch, is the source of the reason."""
    return cause.code in (
        ReasonCode.POD_NOT_FOUND,
        ReasonCode.POD_NOT_SCHEDULED,
        ReasonCode.POD_NOT_RUNNING,
        ReasonCode.API_NOT_FOUND,
    )


def _refine(cause: Reason, facts: ClusterFacts) -> Reason:
    """Return a cause with what the API server reports about node and health."""
    healthy = facts.health is not None and facts.health.ok is True
    if cause.code is ReasonCode.API_UPGRADE_TIMEOUT and healthy:
        # The API server answers other requests: what it waits for itself is the node.
        return Reason(code=ReasonCode.KUBELET_NO_ANSWER, timeout_s=cause.timeout_s)
    if cause.code in _OF_THE_NODE and facts.node is not None and facts.node.ready is False:
        # The node is marked NotReady only some 50 s after its kubelet is gone.
        details = (cause.detail, "the node is NotReady", facts.node.trouble)
        return replace(cause, detail=", ".join(filter(None, details)))
    if cause.code is ReasonCode.RUNTIME_UNREACHABLE and cause.address:
        port = (facts.node.port if facts.node is not None else 0) or _KUBELET_PORT
        if cause.address.endswith(f":{port}"):
            return replace(cause, code=ReasonCode.KUBELET_UNREACHABLE)
    return cause


def _fault(reason: Reason, forward: Forward, facts: ClusterFacts) -> Diagnosis:
    reason = replace(
        reason,
        node=reason.node or _node(forward, facts),
        pod=reason.pod or _pod(forward, facts),
        namespace=reason.namespace or forward.spec.target.namespace,
    )
    return Diagnosis(failed_hop(reason), True, reason.code, reason_text(reason), hop_hint(reason))


def _doubt(reason: Reason, forward: Forward, facts: ClusterFacts) -> Diagnosis:
    return dataclasses.replace(_fault(reason, forward, facts), is_broken=False)


def _node(forward: Forward, facts: ClusterFacts) -> str:
    if facts.node is not None:
        return facts.node.name
    return forward.pod.node if forward.pod is not None else ""


def _pod(forward: Forward, facts: ClusterFacts) -> str:
    if facts.pod is not None:
        return facts.pod.pod.name
    return forward.pod.name if forward.pod is not None else ""
