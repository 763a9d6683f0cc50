"""Choose one of many by typing a part of its name: contexts, namespaces."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input, Static

from tui_forward.tui.screens.dialogs import Dialog
from tui_forward.tui.stylesheets import stylesheet
from tui_forward.tui.viewmodel.cell_layout import Column
from tui_forward.tui.viewmodel.filter_query import fuzzy_score
from tui_forward.tui.viewmodel.picker_options import PickerOption
from tui_forward.tui.viewmodel.rows import Cell, Row
from tui_forward.tui.widgets.row_table import RowTable

_TYPED = "+"


def rank_options(options: Sequence[PickerOption], text: str) -> list[PickerOption]:
    """The options that match, the best first; in the given order as long as nothing is typed."""
    word = text.strip().lower()
    if not word:
        return list(options)
    score = fuzzy_score(word)
    found = [
        (-points, place, option)
        for place, option in enumerate(options)
        if (points := score(option.text.lower())) is not None
    ]
    return [option for _, _, option in sorted(found, key=lambda one: one[:2])]


class Picker(Dialog[str | None]):
    """A list that narrows while one types; answers with a key, or None.

    Args:
        title: What is chosen.
        options: In order.
        free: What was typed may be chosen although it is not in the list.
        verb: What is done with it then.
        note: A line that says why the list may be incomplete.
        star: Told of a key that is a favourite from now on (True) or not any more; None offers
            no favourites. The order stays until the picker is opened again.
    """

    CSS_PATH = stylesheet("picker.tcss")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", id="picker.cancel",
                tooltip="Leave things as they are"),
        Binding("up", "move(-1)", "Up", show=False, id="picker.up", tooltip="The line above"),
        Binding("down", "move(1)", "Down", show=False, id="picker.down", tooltip="The line below"),
        Binding("pageup", "move(-10)", "Page up", show=False, id="picker.page-up",
                tooltip="Ten lines up"),
        Binding("pagedown", "move(10)", "Page down", show=False, id="picker.page-down",
                tooltip="Ten lines down"),
        Binding("ctrl+s", "star", "Star", show=False, id="picker.star",
                tooltip="Make the line under the cursor a favourite, or end that"),
    ]  # fmt: skip

    def __init__(
        self,
        title: str,
        options: Sequence[PickerOption],
        *,
        free: bool = False,
        verb: str = "show",
        note: str = "",
        star: Callable[[str, bool], object] | None = None,
    ) -> None:
        super().__init__()
        self._title = title
        self._options = tuple(options)
        self._keys = frozenset(option.key for option in options)
        self._free = free
        self._verb = verb
        self._note = note
        self._star = star
        self._starred = {option.key for option in options if option.starred}
        self._shown: dict[str, PickerOption] = {}
        self._table = RowTable(
            (Column("", 1), Column("", 1), Column("", 12, flexible=True), Column("", 24, drop=1)),
            empty="Nothing matches", header=False, id="options",
        )  # fmt: skip
        self._table.can_focus = False

    def compose(self) -> ComposeResult:
        """A line to type in over the list."""
        with Vertical() as box:
            box.border_title = self._title
            stars = " · ctrl+s  star" if self._star is not None else ""
            box.border_subtitle = f"enter  choose{stars} · esc  cancel"
            yield Input(placeholder="type to search", max_length=253, id="search")
            if self._note:
                yield Static(self._note, id="note", markup=False)
            yield self._table

    def on_mount(self) -> None:
        """Begin at the present choice."""
        self._show("")
        current = next((option.key for option in self._options if option.current), None)
        if current is not None:
            self._table.cursor = current

    def _show(self, text: str) -> None:
        found = rank_options(self._options, text)
        typed = text.strip()
        if self._free and typed and all(option.key != typed for option in found):
            found.append(PickerOption(_TYPED + typed, f"{self._verb} {self._title} “{typed}”"))
        self._shown = {option.key: option for option in found}
        self._table.show(tuple(self._shown), self._row)

    def _row(self, key: str) -> Row:
        option = self._shown[key]
        mark = Cell("●" if option.current else " ", "ok")
        star = Cell("★" if key in self._starred else " ", "strong")
        return Row((mark, star, Cell(option.text), Cell(option.detail, "dim")))

    def on_input_changed(self, event: Input.Changed) -> None:
        """Narrow the list; the best match is chosen."""
        self._show(event.value)
        if event.value.strip() and self._shown:
            self._table.cursor = next(iter(self._shown))

    def on_input_submitted(self) -> None:
        """Take the line under the cursor."""
        self._answer(self._table.cursor)

    def on_row_table_clicked(self, event: RowTable.Clicked) -> None:
        """One click is enough here."""
        self._answer(event.key)

    def action_move(self, by: int) -> None:
        """Move through the list without leaving the search."""
        self._table.action_move(by)

    def action_cancel(self) -> None:
        """Leave things as they are."""
        self.dismiss(None)

    def action_star(self) -> None:
        """Make the line under the cursor a favourite, or end that."""
        key = self._table.cursor
        if self._star is None or key not in self._keys:
            return
        self._starred ^= {key}
        self._table.show(tuple(self._shown), self._row)
        self._star(key, key in self._starred)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's signature
        """Favourites exist only where somebody keeps them."""
        return self._star is not None if action == "star" else True

    def _answer(self, key: str | None) -> None:
        if key is not None:
            self.dismiss(key if key in self._keys else key.removeprefix(_TYPED))
