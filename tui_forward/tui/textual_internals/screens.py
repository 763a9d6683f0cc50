"""Bases of screens: when they are painted, what shows through, what stays mounted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, TypeVar, cast

from rich.segment import Segment
from rich.style import Style
from textual import constants, events
from textual.app import App
from textual.await_complete import AwaitComplete
from textual.color import Color
from textual.geometry import Region, Size
from textual.notifications import Notifications
from textual.reactive import Reactive
from textual.screen import ModalScreen, Screen
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input
from textual.widgets._toast import ToastRack

from tui_forward.tui.textual_internals.painting import LineCompositor

T = TypeVar("T")

_LAYOUT_TURNS = 4  # of the event loop

_PAINT_TURNS = 3

_MAX_FRAME_DELAY_S = 0.5  # of a screen whose widgets do not get their sizes


class CompleteFrameScreen(Screen[T]):
    """Screen that is first painted when all widgets know their sizes.

    Textual paints it right after its first layout. Widgets learn their sizes later, and then it is
    painted about three more times.
    """

    _widgets_without_size: int | None = None  # None before the first layout
    _is_complete = False
    _is_updating = False
    _is_painted_later = False  # whether a paint of everything follows the layout

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._compositor = LineCompositor()
        self._paint_is_due = False
        self._painted = 0.0  # `time.monotonic` of the last frame

    def draw_first_frame(self) -> None:
        """Draw what depends on sizes; the widgets know theirs now."""

    def _on_timer_update(self) -> None:
        """Paint once if everything is painted after a layout; Textual paints after that, too."""
        self._is_updating = True
        super()._on_timer_update()
        self._is_updating = False

    def _refresh_layout(self, size: Size | None = None, scroll: bool = False) -> None:
        self._is_painted_later = self._is_updating and self._repaint_required
        super()._refresh_layout(size, scroll)
        self._is_painted_later = False
        if self._widgets_without_size is None and self._compositor.size:
            widgets = list(self.walk_children())
            self._widgets_without_size = len(widgets)
            for widget in widgets:
                widget.call_later(self._count_size)  # after its first `Resize`
            # A widget that is removed before will not call.
            self.set_timer(_MAX_FRAME_DELAY_S, self._complete)

    def _count_size(self) -> None:
        self._widgets_without_size = (self._widgets_without_size or 0) - 1
        if self._widgets_without_size <= 0:
            self._wait_for_layout(_LAYOUT_TURNS)

    def _wait_for_layout(self, turns: int) -> None:
        """Wait while widgets become idle, which is when they ask for another layout."""
        if turns:
            asyncio.get_running_loop().call_soon(self._wait_for_layout, turns - 1)
        else:
            self.call_later(self._complete)

    def _complete(self) -> None:
        """Lay out again if a widget asked for it with its size, then paint."""
        if not self._is_complete:
            self.draw_first_frame()
            self._on_timer_update()
            self._is_complete = True
            if self.is_current and not self.app._batch_count:  # noqa: SLF001 - see above
                self._compositor_refresh()
            else:
                self.refresh()

    def _compositor_refresh(self) -> None:
        if self._is_painted_later:
            return
        if self._is_complete:
            self._painted = time.monotonic()
            if self in self.app._background_screens:  # noqa: SLF001 - see above
                self._update_overlays()
            else:
                super()._compositor_refresh()
        else:
            self._dirty_widgets.clear()  # the compositor keeps their regions

    async def _on_idle(self, _event: events.Idle) -> None:
        """Paint soon, unless a frame was just painted; Textual calls its own handler after this.

        That one waits for a tick of a timer that runs 60 times a second, also after a pause.
        """
        if self._dirty_widgets:
            self._request_paint()

    def repaint(self, widget: Widget) -> None:
        """Paint the regions of a widget that have changed, with what else changes now."""
        self._dirty_widgets.add(widget)
        self._request_paint()

    def _request_paint(self) -> None:
        is_painted = self._is_complete and self.is_current  # a closed one would ask forever
        if is_painted and not self._paint_is_due:
            self._paint_is_due = True
            self._wait_to_paint(_PAINT_TURNS)

    def _wait_to_paint(self, turns: int) -> None:
        """Wait while other widgets that the same key has changed ask for a paint."""
        loop = asyncio.get_running_loop()
        remaining_s = self._painted + 1 / constants.MAX_FPS - time.monotonic()
        if turns:
            loop.call_soon(self._wait_to_paint, turns - 1)
        elif remaining_s > 0:
            loop.call_later(remaining_s, self._wait_to_paint, 0)
        else:
            self._paint_is_due = False
            self.call_later(self._on_timer_update)

    def _update_overlays(self) -> None:
        """Let the screens above paint the lines of this one that have changed.

        Textual would in addition paint all of this screen again at its next change.
        """
        regions = self._compositor._dirty_regions  # noqa: SLF001 - see above
        if regions:
            stack = self.app.screen_stack
            for screen in stack[stack.index(self) + 1 :]:
                if isinstance(screen, OverlayScreen):
                    screen.forget_lines(y for region in regions for y in region.line_range)
            self.app.screen.refresh(*regions)
            regions.clear()
        self._dirty_widgets.clear()

    def render_screen_lines(self, lines: range) -> list[Strip]:
        """Render lines of the whole screen, for an overlay above it."""
        return cast("LineCompositor", self._compositor).render_lines(lines)


class OverlayScreen(CompleteFrameScreen[T], ModalScreen[T]):
    """Modal screen over another one, whose lines show through its translucent background.

    Textual renders and tints all lines of the screen beneath whenever one of them has changed;
    an overlay keeps them.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._beneath: dict[int, Strip] = {}  # tinted lines of the screen beneath

    def forget_lines(self, lines: Iterable[int]) -> None:
        """Render these lines of the screen beneath again when they are needed."""
        for y in lines:
            self._beneath.pop(y, None)

    def _on_screen_suspend(self) -> None:
        """Forget the screen beneath, which changes while this one is closed."""
        self._beneath.clear()

    def notify_style_update(self) -> None:
        """Render everything again after a change of theme."""
        self._beneath.clear()
        super().notify_style_update()

    def render_lines(self, crop: Region) -> list[Strip]:
        """Render lines of the background, which is the tinted screen beneath."""
        stack = self.app.screen_stack
        beneath = stack[stack.index(self) - 1] if self in stack[1:] else None
        color = self.styles.background
        if color.a == 1 or not isinstance(beneath, CompleteFrameScreen):
            return super().render_lines(crop)
        width = self.size.width
        missing = [
            y for y in crop.line_range
            if y not in self._beneath or self._beneath[y].cell_length != width
        ]  # fmt: skip
        if missing:
            filters = self.get_line_filters()
            lines = range(missing[0], missing[-1] + 1)
            for y, strip in zip(lines, beneath.render_screen_lines(lines), strict=True):
                tinted = Strip(
                    [
                        segment if segment.control
                        else Segment(segment.text, _tint(segment.style, color))
                        for segment in strip
                    ],
                    strip.cell_length,
                )  # fmt: skip
                for line_filter in filters:
                    tinted = tinted.apply_filter(line_filter, color)
                self._beneath[y] = tinted
        strips = [self._beneath[y] for y in crop.line_range]
        if crop.width == width:
            return strips
        return [strip.crop(crop.x, crop.right) for strip in strips]


