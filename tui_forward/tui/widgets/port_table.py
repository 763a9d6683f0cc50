"""Table of the declared ports of one entry."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar, Final

from textual.binding import BindingType

from tui_forward.model import CatalogScope, DeclaredPort, Forward, MissingPermissions
from tui_forward.tui import messages
from tui_forward.tui.keys.dashboard_keys import PORT_BINDINGS
from tui_forward.tui.viewmodel import columns
from tui_forward.tui.viewmodel.cell_layout import longest_cell, natural_widths
from tui_forward.tui.viewmodel.entries import Entry
from tui_forward.tui.viewmodel.entry_rows import port_row, predicted_local_port
from tui_forward.tui.viewmodel.entry_targets import forward_on, unforwardable_reason
from tui_forward.tui.viewmodel.rows import Row
from tui_forward.tui.widgets.row_table import RowTable

_MARGINS: Final = 2  # cells


class PortTable(RowTable):
    """Declared ports of an entry, with the forwards that lead to them."""

    BINDINGS: ClassVar[list[BindingType]] = PORT_BINDINGS

    def __init__(self) -> None:
        super().__init__(columns.PORTS, id="ports")
        self._entry: Entry | None = None
        self._scope = CatalogScope("")
        self._forwards: tuple[Forward, ...] = ()
        self._missing: MissingPermissions | None = None  # of the namespace that was read last
        # Of the entries shown since the scope changed: the table gets wider, but never narrower
        # while the cursor moves.
        self._longest = [0] * len(columns.PORTS)

    @property
    def current(self) -> tuple[Entry, DeclaredPort] | None:
        """The entry and the port under the cursor."""
        entry = self._entry
        if entry is None or self.cursor is None:
            return None
        position = _index_of(self.cursor)
        return (entry, entry.ports[position]) if position < len(entry.ports) else None

    @property
    def current_forward(self) -> Forward | None:
        """The forward that leads to the port under the cursor."""
        current = self.current
        return self.forward_on(*current) if current is not None else None

    def set_forwards(self, scope: CatalogScope, forwards: Iterable[Forward]) -> None:
        """Set the forwards, of any cluster, to mark; `draw` shows them."""
        if scope != self._scope:
            self._longest = [0] * len(columns.PORTS)
        self._scope, self._forwards = scope, tuple(forwards)

    def set_missing_permissions(self, missing: MissingPermissions) -> bool:
        """Set what the user may not do in a namespace; return whether it has changed."""
        before, self._missing = self._missing, missing
        return before != missing

    def missing_permissions_of(self, entry: Entry) -> tuple[str, ...]:
        """Return what a forward to an entry lacks, as far as it is known."""
        missing, scope = self._missing, self._scope
        namespace = CatalogScope(scope.context, entry.namespace, scope.options)
        if missing is None or missing.scope != namespace:
            return ()
        return missing.by_kind.get(entry.kind, ())

    @property
    def natural_width(self) -> int:
        """Cells that the table needs, with the marks and the scrollbar beside it."""
        widths = natural_widths(columns.PORTS, self._longest)
        return sum(widths) + len(widths) - 1 + _MARGINS

    def draw(self, entry: Entry | None) -> None:
        """Show the ports of an entry."""
        self._entry = entry
        if entry is None:
            self.empty = ""
            self.rule.show("ports")
            self.show((), lambda _key: Row(()))
            return
        self.empty = "No declared ports"
        self.rule.show(f"ports of {entry.name}")

        forwards = [self.forward_on(entry, port) for port in entry.ports]
        local_ports = self._local_ports(entry, forwards)
        aligned, lacking = any(forwards), bool(self.missing_permissions_of(entry))
        shown = [
            port_row(
                position,
                port,
                forwards[position],
                local_ports[position],
                aligned=aligned,
                is_forbidden=lacking,
            )
            for position, port in enumerate(entry.ports)
        ]
        keys = tuple(f"{entry.key}#{position}" for position in range(len(entry.ports)))
        self._longest = [
            max(longest, longest_cell([row.cells[at].text for row in shown]))
            for at, longest in enumerate(self._longest)
        ]
        self.show(keys, lambda key: shown[_index_of(key)], longest=self._longest)

    def _local_ports(self, entry: Entry, forwards: Sequence[Forward | None]) -> list[int]:
        """Return the local port that a start of each port would take."""
        used = {one.port for forward in self._forwards for one in forward.listening}
        used |= {one.spec.local_port for one in self._forwards if one.spec.local_port}
        found: list[int] = []
        for port, forward in zip(entry.ports, forwards, strict=True):
            found.append(0 if forward else predicted_local_port(port.number, used))
        return found

    def open_form(self) -> None:
        """Request the form of a forward to the port under the cursor."""
        if (current := self._forwardable_current()) is not None:
            self.app.post_message(messages.ForwardFormRequested(*current))

    def _forwardable_current(self) -> tuple[Entry, DeclaredPort] | None:
        """Return the port under the cursor, or warn that it cannot be forwarded."""
        current = self.current
        if current is not None:
            entry, port = current
            reason = unforwardable_reason(entry, entry.ports.index(port) + 1)
            if not reason:
                return current
            self.notify(reason, severity="warning")
        return None

    def forward_on(self, entry: Entry, port: DeclaredPort) -> Forward | None:
        """Return the forward that leads to a port."""
        return forward_on(self._forwards, self._scope, entry, port)


def _index_of(key: str) -> int:
    return int(key.rpartition("#")[2])
