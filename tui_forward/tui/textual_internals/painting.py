"""Which lines are rendered for a frame, and how long they are kept."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, cast

from rich.segment import Segment
from textual._compositor import ChopsUpdate, Compositor
from textual._styles_cache import StylesCache
from textual.cache import FIFOCache
from textual.color import Color
from textual.geometry import Region
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget

# What `Strip.__init__` creates, and for how many results.
LINE_CACHES: Final[Mapping[str, int]] = {
    "_divide_cache": 4, "_crop_cache": 16, "_style_cache": 16, "_filter_cache": 4,
    "_line_length_cache": 4, "_crop_extend_cache": 4, "_offsets_cache": 4,
}  # fmt: skip


class LineCompositor(Compositor):
    """Compositor that renders only lines that are dirty and not covered by another widget.

    Textual's renders every widget that touches the rectangle around all dirty regions in full,
    which for a move of a cursor is most of the screen.
    """

    def render_partial_update(self) -> ChopsUpdate | None:
        """Render the dirty regions; return None if there are none."""
        screen = self.size.region
        regions = [region.intersection(screen) for region in self._dirty_regions]
        self._dirty_regions.clear()
        spans = list(self._regions_to_spans(region for region in regions if region))
        if not spans:
            return None
        return ChopsUpdate(self._pieces(spans), spans, [cuts[1:] for cuts in self.cuts])

    def render_lines(self, lines: range) -> list[Strip]:
        """Render these lines, each from its left to its right end; blank beyond the screen."""
        width, height = self.size
        pieces = self._pieces((y, 0, width) for y in lines if y < height)
        return [Strip.join(pieces[y].values()) if y < height else Strip.blank(width) for y in lines]

    def _render_chops(
        self, crop: Region, is_rendered_line: Callable[[int], bool]
    ) -> Sequence[Mapping[int, Strip]]:
        spans = [(y, crop.x, crop.right) for y in crop.line_range if is_rendered_line(y)]
        return cast("Sequence[Mapping[int, Strip]]", self._pieces(spans))

    def _pieces(self, spans: Iterable[tuple[int, int, int]]) -> list[dict[int, Strip | None]]:
        """Render pieces of lines, by line and first column, from the front to the back.

        Args:
            spans: Line, first column and end of what is wanted; other pieces are None.
        """
        pieces: list[dict[int, Strip | None]] = [{} for _ in self.cuts]
        missing: list[set[int]] = [set() for _ in self.cuts]
        for y, start, end in spans:
            cuts = self.cuts[y]
            pieces[y] = dict.fromkeys(cuts[:-1])
            missing[y].update(x for x, stop in pairwise(cuts) if x < end and stop > start)
        for widget, (region, clip) in self.visible_widgets.items():
            visible = region.intersection(clip)
            columns = range(*visible.column_span)
            run: list[int] = []
            for y in visible.line_range:
                if any(x in columns for x in missing[y]):
                    run.append(y)
                elif run:
                    self._fill(pieces, missing, widget, region, visible, run)
                    run = []
            if run:
                self._fill(pieces, missing, widget, region, visible, run)
        return pieces

    def _fill(
        self, pieces: list[dict[int, Strip | None]], missing: list[set[int]], widget: Widget,
        region: Region, visible: Region, run: list[int],
    ) -> None:  # fmt: skip
        """Render consecutive lines of a widget into the pieces that are still missing."""
        first, last = visible.column_span
        crop = Region(first - region.x, run[0] - region.y, visible.width, len(run))
        for y, strip in zip(run, widget.render_lines(crop), strict=False):
            cuts = [cut for cut in self.cuts[y] if first <= cut <= last]
            ends = [cut - first for cut in cuts[1:]]
            for x, piece in zip(cuts, strip.divide(ends), strict=False):
                if x in missing[y]:
                    missing[y].remove(x)
                    pieces[y][x] = piece


def forget_lines(screen: Screen[Any]) -> None:
    """Drop the lines of the widgets of a screen that is not shown again.

    Until the garbage collector runs, they are most of the memory of a closed screen.
    """
    for widget in screen.walk_children(Widget, with_self=True):
        widget._styles_cache.clear()  # noqa: SLF001 - see above


@functools.cache
def free_lines_early() -> None:
    """Let lines of widgets be freed as soon as they are not shown.

    Textual caches results of `get_inner_outer` by its `self`, so that the lines of the last 1,024
    widgets are kept; and a line that is not cut is an item of its own cache, so that only the
    garbage collector frees it.
    """
    original: Any = StylesCache.get_inner_outer
    inner_outer = functools.lru_cache(1024)(functools.partial(original.__wrapped__, None))
    divide = Strip.divide

    def get_inner_outer(_self: StylesCache, base: Color, background: Color) -> Any:
        return inner_outer(base, background)

    def divide_if_cut(self: Strip, cuts: Iterable[int]) -> Sequence[Strip]:
        cuts = list(cuts)
        return [self] if cuts == [self.cell_length] else divide(self, cuts)

    cast("Any", StylesCache).get_inner_outer = get_inner_outer
    cast("Any", Strip).divide = divide_if_cut


@functools.cache
def create_line_caches_late() -> None:
    """Let a line create a cache when it is used first.

    Textual creates seven with each line: a kilobyte, and work for the garbage collector. Most
    lines use one or two.
    """

    def init(self: Strip, segments: Iterable[Segment], cell_length: int | None = None) -> None:
        self._segments = list(segments)
        self._cell_length = cell_length
        self._render_cache = self._link_ids = self._cell_count = None

    def create_cache(self: Strip, name: str) -> FIFOCache[Any, Any]:
        if name not in LINE_CACHES:
            raise AttributeError(name)
        cache: FIFOCache[Any, Any] = FIFOCache(LINE_CACHES[name])
        setattr(self, name, cache)
        return cache

    strip = cast("Any", Strip)
    strip.__init__, strip.__getattr__ = init, create_cache
