"""The one place where text becomes what a widget shows: as data, never as markup.

Textual reads markup in every `str` that it gets, so that a name such as `[/x]` is an error and
`[@click=app.quit]x[/]` an action. Labels, titles and notes are made of `plain(text)` or of the
widgets of this module; `tests/tui/test_plain_text.py` checks that no other module passes a text
that is not a literal. What is not printable is shown as an escape, and never reaches the terminal,
whichever widget draws it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, TypeVar

from rich.cells import cell_len
from rich.segment import Segment
from textual.app import App
from textual.color import Color
from textual.content import Content
from textual.filter import LineFilter
from textual.notifications import Notification, Notify, SeverityLevel
from textual.widgets import Static

from tui_forward.common.printable import escape_unprintable

_MAX_LENGTH = 500_000  # characters; twice the size of the largest profile
_MAX_NOTIFICATION = 600
_ERROR_S = 8.0  # that an error is shown
STAYS_S = 86_400.0  # that a notification is shown which something will remove

T = TypeVar("T")


def printable_lines(text: str, *, limit: int = _MAX_LENGTH) -> str:
    """Return a text in which only line ends are not printable, truncated with an ellipsis."""
    text = text if len(text) <= limit else f"{text[: limit - 1]}…"
    return text if text.isprintable() else "\n".join(map(escape_unprintable, text.split("\n")))


def plain(text: str) -> Content:
    """Return a text of any origin as content without markup."""
    return Content(printable_lines(text))


def styled(text: str, style: str) -> Content:
    """Return a text of any origin in a style, as content without markup."""
    return Content.styled(printable_lines(text), style)


class PlainText(Static):
    """Text of any origin, or content made of it."""

    def __init__(
        self,
        text: str | Content = "",
        *,
        id: str | None = None,  # noqa: A002 - Textual's name for it
        classes: str | None = None,
    ) -> None:
        super().__init__(_content(text), id=id, classes=classes, markup=False)

    def show(self, text: str | Content) -> None:
        """Replace the text; the same one needs no layout."""
        content = _content(text)
        if content != self.content:
            self.update(content)


def _content(text: str | Content) -> Content:
    return text if isinstance(text, Content) else plain(text)


class TopicNotification(Notification):
    """Notification that replaces another one of its topic, if it has one."""

    topic: str = ""
    stays: bool = False  # newer ones do not take its place


class PlainTextApp(App[T]):
    """App whose notifications are plain text, and which writes printable characters only."""

    NOTIFICATION_TIMEOUT: ClassVar[float] = 4.0

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = False,  # noqa: ARG002 - Textual's signature; no text is markup
        topic: str = "",
    ) -> None:
        """Show a notification; a long text is truncated.

        It replaces one of the same text, or topic, that is still shown.
        """
        if timeout is None:
            timeout = _ERROR_S if severity == "error" else self.NOTIFICATION_TIMEOUT
        notification = TopicNotification(
            printable_lines(message, limit=_MAX_NOTIFICATION),
            title=escape_unprintable(title[:_MAX_NOTIFICATION]),
            severity=severity, markup=False, timeout=timeout,
        )  # fmt: skip
        notification.topic = topic
        notification.stays = timeout >= STAYS_S
        self.post_message(Notify(notification))

    def remove_notifications(self, topic: str) -> None:
        """Remove the notification of a topic, if it is shown."""
        for notification in list(self._notifications):
            if getattr(notification, "topic", "") == topic:
                self._unnotify(notification)

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Return Textual's filters, and one that no unprintable character passes."""
        return (*super().get_line_filters(), _PRINTABLE_ONLY)


class _PrintableOnly(LineFilter):
    """Replaces unprintable characters by as many spaces as they have cells, usually none."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002 - Textual's signature
        """Return segments of printable text."""
        if all(segment.text.isprintable() for segment in segments):
            return segments
        return [
            Segment(
                "".join(c if c.isprintable() else " " * cell_len(c) for c in segment.text),
                segment.style,
                segment.control,
            )
            for segment in segments
        ]


_PRINTABLE_ONLY = _PrintableOnly()
