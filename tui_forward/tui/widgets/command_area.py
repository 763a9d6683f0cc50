"""Input of several lines for commands."""

from __future__ import annotations

from textual import events
from textual.message import Message
from textual.widgets import TextArea


class CommandArea(TextArea):
    """Text of several lines, in which Enter submits."""

    class Submitted(Message):
        """Enter was pressed."""

    def on_key(self, event: events.Key) -> None:
        """Submit on Enter; a new line is Ctrl+J, and comes with a paste."""
        if event.key == "enter":
            self.post_message(self.Submitted())
        elif event.key == "ctrl+j":
            self.insert("\n")
        else:
            return
        event.stop()
        event.prevent_default()

    def on_paste(self, event: events.Paste) -> None:
        """Insert a paste without sequences of terminals, and with line ends of one kind."""
        event.stop()
        event.prevent_default()
        from tui_forward.profiles.importers.pasted_text import normalize_paste

        text = normalize_paste(event.text)
        result = self.replace(text, *self.selection, maintain_selection_offset=False)
        self.move_cursor(result.end_location)
