"""View whose rule can be clicked and dragged."""

from __future__ import annotations

from textual import events

from tui_forward.tui.widgets import row_messages
from tui_forward.tui.widgets.line_cache_view import LineCacheView

_TITLE_START = 2  # column of a title in its rule


class DraggableRuleView(LineCacheView):
    """Posts a message when the title in its rule is clicked, and while it is dragged."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name for it
        super().__init__(id=id)
        self._drag_from: int | None = None  # line of the screen that the title is dragged from
        self._was_dragged = False

    @property
    def has_title(self) -> bool:
        """Whether the rule has a title."""
        return False

    def _is_on_title(self, event: events.MouseEvent) -> bool:
        return event.y == 0 and self.has_title and event.get_content_offset(self) is None

    def on_click(self, event: events.Click) -> None:
        """Report a click on the title that did not drag it."""
        if self._is_on_title(event) and not self._was_dragged:
            self.post_message(row_messages.TitleClicked(self, max(0, event.x - _TITLE_START)))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Start to drag the title."""
        self._was_dragged = False
        if self._is_on_title(event):
            self._drag_from = event.screen_y
            self.capture_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Drag the title."""
        if self._drag_from is None or event.screen_y == self._drag_from:
            return
        by, self._drag_from = event.screen_y - self._drag_from, event.screen_y
        self._was_dragged = True
        self.post_message(row_messages.TitleDragged(self, by))

    def on_mouse_up(self) -> None:
        """Stop dragging."""
        if self._drag_from is not None:
            self._drag_from = None
            self.release_mouse()
