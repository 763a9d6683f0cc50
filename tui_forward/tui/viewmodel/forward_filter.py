"""Adapter that makes forwards filterable. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tui_forward.model import DeclaredPort, Forward
from tui_forward.tui.viewmodel.rows import local_text, target_text


@dataclass(frozen=True, slots=True)
class FilterableForward:
    """Implements `Filterable`: `status:` is the state, `label:` the label of the spec."""

    forward: Forward

    @property
    def title(self) -> str:
        """See `Filterable`."""
        return self.forward.spec.target.name.lower()

    @property
    def words(self) -> str:
        """See `Filterable`."""
        forward = self.forward
        pod = forward.pod.name if forward.pod is not None else ""
        parts = [
            target_text(forward), forward.spec.target.context, forward.state.value,
            forward.spec.label, local_text(forward), pod, forward.id,
        ]  # fmt: skip
        return " ".join(parts).lower()

    @property
    def namespace(self) -> str:
        """See `Filterable`."""
        return self.forward.spec.target.namespace

    @property
    def kind(self) -> str:
        """See `Filterable`."""
        return self.forward.spec.target.kind.value

    @property
    def node(self) -> str:
        """See `Filterable`."""
        return self.forward.pod.node if self.forward.pod is not None else ""

    @property
    def status(self) -> str:
        """See `Filterable`."""
        return "paused" if self.forward.paused else self.forward.state.value

    @property
    def labels(self) -> Mapping[str, str]:
        """See `Filterable`."""
        return {self.forward.spec.label: ""} if self.forward.spec.label else {}

    @property
    def ports(self) -> tuple[DeclaredPort, ...]:
        """See `Filterable`: the remote port and the local ports."""
        port = self.forward.spec.target.port
        number = self.forward.remote_port or (int(port) if port.isdecimal() else 0)
        local_ports = [DeclaredPort(number=address.port) for address in self.forward.listening]
        return (DeclaredPort(number=number, name=port), *local_ports)
