"""Keys of the dashboard: bindings of the screen and of each pane, and what each footer shows.

Keys with the same meaning in several panes belong to the screen; a pane overrides them with
bindings of its own. The footers, the help and ARCHITECTURE.md are generated from these.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
from textual.binding import Binding, BindingType

from tui_forward.tui.viewmodel.pane_layout import STEP, Pane

_PORT: Final = "Start the port with this number, or go to its forward"

# Of the dashboard and of the screen of details.
SHARED_BINDINGS: Final[list[BindingType]] = [
    Binding("y", "forward('copy')", "Copy", id="forwards.copy", tooltip="Copy the local address"),
    Binding("Y", "forward('copy_command')", "Copy command", id="forwards.copy-command",
            tooltip="Copy the command line that starts the same forward"),
    Binding("o", "forward('open')", "Open", id="forwards.open", tooltip="Open in the browser"),
    Binding("l", "log", "Logs", id="forwards.log", tooltip="Show the log of its pod"),
    Binding("p", "forward('pause')", "Pause", id="forwards.pause",
            tooltip="Pause the forward but keep its local port, or continue it"),
    Binding("r", "forward('reconnect')", "Reconnect", id="forwards.reconnect",
            tooltip="Reconnect now"),
    Binding("e", "forward('edit')", "Edit", id="forwards.edit",
            tooltip="Edit local port, address, label and more, and restart; u restores it"),
]  # fmt: skip

DASHBOARD_BINDINGS: Final[list[BindingType]] = [
    Binding("d", "detail", "Details", id="forwards.detail",
            tooltip="Show the chain, the timeline and the connections of the forward"),
    *SHARED_BINDINGS,
    Binding("x", "stop", "Stop", id="forwards.stop", tooltip="Stop the forward; u restores it"),
    # Priority, so that characters typed right after it reach the filter.
    Binding("slash", "filter", "Filter", priority=True, id="panes.filter",
            tooltip="Filter: words, ns: label: port: node: status: kind: !not"),
    Binding("s", "sort", "Sort", id="panes.sort",
            tooltip="Sort by a column: its letter; again to reverse, then the default order"),
    Binding("S", "reverse_sort", "Reverse", id="panes.reverse", tooltip="Reverse the sort order"),
    Binding("m", "select", "Select", id="panes.select",
            tooltip="Select the row for an action on several, and go down"),
    Binding("M", "select_all", "Select all", id="panes.select-all",
            tooltip="Select all rows that are shown, or none"),
    Binding("shift+down", "select(1)", "Extend", id="panes.select-down",
            tooltip="Select the row and the next one"),
    Binding("shift+up", "select(-1)", "Extend", id="panes.select-up",
            tooltip="Select the row and the previous one"),
    Binding("exclamation_mark", "next_problem", "Next problem", key_display="!",
            id="panes.problem", tooltip="Go to the next forward with a problem"),
    Binding("T", "top_talkers", "Top talkers", id="panes.top",
            tooltip="Show the connections of all forwards, the busiest first"),
    Binding("0", "all_namespaces", "All namespaces", id="panes.all-namespaces",
            tooltip="Show all namespaces, or the one before"),
    Binding("tab", "next_pane", "Next pane", show=False, id="panes.next",
            tooltip="Next pane"),
    Binding("shift+tab", "next_pane(-1)", "Previous pane", show=False, id="panes.previous",
            tooltip="Previous pane"),
    Binding("escape", "back", "Clear", show=False, key_display="esc", id="panes.back",
            tooltip="Leave the selection, the filter or the zoom, one at a time"),
]  # fmt: skip

PANE_BINDINGS: Final[list[BindingType]] = [
    Binding("z", "zoom", "Zoom", id="panes.zoom",
            tooltip="Show only this pane, or all panes again"),
    Binding("plus", f"resize({STEP})", "Size", key_display="+", id="panes.grow",
            tooltip="Make the pane higher"),
    Binding("minus", f"resize({-STEP})", "Size", key_display="-", id="panes.shrink",
            tooltip="Make the pane lower"),
    Binding("equals_sign", "size_automatically", "Automatic size", key_display="=",
            id="panes.automatic", tooltip="Size the panes by their content again"),
]  # fmt: skip

CLUSTER_BINDINGS: Final[list[BindingType]] = [
    *(Binding(str(n), f"screen.start_port({n})", "Start", id=f"ports.{n}", tooltip=_PORT)
      for n in range(1, 10)),
    Binding("a", "screen.all_ports", "All ports", id="ports.all",
            tooltip="Start all ports of the row"),
    Binding("f", "screen.form", "Forward…", id="ports.form",
            tooltip="Forward with your own local port, address, label and more"),
    Binding("d", "screen.describe", "Describe", id="cluster.describe",
            tooltip="Show facts, conditions and events of the object"),
    Binding("asterisk", "screen.favorite", "Favorite", key_display="*", id="cluster.favorite",
            tooltip="Add to or remove from the favorites, which come first"),
    Binding("space", "screen.start_port(1)", "Start", show=False, id="cluster.start",
            tooltip="Start port 1, or go to its forward"),
    Binding("left", "screen.fold", "Fold", show=False, id="cluster.fold",
            tooltip="Fold the pods of the workload"),
    Binding("right", "screen.unfold", "Unfold", show=False, id="cluster.unfold",
            tooltip="Unfold the pods of the workload, then go to its ports"),
    Binding("t,right_square_bracket", "screen.next_view", "View", key_display="t",
            id="cluster.view", tooltip="Show workloads, pods or services"),
    Binding("left_square_bracket", "screen.next_view(-1)", "Previous view", show=False,
            id="cluster.previous-view", tooltip="Show services, pods or workloads"),
]  # fmt: skip

PORT_BINDINGS: Final[list[BindingType]] = [
    *(Binding(str(n), f"screen.start_port({n})", "Start", id=f"ports.{n}", tooltip=_PORT)
      for n in range(1, 10)),
    Binding("a", "screen.all_ports", "All ports", id="ports.all",
            tooltip="Start all ports of the row"),
    Binding("f", "screen.form", "Forward…", id="ports.form",
            tooltip="Forward with your own local port, address, label and more"),
    Binding("space", "choose", "Start", show=False, id="ports.start",
            tooltip="Start the port, or go to its forward"),
    Binding("left", "screen.cluster", "Cluster", show=False, id="ports.cluster",
            tooltip="Go to the cluster"),
]  # fmt: skip

FORWARD_BINDINGS: Final[list[BindingType]] = [
    Binding("b", "screen.next_group", "Group", id="forwards.group",
            tooltip="Group forwards by namespace, profile, label or context"),
    Binding("space", "screen.forward('pause')", "Pause", show=False, id="forwards.pause-here",
            tooltip="Pause the forward but keep its local port, or continue it"),
    Binding("left", "screen.fold", "Fold", show=False, id="forwards.fold",
            tooltip="Fold the group"),
    Binding("right", "screen.unfold", "Unfold", show=False, id="forwards.unfold",
            tooltip="Unfold the group"),
]  # fmt: skip

CONNECTION_BINDINGS: Final[list[BindingType]] = [
    Binding("x", "screen.close_connections", "Close", id="connections.close",
            tooltip="Close the connection"),
    Binding("d", "screen.connection_detail", "Details", id="connections.detail",
            tooltip="Show the details of its forward"),
    Binding("l", "screen.connection_log", "Logs", id="connections.log",
            tooltip="Show the log of its pod"),
    Binding("y", "screen.copy_client", "Copy client", id="connections.copy",
            tooltip="Copy the address of its client"),
    Binding("a", "screen.all_connections", "All forwards", id="connections.all",
            tooltip="Show connections of this forward, or of all"),
    Binding("full_stop", "screen.closed_connections", "Show closed", key_display=".",
            id="connections.closed", tooltip="Show or hide closed connections"),
]  # fmt: skip

PANE_KEYS: Final[Mapping[Pane, list[BindingType]]] = {
    Pane.CLUSTER: CLUSTER_BINDINGS, Pane.PORTS: PORT_BINDINGS,
    Pane.FORWARDS: FORWARD_BINDINGS, Pane.CONNECTIONS: CONNECTION_BINDINGS,
}  # fmt: skip


class PaneFooter(msgspec.Struct, frozen=True):
    """Binding ids in the order of importance; ids in one text share a place: `+ - Size`."""

    row: tuple[str, ...]  # line 1: act on the row
    view: tuple[str, ...]  # line 2: act on the view
    more: tuple[str, ...] = ()  # at the end of line 2 if there is room
    choose: str = ""  # what Enter does; first in line 1
    extra: tuple[str, ...] = ()  # at the end of line 1 if there is room


_FORWARD = ("forwards.copy", "forwards.open", "forwards.log", "forwards.pause",
            "forwards.reconnect", "forwards.edit", "forwards.stop")  # fmt: skip
_DIGITS: Final = " ".join(f"ports.{n}" for n in range(1, 10))
_VIEW: Final = ("panes.zoom", "panes.problem", "panes.grow panes.shrink", "panes.top")
_SCOPE: Final = ("app.namespace", "app.context", "app.profiles", "app.paste",
                 "app.save-profile", "app.undo", "app.log-in")  # fmt: skip
PROGRAM: Final = ("app.jump", "app.help", "app.quit")  # at the right of line 2

FOOTERS: Final[Mapping[Pane, PaneFooter]] = {
    Pane.CLUSTER: PaneFooter(
        (_DIGITS, "ports.all", "ports.form", "forwards.log", "cluster.describe",
         "cluster.favorite", "forwards.stop", "forwards.copy", "forwards.open", "forwards.pause",
         "forwards.reconnect", "forwards.edit"),
        ("cluster.view", "app.namespace", "app.context", "panes.filter", "panes.sort",
         "panes.select", *_VIEW),
        _SCOPE[2:],
    ),
    Pane.PORTS: PaneFooter(
        ("ports.form", "forwards.copy", "forwards.open", "forwards.edit", "forwards.pause",
         "forwards.reconnect", "forwards.stop", "forwards.log", "forwards.detail",
         _DIGITS, "ports.all"),
        ("panes.select", "panes.sort", *_VIEW), _SCOPE,
        choose="Start",
    ),
    Pane.FORWARDS: PaneFooter(
        _FORWARD,
        ("panes.sort", "forwards.group", "panes.filter", "panes.select", *_VIEW), _SCOPE,
        choose="Details", extra=("forwards.copy-command", "app.doctor"),
    ),
    Pane.CONNECTIONS: PaneFooter(
        ("connections.close", "connections.detail", "connections.log", "connections.copy"),
        ("connections.all", "connections.closed", "panes.sort", "panes.filter", "panes.select",
         *_VIEW),
        _SCOPE, choose="Go to forward",
    ),
}  # fmt: skip
# While rows are selected: keys that act on all of them.
SELECTION_FOOTERS: Final[Mapping[Pane, PaneFooter]] = {
    Pane.CLUSTER: PaneFooter(
        (_DIGITS, "ports.all", "forwards.pause", "forwards.reconnect", "forwards.copy",
         "forwards.stop", "panes.back"),
        FOOTERS[Pane.CLUSTER].view,
    ),
    Pane.FORWARDS: PaneFooter(
        ("forwards.pause", "forwards.reconnect", "forwards.copy", "forwards.stop", "panes.back"),
        FOOTERS[Pane.FORWARDS].view,
    ),
    Pane.CONNECTIONS: PaneFooter(
        ("connections.close", "panes.back"), FOOTERS[Pane.CONNECTIONS].view
    ),
}  # fmt: skip
# Descriptions where space is short.
SHORT_WORDS: Final[Mapping[str, str]] = {
    "panes.problem": "Problem", "panes.top": "Top", "ports.all": "All", "ports.form": "Form",
}  # fmt: skip
