from __future__ import annotations

import pytest
from textual.app import App
from textual.binding import Binding

from tui_forward.tui.keys.key_names import format_key, key_problem, normalize_key


@pytest.mark.parametrize(
    "key",
    ["x", "X", "7", "ctrl+x", "?", "question_mark", "/", "slash", "+", "ctrl++", "comma", "-",
     "space", "f5", "escape", "shift+tab", "ctrl+shift+up", " x ", "ä", "€", "alt+x"],
)  # fmt: skip
def test_valid_keys(key: str) -> None:
    assert key_problem(key) is None


@pytest.mark.parametrize(
    ("key", "says", "hint"),
    [
        ("", "no key between the commas", "comma"),
        ("esc", "no key 'esc'", "escape"),
        ("return", "no key 'return'", "enter"),
        ("pgup", "no key 'pgup'", "pageup"),
        ("Enter", "no key 'Enter'", "enter"),
        ("escpae", "no key 'escpae'", "escape"),
        ("f25", "no key 'f25'", ""),
        ("strg+x", "'strg' is not a modifier key", "ctrl"),
        ("control+x", "'control' is not a modifier key", "Write ctrl"),
        ("ctrl+", "no key ''", ""),
        ("ctrl+i", "cannot tell ctrl+i from tab", "another"),
        ("ctrl+[", "from escape", "another"),
        ("shift+g", "send shift+g as G", "Write G"),
        ("latin_small_letter_a", "no key", ""),
        ("\x07", "no key", ""),
        ("xx", "no key 'xx'", ""),
    ],
)
def test_invalid_keys(key: str, says: str, hint: str) -> None:
    trouble = key_problem(key)
    assert trouble is not None
    assert says in trouble.what
    assert hint in trouble.hint


@pytest.mark.parametrize(
    ("written", "name"),
    [("?", "question_mark"), ("/", "slash"), ("shift+ctrl+up", "ctrl+shift+up"), (" G ", "G"),
     ("+", "plus"), ("ctrl++", "ctrl+plus"), ("-", "minus"), ("*", "asterisk"), ("", "")],
)  # fmt: skip
def test_names(written: str, name: str) -> None:
    assert normalize_key(written) == name


@pytest.mark.parametrize("key", ["?", "/", "+", "-", "*", "ctrl+x", "G", "comma", "f5", "€"])
async def test_names_equal_those_of_textual(key: str) -> None:
    """A binding on the name is run when the key is pressed."""
    name = normalize_key(key)
    pressed = []

    class Pressed(App[None]):
        BINDINGS = [Binding(name, "note", id="note")]  # noqa: RUF012 - Textual's way

        def action_note(self) -> None:
            pressed.append(name)

    async with Pressed().run_test() as pilot:
        await pilot.press("," if key == "comma" else key)
    assert pressed == [name]


@pytest.mark.parametrize(
    ("keys", "text"),
    [("up,k", "↑ k"), ("question_mark,f1", "? f1"), ("ctrl+x", "ctrl+x"), ("escape", "esc"),
     ("1,2,3,4", "1-4"), ("1,3,4,x", "1 3-4 x"), ("pageup", "page up"), ("slash", "/"),
     ("space", "space"), ("ctrl+shift+up", "ctrl+shift+↑"), ("f1,f2", "f1 f2"), ("", "")],
)  # fmt: skip
def test_display_names(keys: str, text: str) -> None:
    assert format_key(keys) == text
