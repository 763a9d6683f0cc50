"""The one way from controllers to toasts: results of commands, errors, and changes of state."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tui_forward.common.formatting import pluralize
from tui_forward.errors import TuiForwardError
from tui_forward.settings.parser import Notifications
from tui_forward.tui.plain_text import STAYS_S, PlainTextApp
from tui_forward.tui.viewmodel.hints import error_hint
from tui_forward.tui.viewmodel.notifications import filter_by_setting
from tui_forward.tui.viewmodel.toasts import ToastText


class Notifier:
    """Shows toasts on the current screen; none of the texts are markup."""

    def __init__(self, app: PlainTextApp[None], setting: Callable[[], Notifications]) -> None:
        self._app = app
        self._setting = setting  # returns which changes to report

    def show(self, toast: ToastText | None) -> None:
        """Show a toast, if there is one."""
        if toast is None:
            return
        if not toast.text:
            self._app.remove_notifications(toast.topic)
            return
        timeout = STAYS_S if toast.stays else None
        self._app.notify(toast.text, severity=toast.severity, topic=toast.topic, timeout=timeout)

    def info(self, text: str) -> None:
        """Show the result of a command."""
        self.show(ToastText(text))

    def warn(self, text: str) -> None:
        """Show why a command did nothing."""
        self.show(ToastText(text, "warning"))

    def error(self, error: TuiForwardError) -> None:
        """Show why a command failed, with its hint."""
        hint = f"\n{error_hint(error)}" if error.hint else ""
        self.show(ToastText(f"{error.message}{hint}", "error"))

    def errors(self, errors: Sequence[TuiForwardError]) -> None:
        """Show the first of several failures, and how many more there are."""
        if len(errors) == 1:
            self.error(errors[0])
        elif errors:
            more = pluralize(len(errors) - 1, "more failure")
            self.show(ToastText(f"{errors[0].message}\nand {more}", "error"))

    def bell(self) -> None:
        """Reject a key, as there are too many commands already."""
        self._app.bell()

    def changes(self, toasts: Sequence[ToastText]) -> None:
        """Show changes of state, as far as the settings say."""
        for toast in filter_by_setting(toasts, self._setting()):
            self.show(toast)
