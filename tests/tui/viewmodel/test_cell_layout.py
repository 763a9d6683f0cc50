from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tui_forward.tui.viewmodel.cell_layout import (
    HIDDEN,
    Column,
    LengthCounts,
    NaturalWidths,
    fit,
    fit_text,
    natural_widths,
    truncate,
)
from tui_forward.tui.viewmodel.columns import CONNECTIONS, FORWARDS, OBJECTS, PORTS, SERVICES

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
    shown = [w for w in fit(COLUMNS, width).widths if w]
    assert sum(shown) + len(shown) - 1 == width


def test_columns_are_dropped_in_order() -> None:
    assert fit(COLUMNS, 16).widths == (6, 4, 4)
    assert fit(COLUMNS, 20).widths == (10, 4, 4)
    assert fit(COLUMNS, 15).widths == (10, 4, 0)
    assert fit(COLUMNS, 10).widths == (10, 0, 0)


TABLES = (OBJECTS, SERVICES, PORTS, FORWARDS, CONNECTIONS)


@given(st.sampled_from(TABLES), st.integers(0, 260), st.data())
def test_any_table_fits_any_width(
    columns: tuple[Column, ...], width: int, data: st.DataObject
) -> None:
    lengths = st.one_of(st.just(HIDDEN), st.integers(0, 253))
    drawn = data.draw(st.lists(lengths, min_size=len(columns), max_size=len(columns)))
    # Columns that never go are never hidden.
    longest = [
        max(0, one) if not column.drop else one for column, one in zip(columns, drawn, strict=True)
    ]
    layout = fit(columns, width, longest)
    shown = [one for one in layout.widths if one]
    used = sum(shown) + layout.gap * max(0, len(shown) - 1)
    assert used <= width
    natural = natural_widths(columns, longest)
    dropped = [p for p, one in enumerate(layout.widths) if natural[p] and not one]
    if any(layout.widths[p] and columns[p].drop for p in range(len(columns))):
        # Something could still go, so no name is cut.
        for position, one in enumerate(layout.widths):
            least = columns[position].shrink_to or natural[position]
            assert not one or one >= min(natural[position], least)
        kept = [columns[p].drop for p, one in enumerate(layout.widths) if one]
        assert all(columns[p].drop >= max(kept) for p in dropped)


def test_widths_of_the_design() -> None:
    """The forwards of the design's pictures, at 80, 120 and in 127 of 200 columns."""
    longest = (0, 0, 8, 4, 45, 6, 0, 0, 0, 0, 0, 0, 0, 50, 60)
    by_width = {width: fit(FORWARDS, width - 2, longest) for width in (80, 120, 127)}
    names = [column.title for column in FORWARDS]
    shown = {
        width: [name for name, one in zip(names, layout.widths, strict=True) if one]
        for width, layout in by_width.items()
    }
    assert shown[80] == ["", "context", "ns", "target", "local", "↓ rate"]
    assert shown[120] == [
        "", "state", "context", "ns", "target", "local", "conns", "↓ rate", "↑ rate", "traffic",
    ]  # fmt: skip
    assert shown[127] == [*shown[120], "uptime"]
    assert by_width[120].widths[9] == by_width[127].widths[9] == 10, "traffic takes what is left"


def test_context_and_namespace_shrink_before_the_rate_goes() -> None:
    longest = (0, 0, 16, 12, 40, 6, *(0,) * 9)
    widths = fit(FORWARDS, 76, longest).widths
    assert (widths[2], widths[3], widths[7]) == (8, 7, 9)
    widths = fit(FORWARDS, 74, longest).widths
    assert (widths[2], widths[3], widths[7]) == (11, 12, 0), "the rate left room for both"


def test_space_that_is_left_is_shared() -> None:
    layout = fit(OBJECTS, 64, (0, 20, 0, 10, 0, 0, 0))
    assert (layout.widths, layout.gap) == ((1, 20, 5, 10, 8, 4, 4), 2)
    assert fit(OBJECTS, 63, (0, 20, 0, 10, 0, 0, 0)).gap == 1
    wide = fit(OBJECTS, 200, (0, 80, 0, 10, 0, 0, 0))
    assert wide.widths[1] == 80, "a name beyond the maximum takes what is left"


