"""The dashboard's one main screen: what the cluster offers, what is forwarded, who uses it.

The screen draws samples it is given and asks the app to act; it never waits for anything.
"""

from __future__ import annotations

import time
from typing import ClassVar, Protocol

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Footer

from tui_forward.errors import TuiForwardError
from tui_forward.model import (
    Connection,
    DeclaredPort,
    Forward,
    Pod,
    PortProtocol,
    Snapshot,
)
from tui_forward.tui import rows
from tui_forward.tui.line import Line
from tui_forward.tui.picture import Picture, pod_key
from tui_forward.tui.rowtable import Column, RowTable

NAMESPACE_COLUMNS = (Column("", 16, flexible=True),)
POD_COLUMNS = (
    Column("", 1),
    Column("pod", 18, flexible=True),
    Column("ready", 5, right=True, drop=2),
    Column("status", 9, drop=1),
    Column("restarts", 8, right=True, drop=4),
    Column("age", 4, right=True, drop=3),
)
PORT_COLUMNS = (
    Column("", 1),
    Column("", 1),
    Column("port", 8, flexible=True),
    Column("", 5, right=True),
    Column("local", 7),
)
FORWARD_COLUMNS = (
    Column("state", 14),
    Column("target", 16, flexible=True),
    Column("local", 15),
    Column("conns", 5, right=True),
    Column("↓ now", 9, right=True, drop=1),
    Column("↑ now", 9, right=True, drop=2),
    Column("↓ all", 7, right=True, drop=3),
    Column("↑ all", 7, right=True, drop=4),
    Column("pod", 22, drop=6),
    Column("for", 4, right=True, drop=5),
)
CONNECTION_COLUMNS = (
    Column("client", 15, flexible=True),
    Column("process", 16, drop=4),
    Column("age", 6, right=True, drop=3),
    Column("↓ all", 7, right=True),
    Column("↑ all", 7, right=True),
    Column("↓ now", 9, right=True, drop=1),
    Column("↑ now", 9, right=True, drop=2),
    Column("state", 12),
)


class Clock(Protocol):
    """Seconds since the epoch."""

    def __call__(self) -> float:
        """The present time."""


