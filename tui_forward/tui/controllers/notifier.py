"""Notifications: results of commands, errors, and changes the user did not cause."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.app import App

from tui_forward.errors import TuiForwardError
from tui_forward.settings.parser import Notifications
from tui_forward.tui.viewmodel.notifications import Notification, Severity, filter_by_setting

_MAX_AT_ONCE = 3
_SEVERITIES = ("error", "warning", "information")  # worst first


class Notifier:
    """Shows notifications on the current screen; none of the texts are markup."""

    def __init__(self, app: App[None], setting: Callable[[], Notifications]) -> None:
        self._app = app
        self._setting = setting  # returns which changes to report

    def show(self, text: str, severity: Severity) -> None:
        """Show what became of something the user did."""
        self._app.notify(text, severity=severity)

    def info(self, text: str) -> None:
        """Show the result of a command."""
        self.show(text, "information")

    def warn(self, text: str, *, title: str = "") -> None:
        """Show why a command did nothing."""
        self._app.notify(text, title=title, severity="warning")

    def error(self, error: TuiForwardError) -> None:
        """Show why a command failed, with its hint."""
        hint = f"\n{error.hint}" if error.hint else ""
        self._app.notify(f"{error.message}{hint}", severity="error")

    def bell(self) -> None:
        """Reject a key, as there are too many commands already."""
        self._app.bell()

    def changes(self, notifications: Sequence[Notification]) -> None:
        """Show changes of state, as far as the settings say; many of them as one."""
        shown = filter_by_setting(notifications, self._setting())
        if len(shown) > _MAX_AT_ONCE:
            # Fifty forwards may lose the same API server at once.
            worst = min(shown, key=lambda one: _SEVERITIES.index(one.severity))
            text = f"{worst.title}: {worst.text}\nand {len(shown) - 1} more"
            shown = [Notification(f"{len(shown)} forwards", text, worst.severity)]
        for one in shown:
            self._app.notify(one.text, title=one.title, severity=one.severity)
