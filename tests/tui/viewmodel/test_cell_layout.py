from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tui_forward.tui.viewmodel.cell_layout import Column, column_widths, fitted_spans, truncate
from tui_forward.tui.viewmodel.rows import Cell

COLUMNS = (
    Column("name", 6, flexible=True),
    Column("n", 4, right=True, drop=1),
    Column("more", 4, drop=2),
)


@given(st.text(), st.integers(1, 40), st.booleans(), st.booleans())
def test_text_fits_exactly(text: str, width: int, right: bool, middle: bool) -> None:
    assert cell_len(truncate(text, width, right=right, middle=middle)) == width


def test_truncation_has_an_ellipsis() -> None:
    assert truncate("abcdef", 4) == "abc…"
    assert truncate("web-6d8c9f7b5-0001", 12, middle=True) == "web-6d…-0001"
    assert truncate("5", 3, right=True) == "  5"
    assert truncate("a\x1b[31m", 8) == "a [31m  "


def test_very_long_text_is_cut_before_it_is_measured() -> None:
    assert truncate("漢" * 10**6, 9) == "漢漢漢漢…"
    assert truncate("a" + "x" * 10**6 + "b", 9, middle=True) == "axxx…xxxb"


@given(st.integers(1, 300))
def test_columns_fit_the_table(width: int) -> None:
    widths = column_widths(COLUMNS, width)
    shown = [w for w in widths if w]
    assert sum(shown) + len(shown) - 1 == width


def test_columns_are_dropped_in_order() -> None:
    assert column_widths(COLUMNS, 16) == [6, 4, 4]
    assert column_widths(COLUMNS, 20) == [10, 4, 4]
    assert column_widths(COLUMNS, 15) == [10, 4, 0]
    assert column_widths(COLUMNS, 10) == [10, 0, 0]


@given(
    st.text(alphabet="abcdef", min_size=1, max_size=20), st.integers(1, 22), st.data(),
    st.sampled_from(["", "★ "]),
)  # fmt: skip
def test_spans_of_a_truncated_name(name: str, width: int, data: st.DataObject, lead: str) -> None:
    text = lead + name
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    shown = truncate(text, width, middle=True)
    marked = "".join(shown[a:b] for a, b in fitted_spans(Cell(text, "", ((start, end),)), width))
    letters = text[start:end]
    assert len(text) > width or marked == letters
    assert "…" not in marked
    assert _joins(letters, marked)


def _joins(letters: str, marked: str) -> bool:
    """Whether it is the beginning and the end of the letters, without what was cut."""
    return any(
        letters.startswith(marked[:at]) and letters.endswith(marked[at:])
        for at in range(len(marked) + 1)
    )


def test_spans_on_both_sides_of_the_ellipsis() -> None:
    cell = Cell("abcdefghij", "", ((0, 1), (2, 9)))
    shown = truncate(cell.text, 7, middle=True)
    assert shown == "abc…hij"
    assert fitted_spans(cell, 7) == ((0, 1), (2, 3), (4, 6))
    assert fitted_spans(cell, 10) == cell.spans
    assert fitted_spans(cell, 3) == ((0, 1),)
