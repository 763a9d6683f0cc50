"""Code that depends on undocumented parts of Textual, each with its reason.

Checked against Textual 8.2; pyproject.toml bounds the version. Nothing here depends on the
dashboard, and no other module overrides or reads a private part of Textual.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import select
import signal
import sys
import termios
import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any, TypeVar, cast

from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual import constants, events
from textual._compositor import ChopsUpdate, Compositor
from textual._styles_cache import StylesCache
from textual.app import App
from textual.await_complete import AwaitComplete
from textual.color import Color
from textual.drivers.linux_driver import LinuxDriver
from textual.geometry import Region, Size
from textual.notifications import Notification, Notifications
from textual.reactive import Reactive
from textual.screen import ModalScreen, Screen
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input
from textual.widgets._toast import ToastRack

from tui_forward.common.ascii_symbols import REPLACE_SYMBOLS

T = TypeVar("T")

MAX_NOTIFICATIONS = 3
_LAYOUT_TURNS = 4  # of the event loop
_PAINT_TURNS = 3
_MAX_FRAME_DELAY_S = 0.5  # of a screen whose widgets do not get their sizes


def active_keymap(app: App[T]) -> Mapping[str, str]:
    """Return the keymap passed to `App.set_keymap`, for which Textual has no getter."""
    return app._keymap  # noqa: SLF001 - see above


def preset_theme(app: App[T], theme: str) -> None:
    """Set the theme before `App.__init__`: a later one parses and computes every style again."""
    app.set_reactive(App.theme, theme)


def forget_lines(screen: Screen[Any]) -> None:
    """Drop the lines of the widgets of a screen that is not shown again.

    Until the garbage collector runs, they are most of the memory of a closed screen.
    """
    for widget in screen.walk_children(Widget, with_self=True):
        widget._styles_cache.clear()  # noqa: SLF001 - see above


@functools.cache
def free_lines_early() -> None:
    """Let lines of widgets be freed as soon as they are not shown.

    Textual caches results of `get_inner_outer` by its `self`, so that the lines of the last 1,024
    widgets are kept; and a line that is not cut is an item of its own cache, so that only the
    garbage collector frees it.
    """
    original: Any = StylesCache.get_inner_outer
    inner_outer = functools.lru_cache(1024)(functools.partial(original.__wrapped__, None))
    divide = Strip.divide

    def get_inner_outer(_self: StylesCache, base: Color, background: Color) -> Any:
        return inner_outer(base, background)

    def divide_if_cut(self: Strip, cuts: Iterable[int]) -> Sequence[Strip]:
        cuts = list(cuts)
        return [self] if cuts == [self.cell_length] else divide(self, cuts)

    cast("Any", StylesCache).get_inner_outer = get_inner_outer
    cast("Any", Strip).divide = divide_if_cut


def has_few_colors(environ: Mapping[str, str]) -> bool:
    """Return whether a terminal with these variables gets 16 colors or fewer from Textual."""
    console = Console(
        color_system=cast("Any", constants.COLOR_SYSTEM), force_terminal=True,
        legacy_windows=False, _environ={**environ, "NO_COLOR": ""},
    )  # fmt: skip
    return console.color_system in (None, "standard")


# What `LinuxDriver.stop_application_mode` writes, and for an app that was suspended, too.
_RESET = (
    b"\x1b[?2004l\x1b[?7h\x1b[?2048l\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?1016l"
    b"\x1b[<u\x1b[?1049l\x1b[?25h\x1b[?1004l"
)


class TerminalState:
    """Attributes of the terminal before an app; restores it after one that does not react."""

    def __init__(self) -> None:
        self._attributes: list[Any] | None = None
        with contextlib.suppress(termios.error):
            self._attributes = termios.tcgetattr(_stdin())

    def restore(self) -> None:
        """Restore attributes, screen, cursor and mouse. Blocks if the terminal is not read."""
        # In the background the system would stop the process.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        with contextlib.suppress(termios.error, OSError):
            if self._attributes is not None:
                termios.tcsetattr(_stdin(), termios.TCSANOW, self._attributes)
            os.write(_stdout(), _RESET)


def _stdin() -> int:
    return sys.__stdin__.fileno() if sys.__stdin__ is not None else 0


def _stdout() -> int:
    return sys.__stdout__.fileno() if sys.__stdout__ is not None else 1


class _TerminalFile:
    """Stdout as the driver's file, whose writes never fail.

    An error would end Textual's writer thread. The event loop, which passes text to that thread
    through a bounded queue, would then wait forever.
    """

    def __init__(self, encoding: str) -> None:
        self._data = bytearray()
        self._encoding = encoding

    def write(self, text: str) -> None:
        self._data += text.encode(self._encoding, REPLACE_SYMBOLS)

    def flush(self) -> None:
        """Write what is buffered; drop it if the terminal is gone."""
        data, self._data = self._data, bytearray()
        with contextlib.suppress(OSError), memoryview(data) as view:
            start = 0
            while start < len(view):
                try:
                    start += os.write(_stdout(), view[start:])
                except BlockingIOError:  # a process that shares it made it non-blocking
                    select.select([], [_stdout()], [])

    def fileno(self) -> int:
        return _stdout()


class TerminalDriver(LinuxDriver):
    """Driver that writes to stdout, and that survives the loss of its terminal."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._file = cast("Any", _TerminalFile(cast("CrashCapturingApp[Any]", self._app).encoding))

    def _run_input_thread(self) -> None:
        """Read keys until the terminal is lost; `LinuxDriver` would print a traceback."""
        try:
            self.run_input_thread()
        except OSError:
            return
        except Exception as error:  # noqa: BLE001 - raised where it is handled
            self._app.call_later(_raise, error)


