"""Bases of the app: notifications, style sheets of screens, theme and keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from textual.app import App
from textual.notifications import Notification
from textual.screen import Screen

from tui_forward.tui.textual_internals.component_styles import ComponentStylesheet

T = TypeVar("T")

MAX_NOTIFICATIONS = 3


def active_keymap(app: App[T]) -> Mapping[str, str]:
    """Return the keymap passed to `App.set_keymap`, for which Textual has no getter."""
    return app._keymap  # noqa: SLF001 - see above


def preset_theme(app: App[T], theme: str) -> None:
    """Set the theme before `App.__init__`: a later one parses and computes every style again."""
    app.set_reactive(App.theme, theme)


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

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        variables = self.stylesheet._variables  # noqa: SLF001 - see above
        self.stylesheet = ComponentStylesheet(variables=variables)

    def _load_screen_css(self, screen: Screen[Any]) -> None:
        new = [path for path in screen.css_path if not self.stylesheet.has_source(str(path), "")]
        if new:
            self.stylesheet.read_all(new)
            self.stylesheet.parse()
            self.stylesheet.update_nodes([screen])  # got its styles without this sheet
