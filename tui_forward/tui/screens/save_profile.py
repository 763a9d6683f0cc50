"""Dialog that saves the active forwards as a profile."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input

from tui_forward.profiles.profile_names import MAX_LENGTH
from tui_forward.tui.plain_text import plain, styled
from tui_forward.tui.screens.dialogs import Dialog
from tui_forward.tui.viewmodel.save_profile import (
    SaveFacts,
    check_save,
    describe_left_out,
    describe_saved,
)
from tui_forward.tui.widgets.text_lines import TextLines


class SaveProfileScreen(Dialog[str | None]):
    """Asks for a name and says what it leads to; its result is the name, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", id="save.cancel", tooltip="Save nothing"),
    ]

    def __init__(self, facts: SaveFacts) -> None:
        super().__init__()
        self._facts = facts
        self._input = Input(
            facts.suggestion, placeholder="name of the profile", max_length=MAX_LENGTH + 1,
            compact=True, id="save-name",
        )  # fmt: skip
        self._text = TextLines(self._lines)

    def compose(self) -> ComposeResult:
        """Show the input line over what is saved."""
        with Vertical() as box:
            box.border_title = "Save profile"
            box.border_subtitle = "enter Save · esc Cancel"
            yield self._input
            yield self._text

    def on_input_changed(self) -> None:
        """Say what the name leads to."""
        self._text.show()

    def on_input_submitted(self) -> None:
        """Save under a valid name."""
        name = self._input.value.strip()
        if not check_save(name, self._facts).is_problem:
            self.dismiss(name)

    def action_cancel(self) -> None:
        """Save nothing."""
        self.dismiss(None)

    def _lines(self, _width: int) -> list[Content]:
        name, facts = self._input.value, self._facts
        lines = [plain(""), plain(f"Saves {describe_saved(facts)}.")]
        if left_out := describe_left_out(facts):
            lines.append(styled(left_out, "$text-warning"))
        check = check_save(name, facts)
        if not check.is_problem:
            lines.append(styled(check.text, "$text-muted"))
        elif name.strip() or not facts.has_content:
            lines.append(styled(f"✗ {check.text}", "$text-error"))
        else:
            existing = ", ".join(facts.existing) or "none"
            lines.append(styled(f"Profiles: {existing}", "$text-muted"))
        return lines
