"""What a profile would change, in each manner, before it does."""

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
from textual.widgets import Static

from tui_forward.profiles.plan import ApplyMode
from tui_forward.tui.screens.dialogs import Dialog

_MEANINGS: Final = {
    ApplyMode.APPLY: "Its forwards become as it says; all others stay as they are.",
    ApplyMode.MERGE: "What is missing is added; what is on is not touched.",
    ApplyMode.REPLACE: "It is on as it says, and nothing else is.",
}
# An ornament, as everywhere: the mark before a line says the same.
_COLOURS: Final = {"+": "$success", "~": "$warning", "-": "$error"}
_QUIET: Final = "$text-muted"
_KEYS: Final = {ApplyMode.APPLY: "a", ApplyMode.MERGE: "m", ApplyMode.REPLACE: "r"}


class ProfileAction(Enum):
    """What is to become of a profile, unless it is to be carried out in a `Manner`."""

    DOWN = auto()
    EDIT = auto()


@dataclass(frozen=True, slots=True)
class ProfileView:
    """A profile as it is shown.

    Attributes:
        name: What it is called.
        file: Where it is.
        about: Its description, or what is wrong with it.
        lines: What it switches on, a line for each forward.
        exposed: Which of them other machines could use.
        changes: What it would change in what is on, in each manner; none: nothing.
        on: How many of its forwards are on.
        strange: It is not the person's own and was not agreed to, or has changed since.
        wrong: It cannot be used.
    """

    name: str
    file: str
    about: str = ""
    lines: Sequence[str] = ()
    exposed: Sequence[str] = ()
    changes: Mapping[ApplyMode, Sequence[str]] = field(default_factory=dict)
    on: int = 0
    is_untrusted: bool = False
    wrong: bool = False


class ProfileScreen(Dialog[ApplyMode | ProfileAction | None]):
    """Shows a profile and what it would change; answers with what to do.

    Args:
        view: The profile.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,y", "carry_out", "Do it", id="profile.up",
                tooltip="Carry out what is shown, in the manner that is chosen"),
        Binding("a", "choose('APPLY')", "Apply", id="profile.apply",
                tooltip="Apply: see what it takes that its forwards are as it says"),
        Binding("m", "choose('MERGE')", "Merge", id="profile.merge",
                tooltip="Merge: see what is missing and would be added"),
        Binding("r", "choose('REPLACE')", "Replace", id="profile.replace",
                tooltip="Replace: see what it takes that nothing else is on"),
        Binding("x", "answer('DOWN')", "Down", id="profile.down",
                tooltip="Switch all its forwards off"),
        Binding("e", "answer('EDIT')", "Edit", id="profile.edit", tooltip="Edit it in $EDITOR"),
        Binding("escape,n", "cancel", "Cancel", id="profile.cancel",
                tooltip="Leave everything as it is"),
    ]  # fmt: skip

    manner: reactive[ApplyMode] = reactive(ApplyMode.APPLY, bindings=True)

    def __init__(self, view: ProfileView) -> None:
        super().__init__()
        self._view = view

    def compose(self) -> ComposeResult:
        """The profile, what would change, and what is in it."""
        with Vertical(), VerticalScroll():  # which has the focus: arrow keys scroll
            yield Static(markup=False)

    def watch_manner(self) -> None:
        """Another manner, other changes."""
        box, wrong = self.query_one(Vertical), self._view.wrong
        box.border_title = f"profile {self._view.name}" + ("" if wrong else f" · {self.manner}")
        keys = [(f"enter  {self.manner}", self._would_change), ("x  down", bool(self._view.on))]
        keys += [("e  edit", True), ("esc  cancel", True)]
        box.border_subtitle = " · ".join(key for key, works in keys if works)
        self.query_one(Static).update(self._text())

    @property
    def _would_change(self) -> bool:
        return bool(self._view.changes.get(self.manner))

    def _text(self) -> Content:
        view = self._view
        parts = [Content.styled(view.file, _QUIET)]
        if view.about:
            parts.append(Content.styled(view.about, "$error" if view.wrong else ""))
        if view.exposed:
            parts.append(Content.styled("\n".join(view.exposed), "bold $error"))
        if view.is_untrusted:
            strange = (
                "It is not one of your own, or has changed since you agreed to it: enter agrees."
            )
            parts.append(Content.styled(strange, "$warning"))
        if not view.wrong:
            parts += [self._manners(), self._changes()]
        if view.lines:
            lines = "\n".join(f"  {line}" for line in view.lines)
            head = Content("") if view.wrong else Content.styled("All that is in it:\n", _QUIET)
            parts.append(head + Content(lines))
        return Content("\n\n").join(parts)

    def _manners(self) -> Content:
        choices = [
            Content.styled(f"● {_KEYS[manner]} {manner}", "bold $primary")
            if manner is self.manner
            else Content.styled(f"○ {_KEYS[manner]} {manner}", _QUIET)
            for manner in ApplyMode
        ]
        return Content("   ").join(choices) + Content(f"\n{_MEANINGS[self.manner]}")

    def _changes(self) -> Content:
        view, lines = self._view, self._view.changes[self.manner]
        if lines:
            changes = [Content.styled(f"  {line}", _COLOURS.get(line[:1], "")) for line in lines]
            return Content("\n").join([Content.styled("What would change:", _QUIET), *changes])
        if self.manner is ApplyMode.MERGE and view.on:
            return Content("Nothing of it is missing.")
        return Content("All of it is on as it says." if view.on else "It switches nothing on.")

    def action_carry_out(self) -> None:
        """Close with the manner that is chosen."""
        if self._would_change:
            self.dismiss(self.manner)

    def action_choose(self, manner: str) -> None:
        """See another manner."""
        self.manner = ApplyMode[manner]

    def action_answer(self, wish: str) -> None:
        """Close with the answer."""
        self.dismiss(ProfileAction[wish])

    def action_cancel(self) -> None:
        """Close without one."""
        self.dismiss(None)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that would do nothing are not offered."""
        if action == "carry_out":
            return self._would_change
        if action == "choose":
            return not self._view.wrong
        return bool(self._view.on) if parameters == ("DOWN",) else True
