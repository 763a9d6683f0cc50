from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_forward.kube.api.log_text import split_log_lines, strip_control_characters


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("", ""),
        ("plain text, ü, 日本語, 🙂", "plain text, ü, 日本語, 🙂"),
        ("\x1b[1;31mred\x1b[0m and not", "red and not"),
        ("\x9b31mred", "red"),
        ("\x1b]0;owned\x07title", "title"),
        ("\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]52;c;ZXZpbA==\x07", ""),
        ("\x1bPq#0;2;0;0;0\x1b\\sixel", "sixel"),
        ("\x1b(B\x1bM\x1b7up", "up"),
        ("\x1b]never ends", "]never ends"),
        ("a\tb", "a       b"),
        ("12345678\tb", "12345678        b"),
        ("\x1b[1ma\x1b[0m\tb", "a       b"),
        ("windows\r", "windows"),
        ("10%\r20%\r", "10% 20%"),
        ("bell\x07back\x08null\x00del\x7f", "bellbacknulldel"),
        ("\u202egnp.exe", "gnp.exe"),
        ("a\u00a0b\u2028c", "a b c"),
    ],
)
def test_control_characters_are_stripped(written: str, shown: str) -> None:
    assert strip_control_characters(written) == shown


@pytest.mark.timeout(10)
@pytest.mark.parametrize("start", ["\x9d", "\x1b]", "\x9b", "\x1b[", "\x1bP", "\t"])
def test_stripping_takes_linear_time(start: str) -> None:
    assert strip_control_characters(start * 100_000).isprintable()


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_stripped_line_is_printable(text: str) -> None:
    assert strip_control_characters(text).isprintable()
    assert strip_control_characters(strip_control_characters(text)) == strip_control_characters(
        text
    )


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        (b"", ()),
        (b"\n", ("",)),
        (b"one\ntwo\n", ("one", "two")),
        (b"one\n\ntwo", ("one", "", "two")),
        (b"one\r\ntwo\r\n", ("one", "two")),
        (b"caf\xe9 \xff\n", ("caf\ufffd \ufffd",)),
        ("a\u2028b\x85c\x0bd".encode(), ("a b c d",)),
    ],
)
def test_log_is_split_into_lines(body: bytes, lines: tuple[str, ...]) -> None:
    assert split_log_lines(body) == lines
