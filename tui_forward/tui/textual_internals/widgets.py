"""Bases of widgets that need no layout, repaint or message where Textual has one."""

from __future__ import annotations

from typing import Self

from textual import events
from textual.geometry import Region, Size
from textual.reactive import Reactive
from textual.scroll_view import ScrollView
from textual.widget import Widget
from textual.widgets import Input

from tui_forward.tui.textual_internals.screens import CompleteFrameScreen


class FixedLayoutInput(Input):
    """Input that does not lay out the screen on every key."""

    # `Input` sets it, a layout reactive, whenever its value changes.
    virtual_size: Reactive[Size] = Reactive(Size(0, 0))


class SelfDrawingWidget(Widget):
    """Widget that draws its own lines; a change of them reaches its screen in the same turn.

    Textual passes a message to the widget and another one to the screen. It also forgets styles
    and sizes, which here do not depend on what is drawn.
    """

    def refresh(
        self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False
    ) -> Self:
        """Draw these regions again, or everything."""
        screen = self.screen if self._is_mounted and self._parent is not None else None
        if layout or recompose or not repaint or not isinstance(screen, CompleteFrameScreen):
            return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)
        if regions:
            offset = self.content_offset
            self._repaint_regions.update(region.translate(offset) for region in regions)
        else:
            self._repaint_regions.add(self.outer_size.region)
        screen.repaint(self)
        return self


class SelfDrawingScrollView(SelfDrawingWidget, ScrollView):
    """Scroll view that redraws its own lines when its focus or its height changes."""

    def on_focus(self, event: events.Focus) -> None:
        """Set the focus without `Widget._on_focus`, which redraws the whole widget."""
        event.prevent_default()
        self.has_focus = True

    def on_blur(self, event: events.Blur) -> None:
        """Clear the focus without `Widget._on_blur`, which redraws the whole widget."""
        event.prevent_default()
        self.has_focus = False

    def set_content_height(self, height: int) -> None:
        """Set the virtual height without a layout of the screen, which takes a frame.

        A layout happens only where the size of the widget depends on its content.
        """
        size = Size(self.size.width, height)
        if not self.is_mounted or self.styles.auto_dimensions:
            self.virtual_size = size
        elif size != self.virtual_size:
            self.set_reactive(Widget.virtual_size, size)
            self.vertical_scrollbar.window_virtual_size = height
            self.scroll_y = min(self.scroll_y, self.max_scroll_y)
