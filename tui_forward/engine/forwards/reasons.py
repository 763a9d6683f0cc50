"""Reasons of a forward's states, made of errors, pods and resolutions. Pure.

Adds what the layer that raised an error does not have: which pod was dialed, in which namespace,
on which node.
"""

from __future__ import annotations

from msgspec.structs import replace

from tui_forward.model import (
    HopKind,
    PodRef,
    Reason,
    ReasonCode,
    Resolved,
    Target,
    TransportChoice,
    Unresolved,
)
from tui_forward.reasons import add_previous, blocked_by, failed_hop, mentions_pod, one_line

# Failures that all forwards of a context share, whatever their pods.
_OF_CONTEXT = ("auth.", "config.", "network.", "tunnel.", "api.upgrade_timeout")


def affects_all_pods(reason: Reason) -> bool:
    """Whether all forwards of the context fail for the same reason, whatever their pods."""
    return reason.code.startswith(_OF_CONTEXT)


def dial_failed(failure: Reason, target: Target, resolved: Resolved) -> Reason:
    """Return why no tunnel to a pod could be opened."""
    pod = resolved.pod
    reason = replace(
        failure,
        text=one_line(failure.text),
        namespace=failure.namespace or target.namespace,
        node=failure.node or pod.node,
    )
    of_node = failed_hop(reason) in (HopKind.KUBELET, HopKind.RUNTIME)
    if blocked_by(reason) is None and not of_node and not mentions_pod(reason, pod.name):
        reason = replace(reason, dialed_pod=pod.name)
    caution = resolved.caution
    if of_node and caution is not None and caution.code is ReasonCode.NODE_NOT_READY:
        return add_previous(reason, caution)
    return reason


def lost_pod(missing: Unresolved, before: PodRef | None) -> Reason | None:
    """Return why the pod in use cannot be used, unless `missing` names that pod."""
    if before is None or mentions_pod(missing.reason, before.name):
        return None
    return Reason(code=ReasonCode.POD_UNUSABLE, pod=before.name)


def pod_moved(before: Resolved, now: Resolved) -> Reason:
    """Return why tunnels to another pod or port are needed."""
    if before.pod.uid == now.pod.uid:
        return Reason(code=ReasonCode.POD_PORT_CHANGED, pod=now.pod.name, port=str(now.port))
    successor = now.pod.name if before.pod.name != now.pod.name else ""
    return Reason(code=ReasonCode.POD_REPLACED, pod=before.pod.name, successor=successor)


def connecting(resolved: Resolved) -> Reason:
    """Return the reason of a dial: the caution if the container may crash before it is used."""
    if resolved.caution is not None and resolved.caution.code is ReasonCode.POD_UNSTABLE:
        return resolved.caution
    return Reason(
        code=ReasonCode.FORWARD_CONNECTING, pod=resolved.pod.name, port=str(resolved.port)
    )


def ready(resolved: Resolved, transport: TransportChoice | None, spread_over: str = "") -> Reason:
    """Return the reason of a tunnel that is up: the caution if there is one.

    `spread_over` is the object whose Ready pods get the connections, if not only `resolved` does.
    """
    # Not the names or the number of several pods: the timeline has them as they come and go.
    spreads = bool(spread_over) and resolved.ready
    forwarding = Reason(
        code=ReasonCode.FORWARD_READY,
        pod="" if spreads else resolved.pod.name,
        object=spread_over if spreads else "",
        port=str(resolved.port),
        transport=transport,
    )
    caution = resolved.caution
    if caution is not None and caution.code is ReasonCode.POD_UNSTABLE:
        return caution
    if caution is None and not resolved.ready:
        caution = Reason(
            code=ReasonCode.POD_NOT_READY,
            pod=resolved.pod.name,
            namespace=resolved.pod.namespace,
        )
    return forwarding if caution is None else add_previous(caution, forwarding)
