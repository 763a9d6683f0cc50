"""Help: all keys, generated from the bindings and the keymap, and all symbols."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import ClassVar, Final, NamedTuple, Self, TypeVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.dom import DOMNode
from textual.screen import Screen
from textual.widgets import Input

from tui_forward.settings.protected_contexts import MARK
from tui_forward.tui.keys.dashboard_keys import PaneFooter
from tui_forward.tui.keys.key_names import bindings_of, format_key
from tui_forward.tui.plain_text import plain
from tui_forward.tui.screens.dialogs import Dialog
from tui_forward.tui.stylesheets import stylesheet
from tui_forward.tui.textual_internals.apps import active_keymap
from tui_forward.tui.textual_internals.screens import KeptScreen
from tui_forward.tui.viewmodel.rows import STATE_MARKS
from tui_forward.tui.widgets.help_body import HelpBody

T = TypeVar("T")

# Group of the first part of a binding id, in the order of the help.
_GROUPS: Final[Mapping[str, str]] = {
    "app": "Global", "panes": "Panes", "cluster": "Cluster", "ports": "Ports",
    "forwards": "Forwards", "connections": "Connections", "detail": "Forward details",
    "table": "Tables", "filter": "Filter", "log": "Engine log", "form": "Forward form",
    "picker": "Pickers", "paste": "Paste", "profile": "Profile", "help": "Help", "quit": "Quit",
    "restore": "Restore", "question": "Confirmation", "jump": "Jump", "sort": "Sort order",
    "podlog": "Log of a pod", "describe": "Description", "doctor": "Doctor",
    "text": "Log and description",
    "login": "Login", "protected": "Protected context", "palette": "Palette",
    "save": "Save profile", "start": "First start",
}  # fmt: skip
_STATES: Final[Mapping[str, str]] = {
    "starting": "opening the local port, selecting a pod", "waiting": "no usable pod yet",
    "connecting": "pod found, no tunnel yet", "ready": "tunnel up and responding",
    "reconnecting": "lost the tunnel; retrying, new connections are queued",
    "blocked": "needs action; see reason", "stopped": "stopped by you",
}  # fmt: skip
_MARKS: Final = (
    (f"prod-eu{MARK}", "protected context"), ("! 0.0.0.0:80", "other machines reach it"),
    ("▁▂▃▄▅▆▇█", "traffic: ×10 a step, to 1 GB/s"), ("╌", "no tunnel"),
    ("no role", "you may not forward it; a key tries it"),
)  # fmt: skip
_FILTER: Final = (
    ("web", "fuzzy: name, namespace, kind, status, node, owner, port"),
    ("ns:shop", "namespace starts with it; * and ? are wildcards"),
    ("label:app=web", "has this label (forwards: your own label)"),
    ("port:8080 port:http", "declares this port"),
    ("node: status: kind:", "name of the node, status or kind"),
    ("!word", "not"),
    ('"web-1"', "exact text"),
)
THIS_ROW: Final = "This row"
_FIRST_BAND: Final = 4  # groups that stand side by side at the top: keys of the pane, symbols
ACTION_IDS: Final = "Action ids for settings.toml"
_MOUSE: Final = (
    ("click", "move the cursor; press a key of the bottom lines"),
    ("double click", "same as enter"),
    ("right click", "show the actions of the row"),
    ("click on the header line", "context; namespace; API: engine log; a state: filter by it"),
    ("click on column titles", "sort by the column, reverse, default order"),
    ("click on [view]", "show the next view"),
    ("drag a title", "change the height of the pane"),
    ("wheel", "scroll"),
)


class HelpEntry(NamedTuple):
    """One line: keys, a symbol or a term, and its meaning."""

    keys: str
    words: str


class HelpGroup(NamedTuple):
    """Lines under a title."""

    title: str  # where they apply
    entries: tuple[HelpEntry, ...]


# A `HelpGroup`, or plain tuples of that shape.
Section = tuple[str, tuple[tuple[str, str], ...]]


def collect(
    app: App[T], screen: DOMNode, also: Iterable[type[object]] = (),
    footer: PaneFooter | None = None,
) -> tuple[HelpGroup, ...]:  # fmt: skip
    """Return the help of a running app with its keymap, and of further classes.

    The keys of `footer`, those of the focused pane, come first, then the symbols.
    """
    owners = dict.fromkeys([type(app), type(screen), *map(type, screen.walk_children()), *also])
    return _groups_of(tuple(owners), footer, tuple(active_keymap(app).items()))


@lru_cache(maxsize=8)
def _groups_of(
    owners: tuple[type[object], ...], footer: PaneFooter | None, keymap: tuple[tuple[str, str], ...]
) -> tuple[HelpGroup, ...]:
    found = [binding for owner in owners for binding in bindings_of(owner)]
    mapped = dict(keymap)
    if footer is None:
        return groups(found, mapped)
    symbols = symbol_groups()
    others = [group for group in groups(found, mapped) if group not in symbols]
    return (*pane_groups(footer, found, mapped), *symbols, *others)


def pane_groups(
    footer: PaneFooter, bindings: Iterable[Binding], keymap: Mapping[str, str]
) -> tuple[HelpGroup, ...]:
    """Return the keys of a pane: those that act on a row, and those that act on the view."""
    by_id: dict[str, Binding] = {}
    for binding in bindings:
        if binding.id is not None:
            by_id.setdefault(binding.id, binding)

    def entries(places: Iterable[str]) -> Iterator[HelpEntry]:
        for place in places:
            known = [by_id[one] for one in place.split() if one in by_id]
            if known:
                keys = ",".join(keymap.get(one.id or "", one.key) for one in known)
                yield HelpEntry(format_key(keys), known[0].tooltip or known[0].description)

    choose = (HelpEntry("enter", footer.choose),) if footer.choose else ()
    return (
        HelpGroup(THIS_ROW, (*choose, *entries((*footer.row, *footer.extra)))),
        HelpGroup("This pane", tuple(entries(footer.view))),
    )


def symbol_groups() -> tuple[HelpGroup, ...]:
    """Return what the symbols of the tables mean."""
    states = [
        HelpEntry(f"{mark} {state.value}", _STATES[state.value])
        for state, (mark, _) in STATE_MARKS.items()
    ]
    states.append(HelpEntry("‖ paused", "paused by you; keeps its local port"))
    marks = tuple(HelpEntry(*pair) for pair in _MARKS)
    return HelpGroup("States", tuple(states)), HelpGroup("Other marks", marks)


def runnable_keys(screen: Screen[object]) -> dict[str, str]:
    """Return the keys that work on a screen now, by their text in the help."""
    return {
        binding.tooltip or binding.description: binding.key
        for _node, binding, enabled, _tooltip in reversed(screen.active_bindings.values())
        if enabled
    }


def groups(
    bindings: Iterable[Binding], keymap: Mapping[str, str] | None = None
) -> tuple[HelpGroup, ...]:
    """Return groups of keys, then symbols, filter terms, mouse and action ids.

    Bindings without an id are left out; `keymap` has the keys that differ from the defaults.
    """
    found: dict[str, dict[str, list[str]]] = {title: {} for title in _GROUPS.values()}
    seen: set[str] = set()
    names: list[HelpEntry] = []
    for binding in bindings:
        text = binding.tooltip or binding.description
        if binding.id is None or binding.id in seen or not text:
            continue
        seen.add(binding.id)
        prefix = binding.id.partition(".")[0]
        title = _GROUPS.get(prefix, prefix.capitalize())
        mapped = (keymap or {}).get(binding.id)
        names.append(HelpEntry(format_key(mapped or binding.key), binding.id))
        # The nine bindings of ports have the same text and become one line.
        found.setdefault(title, {}).setdefault(text, []).append(mapped or binding.key)
    key_groups = [
        HelpGroup(
            title,
            tuple(HelpEntry(format_key(",".join(keys)), text) for text, keys in lines.items()),
        )
        for title, lines in found.items()
        if lines
    ]
    return (
        *key_groups,
        *symbol_groups(),
        HelpGroup("Filter terms: all must match", tuple(HelpEntry(*pair) for pair in _FILTER)),
        HelpGroup("Mouse", tuple(HelpEntry(*pair) for pair in _MOUSE)),
        HelpGroup(ACTION_IDS, tuple(names)),
    )


def filter_groups(all_groups: Iterable[Section], text: str) -> tuple[HelpGroup, ...]:
    """Return the lines that contain every word of a text, there or in the group's title."""
    words = text.lower().split()

    def matches(title: str, entry: tuple[str, str]) -> bool:
        line = f"{title} {' '.join(entry)}".lower()
        return all(word in line for word in words)

    def matching_groups() -> Iterator[HelpGroup]:
        for title, entries in all_groups:
            if lines := tuple(HelpEntry(*entry) for entry in entries if matches(title, entry)):
                yield HelpGroup(title, lines)

    return tuple(matching_groups())


