"""Code that depends on undocumented parts of Textual, each with its reason.

Checked against Textual 8.2; pyproject.toml bounds the version. Nothing here depends on the
dashboard, and no other module overrides or reads a private part of Textual.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import TypeVar

from textual import events
from textual.app import App
from textual.geometry import Size
from textual.reactive import Reactive
from textual.screen import Screen
from textual.scroll_view import ScrollView
from textual.widget import Widget
from textual.widgets import Input

T = TypeVar("T")


def active_keymap(app: App[T]) -> Mapping[str, str]:
    """Return the keymap passed to `App.set_keymap`, for which Textual has no getter."""
    return app._keymap  # noqa: SLF001 - see above


def preset_theme(app: App[T], theme: str) -> None:
    """Set the theme before `App.__init__`: a later one parses and computes every style again."""
    app.set_reactive(App.theme, theme)


class CrashCapturingApp(App[T]):
    """App that keeps the traceback of an unhandled exception instead of printing it.

    `App._fatal_error` prints the traceback, with local variables, over the restored terminal;
    they may contain credentials.
    """

    crash: str | None = None  # the traceback; None if the app did not crash

    def _fatal_error(self) -> None:
        self.crash = traceback.format_exc()
        self._close_messages_no_wait()


class StaticFocusScreen(Screen[T]):
    """Screen that is not repainted when the focus moves; widgets that show it redraw themselves."""

    focused: Reactive[Widget | None] = Reactive(None, repaint=False)

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
