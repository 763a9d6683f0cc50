"""Lines of text that depend on the width they are shown in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget

# Returns the lines for a width, in cells.
Lines = Callable[[int], Sequence[Content]]


class TextLines(Widget):
    """One widget for any number of lines; as high as they are."""

    def __init__(
        self,
        lines: Lines,
        *,
        id: str | None = None,  # noqa: A002 - Textual's name for it
    ) -> None:
        super().__init__(id=id, markup=False)
        self._lines = lines

    def show(self) -> None:
        """Show the lines as they are now; their number may need another layout."""
        width, height = self.content_size
        self.refresh(layout=not width or self._text(width).get_height({}, width) != height)

    def get_content_height(
        self,
        container: Size,  # noqa: ARG002 - Textual's signature
        viewport: Size,  # noqa: ARG002 - Textual's signature
        width: int,
    ) -> int:
        """Return the number of lines, of which long ones wrap."""
        return self._text(width).get_height({}, width)

    def render(self) -> Content:
        """Draw the lines."""
        return self._text(self.content_size.width)

    def _text(self, width: int) -> Content:
        return Content("\n").join(self._lines(max(1, width)))
