"""Messages of a row table, handled by `on_row_table_…`."""

from __future__ import annotations

from dataclasses import dataclass

from textual.message import Message
from textual.widget import Widget


@dataclass(eq=False)
class TableMessage(Message):
    """Message of a table, which `on` can select."""

    table: Widget

    @property
    def control(self) -> Widget:
        """The table."""
        return self.table


@dataclass(eq=False)
class RowMessage(TableMessage):
    """Message about a row."""

    key: str


class NothingToChoose(TableMessage, namespace="row_table"):
    """Enter was pressed in an empty table."""


class Clicked(RowMessage, namespace="row_table"):
    """A row was clicked once."""


class ContextMenuRequested(RowMessage, namespace="row_table"):
    """A row was clicked with the right button."""


class Chosen(RowMessage, namespace="row_table"):
    """A row was chosen with Enter or a double click."""


@dataclass(eq=False)
class HeaderClicked(TableMessage, namespace="row_table"):
    """A column title was clicked; `column` is its key, empty for one without."""

    column: str


@dataclass(eq=False)
class TitleClicked(TableMessage, namespace="row_table"):
    """The title was clicked, `x` cells from its start."""

    x: int


@dataclass(eq=False)
class TitleDragged(TableMessage, namespace="row_table"):
    """The title was dragged by some lines, down if positive."""

    by: int
