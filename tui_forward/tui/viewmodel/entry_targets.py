"""From an entry and one of its ports to what is forwarded, and back. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from tui_forward.model import DeclaredPort, Forward, Pod, PortProtocol, Target, TargetKind
from tui_forward.tui.viewmodel.cluster_state import ClusterState, owner_key, port_reference
from tui_forward.tui.viewmodel.entries import Entry


def is_forwardable(port: DeclaredPort) -> bool:
    """Whether the chain can carry it: only TCP."""
    return port.protocol is PortProtocol.TCP


def target_of(context: str, entry: Entry, port: DeclaredPort) -> Target:
    """What a forward to this port of this entry is asked for."""
    return Target(
        context=context,
        namespace=entry.namespace,
        kind=entry.kind,
        name=entry.name,
        port=port_reference(entry.ports, port),
    )


def forward_on(
    forwards: Iterable[Forward], context: str, entry: Entry, port: DeclaredPort
) -> Forward | None:
    """The forward that leads to this port of this entry.

    One that was asked for by this very name, or, of a pod, whichever leads there now.
    """
    number = str(port.number)
    alone = bool(port.name) and port_reference(entry.ports, port) == port.name
    for forward in forwards:
        target = forward.spec.target
        if (target.context, target.namespace) != (context, entry.namespace):
            continue
        named = target.kind is entry.kind and target.name == entry.name
        if entry.kind is TargetKind.POD and forward.pod is not None and forward.remote_port:
            if (forward.pod.name, forward.remote_port) == (entry.name, port.number):
                return forward
        elif named and (
            target.port == number
            or (target.port == port.name and (alone or forward.remote_port in (None, port.number)))
        ):
            # A name that several ports have is that of the one it leads to now.
            return forward
    return None


class ForwardsByEntry:
    """Which entries have a forward, for the marks of a long list.

    Args:
        forwards: Those there are.
        context: Whose cluster is on show.
        picture: Which pods belong to which workload.
    """

    def __init__(self, forwards: Iterable[Forward], context: str, picture: ClusterState) -> None:
        self._by_key: dict[str, list[Forward]] = {}
        for forward in forwards:
            target = forward.spec.target
            if target.context != context:
                continue
            keys = {f"{target.kind.value}/{target.namespace}/{target.name}"}
            if forward.pod is not None:
                key = f"pod/{forward.pod.namespace}/{forward.pod.name}"
                keys.add(key)
                pod: Pod | None = picture.pods.get(key)
                if pod is not None and (owner := owner_key(pod)) is not None:
                    keys.add(owner)
            for key in keys:
                self._by_key.setdefault(key, []).append(forward)

    def of(self, key: str) -> tuple[Forward, ...]:
        """Those that lead to an entry, or to a pod of it."""
        return tuple(self._by_key.get(key, ()))
