"""The command palette: every action that works now, with its key."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Protocol, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider


@dataclass(frozen=True, slots=True)
class PaletteCommand:
    """One line of the palette."""

    title: str
    help: str
    run: Callable[[], object]


class Commander(Protocol):
    """What the app adds to the actions of the keys."""

    def palette_commands(self) -> Iterable[PaletteCommand]:
        """Contexts, forwards: whatever there is only at this moment."""


class Actions(Provider):
    """Offers the keys' actions and the app's own commands."""

    def _commands(self) -> list[PaletteCommand]:
        found: dict[str, PaletteCommand] = {}
        for node, binding, enabled, tooltip in self.screen.active_bindings.values():
            if not enabled or binding.id is None or binding.id.startswith(("table.", "ports.")):
                continue
            key = self.app.get_key_display(binding)
            run = partial(self.app.run_action, binding.action, node)
            found.setdefault(
                binding.id,
                PaletteCommand(
                    tooltip or binding.tooltip or binding.description, f"key: {key}", run
                ),
            )
        return [*found.values(), *cast("Commander", self.app).palette_commands()]

    async def discover(self) -> Hits:
        """Everything, before a letter is typed."""
        for command in self._commands():
            yield DiscoveryHit(command.title, command.run, help=command.help)

    async def search(self, query: str) -> Hits:
        """What matches."""
        matcher = self.matcher(query)
        for command in self._commands():
            score = matcher.match(command.title)
            if score > 0:
                yield Hit(score, matcher.highlight(command.title), command.run, help=command.help)
