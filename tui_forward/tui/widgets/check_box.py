"""A checkbox whose state shows without colors, too."""

from __future__ import annotations

from textual.widgets import Checkbox

_MARKS = {True: "X", False: " "}


class CheckBox(Checkbox):
    """Shows a mark while it is checked; Textual's own shows one always, in two colors."""

    BUTTON_INNER = _MARKS[False]

    def watch_value(self) -> None:
        """Draw the mark of the new value."""
        self.BUTTON_INNER = _MARKS[self.value]
        super().watch_value()
