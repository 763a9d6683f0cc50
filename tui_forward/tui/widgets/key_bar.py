"""Key bar: the keys that work now, in the bottom lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Protocol

import msgspec
from msgspec.structs import replace
from rich.cells import cell_len
from rich.segment import Segment
from textual import events
from textual.binding import Binding
from textual.geometry import Region
from textual.reactive import reactive
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget

from tui_forward.tui.keys.dashboard_keys import PROGRAM, SHORT_WORDS, PaneFooter
from tui_forward.tui.keys.key_names import format_key
from tui_forward.tui.plain_text import plain

_GAP = 2
# Kept when the line is too narrow for all keys.
_KEPT = ("app.help", "app.quit", "detail.back", "text.back")


class KeyHint(msgspec.Struct, frozen=True):
    """A key and its action."""

    key: str  # Textual's name of the key
    label: str
    words: str  # action, in a word or two
    tooltip: str = ""  # action in detail
    kept: bool = False  # whether it is shown even if the line is too narrow for all keys
    short: str = ""  # `words` where space is short

    @property
    def width(self) -> int:
        """Width in cells."""
        return cell_len(self.label) + 1 + cell_len(self.words)


def _total(keys: Sequence[KeyHint]) -> int:
    return sum(key.width + _GAP for key in keys) - _GAP if keys else 0


def _shortened(key: KeyHint) -> KeyHint:
    return replace(key, words=key.short or key.words, short="")


def fit_keys(keys: Sequence[KeyHint], width: int) -> tuple[KeyHint, ...]:
    """Return the keys that fit side by side; the last ones are dropped first, kept ones last."""
    shown = list(keys)
    while shown and _total(shown) > width:
        if any(key.short for key in shown):
            shown = list(map(_shortened, shown))
            continue
        shown.remove(next((key for key in reversed(shown) if not key.kept), shown[0]))
    return tuple(shown)


class FooterKeys(msgspec.Struct, frozen=True):
    """Keys of a footer of two lines."""

    row: tuple[KeyHint, ...] = ()
    view: tuple[KeyHint, ...] = ()
    program: tuple[KeyHint, ...] = ()  # at the right of the second line
    extra: tuple[KeyHint, ...] = ()  # at the end of line 1, if there is room
    more: tuple[KeyHint, ...] = ()  # at the end of line 2, if there is room
    prefix: str = ""  # text before the keys of line 1
    urgent: tuple[KeyHint, ...] = ()  # at the end of line 1, else first in line 2
    # Keys of `row` that have nothing to act on; they give way first.
    idle: frozenset[str] = frozenset()


def layout_footer(
    keys: FooterKeys, width: int
) -> tuple[tuple[KeyHint, ...], tuple[KeyHint, ...], tuple[KeyHint, ...]]:
    """Return the keys of line 1, of the left and of the right of line 2.

    Keys of the row that do not fit into line 1 come first in line 2.
    """
    program = fit_keys(keys.program, width)
    room = width - _total(program) - _GAP
    if keys.prefix:
        width = max(0, width - cell_len(keys.prefix) - _GAP)
    first: list[KeyHint] = []
    row = keys.row if _total(keys.row) <= width else tuple(map(_shortened, keys.row))
    rest = [*(one for one in row if one.key not in keys.idle),
            *(one for one in row if one.key in keys.idle)]  # fmt: skip
    if _total(rest) > width:
        while rest and _total([*first, rest[0]]) <= width:
            first.append(rest.pop(0))
        useful = [one for one in rest if one.key not in keys.idle]
        return tuple(first), fit_keys([*keys.urgent, *useful, *keys.view], max(0, room)), program
    fits = _total([*row, *keys.urgent]) <= width
    row = (*row, *keys.urgent) if fits else row
    view = fit_keys(keys.view if fits else (*keys.urgent, *keys.view), max(0, room))
    more = fit_keys(keys.more, max(0, room - _total(view) - _GAP))
    extra = fit_keys(keys.extra, max(0, width - _total(row) - _GAP))
    return (*row, *extra), (*view, *more), program


class FooterSource(Protocol):
    """What a footer of two lines shows; it may change with every update of the bindings."""

    @property
    def keys(self) -> PaneFooter:
        """The keys in the order of importance."""

    @property
    def prefix(self) -> str:
        """Text before the keys of line 1."""

    @property
    def urgent_keys(self) -> tuple[str, ...]:
        """Binding ids of keys that are always shown."""

    def words(self, binding: str) -> str:
        """Return what a key does now, if that differs from its usual words."""

    def is_idle(self, binding: str) -> bool:
        """Return whether a key has nothing to act on, so that it gives way first."""


class KeyBar(Widget):
    """Keys of the screen; a click on one presses it.

    A single widget, not one for each key as in Textual's footer, so that a change of pane does not
    take a frame. `hidden` draws nothing, so that a widget in the same place behind it is visible;
    changing `display` would lay out and draw the whole screen.

    With a source it has two lines: keys that act on the row, keys that act on the view. Without
    one it has a line of all keys of the screen.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {"keybar--key", "keybar--words"}

    hidden: reactive[bool] = reactive(False)

    def __init__(self, source: FooterSource | None = None) -> None:
        super().__init__()
        self._source = source
        self._keys: tuple[KeyHint, ...] = ()
        self._footer: FooterKeys | None = None
        self._laid_out: tuple[object, list[list[tuple[int, KeyHint]]]] = (None, [])

    def on_mount(self) -> None:
        """Follow changes of the screen's bindings."""
        self.screen.bindings_updated_signal.subscribe(self, self._update)

    def _update(self, screen: Screen[object]) -> None:
        if screen is self.screen:
            self._collect_keys()

    def _collect_keys(self) -> None:
        if self._source is not None:
            found = self._footer_keys(self._source)
            if found != self._footer:
                self._footer = found
                self.refresh()
            return
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

    def _footer_keys(self, source: FooterSource) -> FooterKeys:
        footer = source.keys
        active: dict[str, Binding] = {}
        for _node, binding, enabled, _tooltip in self.screen.active_bindings.values():
            if enabled and binding.id is not None:
                active.setdefault(binding.id, binding)

        def hint(entry: str, *, kept: bool = False) -> KeyHint | None:
            found = [active[one] for one in entry.split() if one in active]
            if not found:
                return None
            first = found[0]
            label = (
                first.key_display
                if len(found) == 1 and first.key_display
                else (format_key(",".join(one.key for one in found)))
            )
            name = first.id or ""
            words = source.words(name) or first.description
            return KeyHint(first.key, label, words, first.tooltip, kept, SHORT_WORDS.get(name, ""))

        def hints(entries: Sequence[str]) -> Iterator[KeyHint]:
            for entry in entries:
                if (found := hint(entry)) is not None:
                    yield found

        row = list(hints(footer.row))
        choose = active.get("table.choose")
        if choose is not None and footer.choose:
            row.insert(
                0, KeyHint(choose.key, format_key(choose.key), footer.choose, choose.tooltip)
            )
        urgent = tuple(hints(source.urgent_keys))
        return FooterKeys(
            tuple(row),
            tuple(hints(footer.view)),
            tuple(one for entry in PROGRAM if (one := hint(entry, kept=True)) is not None),
            idle=frozenset(
                active[entry.split()[0]].key
                for entry in footer.row
                if entry.split()[0] in active and source.is_idle(entry.split()[0])
            ),
            urgent=urgent,
            extra=tuple(hints(footer.extra)),
            more=tuple(one for one in hints(footer.more) if one not in urgent),
            prefix=source.prefix,
        )

    def _lines(self) -> list[list[tuple[int, KeyHint]]]:
        """Return the keys of each line with their columns."""
        content = (self.size.width, self._keys, self._footer)
        if self._laid_out[0] != content:
            self._laid_out = content, self._layout_keys(self.size.width)
        return self._laid_out[1]

    def _layout_keys(self, width: int) -> list[list[tuple[int, KeyHint]]]:
        if self._footer is None:
            return [_placed(fit_keys(self._keys, width))]
        first, left, right = layout_footer(self._footer, width)
        prefix = self._footer.prefix
        start = cell_len(prefix) + _GAP if prefix else 0
        return [_placed(first, start), [*_placed(left), *_placed(right, width - _total(right))]]

    def render_lines(self, crop: Region) -> list[Strip]:
        """Draw nothing while hidden."""
        return [] if self.hidden else super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """Draw the keys."""
        width, base = self.size.width, self.rich_style
        lines = self._lines()
        if y >= len(lines):
            return Strip.blank(width, base)
        strong = base + self.get_component_rich_style("keybar--key", partial=True)
        plain = base + self.get_component_rich_style("keybar--words", partial=True)
        segments: list[Segment] = []
        used = 0
        if y == 0 and self._footer is not None and self._footer.prefix:
            segments.append(Segment(self._footer.prefix, strong))
            used = cell_len(self._footer.prefix)
        for x, key in lines[y]:
            segments += [
                Segment(" " * (x - used), base), Segment(key.label, strong),
                Segment(f" {key.words}", plain),
            ]  # fmt: skip
            used = x + key.width
        return Strip(segments).adjust_cell_length(width, base)

    def _key_at(self, x: int, y: int) -> KeyHint | None:
        lines = self._lines()
        if self.hidden or not 0 <= y < len(lines):
            return None
        return next((key for at, key in lines[y] if at <= x < at + key.width), None)

    def on_click(self, event: events.Click) -> None:
        """Press the clicked key."""
        offset = event.get_content_offset(self)
        key = self._key_at(*offset) if offset is not None else None
        if key is not None:
            self.app.simulate_key(key.key)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Show the tooltip of the key under the pointer."""
        offset = event.get_content_offset(self)
        key = self._key_at(*offset) if offset is not None else None
        tooltip = key.tooltip if key is not None else ""
        content = plain(tooltip) if tooltip else None
        if content != self.tooltip:
            self.tooltip = content


def _placed(keys: Sequence[KeyHint], start: int = 0) -> list[tuple[int, KeyHint]]:
    placed: list[tuple[int, KeyHint]] = []
    for key in keys:
        placed.append((start, key))
        start += key.width + _GAP
    return placed
