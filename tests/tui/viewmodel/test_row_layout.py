from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tests.support import fleet
from tests.tui.viewmodel.test_cell_layout import HOSTILE
from tui_forward.model import Forward
from tui_forward.settings.protected_contexts import ProtectedContexts
from tui_forward.tui.viewmodel.cell_layout import Column, fit
from tui_forward.tui.viewmodel.columns import FORWARDS, OBJECTS
from tui_forward.tui.viewmodel.context_names import ContextNaming, context_cell
from tui_forward.tui.viewmodel.forward_rows import forward_labels, forward_row
from tui_forward.tui.viewmodel.row_layout import (
    Part,
    PlacedCell,
    place_cells,
    place_second_line,
)
from tui_forward.tui.viewmodel.rows import RULE, Cell, Row

PROTECTED = ContextNaming(ProtectedContexts([fleet.PROD]))


def line(placed: list[PlacedCell], width: int) -> str:
    """Return placed cells as a line; they may not overlap."""
    text = ""
    for one in placed:
        assert cell_len(text) <= one.x
        text += " " * (one.x - cell_len(text)) + "".join(part.text for part in one.parts())
    assert cell_len(text) <= width
    return text


def named(name: str, forward: Forward) -> Forward:
    spec = forward.spec
    target = msgspec.structs.replace(spec.target, name=name)
    return msgspec.structs.replace(forward, spec=msgspec.structs.replace(spec, target=target))


@given(
    st.lists(HOSTILE, min_size=14, max_size=14),
    st.one_of(st.sampled_from([80, 100, 120, 160, 200]), st.integers(1, 260)),
)
def test_hostile_names_never_overlap(names: list[str], columns: int) -> None:
    forwards = [named(name, one) for name, one in zip(names, fleet.forwards(), strict=True)]
    labels = forward_labels(forwards, fleet.STAGING)
    width = max(0, columns - 2)
    layout = fit(FORWARDS, width, labels.longest)
    for one in forwards:
        row = forward_row(one, fleet.NOW, labels, traffic="▁" * 16)
        line(place_cells(row, FORWARDS, layout, width), width)
        line(place_second_line(row, FORWARDS, layout, width), width)


@pytest.mark.parametrize("width", [80, 120, 127])
def test_no_name_of_the_scene_is_cut(width: int) -> None:
    labels = forward_labels(fleet.forwards(), fleet.STAGING, PROTECTED)
    layout = fit(FORWARDS, width - 2, labels.longest)
    for one in fleet.forwards():
        row = forward_row(one, fleet.NOW, labels)
        shown = line(place_cells(row, FORWARDS, layout, width - 2), width - 2)
        assert row.cells[4].text in shown
        assert row.cells[2].text in shown
        assert f":{one.spec.local_port}" in shown


def test_only_a_word_is_left_where_there_is_one_column() -> None:
    labels = forward_labels(fleet.forwards(), fleet.STAGING, PROTECTED)
    layout = fit(FORWARDS, 78, labels.longest)
    ends = [
        line(place_cells(forward_row(one, fleet.NOW, labels), FORWARDS, layout, 78), 78).split()
        for one in fleet.forwards()
    ]
    words = [" ".join(end[5:]) for end in ends]
    assert words[:5] == ["blocked", "blocked", "retry 3 s", "waiting", "1.2 MB/s"]
    assert words[-1] == "paused"


def test_second_line_begins_below_the_first_name() -> None:
    forward = fleet.forwards()[1]
    labels = forward_labels([forward], fleet.STAGING)
    layout = fit(FORWARDS, 118, labels.longest)
    row = forward_row(forward, fleet.NOW, labels)
    shown = line(place_second_line(row, FORWARDS, layout, 118), 118)
    first = line(place_cells(row, FORWARDS, layout, 118), 118)
    assert shown.index("└") == first.index("svc/")
    assert forward.hint in shown
    assert line(place_second_line(Row((), second=RULE), FORWARDS, layout, 7), 7) == "───────"


def test_a_bad_status_follows_the_name_where_its_column_is_dropped() -> None:
    row = Row((Cell("◔"), Cell("    …x2x9k"), Cell("0/1", "bad"), Cell("CrashLoopBackOff", "bad")))
    longest = (0, 39, 0, 16, 0, 0, 0)
    layout = fit(OBJECTS, 49, longest)
    assert not layout.widths[3]
    assert line(place_cells(row, OBJECTS, layout, 49), 49).split() == [
        "◔", "…x2x9k", "CrashLoopBackOff", "0/1",
    ]  # fmt: skip
    fine = Row((Cell("●"), Cell("    …x2x9k"), Cell("1/1", "ok"), Cell("Running", "ok")))
    assert "Running" not in line(place_cells(fine, OBJECTS, layout, 49), 49)


def test_kind_and_port_are_dim_and_matches_are_marked() -> None:
    cell = Cell("deploy/web:http", "strong", ((8, 10),), lead=7, trail=5)
    assert list(PlacedCell(cell, 0, 15).parts()) == [
        Part("deploy/", "dim"), Part("w", "strong"), Part("eb", "strong", is_match=True),
        Part(":http", "dim"),
    ]  # fmt: skip


def test_marks_of_a_context_and_a_fix_have_styles_of_their_own() -> None:
    parts = PlacedCell(context_cell("prod-eu!"), 0, 8).parts()
    assert list(parts) == [Part("prod-eu", "protected"), Part("!", "protected")]
    cell = Cell("cause → fix", "dim", trail=6, trail_style="strong")
    assert list(PlacedCell(cell, 0, 11).parts()) == [Part("cause", "dim"), Part(" → fix", "strong")]


def test_a_cell_may_take_several_columns() -> None:
    columns = (Column("a", 3), Column("b", 3, drop=1), Column("c", 3, right=True))
    row = Row((Cell("abcdefg", columns=2), Cell("x")))
    assert line(place_cells(row, columns, fit(columns, 11), 11), 11) == "abcdefg   x"
    assert line(place_cells(row, columns, fit(columns, 8), 8), 8).split() == ["ab…", "x"]
