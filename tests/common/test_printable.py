from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_forward.common.printable import escape_json, escape_unprintable, one_line

# C0, DEL, C1, bidirectional controls, without width, line and paragraph separator, surrogates,
# private use, unassigned, a tag.
HOSTILE = (
    "\0\a\b\t\n\r\x1b[2J\x7f\x80\x85\x9b31m\x9d\u061c\u200b\u200d\u200e\u2028\u2029\u202e\u2066"
    "\ufeff\ue000\u0378\U000e0041\xad"
)


def test_escapes_show_where_the_characters_are() -> None:
    assert escape_unprintable("/home/é 漢") == "/home/é 漢"
    assert escape_unprintable("a\u202eb\x1b[0m\n\x9b\udcff\U000e0041") == (
        r"a\u202eb\x1b[0m\n\x9b\udcff\U000e0041"
    )


@given(st.text(st.characters()) | st.text(st.sampled_from(HOSTILE + "\udcff")))
def test_nothing_unprintable_is_left(text: str) -> None:
    assert escape_unprintable(text).isprintable()
    assert one_line(text).isprintable()


@given(st.text(st.characters(codec="utf-8")) | st.text(st.sampled_from(HOSTILE)))
def test_json_is_printable_and_has_the_same_meaning(text: str) -> None:
    value = {text: [text, {"a": text}]}
    data = escape_json(msgspec.json.encode(value))
    assert data.decode().isprintable()
    assert json.loads(data) == msgspec.json.decode(data) == value


@pytest.mark.parametrize("indent", [1, 4])
def test_formatted_json_keeps_its_lines(indent: int) -> None:
    value = {"a": [HOSTILE, "\U0001f600"]}
    data = msgspec.json.format(msgspec.json.encode(value), indent=indent)
    assert escape_json(data).count(b"\n") == data.count(b"\n")
    assert json.loads(escape_json(data)) == value
