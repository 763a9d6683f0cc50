"""Every key and every mark, out of the bindings themselves: the help cannot be out of date.

`collect` reads bindings and the person's keymap; `HelpScreen` shows what it is given.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import ClassVar, Final, NamedTuple, TypeVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.dom import DOMNode
from textual.widgets import Input

from tui_forward.tui.keys.key_names import bindings_of, format_key
from tui_forward.tui.screens.dialogs import Dialog
from tui_forward.tui.stylesheets import stylesheet
from tui_forward.tui.textual_internals import active_keymap
from tui_forward.tui.viewmodel.rows import STATE_MARKS
from tui_forward.tui.widgets.help_body import HelpBody

T = TypeVar("T")

# What the first part of a binding's id means, in the order of the help.
_GROUPS: Final[Mapping[str, str]] = {
    "app": "Everywhere",
    "panes": "Panes",
    "browse": "What the cluster offers",
    "ports": "Ports",
    "forwards": "Forwards",
    "connections": "Connections",
    "detail": "One forward",
    "table": "In every list",
    "filter": "While typing a filter",
    "log": "The engine's log",
    "form": "The form of a forward",
    "picker": "While choosing from a list",
    "paste": "Forward what you type",
    "profile": "A profile",
    "help": "This help",
    "quit": "Before quitting",
}
_STATES: Final[Mapping[str, str]] = {
    "starting": "the local port is opened, a pod is looked for",
    "waiting": "no usable pod yet",
    "connecting": "a pod is chosen, no tunnel yet",
    "ready": "a tunnel is up and answers",
    "reconnecting": "was ready, tries again; connections are held meanwhile",
    "blocked": "needs you: the reason says what for",
    "stopped": "switched off",
}
_FILTER: Final = (
    ("web", "fuzzy: name, namespace, kind, status, node, owner, port"),
    ("ns:shop", "the namespace begins with it; * and ? work"),
    ("label:app=web", "has this label (of a forward: your own word)"),
    ("port:8080 port:http", "declares this port"),
    ("node: status: kind:", "as they are called"),
    ("!word", "not"),
    ('"web-1"', "exactly this"),
)
# What other keys are given by.
NAMES: Final = "Names for settings.toml"
_MOUSE: Final = (
    ("click", "choose a row; press a key at the bottom"),
    ("double click", "as enter"),
    ("right click", "all that can be done with the row: the palette"),
    ("click on the top line", "its name: the palette; context; namespace; API: the engine's log"),
    ("click on a head", "another order"),
    ("wheel", "scroll"),
)


class HelpEntry(NamedTuple):
    """One line: keys, or a mark or a term; and what it means."""

    keys: str
    words: str


class HelpGroup(NamedTuple):
    """Lines that belong together.

    Attributes:
        title: Where they work.
        entries: In order.
    """

    title: str
    entries: tuple[HelpEntry, ...]


# Also plain tuples of the same shape.
Section = tuple[str, tuple[tuple[str, str], ...]]


def collect(
    app: App[T], screen: DOMNode, also: Iterable[type[object]] = ()
) -> tuple[HelpGroup, ...]:
    """What the help says of an app as it is now: its keys as they are mapped, and the rest.

    Args:
        app: Its bindings, and the keymap that is in force.
        screen: Its bindings and those of all its widgets.
        also: Further screens and widgets, which are not there now.
    """
    owners = dict.fromkeys([type(app), type(screen), *map(type, screen.walk_children()), *also])
    found = [binding for owner in owners for binding in bindings_of(owner)]
    return groups(found, active_keymap(app))


def groups(
    bindings: Iterable[Binding], keymap: Mapping[str, str] | None = None
) -> tuple[HelpGroup, ...]:
    """What the help says: groups of keys, then marks, the filter's language, the mouse.

    Args:
        bindings: All there are; those without an id are nobody's business.
        keymap: Binding id → keys, where they are not those of the binding.
    """
    found: dict[str, dict[str, list[str]]] = {title: {} for title in _GROUPS.values()}
    seen: set[str] = set()
    names: list[HelpEntry] = []
    for binding in bindings:
        words = binding.tooltip or binding.description
        if binding.id is None or binding.id in seen or not words:
            continue
        seen.add(binding.id)
        prefix = binding.id.partition(".")[0]
        title = _GROUPS.get(prefix, prefix.capitalize())
        mapped = (keymap or {}).get(binding.id)
        names.append(HelpEntry(format_key(mapped or binding.key), binding.id))
        # Ports have nine bindings with the same words: they are one line.
        found.setdefault(title, {}).setdefault(words, []).append(mapped or binding.key)
    made = [
        HelpGroup(
            title,
            tuple(HelpEntry(format_key(",".join(keys)), words) for words, keys in lines.items()),
        )
        for title, lines in found.items()
        if lines
    ]
    states = [
        HelpEntry(f"{mark} {state.value}", _STATES[state.value])
        for state, (mark, _) in STATE_MARKS.items()
    ]
    states.append(HelpEntry("‖ paused", "switched off for now, keeps its local port"))
    return (
        *made,
        HelpGroup("States", tuple(states)),
        HelpGroup("The filter: all terms must match", tuple(HelpEntry(*pair) for pair in _FILTER)),
        HelpGroup("Mouse", tuple(HelpEntry(*pair) for pair in _MOUSE)),
        HelpGroup(NAMES, tuple(names)),
    )


def sections(bindings: Iterable[Binding]) -> list[Section]:
    """As `groups`, for keys that nobody has mapped."""
    return list(groups(bindings))


def filter_groups(all_groups: Iterable[Section], text: str) -> tuple[HelpGroup, ...]:
    """The lines in which every word of a text stands; the title of their group counts too.

    Args:
        all_groups: From `groups`.
        text: As typed; nothing narrows nothing.
    """
    words = text.lower().split()

    def fits(title: str, entry: tuple[str, str]) -> bool:
        line = f"{title} {' '.join(entry)}".lower()
        return all(word in line for word in words)

    def kept() -> Iterator[HelpGroup]:
        for title, entries in all_groups:
            if lines := tuple(HelpEntry(*entry) for entry in entries if fits(title, entry)):
                yield HelpGroup(title, lines)

    return tuple(kept())


class _Search(Input):
    """Leaves the key that opened the help to close it."""

    def check_consume_key(self, key: str, character: str | None) -> bool:
        """Whether a key is text."""
        return key != "question_mark" and super().check_consume_key(key, character)


class HelpScreen(Dialog[None]):
    """Shows all of it, and what is left of it while one types.

    Args:
        all_groups: From `collect`, `groups` or `sections`.
    """

    CSS_PATH = stylesheet("help.tcss")
    # Before the line in which one types gets them.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Close", id="help.close",
                tooltip="Forget what is searched, then back to where you were"),
        Binding("question_mark,f1,enter", "dismiss", "Close", show=False, priority=True,
                id="help.leave", tooltip="Back to where you were"),
        Binding("up", "scroll(-1)", "Up", show=False, priority=True, id="help.up",
                tooltip="A line up"),
        Binding("down", "scroll(1)", "Down", show=False, priority=True, id="help.down",
                tooltip="A line down"),
        Binding("pageup", "page(-1)", "Page up", show=False, priority=True, id="help.page-up",
                tooltip="A page up"),
        Binding("pagedown", "page(1)", "Page down", show=False, priority=True, id="help.page-down",
                tooltip="A page down"),
        Binding("home", "first", "First", show=False, priority=True, id="help.first",
                tooltip="To the first line"),
        Binding("end", "last", "Last", show=False, priority=True, id="help.last",
                tooltip="To the last line"),
    ]  # fmt: skip

    def __init__(self, all_groups: Sequence[Section]) -> None:
        super().__init__()
        self._groups = tuple(all_groups)
        self._body = HelpBody()
        self._input = _Search(placeholder="type to search", compact=True, id="help-search")

    def compose(self) -> ComposeResult:
        """A line to type in over the text."""
        with Vertical() as box:
            box.border_title = "help"
            box.border_subtitle = "↑ ↓  scroll · esc  close"
            yield self._input
            yield self._body

    def on_mount(self) -> None:
        """Show everything."""
        self._show("")

    def on_input_changed(self, event: Input.Changed) -> None:
        """Show what fits."""
        self._show(event.value)

    def _show(self, text: str) -> None:
        self._body.show(
            filter_groups(self._groups, text), none=f"Nothing here says “{text.strip()}”"
        )

    def action_back(self) -> None:
        """Forget what is searched, or else leave."""
        if self._input.value:
            self._input.value = ""
        else:
            self.dismiss()

    def action_scroll(self, by: int) -> None:
        """Scroll by lines."""
        self._body.scroll_relative(y=by, animate=False)

    def action_page(self, by: int) -> None:
        """Scroll by pages."""
        self.action_scroll(by * max(1, self._body.size.height - 1))

    def action_first(self) -> None:
        """Scroll to the start."""
        self._body.scroll_to(y=0, animate=False)

    def action_last(self) -> None:
        """Scroll to the end."""
        self._body.scroll_end(animate=False, immediate=True)
