"""The command palette: every action that works now, with its key, and what the app adds.

Textual swallows what a provider raises and reads titles as markup; so nothing here may fail
because of a name, and names of contexts and forwards are shown as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol, cast

from textual.actions import ActionError, parse
from textual.binding import Binding
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.content import Content
from textual.dom import DOMNode
from textual.markup import escape

from tui_forward.tui.keys.key_names import bindings_of, format_key
from tui_forward.tui.textual_internals import active_keymap
from tui_forward.tui.viewmodel.filter_query import fuzzy_score

# Moving about, and what the palette is itself: nobody looks for these here.
_NOT_OFFERED: Final = ("table.", "filter.", "app.palette", "log.up", "log.down", "log.page")
_BEST = 100  # of `fuzzy`
_IN_HELP = 5


@dataclass(frozen=True, slots=True)
class PaletteCommand:
    """One line of the palette.

    Attributes:
        title: What it does; may hold names out of the cluster.
        help: A few more words.
        run: Does it.
    """

    title: str
    help: str
    run: Callable[[], object]


class CommandSource(Protocol):
    """What the app adds to the actions of the keys."""

    def palette_commands(self) -> Iterable[PaletteCommand]:
        """Contexts, forwards: whatever there is only at this moment."""


class ActionProvider(Provider):
    """Offers the keys' actions and the app's own commands."""

    def commands(self) -> list[PaletteCommand]:
        """All there is now, keys first."""
        # Nobody opens the palette for a digit, so those come last.
        found = sorted(self._of_keys(), key=lambda command: command.help[-1:].isdigit())
        if hasattr(self.app, "palette_commands"):
            found += cast("CommandSource", self.app).palette_commands()
        return found

    def _of_keys(self) -> Iterator[PaletteCommand]:
        """The actions of whatever has the focus, of its ancestors, the screen and the app."""
        keymap = active_keymap(self.app)
        seen: set[str] = set()
        for node in (self.focused or self.screen).ancestors_with_self:
            for binding in bindings_of(type(node)):
                name = binding.id
                if name is None or name in seen or name.startswith(_NOT_OFFERED):
                    continue
                if not self._works(node, binding):
                    continue
                seen.add(name)
                what = binding.tooltip or binding.description
                if _is_digit(binding):
                    what = f"{what}: {binding.key}"
                yield PaletteCommand(
                    what,
                    f"key: {format_key(keymap.get(name, binding.key))}",
                    partial(self.app.run_action, binding.action, node),
                )

    def _works(self, node: DOMNode, binding: Binding) -> bool:
        try:
            namespace, action, parameters = parse(binding.action)
        except ActionError:
            return False
        places = {"app": self.app, "screen": self.screen, "focused": self.focused}
        target = places.get(namespace, node)
        return target is not None and target.check_action(action, parameters) is True

    async def discover(self) -> Hits:
        """Everything, before a letter is typed."""
        for command in self.commands():
            yield DiscoveryHit(
                Content(_one_line(command.title)), command.run, command.title,
                help=escape(_one_line(command.help)),
            )  # fmt: skip

    async def search(self, query: str) -> Hits:
        """What matches: every word, somewhere in the title or in the help."""
        style = self.match_style
        for command in self.commands():
            title = _one_line(command.title)
            score = match_score(query, title, command.help)
            if score is None:
                continue
            content = Content(title)
            if style is not None:
                for start, end in match_spans(query, title):
                    content = content.stylize(style, start, end)
            yield Hit(score, content, command.run, title, help=escape(_one_line(command.help)))


def match_score(query: str, title: str, more: str = "") -> float | None:
    """How well a command answers what was typed.

    Args:
        query: Words; each must be found.
        title: Where a match counts.
        more: Where it counts little.

    Returns:
        Above 0, at most 1; None where a word is missing.
    """
    low, low_more = title.lower(), more.lower()
    words = query.lower().split()
    total = 0
    for word in words:
        score = fuzzy_score(word)(low)
        if score is None and word in low_more:
            score = _IN_HELP
        if score is None:
            return None
        total += max(1, score)
    return min(1.0, total / (_BEST * len(words))) if words else None


def match_spans(query: str, title: str) -> list[tuple[int, int]]:
    """Where words of a query stand in a title, for marking them."""
    low = title.lower()
    if len(low) != len(title):
        return []
    found = [(low.find(word), len(word)) for word in query.lower().split()]
    return [(at, at + size) for at, size in found if at >= 0]


def _is_digit(binding: Binding) -> bool:
    return len(binding.key) == 1 and binding.key.isdecimal()


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)
