"""Bases of widgets that need no layout, repaint or message where Textual has one."""

from __future__ import annotations

from typing import Self, cast

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.reactive import Reactive
from textual.scroll_view import ScrollView
from textual.scrollbar import ScrollBar, ScrollBarRender
from textual.strip import Strip
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


class _BarSegments(ScrollBarRender):
    """Scroll bar as segments, one for each line; Textual's is a renderable of Rich."""

    def strips(self, height: int, base: Style) -> list[Strip]:
        """Return the lines of a vertical bar over a base style."""
        style = cast("Style", self.style)
        assert style.color is not None
        assert style.bgcolor is not None
        bar = self.render_bar(
            height, self.virtual_size, self.window_size, self.position, self.thickness,
            back_color=style.bgcolor, bar_color=style.color,
        )  # fmt: skip
        return [
            Strip([Segment(text, base + style if style else base)], self.thickness)
            for text, style, _ in bar.segments
        ]


class LineScrollBar(ScrollBar):
    """Vertical scroll bar that makes its lines itself.

    Textual renders a console, styles and caches for each of them, which takes as long as the rows.
    """

    renderer = _BarSegments

    def render_lines(self, crop: Region) -> list[Strip]:
        """Draw a part of the bar."""
        bar = cast("_BarSegments", self.render())
        background, filters = self.background_colors[1], self.get_line_filters()
        strips = bar.strips(self.size.height, self.rich_style)[crop.y : crop.bottom]
        for line_filter in filters:
            strips = [strip.apply_filter(line_filter, background) for strip in strips]
        return strips


class SelfDrawingScrollView(SelfDrawingWidget, ScrollView):
    """Scroll view that redraws its own lines when its focus or its height changes."""

    @property
    def vertical_scrollbar(self) -> ScrollBar:
        """The scroll bar, which is created when it is needed first."""
        if self._vertical_scrollbar is None:
            self._vertical_scrollbar = bar = LineScrollBar(
                name="vertical", thickness=self.scrollbar_size_vertical
            )
            bar.display = False
            self.app._start_widget(self, bar)  # noqa: SLF001 - as Textual does
        return self._vertical_scrollbar

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