def _raise(error: Exception) -> None:
    raise error


class CrashCapturingApp(App[T]):
    """App that keeps the traceback of an unhandled exception instead of printing it.

    `App._fatal_error` prints the traceback, with local variables, over the restored terminal;
    they may contain credentials.
    """

    crash: str | None = None  # the traceback; None if the app did not crash
    encoding = "utf-8"  # of the terminal

    def get_driver_class(self) -> type[TerminalDriver]:
        """Return the driver for a terminal."""
        return TerminalDriver

    def _fatal_error(self) -> None:
        self.crash = traceback.format_exc()
        self._close_messages_no_wait()


class FewNotificationsApp(App[T]):
    """App with at most `MAX_NOTIFICATIONS` at a time; the oldest make room.

    Of those with the same text, or the same attribute `topic`, only the latest is shown.
    """

    def _refresh_notifications(self) -> None:
        latest: dict[object, Notification] = {}
        for notification in self._notifications:
            topic = getattr(notification, "topic", "")
            key = topic or (notification.title, notification.message)
            latest.pop(key, None)
            latest[key] = notification
        # What stays until something ends is not pushed out by what is news now.
        ranked = sorted(latest.values(), key=lambda one: bool(getattr(one, "stays", False)))
        shown = {one.identity for one in ranked[-MAX_NOTIFICATIONS:]}
        for notification in list(self._notifications):
            if notification.identity not in shown:
                self._unnotify(notification, refresh=False)
        super()._refresh_notifications()


class ScreenStylesApp(App[T]):
    """App that parses the style sheet of a screen, and nothing else, when the screen opens first.

    Textual parses all sheets again, and computes the styles of the screen beneath. Neither is
    needed, because the sheet of a screen styles that screen only.
    """

    def _load_screen_css(self, screen: Screen[Any]) -> None:
        new = [path for path in screen.css_path if not self.stylesheet.has_source(str(path), "")]
        if new:
            self.stylesheet.read_all(new)
            self.stylesheet.parse()
            self.stylesheet.update_nodes([screen])  # got its styles without this sheet


