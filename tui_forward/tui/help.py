"""Every key and every mark, out of the bindings themselves: the help cannot be out of date."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.widgets import Static

from tui_forward.tui.dialogs import Dialog
from tui_forward.tui.rows import STATE_MARKS
from tui_forward.tui.stylesheets import stylesheet

# What the first part of a binding's id means, in the order of the help.
_GROUPS = {
    "app": "Everywhere",
    "panes": "Panes",
    "browse": "What the cluster offers",
    "ports": "Ports",
    "forwards": "Forwards",
    "connections": "Connections",
    "detail": "Everything about one forward",
    "table": "In every list",
    "filter": "While typing a filter",
}
_NAMES = {
    "question_mark": "?", "slash": "/", "asterisk": "*", "escape": "esc", "pageup": "page up",
    "pagedown": "page down", "up": "↑", "down": "↓", "left": "←", "right": "→",
    "backspace": "⌫",
}  # fmt: skip
_STATES = {
    "starting": "the local port is being opened",
    "waiting": "no usable pod yet",
    "connecting": "a pod is chosen, no tunnel yet",
    "ready": "a tunnel is up and answers",
    "reconnecting": "was ready, tries again; connections are held meanwhile",
    "blocked": "needs you: the line below the table says what for",
    "stopped": "switched off",
}
_FILTER = (
    ("web", "fuzzy: name, namespace, kind, status, node, owner, port"),
    ("ns:shop", "the namespace begins with it; * and ? work"),
    ("label:app=web", "has this label (of a forward: your own word)"),
    ("port:8080 port:http", "declares this port"),
    ("node: status: kind:", "as they are called"),
    ("!word", "not"),
    ('"web-1"', "exactly this"),
)

Section = tuple[str, tuple[tuple[str, str], ...]]


def sections(bindings: Iterable[Binding]) -> list[Section]:
    """What the help says: headings, each with pairs of keys and words.

    Args:
        bindings: All there are; those without an id are nobody's business.
    """
    groups: dict[str, dict[str, str]] = {title: {} for title in _GROUPS.values()}
    for binding in bindings:
        title = _GROUPS.get((binding.id or "").partition(".")[0])
        if title is None or ((binding.id or "").startswith("ports.") and binding.key in "23456789"):
            continue
        groups[title][_keys(binding)] = binding.tooltip or binding.description
    made: list[Section] = [(title, tuple(keys.items())) for title, keys in groups.items() if keys]
    states = tuple(
        (f"{mark} {state.value}", _STATES[state.value]) for state, (mark, _) in STATE_MARKS.items()
    )
    made.append(("States", (*states, ("‖ paused", "switched off for now, keeps its local port"))))
    made.append(("The filter: all terms must match", _FILTER))
    made.append(
        (
            "Mouse",
            (
                ("click", "choose a row; a name in the top line changes it"),
                ("double click", "as enter"),
                ("click on a head", "another order"),
                ("wheel", "scroll"),
            ),
        )
    )
    return made


def _keys(binding: Binding) -> str:
    if binding.key_display:
        return binding.key_display
    return " ".join(_NAMES.get(key, key) for key in binding.key.split(","))


def as_text(made: list[Section]) -> str:
    """The help as plain lines."""
    width = max(len(keys) for _, pairs in made for keys, _ in pairs)
    lines = []
    for title, pairs in made:
        lines += ["", title, *(f"  {keys.ljust(width)}  {words}" for keys, words in pairs)]
    return "\n".join(lines[1:])


class HelpScreen(Dialog[None]):
    """Shows all of it.

    Args:
        made: From `sections`.
    """

    CSS_PATH = stylesheet("help.tcss")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,f1,enter", "dismiss", "Close", id="help.close",
                tooltip="Back to where you were"),
    ]  # fmt: skip

    def __init__(self, made: list[Section]) -> None:
        super().__init__()
        self._text = as_text(made)

    def compose(self) -> ComposeResult:
        """Text in a box that scrolls when the terminal is small."""
        with Vertical() as box:
            box.border_title = "help"
            box.border_subtitle = "esc  close"
            with VerticalScroll():
                yield Static(self._text, markup=False)
