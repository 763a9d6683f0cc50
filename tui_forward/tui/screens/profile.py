"""Preview of a profile: what applying it would change, in each mode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import ClassVar, Final

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.reactive import reactive

from tui_forward.common.printable import escape_unprintable
from tui_forward.model import Target
from tui_forward.profiles.plan import ApplyMode
from tui_forward.profiles.preview import Mark, Preview
from tui_forward.tui.plain_text import plain, styled
from tui_forward.tui.screens.dialogs import Dialog
from tui_forward.tui.viewmodel.profile_lines import (
    TextLine,
    note_lines,
    summary_line,
    table_lines,
)
from tui_forward.tui.widgets.text_lines import TextLines

_MEANINGS: Final = {
    ApplyMode.APPLY: "Make its forwards match the profile; leave all others.",
    ApplyMode.MERGE: "Start its missing forwards; change nothing else.",
    ApplyMode.REPLACE: "Make its forwards match the profile; stop all others, and proxies.",
}
_KEYS: Final = {ApplyMode.APPLY: "a", ApplyMode.MERGE: "m", ApplyMode.REPLACE: "r"}
_MUTED: Final = "$text-muted"
_STYLES: Final = {
    "": "", "ok": "$text-success", "warn": "$text-warning", "bad": "$text-error", "dim": _MUTED,
    "strong": "bold", "protected": "$protected", "key": "bold $footer-key-foreground",
}  # fmt: skip
_BACKGROUNDS: Final = {
    Mark.ADDED: "on $success 10%", Mark.CHANGED: "on $warning 10%", Mark.REMOVED: "on $error 10%",
}  # fmt: skip


class ProfileAction(Enum):
    """What to do with a profile instead of applying it."""

    DOWN = auto()
    EDIT = auto()


class ProfileView(msgspec.Struct, frozen=True):
    """Content of the preview."""

    name: str
    file: str
    description: str = ""  # its description, or a heading for the problems of an invalid profile
    # Details of each forward, for one who is asked to trust them, or a line for each problem.
    lines: Sequence[str] = ()
    exposed: Sequence[str] = ()  # one for each forward that other machines can reach
    # What each mode would change in the active forwards; empty for no change.
    changes: Mapping[ApplyMode, Sequence[str]] = msgspec.field(default_factory=dict)
    previews: Mapping[ApplyMode, Preview] = msgspec.field(default_factory=dict)
    # The targets of the forwards that each mode would start.
    starts: Mapping[ApplyMode, Sequence[Target]] = msgspec.field(default_factory=dict)
    active_count: int = 0
    # Why others may have written it, if it is not trusted, or has changed since.
    untrusted_because: str = ""
    is_invalid: bool = False


class ProfileScreen(Dialog[ApplyMode | ProfileAction | None]):
    """Shows a profile and what it would change; its result is what to do, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,y", "confirm", "Confirm", id="profile.up",
                tooltip="Make the changes that are shown"),
        Binding("a", "choose('APPLY')", "Apply", id="profile.apply",
                tooltip="Show the changes of apply: start or change its forwards"),
        Binding("m", "choose('MERGE')", "Merge", id="profile.merge",
                tooltip="Show the changes of merge: start its missing forwards"),
        Binding("r", "choose('REPLACE')", "Replace", id="profile.replace",
                tooltip="Show the changes of replace: stop all other forwards, too"),
        Binding("d", "answer('DOWN')", "Down", id="profile.down", tooltip="Stop all its forwards"),
        Binding("e", "answer('EDIT')", "Edit", id="profile.edit", tooltip="Edit it in $EDITOR"),
        Binding("escape,n", "cancel", "Cancel", id="profile.cancel",
                tooltip="Close without changes"),
    ]  # fmt: skip

    mode: reactive[ApplyMode] = reactive(ApplyMode.APPLY, bindings=True)

    def __init__(self, view: ProfileView) -> None:
        super().__init__()
        self._view = view
        # The mode is read, and then watched, before the screen is composed: by a help or a palette
        # that asks for the keys of a screen that is just being opened.
        self._box = Vertical()
        self._text = TextLines(self._lines)

    def compose(self) -> ComposeResult:
        """Show the profile in a scrolling box."""
        with self._box, VerticalScroll():  # focused, so that arrow keys scroll
            yield self._text

    def watch_mode(self) -> None:
        """Show the changes of another mode."""
        box, view = self._box, self._view
        box.border_title = plain(f"Profile {view.name} · {view.file}")
        keys = [
            (f"enter {self.mode.title()}", self._has_changes), ("e Edit", True),
            ("d Down", bool(view.active_count)), ("esc Cancel", True),
        ]  # fmt: skip
        box.border_subtitle = plain(" · ".join(key for key, works in keys if works))
        self._text.show()

    @property
    def _has_changes(self) -> bool:
        return bool(self._view.changes.get(self.mode))

    def _lines(self, width: int) -> list[Content]:
        view, empty = self._view, plain("")
        if view.is_invalid:
            problems = [plain(f"  {line}") for line in view.lines]
            return [styled(view.description, "$text-error"), empty, *problems]
        preview = view.previews[self.mode]
        lines = [styled(view.description, "")] if view.description else []
        lines += [styled(line, "bold $text-error") for line in view.exposed]
        if view.untrusted_because:
            lines.append(
                styled(
                    f"You have not trusted this version: {view.untrusted_because}. enter trusts "
                    "it.",
                    "$text-warning",
                )
            )
        lines += [self._mode_line(), _content(summary_line(preview), width), empty]
        if not self._has_changes:
            lines += [plain(self._without_changes()), empty]
        lines += [_content(line, width) for line in table_lines(preview, width)]
        if notes := [_content(line, width) for line in note_lines(preview)]:
            lines += [empty, *notes]
        if view.lines:
            details = [plain(f"  {line}") for line in view.lines]
            lines += [empty, styled("All its forwards:", _MUTED), *details]
        return lines

    def _mode_line(self) -> Content:
        choices = [
            styled(f"{_KEYS[mode]} {mode.title()}", _STYLES["key"] if mode is self.mode else _MUTED)
            for mode in ApplyMode
        ]
        meaning = styled(f"      {_MEANINGS[self.mode]}", _MUTED)
        return Content("    ").join(choices) + meaning

    def _without_changes(self) -> str:
        if self.mode is ApplyMode.MERGE and self._view.active_count:
            return "No forward is missing."
        return "All forwards are active." if self._view.active_count else "No forwards."

    def action_confirm(self) -> None:
        """Apply the profile in the chosen mode."""
        if self._has_changes:
            self.dismiss(self.mode)

    def action_choose(self, mode: str) -> None:
        """Show the changes of another mode."""
        self.mode = ApplyMode[mode]

    def action_answer(self, action: str) -> None:
        """Close with a `ProfileAction`."""
        self.dismiss(ProfileAction[action])

    def action_cancel(self) -> None:
        """Close without changes."""
        self.dismiss(None)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Return whether a key does something now; others are hidden."""
        if action == "confirm":
            return self._has_changes
        if action == "choose":
            return not self._view.is_invalid
        return bool(self._view.active_count) if parameters == ("DOWN",) else True


def _content(line: TextLine, width: int) -> Content:
    """Return a line as content; the background of a forward's line is as wide as the table."""
    # One line each, whatever is in a name.
    content = Content("").join(
        styled(escape_unprintable(part.text), _STYLES[part.style]) for part in line.parts
    )
    background = _BACKGROUNDS.get(line.mark) if line.mark is not None else None
    if background is None:
        return content
    padding = " " * max(0, width - content.cell_length)
    return (content + plain(padding)).stylize_before(background)
