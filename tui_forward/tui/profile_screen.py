"""What a profile would change, before it does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Static

from tui_forward.tui.dialogs import Dialog


class ProfileWish(Enum):
    """What is to become of a profile."""

    UP = auto()
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
        changes: What it would change in what is on; none: nothing.
        on: How many of its forwards are on.
        strange: It is not the person's own and was not agreed to, or has changed since.
        wrong: It cannot be used.
    """

    name: str
    file: str
    about: str = ""
    lines: Sequence[str] = ()
    changes: Sequence[str] = ()
    on: int = 0
    strange: bool = False
    wrong: bool = False


class ProfileScreen(Dialog[ProfileWish | None]):
    """Shows a profile and what switching it on would change; answers with what to do.

    Args:
        view: The profile.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,y", "answer('UP')", "Up", id="profile.up",
                tooltip="Make what is on what the profile says"),
        Binding("x", "answer('DOWN')", "Down", id="profile.down",
                tooltip="Switch all its forwards off"),
        Binding("e", "answer('EDIT')", "Edit", id="profile.edit", tooltip="Edit it in $EDITOR"),
        Binding("escape,n", "cancel", "Cancel", id="profile.cancel",
                tooltip="Leave everything as it is"),
    ]  # fmt: skip

    def __init__(self, view: ProfileView) -> None:
        super().__init__()
        self._view = view

    def compose(self) -> ComposeResult:
        """The profile, and beneath it what would change."""
        view = self._view
        with Vertical() as box:
            box.border_title = f"profile {view.name}"
            keys = [("enter  up", self._may("UP")), ("x  down", self._may("DOWN"))]
            keys += [("e  edit", True), ("esc  cancel", True)]
            box.border_subtitle = " · ".join(key for key, works in keys if works)
            with VerticalScroll(can_focus=False):
                yield Static(self._text(), markup=False)

    def _text(self) -> str:
        view = self._view
        parts = [view.file]
        if view.about:
            parts.append(view.about)
        if view.lines:
            parts.append("\n".join(f"  {line}" for line in view.lines))
        if view.strange:
            parts.append(
                "It is not one of your own, or has changed since you agreed to it: enter agrees."
            )
        if not view.wrong:
            nothing = "All of it is on as it says." if view.on else "It switches nothing on."
            what = "\n".join(f"  {line}" for line in view.changes)
            parts.append(f"What would change:\n{what}" if view.changes else nothing)
        return "\n\n".join(parts)

    def _may(self, wish: str) -> bool:
        if wish == "UP":
            return not self._view.wrong and bool(self._view.changes)
        return wish != "DOWN" or bool(self._view.on)

    def action_answer(self, wish: str) -> None:
        """Close with the answer."""
        if self._may(wish):
            self.dismiss(ProfileWish[wish])

    def action_cancel(self) -> None:
        """Close without one."""
        self.dismiss(None)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Keys that would do nothing are not offered."""
        return self._may(str(parameters[0])) if action == "answer" else True
