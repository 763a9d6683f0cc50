"""Dialog with what a credential plugin asks the user for: an address to open, a code to enter."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical

from tui_forward.common.links import find_urls, open_in_browser
from tui_forward.errors import TuiForwardError
from tui_forward.model import Login
from tui_forward.tui.plain_text import PlainText, plain
from tui_forward.tui.screens.dialogs import Dialog
from tui_forward.tui.viewmodel.cell_layout import truncate
from tui_forward.tui.viewmodel.logins import describe_login

_REFRESH_S = 0.5
_TITLE_CELLS = 42  # of the context and the user, in the border of the dialog


class LoginDialog(Dialog[bool]):
    """Shows a login until it ends; its result is whether to run the plugin in the terminal."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "open", "Open", id="login.open", tooltip="Open the address in the browser"),
        Binding("y", "copy", "Copy", id="login.copy",
                tooltip="Copy the address; again: the whole text"),
        Binding("enter", "in_terminal", "Run here", id="login.terminal",
                tooltip="Run the credential plugin in this terminal instead"),
        Binding("escape,q,L", "close", "Close", id="login.close",
                tooltip="Close; the login continues"),
    ]  # fmt: skip

    def __init__(self, login: Callable[[], Login | None], context: str) -> None:
        super().__init__()
        self._context_name = context
        self._login = login  # returns the login in progress
        self._text = PlainText(id="login-text")  # can be selected with the mouse
        self._shown = ""
        self._copied_address = False

    def compose(self) -> ComposeResult:
        """Show the text of the plugin and the keys."""
        with Vertical() as box:
            login = self._login()
            user = login.user if login is not None else ""
            where = describe_login(self._context_name, user)
            # The end of a name tells most.
            shown = truncate(where, _TITLE_CELLS, middle=True).rstrip()
            box.border_title = plain(f"Login to {shown}")
            box.border_subtitle = "o Open · y Copy · enter Run here · esc Close"
            yield self._text

    def on_mount(self) -> None:
        """Follow the login."""
        self._refresh_text()
        self.set_interval(_REFRESH_S, self._refresh_text)

    def _refresh_text(self) -> None:
        login = self._login()
        if login is None:
            self.dismiss(False)
        elif login.text != self._shown:
            self._shown = login.text
            self._text.show(f"{login.plugin} asks:\n\n{login.text}")

    async def action_open(self) -> None:
        """Open the address of the login."""
        urls = find_urls(self._shown)
        if not urls:
            self.notify("There is no address to open", severity="warning")
            return
        try:
            await open_in_browser(urls[0])
        except TuiForwardError as error:
            self.notify(f"{error.message}\n{error.hint}", severity="error")

    def action_copy(self) -> None:
        """Copy the address, then the text."""
        urls = find_urls(self._shown)
        text = urls[0] if urls and not self._copied_address else self._shown
        self._copied_address = not self._copied_address
        self.app.copy_to_clipboard(text)
        self.notify(f"Copied {text if text in urls else 'the text'}")

    def action_in_terminal(self) -> None:
        """Run the plugin in the terminal."""
        self.dismiss(True)

    def action_close(self) -> None:
        """Close; the login continues."""
        self.dismiss(False)
