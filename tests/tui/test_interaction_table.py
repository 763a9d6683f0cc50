"""The table of keys in ARCHITECTURE.md is that of the bindings.

`UPDATE_SNAPSHOTS=1 pytest tests/tui/test_interaction_table.py` writes it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from textual.binding import Binding, BindingType

from tui_forward.tui.app import TuiForwardApp
from tui_forward.tui.keys.dashboard_keys import (
    DASHBOARD_BINDINGS,
    FOOTERS,
    PANE_BINDINGS,
    PANE_KEYS,
    SELECTION_FOOTERS,
    PaneFooter,
)
from tui_forward.tui.keys.detail_keys import DETAIL_BINDINGS, DETAIL_FOOTER
from tui_forward.tui.keys.key_names import bindings_of, format_key
from tui_forward.tui.screens.confirmation import ConfirmationScreen
from tui_forward.tui.screens.jump import JumpScreen
from tui_forward.tui.viewmodel.pane_layout import Pane
from tui_forward.tui.widgets.filter_bar import FilterBar
from tui_forward.tui.widgets.row_table import RowTable

DOCUMENT = Path(__file__).resolve().parents[2] / "ARCHITECTURE.md"
START, END = "<!-- keys: generated -->", "<!-- end of keys -->"


def lines(bindings: Iterable[BindingType]) -> Iterator[str]:
    """Yield keys and what they do; bindings with the same text share a line."""
    keys: dict[str, list[str]] = {}
    for one in bindings:
        if isinstance(one, Binding) and one.id is not None:
            keys.setdefault(one.tooltip or one.description, []).append(one.key)
    for text, names in keys.items():
        yield f"`{format_key(','.join(names))}` {text[:1].lower()}{text[1:]}"


def ids_of(footer: PaneFooter) -> Iterator[str]:
    """Yield the binding ids of a footer."""
    for entry in (*footer.row, *footer.extra, *footer.view, *footer.more):
        yield from entry.split()


def table() -> str:
    groups: list[tuple[str, Iterable[BindingType]]] = [
        ("everywhere", bindings_of(TuiForwardApp)),
        ("dashboard", DASHBOARD_BINDINGS),
        ("every pane", [*PANE_BINDINGS, *RowTable.BINDINGS]),
        *((pane.value, PANE_KEYS[pane]) for pane in Pane),
        ("details", DETAIL_BINDINGS),
        ("filter", FilterBar.BINDINGS),
        ("`:`", JumpScreen.BINDINGS),
        ("question", bindings_of(ConfirmationScreen)),
    ]
    rows = [f"| {name} | {'; '.join(lines(bindings))} |" for name, bindings in groups]
    return "\n".join(["| pane | keys |", "|---|---|", *rows])


def test_document_has_the_table_of_the_bindings() -> None:
    text = DOCUMENT.read_text()
    before, _, rest = text.partition(START)
    found, _, after = rest.partition(END)
    assert after, f"{START} and {END} are missing"
    expected = f"\n\n{table()}\n\n"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        DOCUMENT.write_text(before + START + expected + END + after)
    elif found != expected:
        raise AssertionError("run UPDATE_SNAPSHOTS=1 pytest tests/tui/test_interaction_table.py")


def test_every_key_of_a_footer_is_bound_in_its_pane() -> None:
    shared = [*bindings_of(TuiForwardApp), *DASHBOARD_BINDINGS, *PANE_BINDINGS]
    for footers in (FOOTERS, SELECTION_FOOTERS):
        for pane, footer in footers.items():
            known = {one.id for one in [*shared, *PANE_KEYS[pane]] if isinstance(one, Binding)}
            assert set(ids_of(footer)) <= known


def test_every_key_of_the_details_is_bound_once() -> None:
    keys: dict[str, str] = {}
    for one in [*DETAIL_BINDINGS, *RowTable.BINDINGS]:
        assert isinstance(one, Binding)
        for key in one.key.split(","):
            assert key not in keys, f"{key}: {keys.get(key)} and {one.id}"
            keys[key] = one.id or ""
    known = {one.id for one in bindings_of(TuiForwardApp)}
    assert set(ids_of(DETAIL_FOOTER)) <= {*keys.values(), *known}
    # Keys with the meaning of the dashboard are changed together with those.
    shared = {one.id: one.key for one in DASHBOARD_BINDINGS if isinstance(one, Binding)}
    for one in DETAIL_BINDINGS:
        assert isinstance(one, Binding)
        assert shared.get(one.id, one.key) == one.key


def test_no_key_has_two_meanings_in_a_pane() -> None:
    shared = [*DASHBOARD_BINDINGS, *PANE_BINDINGS, *RowTable.BINDINGS]
    keys: dict[str, str] = {}
    for one in shared:
        assert isinstance(one, Binding)
        for key in one.key.split(","):
            assert key not in keys, f"{key}: {keys.get(key)} and {one.id}"
            keys[key] = one.id or ""
    for pane, bindings in PANE_KEYS.items():
        own: set[str] = set()
        for one in bindings:
            assert isinstance(one, Binding)
            for key in one.key.split(","):
                assert key not in own, f"{pane}: {key}"
                own.add(key)