class _Search(Input):
    """Input that leaves `?` to the binding that closes the help."""

    def check_consume_key(self, key: str, character: str | None) -> bool:
        """Return whether a key is text."""
        return key != "question_mark" and super().check_consume_key(key, character)


class HelpScreen(Dialog[str | None], KeptScreen[str | None]):
    """The help, filtered while the user types; its result is a key to press, or None."""

    CSS_PATH = stylesheet("help.tcss")
    # Priority: before the input line gets the keys.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", "Close", id="help.close",
                tooltip="Clear the search, then close the help"),
        Binding("question_mark,f1", "dismiss", "Close", show=False, priority=True,
                id="help.leave", tooltip="Close the help"),
        Binding("enter", "run", "Run the key", show=False, priority=True, id="help.run",
                tooltip="Press the first key that is found"),
        Binding("up", "scroll(-1)", "Up", show=False, priority=True, id="help.up",
                tooltip="One line up"),
        Binding("down", "scroll(1)", "Down", show=False, priority=True, id="help.down",
                tooltip="One line down"),
        Binding("pageup", "page(-1)", "Page up", show=False, priority=True, id="help.page-up",
                tooltip="One page up"),
        Binding("pagedown", "page(1)", "Page down", show=False, priority=True, id="help.page-down",
                tooltip="One page down"),
        Binding("home", "first", "First", show=False, priority=True, id="help.first",
                tooltip="First line"),
        Binding("end", "last", "Last", show=False, priority=True, id="help.last",
                tooltip="Last line"),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self._groups: tuple[Section, ...] = ()
        self._keys: Mapping[str, str] = {}  # that Enter can press, by their texts
        self._found: tuple[Section, ...] = ()
        self._box = Vertical()
        self._box.border_subtitle = "type to search · enter Run the key · esc Close"
        self._body = HelpBody()
        self._input = _Search(placeholder="type to search", compact=True, id="help-search")

    def fill(
        self, all_groups: Sequence[Section], *, title: str = "help",
        keys: Mapping[str, str] | None = None,
    ) -> Self:  # fmt: skip
        """Set what is shown; return the screen."""
        self._groups = tuple(all_groups)
        self._keys = keys or {}
        self._box.border_title = plain(title)
        self._input.value = ""
        self._show("")
        return self

    def compose(self) -> ComposeResult:
        """Show the search line over the text."""
        with self._box:
            yield self._input
            yield self._body

    def on_input_changed(self, event: Input.Changed) -> None:
        """Show what matches."""
        self._show(event.value)

    def _show(self, text: str) -> None:
        self._found = filter_groups(self._groups, text) if text.strip() else self._groups
        is_all = len(self._found) == len(self._groups)
        first = _FIRST_BAND if is_all and self._groups[0][0] == THIS_ROW else 0
        self._body.show(self._found, empty=f"No match for “{text.strip()}”", first_band=first)

    def action_run(self) -> None:
        """Close, and press the first key that is found; without a search, only close."""
        found = (words for _, entries in self._found for _, words in entries)
        key = next((self._keys[words] for words in found if words in self._keys), None)
        self.dismiss(key if self._input.value.strip() else None)

    def action_back(self) -> None:
        """Clear the search if there is one, else close."""
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
