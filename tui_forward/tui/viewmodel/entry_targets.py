"""Mapping between entries with ports and forwards. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from tui_forward.common.formatting import pluralize
from tui_forward.model import (
    CatalogScope,
    DeclaredPort,
    Forward,
    PodRef,
    PodShareState,
    PodSummary,
    PortProtocol,
    Reason,
    ReasonCode,
    Service,
    Target,
    TargetKind,
)
from tui_forward.reasons import reason_hint, reason_text
from tui_forward.tui.viewmodel.cluster_state import ClusterState, owner_key, port_reference
from tui_forward.tui.viewmodel.entries import Entry


def is_forwardable(port: DeclaredPort) -> bool:
    """Return whether the port can be forwarded: only TCP can."""
    return port.protocol is PortProtocol.TCP


def unforwardable_reason(entry: Entry, number: int) -> str:
    """Return why port `number`, from 1, of an entry cannot be forwarded; empty if it can."""
    item = entry.item
    if isinstance(item, Service) and item.external_name:
        reason = Reason(
            code=ReasonCode.TARGET_EXTERNAL_NAME, object=f"svc/{item.name}", name=item.external_name
        )
        return f"{reason_text(reason)} → {reason_hint(reason)}"
    count = len(entry.ports)
    if number > count:
        declared = f"only {pluralize(count, 'port')}" if count else "no ports"
        return f"{entry.name} declares {declared}"
    port = entry.ports[number - 1]
    return "" if is_forwardable(port) else f"{port.protocol.value} cannot be forwarded"


def target_of(scope: CatalogScope, entry: Entry, port: DeclaredPort) -> Target:
    """Return the target for a port of an entry of a scope."""
    return Target(
        context=scope.context, options=scope.options, namespace=entry.namespace, kind=entry.kind,
        name=entry.name, port=port_reference(entry.ports, port),
    )  # fmt: skip


def object_of(scope: CatalogScope, entry: Entry) -> Target:
    """Return an entry of a scope as the target of a log or a description, without a port."""
    return Target(
        context=scope.context, options=scope.options, namespace=entry.namespace, kind=entry.kind,
        name=entry.name, port="",
    )  # fmt: skip


def forward_on(
    forwards: Iterable[Forward], scope: CatalogScope, entry: Entry, port: DeclaredPort
) -> Forward | None:
    """Return the forward to a port of an entry by name or, for a pod, the one that leads there.

    Those that a proxy has opened have no port of their own, so that a key must start another one.
    """
    number = str(port.number)
    alone = bool(port.name) and port_reference(entry.ports, port) == port.name
    cluster = scope.cluster_key
    for forward in forwards:
        target = forward.spec.target
        if (target.cluster_key, target.namespace) != (cluster, entry.namespace):
            continue
        if forward.spec.proxy:
            continue
        named = target.kind is entry.kind and target.name == entry.name
        if entry.kind is TargetKind.POD and forward.pod is not None and forward.remote_port:
            names = {pod.name for pod in _pods_of(forward)}
            if entry.name in names and forward.remote_port == port.number:
                return forward
        elif named and (
            target.port == number
            or (target.port == port.name and (alone or forward.remote_port in (None, port.number)))
        ):
            # If several ports have the name, it is the one that the forward leads to now.
            return forward
    return None


def _pods_of(forward: Forward) -> Iterable[PodRef]:
    """Return the pods that connections of a forward go to now."""
    if forward.pods:
        return (share.pod for share in forward.pods if share.state is not PodShareState.LEAVING)
    return () if forward.pod is None else (forward.pod,)


class ForwardsByEntry:
    """Index of forwards by entry in the cluster shown, for the marks of a long list."""

    def __init__(self, forwards: Iterable[Forward], state: ClusterState) -> None:
        self._by_key: dict[str, list[Forward]] = {}
        cluster = state.scope.cluster_key
        for forward in forwards:
            target = forward.spec.target
            if target.cluster_key != cluster or forward.spec.proxy:
                continue
            keys = {f"{target.kind.value}/{target.namespace}/{target.name}"}
            for ref in _pods_of(forward):
                key = f"pod/{ref.namespace}/{ref.name}"
                keys.add(key)
                pod: PodSummary | None = state.pods.get(key)
                if pod is not None and (owner := owner_key(pod)) is not None:
                    keys.add(owner)
            for key in keys:
                self._by_key.setdefault(key, []).append(forward)

    def of(self, key: str) -> tuple[Forward, ...]:
        """Return the forwards to an entry, or to a pod of it."""
        return tuple(self._by_key.get(key, ()))
