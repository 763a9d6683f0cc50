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


class _Bar(ScrollBarRender):
    """What a scroll bar shows, with lines in place of a renderable of Rich."""

    @property
    def state(self) -> tuple[object, ...]:
        """What the lines depend on, except their number and what is beneath."""
        return self.virtual_size, self.window_size, self.position, self.style

    def lines(self, height: int, base: Style) -> list[Strip]:
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
    """Vertical scroll bar that makes its lines itself, when it looks different than before.

    Textual renders a console, styles and caches for each of them, which takes as long as the rows;
    and lays out the whole screen again after each layout that changes the height of a bar.
    """

    renderer = _Bar
    virtual_size: Reactive[Size] = Reactive(Size(0, 0), repaint=False)

    def __init__(self, *, thickness: int) -> None:
        self._drawn: tuple[object, list[Strip]] = (None, [])  # for which state, and its lines
        super().__init__(name="vertical", thickness=thickness)

    def refresh(
        self, *regions: Region, repaint: bool = True, layout: bool = False, recompose: bool = False
    ) -> Self:
        """Paint the bar unless it looks the same."""
        # Without a parent it is being removed, and cannot be drawn.
        may_be_same = repaint and not (layout or recompose) and self.parent is not None
        if may_be_same and self._drawn[0] is not None and self._drawn[0] == self._state():
            return self
        return super().refresh(*regions, repaint=repaint, layout=layout, recompose=recompose)

    def render_lines(self, crop: Region) -> list[Strip]:
        """Draw a part of the bar."""
        state = self._state()
        if self._drawn[0] != state:
            background, lines = self.background_colors[1], self._bar().lines(*self._ground)
            for line_filter in self.get_line_filters():
                lines = [line.apply_filter(line_filter, background) for line in lines]
            self._drawn = state, lines
        return self._drawn[1][crop.y : crop.bottom]

    def _bar(self) -> _Bar:
        return cast("_Bar", self.render())

    def _state(self) -> tuple[object, ...]:
        return self._bar().state, self._ground, self.background_colors[1], self.get_line_filters()

    @property
    def _ground(self) -> tuple[int, Style]:
        return self.size.height, self.rich_style


class SelfDrawingScrollView(SelfDrawingWidget, ScrollView):
    """Scroll view that redraws its own lines when its focus or its height changes."""

    @property
    def vertical_scrollbar(self) -> ScrollBar:
        """The scroll bar, which is created when it is needed first."""
        if self._vertical_scrollbar is None:
            self._vertical_scrollbar = bar = LineScrollBar(thickness=self.scrollbar_size_vertical)
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