@lru_cache(4096)
def _tint(style: Style | None, color: Color) -> Style:
    """Blend a color into a style without links, as Textual's `BackgroundScreen` does."""
    if style is None:
        return Style()
    plain = style.clear_meta_and_links()
    if color.a == 0:
        return plain
    front, back = (
        None if one is None else (Color.from_rich_color(one) + color).rich_color
        for one in (plain.color, plain.bgcolor)
    )
    return plain + Style.from_color(front, back)


class StaticFocusScreen(CompleteFrameScreen[T]):
    """Screen that is not repainted when the focus moves; widgets that show it redraw themselves."""

    focused: Reactive[Widget | None] = Reactive(None, repaint=False)

    def _on_screen_resume(self, event: events.ScreenResume) -> None:
        """Keep the styles of a new screen, whose widgets got them when they were mounted.

        That is so if the app has the screen's style sheet from its start. Textual calls its own
        handler after this one.
        """
        event.refresh_styles = event.refresh_styles and self._is_complete

    def apply_breakpoints(self, size: Size) -> None:
        """Set the breakpoint classes before Textual does, so that styles are computed only once."""
        for breakpoints, extent in (
            (self.HORIZONTAL_BREAKPOINTS, size.width), (self.VERTICAL_BREAKPOINTS, size.height),
        ):  # fmt: skip
            name = next(name for limit, name in reversed(breakpoints or ()) if extent >= limit)
            self.add_class(name, update=False)


class KeptScreen(Screen[T]):
    """Screen that may stay mounted while it is closed, and is filled again before it opens.

    A class names it last among its bases: Textual takes styles and bindings of the first one only.
    """

    _styled_for: tuple[int, bool] = (0, True)  # what the styles of all widgets depend on

    def _style_state(self) -> tuple[int, bool]:
        return self.app._css_update_count, self.app.app_focus  # noqa: SLF001 - see above

    def _on_mount(self, _event: events.Mount) -> None:
        """Remember for which theme the widgets get their styles."""
        self._styled_for = self._style_state()

    def _on_screen_resume(self, event: events.ScreenResume) -> None:
        """Compute the styles again only if they may be others.

        Textual calls its own handler after this one.
        """
        state = self._style_state()
        event.refresh_styles = event.refresh_styles and state != self._styled_for
        self._styled_for = state
        if isinstance(self.focused, Input):
            self.focused._restart_blink()  # noqa: SLF001 - see above

    def _on_screen_suspend(self) -> None:
        """Stop what would go on while the screen is closed; remove what it must not show again."""
        if isinstance(self.focused, Input):
            self.focused._pause_blink(visible=True)  # noqa: SLF001 - see above
        if self not in self.app.screen_stack:
            self.clear_selection()
            for rack in self.query(ToastRack):
                rack.show(Notifications())

    def _update_auto_focus(self) -> None:
        """Leave a screen that is built ahead without focus: the cursor would blink."""
        if self.is_current:
            super()._update_auto_focus()

    def dismiss(self, result: T | None = None) -> AwaitComplete:
        """Close with a result; do nothing if that has happened, e.g. by a second Enter."""
        return super().dismiss(result) if self.is_active else AwaitComplete()


async def mount_ahead(app: App[T], screen: Screen[Any]) -> None:
    """Mount and lay out a screen that is to be pushed later."""
    app._load_screen_css(screen)  # noqa: SLF001 - see above
    _, mounting = app._get_screen(screen)  # noqa: SLF001 - see above
    await mounting
    screen._refresh_layout(app.size)  # noqa: SLF001 - see above
