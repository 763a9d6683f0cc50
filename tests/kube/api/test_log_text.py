from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_forward.kube.api.log_text import (
    later_lines,
    log_time_ns,
    split_log_lines,
    strip_control_characters,
)


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
    assert split_log_lines(body) == tuple(("", line) for line in lines)


NINE = "2026-11-29T12:26:47.012345678Z"


@pytest.mark.parametrize(
    ("line", "at", "text"),
    [
        (f"{NINE} hello", NINE, "hello"),
        (f"{NINE} ", NINE, ""),
        (NINE, NINE, ""),
        ("2026-11-29T12:26:47Z two  blanks", "2026-11-29T12:26:47Z", "two  blanks"),
        ("2026-11-29T12:26:47.1+02:00 x", "2026-11-29T12:26:47.1+02:00", "x"),
        ("2026-11-29 12:26:47 x", "", "2026-11-29 12:26:47 x"),
        (f"{NINE}x", "", f"{NINE}x"),
    ],
)
def test_time_of_a_line(line: str, at: str, text: str) -> None:
    assert split_log_lines(f"{line}\n".encode()) == ((at, text),)


def test_times_are_compared_in_nanoseconds() -> None:
    seconds = 1_795_955_207
    assert log_time_ns("") == log_time_ns("x") == 0
    assert log_time_ns("2026-11-29T12:26:47Z") == seconds * 10**9
    assert log_time_ns("2026-11-29T14:26:47.1+02:00") == seconds * 10**9 + 100_000_000
    assert log_time_ns(NINE) == seconds * 10**9 + 12_345_678
    # Zeros at the end are not written.
    lines = tuple((f"2026-11-29T12:26:47{part}Z", "x") for part in ("", ".09", ".1", ".100000001"))
    assert later_lines(lines, lines[1][0]) == lines[2:]
    assert later_lines(lines, lines[3][0]) == ()
    assert later_lines(lines, "") == lines
    assert later_lines((("", "a"),), NINE) == (), "without a time it may be known already"