class Dashboard(Screen[None]):
    """Namespaces, pods, ports; forwards; connections.

    Args:
        clock: For ages and countdowns.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", "toggle_nth(1)", "Port n", key_display="1-9", id="port.1",
                tooltip="Switch a port of the chosen pod on or off"),
        *(Binding(str(n), f"toggle_nth({n})", show=False, id=f"port.{n}") for n in range(2, 10)),
        Binding("space", "switch", "Switch", id="switch", tooltip="Switch what the cursor is on"),
        Binding("x", "end", "Stop", id="end", tooltip="Stop the forward or end the connection"),
        Binding("r", "reconnect", "Reconnect", id="reconnect", tooltip="Try again now"),
        Binding("n", "namespace", "Namespace", id="namespace", tooltip="Another namespace"),
        Binding("question_mark,f1", "app.help", "Help", key_display="?", id="help"),
        Binding("q", "app.quit", "Quit", id="quit"),
    ]  # fmt: skip
    AUTO_FOCUS = "#pods"

    class PortToggled(Message):
        """A port of a pod is to be switched on or off."""

        def __init__(self, pod: Pod, port: DeclaredPort) -> None:
            super().__init__()
            self.pod = pod
            self.port = port

    class ForwardAsked(Message):
        """Something is to be done with a forward: "toggle", "stop" or "reconnect"."""

        def __init__(self, forward_id: str, wish: str) -> None:
            super().__init__()
            self.forward_id = forward_id
            self.wish = wish

    class ConnectionEnded(Message):
        """A connection is to be ended."""

        def __init__(self, connection_id: int) -> None:
            super().__init__()
            self.connection_id = connection_id

    class NamespaceChosen(Message):
        """Another namespace is to be shown; "" is all of them, None asks for a name."""

        def __init__(self, namespace: str | None) -> None:
            super().__init__()
            self.wanted = namespace

    def __init__(self, clock: Clock = time.time) -> None:
        super().__init__()
        self._clock = clock
        self._picture: Picture | None = None
        self._forwards: dict[str, Forward] = {}
        self._connections: dict[str, Connection] = {}
        self._forwards_by_pod: dict[tuple[str, str], int] = {}
        # Kept, not queried: a sample may come while the screen is being built or taken down.
        self._header = Line(title_may_go=True, id="header")
        self._namespaces = RowTable(NAMESPACE_COLUMNS, id="namespaces")
        self._pods = RowTable(POD_COLUMNS, id="pods")
        self._ports = RowTable(PORT_COLUMNS, id="ports")
        self._forward_table = RowTable(FORWARD_COLUMNS, empty="No forward is on", id="forwards")
        self._detail = Line(id="detail")
        self._connection_table = RowTable(CONNECTION_COLUMNS, id="connections")
        for table in (self._namespaces, self._pods, self._ports):
            table.border_title = table.id
        self._forward_table.border_title = "forwards"
        self._connection_table.border_title = "connections"

    def compose(self) -> ComposeResult:
        """Three rows of panes between a head line and the keys."""
        yield self._header
        with Horizontal(id="browse"):
            yield self._namespaces
            yield self._pods
            yield self._ports
        yield self._forward_table
        yield self._detail
        yield self._connection_table
        yield Footer(compact=True, show_command_palette=False)

    @property
    def chosen_pod(self) -> Pod | None:
        """The pod under the cursor."""
        key = self._pods.cursor
        return self._picture.pods.get(key) if self._picture is not None and key else None

    @property
    def chosen_forward(self) -> Forward | None:
        """The forward under the cursor."""
        key = self._forward_table.cursor
        return self._forwards.get(key) if key else None

    # Drawing.

    def draw(
        self,
        picture: Picture,
        snapshot: Snapshot,
        connections: tuple[Connection, ...],
        trouble: TuiForwardError | None,
    ) -> None:
        """Show a sample."""
        self._picture = picture
        if bool(snapshot.forwards) is not bool(self._forwards):
            self.refresh_bindings()  # see `check_action`; redraws the footer, so not more often
        self._forwards = {forward.id: forward for forward in snapshot.forwards}
        self._forwards_by_pod.clear()
        for forward in snapshot.forwards:
            if forward.pod is not None and forward.spec.target.context == picture.scope.context:
                pod = (forward.pod.namespace, forward.pod.name)
                self._forwards_by_pod[pod] = self._forwards_by_pod.get(pod, 0) + 1
        self._draw_header(snapshot, trouble)
        self._draw_namespaces(picture)
        self._draw_pods(picture)
        self._draw_ports()
        self._draw_forwards()
        # Newest first: what has just happened is what one looks for.
        self._connections = {str(c.id): c for c in reversed(connections)}
        self._draw_connections()

    def _draw_header(self, snapshot: Snapshot, trouble: TuiForwardError | None) -> None:
        assert self._picture is not None
        scope, health = self._picture.scope, self._picture.health
        cells = rows.header_cells(scope.context, scope.namespace, health, snapshot)
        if trouble is not None:
            cells = (cells[0], rows.Cell(f"■ {trouble.message}", "bad"))
        elif health is not None and health.ok is False:
            words = f"API ✗ {health.error}" + (f" → {health.hint}" if health.hint else "")
            cells = (*cells[:3], rows.Cell(words, "bad"))
        self._header.show(cells)

    def _draw_namespaces(self, picture: Picture) -> None:
        shown = picture.scope.namespace
        names = ["", *picture.namespaces]
        if shown not in picture.namespaces and shown:
            names.insert(1, shown)
        self._namespaces.show(
            names,
            lambda name: rows.namespace_row(name, picture.namespaces.get(name), shown),
        )

    def _draw_pods(self, picture: Picture) -> None:
        now = self._clock()
        table = self._pods
        with_namespace = not picture.scope.namespace
        status = picture.resources.get("pods")
        trouble = picture.trouble("pods")
        if trouble is not None:
            table.empty = f"{trouble.error}" + (f" → {trouble.hint}" if trouble.hint else "")
        elif status is None or not status.synced:
            table.empty = "Listing pods …"
        else:
            table.empty = "No pods here"

        def row(key: str) -> rows.Row:
            pod = picture.pods[key]
            count = self._forwards_by_pod.get((pod.namespace, pod.name), 0)
            return rows.pod_row(pod, count, now, with_namespace=with_namespace)

        table.show(tuple(picture.pods), row)
        where = picture.scope.namespace or "all namespaces"
        table.border_title = f"pods of {where}" + (" (stale)" if trouble and picture.pods else "")

    def _draw_ports(self) -> None:
        table, pod, picture = self._ports, self.chosen_pod, self._picture
        if pod is None or picture is None:
            table.empty = ""
            table.border_title = "ports"
            table.show((), lambda _key: rows.Row(()))
            return
        table.empty = "No declared ports"
        table.border_title = f"ports of {pod.name}"

        def row(key: str) -> rows.Row:
            place = int(key.rpartition("#")[2])
            port = pod.ports[place]
            forward = rows.forward_of_port(
                self._forwards.values(), picture.scope.context, pod, port
            )
            return rows.port_row(place, port, forward)

        key = pod_key(pod)
        table.show(tuple(f"{key}#{place}" for place in range(len(pod.ports))), row)

    def _draw_forwards(self) -> None:
        now = self._clock()
        self._forward_table.show(
            tuple(self._forwards), lambda key: rows.forward_row(self._forwards[key], now)
        )
        self._detail.show(rows.detail_text(self.chosen_forward, now))

    def _draw_connections(self) -> None:
        now = self._clock()
        table, forward = self._connection_table, self.chosen_forward
        table.empty = "" if forward is None else "No connection yet"
        table.border_title = f"connections of {forward.spec.target}" if forward else "connections"
        table.show(
            tuple(self._connections),
            lambda key: rows.connection_row(self._connections[key], now),
        )

    # Moving about.

    def on_row_table_moved(self, event: RowTable.Moved) -> None:
        """Whatever depends on a cursor follows it at once."""
        if self._picture is None:
            return
        if event.table.id == "pods":
            self._draw_ports()
        elif event.table.id == "forwards":
            self._draw_forwards()

    def on_row_table_chosen(self, event: RowTable.Chosen) -> None:
        """Enter: show a namespace, go on to the ports, switch a port."""
        if event.table.id == "namespaces":
            self.post_message(self.NamespaceChosen(event.key))
            self._pods.focus()
        elif event.table.id == "pods":
            self._ports.focus()
        elif event.table.id == "ports":
            self.action_switch()
        elif event.table.id == "forwards":
            self._connection_table.focus()

    # Keys.

    def action_toggle_nth(self, number: int) -> None:
        """Switch the n-th declared port of the chosen pod."""
        pod = self.chosen_pod
        if pod is None:
            self.notify("Choose a pod first", severity="warning")
        elif number > len(pod.ports):
            count = len(pod.ports)
            what = f"declares only {count}" if count else "declares no ports"
            self.notify(f"{pod.name} {what}", severity="warning")
        else:
            self._toggle_port(pod, pod.ports[number - 1])

    def _toggle_port(self, pod: Pod, port: DeclaredPort) -> None:
        if port.protocol is not PortProtocol.TCP:
            self.notify(f"{port.protocol.value} cannot be forwarded", severity="warning")
        else:
            self.post_message(self.PortToggled(pod, port))

    def action_switch(self) -> None:
        """Switch what the cursor is on."""
        focused = self.focused.id if self.focused is not None else None
        if focused == "pods":
            self.action_toggle_nth(1)
        elif focused == "ports":
            pod, key = self.chosen_pod, self._ports.cursor
            if pod is not None and key is not None:
                self._toggle_port(pod, pod.ports[int(key.rpartition("#")[2])])
        elif focused == "forwards" and self.chosen_forward is not None:
            self.post_message(self.ForwardAsked(self.chosen_forward.id, "toggle"))
        elif focused == "namespaces":
            self._namespaces.action_choose()

    def action_end(self) -> None:
        """Stop the chosen forward, or end the chosen connection."""
        key = self._connection_table.cursor
        if self.focused is not None and self.focused.id == "connections":
            if key is not None:
                self.post_message(self.ConnectionEnded(int(key)))
        elif self.chosen_forward is not None:
            self.post_message(self.ForwardAsked(self.chosen_forward.id, "stop"))

    def action_reconnect(self) -> None:
        """Try the chosen forward again now."""
        if self.chosen_forward is not None:
            self.post_message(self.ForwardAsked(self.chosen_forward.id, "reconnect"))

    def action_namespace(self) -> None:
        """Ask for a namespace by name."""
        self.post_message(self.NamespaceChosen(None))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's signature
        """Keys that would do nothing are not offered."""
        if action in ("end", "reconnect"):
            return bool(self._forwards)
        return True
