"""Key bar: the keys that work now, in the bottom line."""

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

from tui_forward.tui.plain_text import plain

_GAP = 2
# Kept when the line is too narrow for all keys.
_KEPT = ("app.help", "app.quit", "detail.back", "log.back")


@dataclass(frozen=True, slots=True)
class KeyHint:
    """A key and its action."""

    key: str  # Textual's name of the key
    label: str
    words: str  # action, in a word or two
    tooltip: str = ""  # action in detail
    kept: bool = False  # whether it is shown even if the line is too narrow for all keys

    @property
    def width(self) -> int:
        """Width in cells."""
        return cell_len(self.label) + 1 + cell_len(self.words)


def fit_keys(keys: tuple[KeyHint, ...], width: int) -> tuple[KeyHint, ...]:
    """Return the keys that fit side by side; the last ones are dropped first, kept ones last."""
    shown = list(keys)
    while shown and sum(key.width + _GAP for key in shown) - _GAP > width:
        shown.remove(next((key for key in reversed(shown) if not key.kept), shown[0]))
    return tuple(shown)


class KeyBar(Widget):
    """Keys of the screen; a click on one presses it.

    A single widget, not one for each key as in Textual's footer, so that a change of pane does not
    take a frame. `hidden` draws nothing, so that a widget in the same place behind it is visible;
    changing `display` would lay out and draw the whole screen.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {"keybar--key", "keybar--words"}

    hidden: reactive[bool] = reactive(False)

    def __init__(self) -> None:
        super().__init__()
        self._keys: tuple[KeyHint, ...] = ()

    def on_mount(self) -> None:
        """Follow changes of the screen's bindings."""
        self.screen.bindings_updated_signal.subscribe(self, self._update)

    def _update(self, screen: Screen[object]) -> None:
        if screen is self.screen:
            self._collect_keys()

    def _collect_keys(self) -> None:
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
        """Draw nothing while hidden."""
        return [] if self.hidden else super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """Draw the keys."""
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
        """Press the clicked key."""
        offset = event.get_content_offset(self)
        key = self._key_at(offset.x) if offset is not None else None
        if key is not None:
            self.app.simulate_key(key.key)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Show the tooltip of the key under the pointer."""
        offset = event.get_content_offset(self)
        key = self._key_at(offset.x) if offset is not None else None
        tooltip = key.tooltip if key is not None else ""
        content = plain(tooltip) if tooltip else None
        if content != self.tooltip:
            self.tooltip = content
