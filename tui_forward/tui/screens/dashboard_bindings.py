"""Key bindings of the dashboard, not of its tables: most of them work in several panes."""

from __future__ import annotations

from textual.binding import Binding, BindingType

_PORT = "Start or stop the forward of the port with this number"

DASHBOARD_BINDINGS: list[BindingType] = [
    Binding("1", "toggle_port(1)", "Port", key_display="1-9", id="ports.1", tooltip=_PORT),
    *(Binding(str(n), f"toggle_port({n})", show=False, id=f"ports.{n}", tooltip=_PORT)
      for n in range(2, 10)),
    Binding("space", "toggle_current", "Toggle", show=False, id="ports.switch",
            tooltip="Start or stop the port, or pause or resume the forward, under the cursor"),
    Binding("a", "all_ports", "All ports", show=False, id="ports.all",
            tooltip="Forward all ports of the selected rows"),
    Binding("f", "form", "Forward…", id="ports.form",
            tooltip="Forward with your own local port, address, label and more"),
    # Priority, so that characters typed right after it reach the filter.
    Binding("slash", "filter", "Filter", priority=True, id="browse.filter",
            tooltip="Filter: words, ns: label: port: node: status: kind: !not"),
    Binding("t", "next_view", "View", id="browse.view", tooltip="Show workloads, pods or services"),
    Binding("s", "sort", "Sort", show=False, id="panes.sort",
            tooltip="Sort by a column: its letter; again to reverse, then the default order"),
    Binding("S", "reverse_sort", "Reverse", show=False, id="panes.reverse",
            tooltip="Reverse the sort order"),
    Binding("asterisk", "favorite", "Favorite", show=False, id="browse.favorite",
            tooltip="Add to or remove from the favorites, which come first"),
    Binding("m", "select", "Select", show=False, id="browse.select",
            tooltip="Select several rows, then act on all of them"),
    Binding("left,right", "fold", "Fold", show=False, id="browse.fold",
            tooltip="Fold or unfold the pods of a workload, or a group of forwards"),
    Binding("d", "detail", "Details", show=False, id="forwards.detail",
            tooltip="Show details of the forward: chart, timeline, connections"),
    Binding("o", "forward('open')", "Open", show=False, id="forwards.open",
            tooltip="Open in the browser"),
    Binding("y", "forward('copy')", "Copy", id="forwards.copy",
            tooltip="Copy the local address to the clipboard"),
    Binding("p", "forward('pause')", "Pause", show=False, id="forwards.pause",
            tooltip="Pause the forward but keep its local port, or resume it"),
    Binding("e", "forward('edit')", "Edit", show=False, id="forwards.edit",
            tooltip="Change local port, address, label and more; restarts the forward"),
    Binding("r", "forward('reconnect')", "Reconnect", show=False, id="forwards.reconnect",
            tooltip="Reconnect now"),
    Binding("x", "stop", "Stop", id="forwards.stop",
            tooltip="Stop the forward or close the connection; u restores a stopped forward"),
    Binding("b", "next_group", "Group", show=False, id="forwards.group",
            tooltip="Group forwards by namespace, profile, label or context"),
    Binding("l", "all_connections", "All conns", show=False, id="connections.all",
            tooltip="Show connections of all forwards, or of the selected one"),
    Binding("z", "zoom", "Zoom", show=False, id="panes.zoom",
            tooltip="Show only this pane, or all panes again"),
    Binding("escape", "back", "Back", show=False, id="panes.back",
            tooltip="Leave the zoom, the selection or the filter, one at a time"),
]  # fmt: skip
