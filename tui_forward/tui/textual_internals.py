"""Code that depends on undocumented parts of Textual, each with its reason.

Checked against Textual 8.2; pyproject.toml bounds the version. Nothing here depends on the
dashboard, and no other module overrides or reads a private part of Textual.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import sys
import termios
import traceback
from collections.abc import Mapping
from typing import Any, TypeVar, cast

from rich.console import Console
from textual import constants, events
from textual._styles_cache import StylesCache
from textual.app import App
from textual.drivers.linux_driver import LinuxDriver
from textual.geometry import Size
from textual.notifications import Notification
from textual.reactive import Reactive
from textual.screen import Screen
from textual.scroll_view import ScrollView
from textual.widget import Widget
from textual.widgets import Input

from tui_forward.common.ascii_symbols import REPLACE_SYMBOLS

T = TypeVar("T")

MAX_NOTIFICATIONS = 3
_LAYOUT_TURNS = 4  # of the event loop
_MAX_FRAME_DELAY_S = 0.5  # of a screen whose widgets do not get their sizes


def active_keymap(app: App[T]) -> Mapping[str, str]:
    """Return the keymap passed to `App.set_keymap`, for which Textual has no getter."""
    return app._keymap  # noqa: SLF001 - see above


def preset_theme(app: App[T], theme: str) -> None:
    """Set the theme before `App.__init__`: a later one parses and computes every style again."""
    app.set_reactive(App.theme, theme)


def forget_closed_screens() -> None:
    """Drop what Textual keeps of removed widgets.

    `get_inner_outer` caches 1,024 results by its `self`, the cache of a widget with all its lines:
    many megabytes.
    """
    cast("Any", StylesCache.get_inner_outer).cache_clear()


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


class CompleteFrameScreen(Screen[T]):
    """Screen that is first painted when all widgets know their sizes.

    Textual paints it right after its first layout. Widgets learn their sizes later, and then it is
    painted about three more times.
    """

    _widgets_without_size: int | None = None  # None before the first layout
    _is_complete = False

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
            super()._compositor_refresh()
        else:
            self._dirty_widgets.clear()  # the compositor keeps their regions


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
