"""Messages of a row table, handled by `on_row_table_…`."""

from __future__ import annotations

from textual.message import Message
from textual.widget import Widget


class TableMessage(Message):
    """Message of a table, which `on` can select."""

    def __init__(self, table: Widget) -> None:
        super().__init__()
        self.table = table

    @property
    def control(self) -> Widget:
        """The table."""
        return self.table


class RowMessage(TableMessage):
    """Message about a row."""

    def __init__(self, table: Widget, key: str) -> None:
        super().__init__(table)
        self.key = key


class NothingToChoose(TableMessage, namespace="row_table"):
    """Enter was pressed in an empty table."""


class Clicked(RowMessage, namespace="row_table"):
    """A row was clicked once."""


class ContextMenuRequested(RowMessage, namespace="row_table"):
    """A row was clicked with the right button."""


class Chosen(RowMessage, namespace="row_table"):
    """A row was chosen with Enter or a double click."""


class HeaderClicked(TableMessage, namespace="row_table"):
    """A column title was clicked; `column` is its key, empty for one without."""

    def __init__(self, table: Widget, column: str) -> None:
        super().__init__(table)
        self.column = column


class TitleClicked(TableMessage, namespace="row_table"):
    """The title was clicked, `x` cells from its start."""

    def __init__(self, table: Widget, x: int) -> None:
        super().__init__(table)
        self.x = x


class TitleDragged(TableMessage, namespace="row_table"):
    """The title was dragged by some lines, down if positive."""

    def __init__(self, table: Widget, by: int) -> None:
        super().__init__(table)
        self.by = by
