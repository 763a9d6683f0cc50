"""Body of the dashboard: places the panes where `pane_layout` says.

The layout is computed again when the terminal or the set of forwards changes, when another pane
gets the focus, and when the user zooms or resizes a pane; never because a row changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

from rich.segment import Segment
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.geometry import NULL_OFFSET, Region, Size, Spacing
from textual.layout import Layout, WidgetPlacement
from textual.strip import Strip
from textual.widget import Widget

from tui_forward.tui.keys.dashboard_keys import PANE_BINDINGS
from tui_forward.tui.viewmodel.pane_layout import (
    FOOTER_LINES,
    HEADER_LINES,
    Box,
    Content,
    LayoutKind,
    Pane,
    PaneLayout,
    arrange_panes,
    layout_kind,
    resized,
)
from tui_forward.tui.widgets.row_table import RowTable

_NO_MARGIN = Spacing()


class _PaneArrangement(Layout):
    """Layout that asks the body for the place of each pane; others are not on the screen."""

    name = "panes"

    def arrange(
        self,
        parent: Widget,
        children: list[Widget],
        size: Size,
        greedy: bool = True,  # noqa: ARG002 - Textual's signature
    ) -> list[WidgetPlacement]:
        if not isinstance(parent, PaneBody):
            return []
        boxes = parent.boxes(size)
        return [
            WidgetPlacement(Region(*boxes[child]), NULL_OFFSET, _NO_MARGIN, child)
            for child in children
            if child in boxes
        ]


class PaneBody(Widget):
    """Container of the panes and of the strip."""

    BINDINGS: ClassVar[list[BindingType]] = PANE_BINDINGS
    COMPONENT_CLASSES: ClassVar[set[str]] = {"body--divider"}

    def __init__(
        self, panes: Mapping[Pane, RowTable], strip: Widget, content: Callable[[], Content],
        on_layout: Callable[[PaneLayout], None],
    ) -> None:  # fmt: skip
        super().__init__(id="body")
        self._panes = panes
        self._strip = strip
        self._content = content
        self._on_layout = on_layout  # called before the panes are placed
        self._current = content()
        # The pane that has the focus, or had it before a prompt.
        self.focused_pane = Pane.CLUSTER
        self.is_zoomed = False
        # Set by the user.
        self.heights: dict[LayoutKind, dict[Pane, int]] = {}
        self._pane_layout: PaneLayout | None = None
        self._arrangement = _PaneArrangement()

    @property
    def layout(self) -> Layout:
        """The layout, which styles cannot name."""
        return self._arrangement

    def compose(self) -> ComposeResult:
        """Show the panes in the order of Tab."""
        yield from (self._panes[pane] for pane in Pane)
        yield self._strip

    def pane_of(self, widget: Widget | None) -> Pane | None:
        """Return the pane that a widget is."""
        return next((pane for pane, table in self._panes.items() if table is widget), None)

    def table(self, pane: Pane) -> RowTable:
        """Return the table of a pane."""
        return self._panes[pane]

    def boxes(self, size: Size) -> dict[Widget, Box]:
        """Return the places of the visible widgets in a body of this size."""
        width, height = size.width, size.height + HEADER_LINES + FOOTER_LINES
        layout = arrange_panes(
            width, height, self._current, self.focused_pane, is_zoomed=self.is_zoomed,
            heights=self.heights.get(layout_kind(width, height), {}),
        )  # fmt: skip
        before = self._pane_layout
        if layout != before:
            self._pane_layout = layout
            self._on_layout(layout)
            if before is None or layout.divider != before.divider:
                self.refresh()
        boxes: dict[Widget, Box] = {self._panes[pane]: box for pane, box in layout.boxes.items()}
        if layout.strip is not None:
            boxes[self._strip] = layout.strip
        return boxes

    def render_line(self, y: int) -> Strip:  # noqa: ARG002 - all lines are the same
        """Draw what no pane covers: the line between two columns of panes."""
        width, base = self.size.width, self.rich_style
        layout = self._pane_layout
        divider = layout.divider if layout is not None else None
        if divider is None:
            return Strip.blank(width, base)
        line = base + self.get_component_rich_style("body--divider", partial=True)
        segments = [Segment(" " * divider, base), Segment("│", line)]
        return Strip(segments).adjust_cell_length(width, base)

    def fit(self) -> None:
        """Give the panes the heights that their content needs now."""
        self._current = self._content()
        self._place_panes()

    def _place_panes(self) -> None:
        # Of a child: Textual keeps the arrangement of a widget that asks for itself.
        self._strip.refresh(layout=True)

    def on_resize(self) -> None:
        """Fit the panes to the terminal."""
        self._current = self._content()

    def follow_focus(self, focused: Widget | None) -> None:
        """Fit the panes to the focus."""
        pane = self.pane_of(focused)
        if pane is None or pane is self.focused_pane:
            return
        self.focused_pane = pane
        self._current = self._content()
        size = self.size
        before = self._pane_layout
        if not size or (self.boxes(size) and self._pane_layout != before):
            self._place_panes()

    def focus_pane(self, pane: Pane) -> None:
        """Move the focus to a pane."""
        self.screen.set_focus(self._panes[pane])

    def action_zoom(self) -> None:
        """Show only the focused pane, or all panes again."""
        self.is_zoomed = not self.is_zoomed
        self.fit()
        self.screen.refresh_bindings()

    def action_resize(self, by: int) -> None:
        """Change the height of the focused pane by some lines."""
        self.resize_pane(self.focused_pane, by)

    def resize_pane(self, pane: Pane, by: int) -> None:
        """Change the height of a pane by some lines, for this layout only."""
        layout = self._pane_layout
        if layout is None or self.is_zoomed or layout.kind is LayoutKind.SINGLE:
            return
        self.heights[layout.kind] = resized(layout, self.heights.get(layout.kind, {}), pane, by)
        self.fit()

    def action_size_automatically(self) -> None:
        """Forget the heights set by the user for this layout."""
        if self._pane_layout is not None:
            self.heights.pop(self._pane_layout.kind, None)
            self.fit()

    def stored_heights(self) -> dict[str, dict[str, int]]:
        """Return the heights set by the user as plain values."""
        return {
            kind.value: {pane.value: lines for pane, lines in heights.items()}
            for kind, heights in self.heights.items()
        }

    def restore_heights(self, stored: Mapping[str, Mapping[str, int]]) -> None:
        """Use stored heights; those of another version are ignored."""
        kinds: Iterable[LayoutKind] = LayoutKind
        self.heights = {
            kind: {pane: stored[kind.value][pane.value] for pane in Pane
                   if pane.value in stored[kind.value]}
            for kind in kinds if kind.value in stored
        }  # fmt: skip
