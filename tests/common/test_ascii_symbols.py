from __future__ import annotations

import pytest
from textual._border import BORDER_CHARS

from tui_forward.common.ascii_symbols import _SYMBOLS, REPLACE_SYMBOLS


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "cp437", "koi8-r", "shift_jis"])
def test_every_text_can_be_encoded(encoding: str) -> None:
    text = "".join(_SYMBOLS) + "naïve ключ 日本 \udcff \U0001f680"
    encoded = text.encode(encoding, REPLACE_SYMBOLS)
    assert b"ve " in encoded


def test_symbols_become_ascii_of_the_same_width() -> None:
    text = "● ready ■ blocked ◔ waiting ── │ a…b 3 × · → ✓"
    encoded = text.encode("ascii", REPLACE_SYMBOLS).decode()
    assert encoded == "* ready ! blocked ? waiting -- | a~b 3 x . > v"


def test_borders_of_textual_have_replacements() -> None:
    rows = [row for border in BORDER_CHARS.values() for row in border]
    drawn = "".join("".join(row) for row in rows)
    assert "?" not in drawn.encode("ascii", REPLACE_SYMBOLS).decode()


def test_characters_that_an_encoding_has_stay() -> None:
    assert "3 × ü…".encode("latin-1", REPLACE_SYMBOLS) == b"3 \xd7 \xfc~"


def test_decoding_errors_stay_errors() -> None:
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("utf-8", REPLACE_SYMBOLS)