def test_natural_widths_grow_at_once_and_shrink_when_rows_leave() -> None:
    natural = NaturalWidths()
    assert natural.update(("a", "b"), (5, 9)) == (5, 9)
    assert natural.update(("a", "b"), (7, 3)) == (7, 9)
    assert natural.update(("a", "b", "c"), (2, HIDDEN)) == (7, HIDDEN)
    assert natural.update(("a", "b", "c"), (2, 4)) == (7, 4)
    assert natural.update(("b", "c"), (2, 3)) == (2, 3)
    natural.reset()
    assert natural.update(("b", "c"), (1, 1)) == (1, 1)


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.none() | st.integers(0, 9)), max_size=40))
def test_longest_lengths_are_those_of_the_rows(steps: list[tuple[str, int | None]]) -> None:
    counts, expected = LengthCounts(1), dict[str, int]()
    for key, length in steps:
        counts.set(key, None if length is None else (length,))
        expected.pop(key, None)
        if length is not None:
            expected[key] = length
        assert counts.longest == [max(expected.values(), default=0)]


def test_kind_and_port_are_kept() -> None:
    text = "deploy/checkout-frontend-canary-green:http"
    fitted = fit_text(text, 29, middle=True, lead=7, trail=5)
    assert fitted.text == "deploy/checkout…ry-green:http"
    assert fit_text(text, 12, middle=True, lead=7, trail=5).text == "deploy…:http", (
        "no room for all"
    )


def test_a_sentence_keeps_its_fix() -> None:
    text = "└ token of prod expired at 12:14 → press r"
    assert fit_text(text, 30, trail=10).text == "└ token of prod exp… → press r"
    assert fit_text(text, 12, trail=10).text == "└ token of …"


HOSTILE = st.one_of(
    st.text(max_size=253),
    st.text(alphabet="漢字🚢👨‍👩‍👧e\u0301\u202e\u200d\x1b\nאב️", max_size=253),
    st.sampled_from(["", "a" * 253, "-".join(["x"] * 100)]),
)


@given(
    HOSTILE, st.integers(0, 80), st.booleans(), st.booleans(), st.integers(0, 9), st.integers(0, 9)
)
def test_hostile_text_fits_exactly(
    text: str, width: int, right: bool, middle: bool, lead: int, trail: int
) -> None:
    lead, trail = min(lead, len(text)), min(trail, len(text))
    fitted = fit_text(text, width, right=right, middle=middle, lead=lead, trail=trail)
    assert cell_len(fitted.text) == width
    assert fitted.text.isprintable()


@given(
    st.text(alphabet="abcdef", min_size=1, max_size=20), st.integers(1, 22), st.data(),
    st.sampled_from(["", "★ "]),
)  # fmt: skip
def test_spans_of_a_truncated_name(name: str, width: int, data: st.DataObject, lead: str) -> None:
    text = lead + name
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    shown = truncate(text, width, middle=True)
    spans = fit_text(text, width, middle=True).spans(len(text), ((start, end),))
    marked = "".join(shown[a:b] for a, b in spans)
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
    text, spans = "abcdefghij", ((0, 1), (2, 9))
    fitted = fit_text(text, 7, middle=True)
    assert fitted.text == "abc…hij"
    assert fitted.spans(len(text), spans) == ((0, 1), (2, 3), (4, 6))
    assert fit_text(text, 10, middle=True).spans(len(text), spans) == spans
    assert fit_text(text, 3, middle=True).spans(len(text), spans) == ((0, 1),)


def test_rows_of_equal_lengths_share_them() -> None:
    counts = LengthCounts(2)
    for number in range(10_000):
        counts.set(str(number), (number // 2, 1))
    assert counts.get("8000") is counts.get("8001")
    assert counts.longest == [4999, 1]
