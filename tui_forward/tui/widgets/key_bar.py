"""The line of keys at the bottom: what works now, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.geometry import Region
from textual.reactive import reactive
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget

_GAP = 2
# What stays when there is no room for all: how to learn the others, and how to get out.
_KEPT = ("app.help", "app.quit", "detail.back", "log.back")


@dataclass(frozen=True, slots=True)
class KeyHint:
    """A key and what it does.

    Attributes:
        key: As Textual calls it.
        label: As a person does.
        words: What it does, in a word.
        tooltip: The same at length.
        kept: Not left out for want of room.
    """

    key: str
    label: str
    words: str
    tooltip: str = ""
    kept: bool = False

    @property
    def width(self) -> int:
        """Cells it takes."""
        return cell_len(self.label) + 1 + cell_len(self.words)


def fit_keys(keys: tuple[KeyHint, ...], width: int) -> tuple[KeyHint, ...]:
    """Those that fit side by side; the last ones go first, but for those that are kept."""
    shown = list(keys)
    while shown and sum(key.width + _GAP for key in shown) - _GAP > width:
        shown.remove(next((key for key in reversed(shown) if not key.kept), shown[0]))
    return tuple(shown)


class KeyBar(Widget):
    """Shows the keys of the screen it is on, and presses those that are clicked.

    One widget that is drawn when the keys are others, instead of one for each key: changing
    the pane must not cost a frame.

    Attributes:
        hidden: Draws nothing, so that what lies in the same place behind it is seen. To hide it,
            or to show the other, would lay out and draw the whole screen anew.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {"keybar--key", "keybar--words"}

    hidden: reactive[bool] = reactive(False)

    def __init__(self) -> None:
        super().__init__()
        self._keys: tuple[KeyHint, ...] = ()

    def on_mount(self) -> None:
        """Follow the screen."""
        self.screen.bindings_updated_signal.subscribe(self, self._follow)

    def _follow(self, screen: Screen[object]) -> None:
        if screen is self.screen:
            self._take()

    def _take(self) -> None:
        actions: set[str] = set()
        keys: list[KeyHint] = []
        for _node, binding, enabled, tooltip in self.screen.active_bindings.values():
            if binding.show and enabled and binding.action not in actions:
                actions.add(binding.action)
                label = self.app.get_key_display(binding)
                kept = binding.id in _KEPT
                keys.append(KeyHint(binding.key, label, binding.description, tooltip, kept))
        if tuple(keys) != self._keys:
            self._keys = tuple(keys)
            self.refresh()

    def render_lines(self, crop: Region) -> list[Strip]:
        """Nothing, or a line."""
        return [] if self.hidden else super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """The keys, then blank."""
        width, base = self.size.width, self.rich_style
        if y:
            return Strip.blank(width, base)
        strong = base + self.get_component_rich_style("keybar--key", partial=True)
        plain = base + self.get_component_rich_style("keybar--words", partial=True)
        segments: list[Segment] = []
        for key in fit_keys(self._keys, width):
            if segments:
                segments.append(Segment(" " * _GAP, base))
            segments += [Segment(key.label, strong), Segment(f" {key.words}", plain)]
        return Strip(segments).adjust_cell_length(width, base)

    def _key_at(self, x: int) -> KeyHint | None:
        if self.hidden:
            return None
        for key in fit_keys(self._keys, self.size.width):
            if 0 <= x < key.width:
                return key
            x -= key.width + _GAP
        return None

    def on_click(self, event: events.Click) -> None:
        """As if it had been pressed."""
        offset = event.get_content_offset(self)
        key = self._key_at(offset.x) if offset is not None else None
        if key is not None:
            self.app.simulate_key(key.key)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """What the key under the pointer does, at length."""
        offset = event.get_content_offset(self)
        key = self._key_at(offset.x) if offset is not None else None
        tooltip = key.tooltip if key is not None else ""
        if tooltip != (self.tooltip or ""):
            self.tooltip = tooltip or None
