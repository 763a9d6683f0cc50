"""Commands of the palette: every action available now, with its key, and commands of the app.

Made of the key bindings. Names from the cluster are text, never markup.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import StrEnum
from functools import partial
from typing import Final, TypeVar

import msgspec
from textual.actions import ActionError, parse
from textual.app import App
from textual.binding import Binding
from textual.dom import DOMNode
from textual.screen import Screen

from tui_forward.tui.keys.key_names import bindings_of, format_key
from tui_forward.tui.textual_internals.apps import active_keymap
from tui_forward.tui.viewmodel.filter_query import fuzzy_score

T = TypeVar("T")

# Navigation, and the palette itself, are not useful in the palette.
_EXCLUDED: Final = ("table.", "filter.", "app.palette", "log.up", "log.down", "log.page")
_MAX_FUZZY_SCORE = 100
_HELP_SCORE = 5


class Group(StrEnum):
    """Headings of the palette, in its order."""

    THIS = "This forward"  # or row
    ALL = "All forwards"
    SHOW = "Show"
    GO_TO = "Go to"
    PROFILES = "Profiles"
    PROGRAM = "Program"


# Groups of bindings by id, or by its part before the full stop; others are in `SHOW`.
_GROUPS: Final = {
    "forwards": Group.THIS, "ports": Group.THIS, "forwards.group": Group.SHOW,
    "forwards.fold": Group.SHOW, "forwards.unfold": Group.SHOW, "ports.cluster": Group.GO_TO,
    "cluster.describe": Group.THIS, "cluster.favorite": Group.THIS, "cluster.start": Group.THIS,
    "connections.close": Group.THIS, "connections.detail": Group.THIS,
    "connections.log": Group.THIS, "connections.copy": Group.THIS,
    "panes.problem": Group.GO_TO, "panes.next": Group.GO_TO, "panes.previous": Group.GO_TO,
    "app.jump": Group.GO_TO, "app.namespace": Group.GO_TO, "app.context": Group.GO_TO,
    "app.profiles": Group.PROFILES, "app.save-profile": Group.PROFILES,
    "app.undo": Group.ALL, "app.paste": Group.ALL, "app.log-in": Group.PROGRAM,
    "app.proxy": Group.ALL,
    "app.log": Group.SHOW, "app.doctor": Group.THIS, "app.help": Group.SHOW, "app": Group.PROGRAM,
}  # fmt: skip


class PaletteCommand(msgspec.Struct, frozen=True):
    """One line of the palette."""

    title: str  # what it does; may contain names from the cluster
    run: Callable[[], object]
    group: Group = Group.PROGRAM
    keys: str = ""
    only_found: bool = False  # not listed before something is typed: there may be many


def collect(
    app: App[T], screen: Screen[object], more: Iterable[PaletteCommand] = ()
) -> list[PaletteCommand]:
    """Return all commands available now on a screen: of key bindings first, then `more`."""
    # Digit keys come last: the palette is no shortcut for them.
    found = sorted(_binding_commands(app, screen), key=lambda command: command.keys.isdigit())
    return [*found, *more]


def group_of(binding_id: str) -> Group:
    """Return the group of a binding."""
    return _GROUPS.get(binding_id) or _GROUPS.get(binding_id.partition(".")[0]) or Group.SHOW


def _binding_commands(app: App[T], screen: Screen[object]) -> Iterator[PaletteCommand]:
    """Yield the actions of the focused widget, its ancestors, the screen and the app."""
    keymap = active_keymap(app)
    seen: set[str] = set()
    taken: set[str] = set()  # keys that run an action of a widget further inside
    for node in (screen.focused or screen).ancestors_with_self:
        for binding in bindings_of(type(node)):
            name = binding.id
            if name is None or name in seen or name.startswith(_EXCLUDED):
                continue
            if not _is_available(app, screen, node, binding):
                continue
            seen.add(name)
            keys = [key for key in keymap.get(name, binding.key).split(",") if key not in taken]
            taken.update(keys)
            title = binding.tooltip or binding.description
            if _is_digit(binding):
                title = f"{title}: {binding.key}"
            yield PaletteCommand(
                title, partial(app.run_action, binding.action, node), group_of(name),
                format_key(",".join(keys)),
            )  # fmt: skip


def _is_available(app: App[T], screen: Screen[object], node: DOMNode, binding: Binding) -> bool:
    try:
        namespace, action, parameters = parse(binding.action)
    except ActionError:
        return False
    nodes: dict[str, DOMNode | None] = {"app": app, "screen": screen, "focused": screen.focused}
    target = nodes.get(namespace, node)
    return target is not None and target.check_action(action, parameters) is True


class PaletteLines(msgspec.Struct, frozen=True):
    """What the palette shows: headings and commands in order."""

    lines: tuple[str | PaletteCommand, ...]
    best: int = -1  # line of the best match; -1 without any command


def find_commands(commands: Sequence[PaletteCommand], query: str, this: str = "") -> PaletteLines:
    """Return the commands that match a query, in their groups, each title once.

    Those that have every word of it as it was typed; only if there are none, those that have the
    letters of each word in order.

    Args:
        commands: All commands.
        query: What was typed; nothing finds all but those that are `only_found`.
        this: Title of the first group; by default its name.
    """
    has_query = bool(query.strip())
    scores: dict[int, float] = {}
    seen: set[tuple[Group, str]] = set()
    for position, command in enumerate(commands):
        score = match_score(query, command.title, command.group) if has_query else 1.0
        if score is None or (command.only_found and not has_query):
            continue
        if (command.group, command.title) not in seen:
            seen.add((command.group, command.title))
            scores[position] = score
    words = query.lower().split()
    if exact := [at for at in scores if all(w in commands[at].title.lower() for w in words)]:
        scores = {at: scores[at] for at in exact}
    lines: list[str | PaletteCommand] = []
    best, best_score = -1, 0.0
    for group in Group:
        members = [position for position in scores if commands[position].group is group]
        if has_query:
            members.sort(key=lambda position: (commands[position].only_found, -scores[position]))
        if members:
            lines.append(this or group.value if group is Group.THIS else group.value)
        for position in members:
            if scores[position] > best_score:
                best, best_score = len(lines), scores[position]
            lines.append(commands[position])
    return PaletteLines(tuple(lines), best)


def match_score(query: str, title: str, more: str = "") -> float | None:
    """Return how well a command matches: above 0, at most 1; None if a word does not match.

    Matches in `title` have full weight, matches in `more` little.
    """
    low, low_more = title.lower(), more.lower()
    words = query.lower().split()
    total = 0
    for word in words:
        score = fuzzy_score(word)(low)
        if score is None and word in low_more:
            score = _HELP_SCORE
        if score is None:
            return None
        total += max(1, score)
    return min(1.0, total / (_MAX_FUZZY_SCORE * len(words))) if words else None


def match_spans(query: str, title: str) -> list[tuple[int, int]]:
    """Return the positions of the query's words in a title, for highlighting."""
    low = title.lower()
    if len(low) != len(title):
        return []
    found = [(low.find(word), len(word)) for word in query.lower().split()]
    return [(at, at + size) for at, size in found if at >= 0]


def _is_digit(binding: Binding) -> bool:
    return len(binding.key) == 1 and binding.key.isdecimal()
