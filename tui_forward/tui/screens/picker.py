"""Picker: a list that narrows while the user types, for contexts, namespaces and profiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Final, Self

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Input

from tui_forward.tui.plain_text import PlainText, plain
from tui_forward.tui.screens.dialogs import Dialog
from tui_forward.tui.stylesheets import stylesheet
from tui_forward.tui.textual_internals.screens import KeptScreen
from tui_forward.tui.viewmodel.cell_layout import Column
from tui_forward.tui.viewmodel.filter_query import fuzzy_score
from tui_forward.tui.viewmodel.name_shortening import NameShortener
from tui_forward.tui.viewmodel.picker_options import PickerOption
from tui_forward.tui.viewmodel.rows import Cell, Row
from tui_forward.tui.widgets import row_messages
from tui_forward.tui.widgets.row_table import RowTable

_TYPED = "+"  # prefix of the key of a typed name
# Cells of a name that matter more than its description, and of the description.
_MIN_NAME: Final = 12
_NAME_WIDTH: Final = 50
_DETAIL_WIDTH: Final = 28
_NAME, _DETAIL = 2, 3  # positions of the columns


def rank_options(options: Sequence[PickerOption], text: str) -> list[PickerOption]:
    """Return the options that match, best first; all in the given order without a text."""
    word = text.strip().lower()
    if not word:
        return list(options)
    score = fuzzy_score(word)
    found = [
        (-points, position, option)
        for position, option in enumerate(options)
        if (points := score(option.text.lower())) is not None
    ]
    return [option for _, _, option in sorted(found, key=lambda match: match[:2])]


class Picker(Dialog[str | None], KeptScreen[str | None]):
    """Input line over a list of options; its result is a key, or None."""

    CSS_PATH = stylesheet("picker.tcss")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "cancel", "Cancel", id="picker.cancel", tooltip="Close without a choice"),
        Binding("up", "move(-1)", "Up", show=False, id="picker.up", tooltip="Previous line"),
        Binding("down", "move(1)", "Down", show=False, id="picker.down", tooltip="Next line"),
        Binding("pageup", "move(-10)", "Page up", show=False, id="picker.page-up",
                tooltip="Ten lines up"),
        Binding("pagedown", "move(10)", "Page down", show=False, id="picker.page-down",
                tooltip="Ten lines down"),
        Binding("ctrl+s", "favorite", "Favorite", show=False, id="picker.favorite",
                tooltip="Add to or remove from the favorites"),
    ]  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self._title = ""
        self._options: tuple[PickerOption, ...] = ()
        self._keys: frozenset[str] = frozenset()
        self._free = False
        self._toggle_favorite: Callable[[str], object] | None = None
        self._starred: set[str] = set()
        self._shown: dict[str, PickerOption] = {}
        self._shortener = NameShortener(())
        self._box = Vertical()
        self._input = Input(placeholder="type to search", max_length=253, id="search")
        self._note = PlainText(id="note")
        self._table = RowTable(
            _columns(0), empty="No match", header=False, id="options",
        )  # fmt: skip
        # What the table cuts of the option under the cursor; shown if it may cut anything.
        self._full = PlainText(id="full")
        self._table.can_focus = False

    def fill(
        self, title: str, options: Sequence[PickerOption], *, free: bool = False,
        note: str = "", toggle_favorite: Callable[[str], object] | None = None,
    ) -> Self:  # fmt: skip
        """Set the options, and start at the present one; return the screen.

        Args:
            title: What is chosen.
            options: All options in order.
            free: Whether a typed name that is not in the list may be chosen.
            note: Line above the list; may be empty.
            toggle_favorite: Called with the key of an option whose star is changed.
        """
        self._title = title
        self._options = tuple(options)
        self._keys = frozenset(option.key for option in options)
        self._free = free
        self._toggle_favorite = toggle_favorite
        self._starred = {option.key for option in options if option.starred}
        self._shortener = NameShortener(option.text for option in options)
        longest = max((len(option.text) for option in options), default=0)
        may_cut = longest > _MIN_NAME or any(len(one.detail) > _DETAIL_WIDTH for one in options)
        self._box.border_title = plain(title)
        favorite = " · ctrl+s Favorite" if toggle_favorite is not None else ""
        self._box.border_subtitle = plain(f"enter Choose{favorite} · esc Cancel")
        self._input.value = ""
        self._note.show(note)
        self._note.display = bool(note)
        self._full.display = may_cut
        self.set_class(bool(note) or may_cut, "-with-text")
        self._table.columns = _columns(longest)
        self._table.restart()
        self._show("")
        current = next((option.key for option in options if option.current), None)
        if current is not None:
            self._table.cursor = current
        return self

    def compose(self) -> ComposeResult:
        """Show the input line over the list."""
        with self._box:
            yield self._input
            yield self._note
            yield self._table
            yield self._full

    def on_mount(self) -> None:
        """Follow the cursor."""
        self.watch(self._table, "cursor", self._show_full, init=False)

    def _show(self, text: str) -> None:
        found = rank_options(self._options, text)
        typed = text.strip()
        if self._free and typed and all(option.key != typed for option in found):
            found.append(PickerOption(_TYPED + typed, f"show {self._title} “{typed}”"))
        self._shown = {option.key: option for option in found}
        self._table.show(tuple(self._shown), self._row)

    def _row(self, key: str) -> Row:
        option = self._shown[key]
        mark = Cell("●" if option.current else " ", "ok")
        star = Cell("★" if key in self._starred else " ", "strong")
        name = self._shortener.shorten(option.text, self._table.column_width(_NAME))
        return Row((mark, star, Cell(name), Cell(option.detail, "dim")))

    def _show_full(self) -> None:
        """Show what is cut of the option under the cursor."""
        option = self._shown.get(self._table.cursor or "")
        parts: list[str] = []
        if option is not None:
            if cell_len(option.text) > self._table.column_width(_NAME):
                parts.append(option.text)
            if cell_len(option.detail) > self._table.column_width(_DETAIL):
                parts.append(option.detail)
        self._full.show("  ".join(parts))

    def on_resize(self) -> None:
        """Show what is cut at another width."""
        self.call_after_refresh(self._show_full)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Narrow the list and move to the best match."""
        self._show(event.value)
        if event.value.strip() and self._shown:
            self._table.cursor = next(iter(self._shown))

    def on_input_submitted(self) -> None:
        """Choose the line under the cursor."""
        self._choose(self._table.cursor)

    def on_row_table_clicked(self, event: row_messages.Clicked) -> None:
        """Choose the clicked line."""
        self._choose(event.key)

    def action_move(self, by: int) -> None:
        """Move the cursor of the list; the input line keeps the focus."""
        self._table.action_move(by)

    def action_cancel(self) -> None:
        """Close without a choice."""
        self.dismiss(None)

    def action_favorite(self) -> None:
        """Add the option under the cursor to the favorites or remove it."""
        key = self._table.cursor
        if self._toggle_favorite is None or key not in self._keys:
            return
        self._starred ^= {key}
        self._table.show(tuple(self._shown), self._row)
        self._toggle_favorite(key)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002 - Textual's signature
        """Return whether there are favorites."""
        return self._toggle_favorite is not None if action == "favorite" else True

    def _choose(self, key: str | None) -> None:
        if key is not None:
            self.dismiss(key if key in self._keys else key.removeprefix(_TYPED))


def _columns(longest: int) -> tuple[Column, ...]:
    """Return the columns for names of a length."""
    width = min(max(_MIN_NAME, longest), _NAME_WIDTH)
    return (
        Column("", 1), Column("", 1), Column("", width, flexible=True),
        Column("", _DETAIL_WIDTH, drop=1),
    )  # fmt: skip
