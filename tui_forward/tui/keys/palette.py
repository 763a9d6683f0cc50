"""The command palette: every action available now, with its key, and commands of the app.

Textual swallows exceptions of providers and parses titles as markup, so no name may cause an
error here, and names of contexts and forwards are escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Final, Protocol, cast

import msgspec
from textual.actions import ActionError, parse
from textual.binding import Binding
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.dom import DOMNode
from textual.markup import escape

from tui_forward.common.printable import blank_unprintable
from tui_forward.tui.keys.key_names import bindings_of, format_key
from tui_forward.tui.textual_internals import active_keymap
from tui_forward.tui.viewmodel.filter_query import fuzzy_score

# Navigation, and the palette itself, are not useful in the palette.
_EXCLUDED: Final = ("table.", "filter.", "app.palette", "log.up", "log.down", "log.page")
_MAX_FUZZY_SCORE = 100
_HELP_SCORE = 5


class PaletteCommand(msgspec.Struct, frozen=True):
    """One line of the palette."""

    title: str  # what it does; may contain names from the cluster
    help: str
    run: Callable[[], object]


class CommandSource(Protocol):
    """Source of commands beyond the actions of key bindings."""

    def palette_commands(self) -> Iterable[PaletteCommand]:
        """Return the commands for present contexts and forwards."""


class ActionProvider(Provider):
    """Provider of the actions of key bindings and of the app's commands."""

    def commands(self) -> list[PaletteCommand]:
        """Return all commands available now, key bindings first."""
        # Digit keys come last: the palette is no shortcut for them.
        found = sorted(self._binding_commands(), key=lambda command: command.help[-1:].isdigit())
        if hasattr(self.app, "palette_commands"):
            found += cast("CommandSource", self.app).palette_commands()
        return found

    def _binding_commands(self) -> Iterator[PaletteCommand]:
        """Yield the actions of the focused widget, its ancestors, the screen and the app."""
        keymap = active_keymap(self.app)
        seen: set[str] = set()
        for node in (self.focused or self.screen).ancestors_with_self:
            for binding in bindings_of(type(node)):
                name = binding.id
                if name is None or name in seen or name.startswith(_EXCLUDED):
                    continue
                if not self._is_available(node, binding):
                    continue
                seen.add(name)
                title = binding.tooltip or binding.description
                if _is_digit(binding):
                    title = f"{title}: {binding.key}"
                yield PaletteCommand(
                    title,
                    f"key: {format_key(keymap.get(name, binding.key))}",
                    partial(self.app.run_action, binding.action, node),
                )

    def _is_available(self, node: DOMNode, binding: Binding) -> bool:
        try:
            namespace, action, parameters = parse(binding.action)
        except ActionError:
            return False
        nodes = {"app": self.app, "screen": self.screen, "focused": self.focused}
        target = nodes.get(namespace, node)
        return target is not None and target.check_action(action, parameters) is True

    async def discover(self) -> Hits:
        """Yield all commands while the query is empty."""
        for command in self.commands():
            yield DiscoveryHit(
                Content(blank_unprintable(command.title)), command.run, command.title,
                help=escape(blank_unprintable(command.help)),
            )  # fmt: skip

    async def search(self, query: str) -> Hits:
        """Yield commands that have every word in the title or in the help."""
        style = self.match_style
        for command in self.commands():
            title = blank_unprintable(command.title)
            score = match_score(query, title, command.help)
            if score is None:
                continue
            content = Content(title)
            if style is not None:
                for start, end in match_spans(query, title):
                    content = content.stylize(style, start, end)
            yield Hit(
                score, content, command.run, title, help=escape(blank_unprintable(command.help))
            )


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
