"""Preview of a profile: what applying it would change, in each mode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.reactive import reactive

from tui_forward.common.printable import escape_unprintable
from tui_forward.model import Target
from tui_forward.profiles.plan import ApplyMode
from tui_forward.tui.plain_text import PlainText, plain, styled
from tui_forward.tui.screens.dialogs import Dialog

_MEANINGS: Final = {
    ApplyMode.APPLY: "Start or change its forwards; leave all others.",
    ApplyMode.MERGE: "Start its missing forwards; change nothing else.",
    ApplyMode.REPLACE: "Start or change its forwards; stop all others.",
}
# The mark before each line carries the same information.
_COLORS: Final = {"+": "$success", "~": "$warning", "-": "$error"}
_MUTED: Final = "$text-muted"
_KEYS: Final = {ApplyMode.APPLY: "a", ApplyMode.MERGE: "m", ApplyMode.REPLACE: "r"}


class ProfileAction(Enum):
    """What to do with a profile instead of applying it."""

    DOWN = auto()
    EDIT = auto()


@dataclass(frozen=True, slots=True)
class ProfileView:
    """Content of the preview."""

    name: str
    file: str
    description: str = ""  # its description, or a heading for the problems of an invalid profile
    lines: Sequence[str] = ()  # one for each forward, or for each problem
    exposed: Sequence[str] = ()  # one for each forward that other machines can reach
    # What each mode would change in the active forwards; empty for no change.
    changes: Mapping[ApplyMode, Sequence[str]] = field(default_factory=dict)
    # The targets of the forwards that each mode would start.
    starts: Mapping[ApplyMode, Sequence[Target]] = field(default_factory=dict)
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
        Binding("x", "answer('DOWN')", "Down", id="profile.down", tooltip="Stop all its forwards"),
        Binding("e", "answer('EDIT')", "Edit", id="profile.edit", tooltip="Edit it in $EDITOR"),
        Binding("escape,n", "cancel", "Cancel", id="profile.cancel",
                tooltip="Close without changes"),
    ]  # fmt: skip

    mode: reactive[ApplyMode] = reactive(ApplyMode.APPLY, bindings=True)

    def __init__(self, view: ProfileView) -> None:
        super().__init__()
        self._view = view

    def compose(self) -> ComposeResult:
        """Show the profile in a scrolling box."""
        with Vertical(), VerticalScroll():  # focused, so that arrow keys scroll
            yield PlainText()

    def watch_mode(self) -> None:
        """Show the changes of another mode."""
        box, is_invalid = self.query_one(Vertical), self._view.is_invalid
        mode = "" if is_invalid else f" · {self.mode}"
        box.border_title = plain(f"profile {self._view.name}{mode}")
        keys = [
            (f"enter  {self.mode}", self._has_changes), ("x  down", bool(self._view.active_count)),
            ("e  edit", True), ("esc  cancel", True),
        ]  # fmt: skip
        box.border_subtitle = plain(" · ".join(key for key, works in keys if works))
        self.query_one(PlainText).show(self._text())

    @property
    def _has_changes(self) -> bool:
        return bool(self._view.changes.get(self.mode))

    def _text(self) -> Content:
        view = self._view
        parts = [styled(view.file, _MUTED)]
        if view.description:
            parts.append(styled(view.description, "$error" if view.is_invalid else ""))
        if view.exposed:
            parts.append(styled("\n".join(view.exposed), "bold $error"))
        if view.untrusted_because:
            warning = (
                f"You have not trusted this version: {view.untrusted_because}. enter trusts it."
            )
            parts.append(styled(warning, "$warning"))
        if not view.is_invalid:
            parts += [self._mode_list(), self._changes()]
        if view.lines:
            lines = "\n".join(f"  {line}" for line in view.lines)
            head = plain("") if view.is_invalid else styled("All forwards:\n", _MUTED)
            parts.append(head + plain(lines))
        return Content("\n\n").join(parts)

    def _mode_list(self) -> Content:
        choices = [
            styled(f"● {_KEYS[mode]} {mode}", "bold $primary")
            if mode is self.mode
            else styled(f"○ {_KEYS[mode]} {mode}", _MUTED)
            for mode in ApplyMode
        ]
        return Content("   ").join(choices) + plain(f"\n{_MEANINGS[self.mode]}")

    def _changes(self) -> Content:
        view, lines = self._view, self._view.changes[self.mode]
        if lines:
            # One line each, whatever is in a name.
            changes = [
                styled(f"  {escape_unprintable(line)}", _COLORS.get(line[:1], "")) for line in lines
            ]
            return Content("\n").join([styled("Changes:", _MUTED), *changes])
        if self.mode is ApplyMode.MERGE and view.active_count:
            return plain("No forward is missing.")
        return plain("All forwards are active." if view.active_count else "No forwards.")

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
