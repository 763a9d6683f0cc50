"""First screen without a usable context: what is wrong, and what to do."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.reactive import reactive

from tui_forward.settings.protected_contexts import MARK
from tui_forward.tui.plain_text import plain, styled
from tui_forward.tui.screens.dialogs import Dialog
from tui_forward.tui.storage.context_choice import ContextChoice
from tui_forward.tui.viewmodel.cell_layout import longest_cell, truncate
from tui_forward.tui.viewmodel.first_start import StartKind, StartOption
from tui_forward.tui.widgets.text_lines import TextLines

_MUTED = "$text-muted"
_MAX_COLUMN = 44  # cells of a path or an option before its detail


class FirstStartScreen(Dialog[StartOption | None]):
    """Shows why no context is usable, over numbered choices; its result is one, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(str(n), f"choose({n})", "Choose", id=f"start.{n}", show=False,
                  tooltip="Choose the line with this number") for n in range(1, 10)),
        Binding("enter", "choose", "Choose", id="start.choose",
                tooltip="Choose the line under the cursor"),
        Binding("up,k", "move(-1)", "Up", show=False, id="start.up", tooltip="Previous line"),
        Binding("down,j", "move(1)", "Down", show=False, id="start.down", tooltip="Next line"),
        Binding("D", "doctor", "Doctor", id="start.doctor", tooltip="Test each step"),
        Binding("escape", "cancel", "Later", id="start.cancel",
                tooltip="Close without a choice; c chooses a context later"),
    ]  # fmt: skip

    cursor: reactive[int] = reactive(0)

    def __init__(self, choice: ContextChoice, options: Sequence[StartOption]) -> None:
        super().__init__()
        self._choice = choice
        self._options = tuple(options)
        self._text = TextLines(self._lines)

    def compose(self) -> ComposeResult:
        """Show all of it as one text."""
        with Vertical() as box:
            box.border_title = "No usable context"
            box.border_subtitle = "enter Choose · D Doctor · esc Later · q Quit"
            yield self._text

    def watch_cursor(self) -> None:
        """Move the cursor."""
        self._text.show()

    def action_move(self, by: int) -> None:
        """Move the cursor to another choice."""
        self.cursor = min(max(0, self.cursor + by), len(self._options) - 1)

    def action_choose(self, number: int = 0) -> None:
        """Choose a line by its number, or the one under the cursor."""
        position = number - 1 if number else self.cursor
        if position < len(self._options):
            self.dismiss(self._options[position])

    def action_doctor(self) -> None:
        """Choose the doctor."""
        self.dismiss(next(one for one in self._options if one.kind is StartKind.DOCTOR))

    def action_cancel(self) -> None:
        """Close without a choice."""
        self.dismiss(None)

    def on_click(self, event: events.Click) -> None:
        """Choose the clicked line."""
        offset = event.get_content_offset(self._text)
        first = self._text.content_size.height - len(self._options)
        if offset is not None and offset.y >= first:
            self.action_choose(offset.y - first + 1)

    def _lines(self, width: int) -> list[Content]:
        choice = self._choice
        lines = [styled("✗ ", "$text-error") + plain(choice.reason)]
        if choice.source:
            lines.append(styled(f"  {truncate(choice.source, width - 2).rstrip()}", _MUTED))
        column = min(_MAX_COLUMN, longest_cell([one.path for one in choice.files])) + 3
        for file in choice.files:
            path = truncate(file.path, column - 2, middle=True)
            lines.append(plain(f"  {path}  ") + styled(file.state, _MUTED))
        if choice.hint:
            lines += [
                plain(""),
                *(
                    plain(line)
                    for line in textwrap.wrap(choice.hint, width, break_on_hyphens=False)
                ),
            ]
        lines += [plain(""), styled("Choose what to do", "bold")]
        column = min(_MAX_COLUMN, longest_cell([one.text for one in self._options])) + 3
        for position, option in enumerate(self._options):
            lines.append(self._option(position, option, column))
        return lines

    def _option(self, position: int, option: StartOption, column: int) -> Content:
        text = truncate(option.text, column, middle=True)
        style = "$protected" if option.text.endswith(MARK) else ""
        line = (
            styled(f"{position + 1} ", "bold $footer-key-foreground") + styled(text, style)
            + styled(option.detail, _MUTED)
        )  # fmt: skip
        return (
            line.stylize_before("on $block-cursor-blurred-background")
            if (position == self.cursor)
            else line
        )
