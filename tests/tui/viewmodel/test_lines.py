from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tests.support.lines import line_text
from tui_forward.tui.viewmodel.lines import part, rule_line, sentence_lines


def test_rule_has_title_and_note() -> None:
    line = line_text(rule_line((part("chain"),), "R tests again", 40))
    assert line == "─ chain " + "─" * 16 + " R tests again ─"
    assert line_text(rule_line((part("chain"),), "R tests again", 12)) == "─ chain ────"


def test_sentence_is_wrapped_behind_its_label() -> None:
    lines = [line_text(one) for one in sentence_lines(" fix  ", "press r to try again", "", 20, 3)]
    assert lines == [" fix  press r to try", "      again"]
    assert sentence_lines(" fix  ", "", "", 20, 3) == []


@given(st.text(max_size=60), st.text(max_size=60), st.integers(0, 90), st.integers(0, 4))
def test_hostile_texts_fit(title: str, note: str, width: int, most: int) -> None:
    rule = line_text(rule_line((part(title), part("  ◔ waiting", "warn")), note, width))
    assert cell_len(rule) == width
    assert rule.isprintable()
    lines = sentence_lines(" fix  ", note, "", width, most)
    assert len(lines) <= most
    assert all(cell_len(line_text(line)) <= width for line in lines)
    assert all(line_text(line).isprintable() for line in lines)
