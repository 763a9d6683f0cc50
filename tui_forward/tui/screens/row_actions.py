"""What the keys of the dashboard act on, and the answer of a key that has nothing to act on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.message import Message
from textual.screen import Screen

from tui_forward.common.formatting import pluralize
from tui_forward.model import (
    CatalogScope,
    Connection,
    DeclaredPort,
    Forward,
    ProxyInfo,
    Service,
    Target,
)
from tui_forward.tui import messages
from tui_forward.tui.keys.key_names import keys_of
from tui_forward.tui.messages import ForwardAction
from tui_forward.tui.screens.confirmation import ConfirmationScreen, Question
from tui_forward.tui.viewmodel.entries import Entry
from tui_forward.tui.viewmodel.entry_targets import (
    is_forwardable,
    object_of,
    unforwardable_reason,
)
from tui_forward.tui.viewmodel.forward_names import forward_name
from tui_forward.tui.viewmodel.pane_layout import Pane
from tui_forward.tui.viewmodel.proxy_text import proxy_address, proxy_url
from tui_forward.tui.widgets.pane_body import PaneBody
from tui_forward.tui.widgets.pane_tables import PaneTables

MAX_PORTS_AT_ONCE = 180
_NO_FORWARDS = "No active forwards. Select a row and press 1."


class RowActions:
    """Requests for the rows that are selected, or under the cursor of the focused pane."""

    def __init__(
        self, screen: Screen[None], body: PaneBody, tables: PaneTables,
        scope: Callable[[], CatalogScope], go_to: Callable[[Forward], None],
    ) -> None:  # fmt: skip
        self._screen = screen
        self._body = body
        self._entries = tables.entries
        self._ports = tables.ports
        self._forwards = tables.forwards
        self._connections = tables.connections
        self._scope = scope  # returns what is shown of the cluster
        self._go_to = go_to  # moves to the row of a forward

    @property
    def _pane(self) -> Pane:
        return self._body.focused_pane

    def _answer(self, text: str) -> None:
        self._screen.notify(text, severity="warning")

    def _post(self, message: Message) -> None:
        self._screen.post_message(message)

    # Forwards ------------------------------------------------------------------------------

    def forwards(self) -> list[Forward]:
        """Return the forwards that a key acts on where the focus is."""
        if self._pane is Pane.PORTS:
            forward = self._ports.current_forward
            return [forward] if forward is not None else []
        if self._pane is Pane.CLUSTER:
            return self._entries.forwards_of_selected
        if self._pane is Pane.CONNECTIONS:
            return self._forwards_of_connections()
        return self._forwards.selected

    def _forwards_of_connections(self) -> list[Forward]:
        found: dict[str, Forward] = {}
        for connection in self._connections.selected:
            forward = self._forwards.forward(connection.forward_id)
            if forward is not None:
                found[forward.id] = forward
        return list(found.values())

    def title(self) -> str:
        """Return what keys act on: `Forward deploy/api:http`, `2 forwards`, or an object."""
        forwards = self.forwards()
        if len(forwards) == 1:
            return f"Forward {forward_name(forwards[0])}"
        if forwards:
            return pluralize(len(forwards), "forward")
        entry = self._entries.current
        return entry.name if self._pane is Pane.CLUSTER and entry is not None else "This row"

    def no_forward_text(self) -> str:
        """Return the answer of a key that needs a forward where there is none."""
        if self._pane is Pane.CLUSTER:
            entry = self._entries.current
            if entry is None:
                return "No row to act on"
            start = "1 starts one" if entry.ports else "f forwards any port"
            return f"{entry.name} has no active forward. {start}."
        if self._pane is Pane.PORTS:
            current = self._ports.current
            if current is None:
                return "No declared ports. f forwards any port."
            entry, port = current
            return f"{port.name or port.number} of {entry.name} is not active. enter starts it."
        if self._pane is Pane.CONNECTIONS:
            return "No connection to act on"
        return "No forward matches the filter" if self._forwards.has_forwards else _NO_FORWARDS

    def run(self, action: ForwardAction) -> None:
        """Request an action on the forwards; stopping may ask first."""
        heading = self._forwards.current_proxy if self._pane is Pane.FORWARDS else None
        if heading is not None and heading.proxy is not None:
            if action is ForwardAction.STOP:
                self._stop_proxy(heading.proxy, heading.members)
                return
            if action is ForwardAction.COPY:
                self._post(messages.CopyRequested(proxy_url(heading.proxy)))
                return
        forwards = self.forwards()
        if not forwards and action is ForwardAction.COPY:
            self._post(messages.LoginCodeRequested(self.no_forward_text()))
        elif not forwards:
            self._answer(self.no_forward_text())
        elif action is ForwardAction.STOP:
            confirm_stop(self._screen, forwards, lambda: self._request(forwards, action))
        else:
            self._request(forwards, action)

    def _stop_proxy(self, proxy: ProxyInfo, targets: Sequence[Forward]) -> None:
        """Stop a cluster proxy, after a question if it has connections."""

        def stop() -> None:
            self._post(messages.ProxyStopRequested(proxy.id))

        connections = sum(target.counters.connections_open for target in targets)
        if not connections:
            stop()
            return
        question = f"Stop the cluster proxy {proxy_address(proxy)}?"
        question += f" Closes {pluralize(connections, 'connection')}."
        ask(self._screen, question, "Stop", "forwards.stop", stop)

    def _request(self, forwards: list[Forward], action: ForwardAction) -> None:
        ids = [forward.id for forward in forwards]
        self._post(messages.ForwardActionRequested(ids, action))
        if action in (ForwardAction.STOP, ForwardAction.EDIT):
            self._body.table(self._pane).unmark()

    def show_detail(self) -> None:
        """Request the details of the first forward."""
        forwards = self.forwards()
        if forwards:
            self._post(messages.DetailRequested(forwards[0].id))
        else:
            self._answer(self.no_forward_text())

    def show_log(self) -> None:
        """Request the log of the pod of the first forward, or of the row of the cluster.

        Of a container that crash-loops, that of its last run.
        """
        forwards = [] if self._pane is Pane.CLUSTER else self.forwards()
        entry = self._entries.current
        if forwards:
            self._post(messages.log_request(forwards[0]))
        elif entry is not None and self._pane in (Pane.CLUSTER, Pane.PORTS):
            self._post(messages.LogRequested(object_of(self._scope(), entry)))
        else:
            self._answer(self.no_forward_text())

    def subject(self) -> Forward | Target | None:
        """Return the first forward, or the row of the cluster; None without a row."""
        forwards = [] if self._pane is Pane.CLUSTER else self.forwards()
        entry = self._entries.current
        if forwards:
            return forwards[0]
        if entry is not None and self._pane in (Pane.CLUSTER, Pane.PORTS):
            return object_of(self._scope(), entry)
        return None

    def describe(self) -> None:
        """Request the description of the row of the cluster."""
        entry = self._entries.current
        if entry is not None:
            self._post(messages.DescriptionRequested(object_of(self._scope(), entry)))
        else:
            self._answer("No row to act on")

    # Ports ---------------------------------------------------------------------------------

    def start_port(self, number: int) -> None:
        """Start port `number`, from 1, of the selected rows, or go to its forward."""
        entries = self._selected_entries()
        if not entries:
            self._answer("No row to act on")
            return
        to_start: list[tuple[Entry, DeclaredPort]] = []
        active: list[Forward] = []
        for entry in entries:
            reason = unforwardable_reason(entry, number)
            if reason:
                if len(entries) == 1:
                    self._answer(_no_port(entry, number) or reason)
                continue
            port = entry.ports[number - 1]
            forward = self._ports.forward_on(entry, port)
            if forward is None:
                to_start.append((entry, port))
            else:
                active.append(forward)
        self._start(to_start)
        if active and not to_start:
            self._go_to(active[0])
        if len(entries) > 1 and not to_start and not active:
            self._answer(f"No selected row has a port {number} that can be forwarded")

    def start_all_ports(self) -> None:
        """Start all ports of the selected rows."""
        entries = self._selected_entries()
        ports = [(entry, port) for entry in entries for port in entry.ports if is_forwardable(port)]
        to_start = [one for one in ports if self._ports.forward_on(*one) is None]
        if not entries:
            self._answer("No row to act on")
        elif not ports:
            self._answer(f"{entries[0].name} has no port to forward. f forwards any port.")
        elif not to_start:
            self._answer("All ports are active")
        self._start(to_start[:MAX_PORTS_AT_ONCE])

    def _selected_entries(self) -> list[Entry]:
        return self._entries.selected

    def choose_port(self) -> None:
        """Start the port under the cursor of the ports, or go to its forward."""
        current = self._ports.current
        if current is None:
            self._answer("No declared ports. f forwards any port.")
            return
        entry, port = current
        forward = self._ports.current_forward
        if forward is not None:
            self._go_to(forward)
            return
        reason = unforwardable_reason(entry, entry.ports.index(port) + 1)
        if reason:
            self._answer(reason)
        else:
            self._start([current])

    def _start(self, ports: list[tuple[Entry, DeclaredPort]]) -> None:
        if ports:
            self._post(messages.ForwardPortsRequested(ports))
            self._entries.unmark()

    def open_form(self) -> None:
        """Request the form of a new forward to the row under the cursor."""
        entry = self._entries.current
        if entry is None:
            self._answer("No row to act on")
        elif self._pane is Pane.PORTS and self._ports.current is not None:
            self._ports.open_form()
        else:
            self._entries.open_form()

    # Connections -----------------------------------------------------------------------------

    def close_connections(self) -> None:
        """Close the selected connections; several are asked about first."""
        chosen = [one for one in self._connections.selected if one.closed_at is None]
        if not chosen:
            self._answer("No open connection to close")
            return

        def close() -> None:
            self._post(messages.CloseConnectionsRequested([one.id for one in chosen]))
            self._connections.unmark()

        if len(chosen) == 1:
            close()
            return
        ask(
            self._screen, f"Close {pluralize(len(chosen), 'connection')}?", "Close",
            "connections.close", close,
        )  # fmt: skip

    def connection(self) -> Connection | None:
        """Return the first selected connection, or answer that there is none."""
        chosen = next(iter(self._connections.selected), None)
        if chosen is None:
            self._answer("No connection to act on")
        return chosen

    def go_to_forward_of_connection(self) -> None:
        """Move to the forward of the connection under the cursor."""
        forwards = self.forwards()
        if forwards:
            self._go_to(forwards[0])
        else:
            self._answer(self.no_forward_text())


def _no_port(entry: Entry, number: int) -> str:
    """Return the answer for a number that no declared port has; empty if one has it."""
    is_external = isinstance(entry.item, Service) and bool(entry.item.external_name)
    if number <= len(entry.ports) or is_external:
        return ""
    return f"{entry.name} has no port {number}. f forwards any port."


def confirm_stop(
    screen: Screen[None], forwards: list[Forward], stop: Callable[[], None],
    binding: str = "forwards.stop",
) -> None:  # fmt: skip
    """Stop forwards, after a question if there are several or connections are open."""
    connections = sum(forward.counters.connections_open for forward in forwards)
    if len(forwards) == 1 and not connections:
        stop()
        return
    what = (
        forward_name(forwards[0]) if len(forwards) == 1 else (pluralize(len(forwards), "forward"))
    )
    closes = f" Closes {pluralize(connections, 'connection')}." if connections else ""
    ask(screen, f"Stop {what}?{closes}", "Stop", binding, stop)


def ask(
    screen: Screen[None], question: str, verb: str, binding: str, confirmed: Callable[[], None]
) -> None:
    """Ask in the place of the first line of keys; the key of `binding` confirms."""

    def answer(is_confirmed: bool | None) -> None:
        if is_confirmed:
            confirmed()

    asked = Question(question, verb, keys_of(screen.app, binding))
    screen.app.push_screen(ConfirmationScreen(asked), answer)
