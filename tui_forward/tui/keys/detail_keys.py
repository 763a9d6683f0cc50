"""Keys of the screen of details: those of the forwards, with the same ids, and its own."""

from __future__ import annotations

from typing import Final

from textual.binding import Binding, BindingType

from tui_forward.tui.keys.dashboard_keys import SHARED_BINDINGS, PaneFooter

DETAIL_BINDINGS: Final[list[BindingType]] = [
    Binding("escape,backspace", "back", "Back", key_display="esc", id="detail.back",
            tooltip="To the dashboard"),
    *SHARED_BINDINGS,
    Binding("space", "forward('pause')", "Pause", show=False, id="forwards.pause-here",
            tooltip="Pause the forward but keep its local port, or continue it"),
    Binding("x", "stop", "Stop", id="forwards.stop",
            tooltip="Stop the forward, or close the connection under the cursor"),
    Binding("right_square_bracket", "tab(1)", "Tab", key_display="]", id="detail.next-tab",
            tooltip="Show the next of timeline, connections and log"),
    Binding("left_square_bracket", "tab(-1)", "Tab", key_display="[", id="detail.previous-tab",
            tooltip="Show the previous of timeline, connections and log"),
    Binding("K", "move(-1)", "Previous / next forward", id="detail.previous",
            tooltip="Show the previous forward"),
    Binding("J", "move(1)", "Next forward", id="detail.next", tooltip="Show the next forward"),
    Binding("R", "test", "Test chain", id="detail.test", tooltip="Test the chain again"),
    Binding("c", "container", "Container", id="detail.container",
            tooltip="Show the log of the pod's next container"),
]  # fmt: skip

DETAIL_FOOTER: Final = PaneFooter(
    ("forwards.copy", "forwards.open", "forwards.log", "forwards.pause", "forwards.reconnect",
     "forwards.edit", "forwards.stop"),
    ("detail.back", "detail.previous-tab detail.next-tab", "detail.previous detail.next",
     "detail.test", "detail.container"),
    extra=("forwards.copy-command", "app.doctor"),
    more=("panes.problem",),
)  # fmt: skip