class LineCompositor(Compositor):
    """Compositor that renders only lines that are dirty and not covered by another widget.

    Textual's renders every widget that touches the rectangle around all dirty regions in full,
    which for a move of a cursor is most of the screen.
    """

    def render_partial_update(self) -> ChopsUpdate | None:
        """Render the dirty regions; return None if there are none."""
        screen = self.size.region
        regions = [region.intersection(screen) for region in self._dirty_regions]
        self._dirty_regions.clear()
        spans = list(self._regions_to_spans(region for region in regions if region))
        if not spans:
            return None
        return ChopsUpdate(self._pieces(spans), spans, [cuts[1:] for cuts in self.cuts])

    def render_lines(self, lines: range) -> list[Strip]:
        """Render these lines, each from its left to its right end; blank beyond the screen."""
        width, height = self.size
        pieces = self._pieces((y, 0, width) for y in lines if y < height)
        return [Strip.join(pieces[y].values()) if y < height else Strip.blank(width) for y in lines]

    def _render_chops(
        self, crop: Region, is_rendered_line: Callable[[int], bool]
    ) -> Sequence[Mapping[int, Strip]]:
        spans = [(y, crop.x, crop.right) for y in crop.line_range if is_rendered_line(y)]
        return cast("Sequence[Mapping[int, Strip]]", self._pieces(spans))

    def _pieces(self, spans: Iterable[tuple[int, int, int]]) -> list[dict[int, Strip | None]]:
        """Render pieces of lines, by line and first column, from the front to the back.

        Args:
            spans: Line, first column and end of what is wanted; other pieces are None.
        """
        pieces: list[dict[int, Strip | None]] = [{} for _ in self.cuts]
        missing: list[set[int]] = [set() for _ in self.cuts]
        for y, start, end in spans:
            cuts = self.cuts[y]
            pieces[y] = dict.fromkeys(cuts[:-1])
            missing[y].update(x for x, stop in pairwise(cuts) if x < end and stop > start)
        for widget, (region, clip) in self.visible_widgets.items():
            visible = region.intersection(clip)
            columns = range(*visible.column_span)
            run: list[int] = []
            for y in visible.line_range:
                if any(x in columns for x in missing[y]):
                    run.append(y)
                elif run:
                    self._fill(pieces, missing, widget, region, visible, run)
                    run = []
            if run:
                self._fill(pieces, missing, widget, region, visible, run)
        return pieces

    def _fill(
        self, pieces: list[dict[int, Strip | None]], missing: list[set[int]], widget: Widget,
        region: Region, visible: Region, run: list[int],
    ) -> None:  # fmt: skip
        """Render consecutive lines of a widget into the pieces that are still missing."""
        first, last = visible.column_span
        crop = Region(first - region.x, run[0] - region.y, visible.width, len(run))
        for y, strip in zip(run, widget.render_lines(crop), strict=False):
            cuts = [cut for cut in self.cuts[y] if first <= cut <= last]
            ends = [cut - first for cut in cuts[1:]]
            for x, piece in zip(cuts, strip.divide(ends), strict=False):
                if x in missing[y]:
                    missing[y].remove(x)
                    pieces[y][x] = piece


class CompleteFrameScreen(Screen[T]):
    """Screen that is first painted when all widgets know their sizes.

    Textual paints it right after its first layout. Widgets learn their sizes later, and then it is
    painted about three more times.
    """

    _widgets_without_size: int | None = None  # None before the first layout
    _is_complete = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._compositor = LineCompositor()
        self._paint_is_due = False
        self._painted = 0.0  # `time.monotonic` of the last frame

    def draw_first_frame(self) -> None:
        """Draw what depends on sizes; the widgets know theirs now."""

    def _refresh_layout(self, size: Size | None = None, scroll: bool = False) -> None:
        super()._refresh_layout(size, scroll)
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
        is_painted = self._is_complete and self.is_current  # a closed one would ask forever
        if is_painted and self._dirty_widgets and not self._paint_is_due:
            self._paint_is_due = True
            self._wait_to_paint(_PAINT_TURNS)

    def _wait_to_paint(self, turns: int) -> None:
        """Wait while other widgets that the same key has changed ask for a paint."""
        if turns:
            asyncio.get_running_loop().call_soon(self._wait_to_paint, turns - 1)
            return
        self._paint_is_due = False
        if time.monotonic() - self._painted >= 1 / constants.MAX_FPS:
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


class FixedLayoutInput(Input):
    """Input that does not lay out the screen on every key."""

    # `Input` sets it, a layout reactive, whenever its value changes.
    virtual_size: Reactive[Size] = Reactive(Size(0, 0))


class SelfDrawingScrollView(ScrollView):
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
