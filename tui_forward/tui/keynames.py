"""Names of keys as Textual writes them: which exist, and which a terminal can send. Pure."""

from __future__ import annotations

import difflib
import unicodedata
from dataclasses import dataclass
from typing import Final

from textual.keys import KEY_NAME_REPLACEMENTS, Keys, key_to_character

_MODIFIERS: Final = ("ctrl", "shift", "alt", "super", "hyper", "meta")
# In a terminal's bytes these are one and the same.
_SAME_BYTES: Final = {"ctrl+i": "tab", "ctrl+m": "enter", "ctrl+left_square_bracket": "escape"}
_NAMED: Final = frozenset(
    name
    for name in (str(key.value) for key in Keys)
    if "+" not in name and name.isidentifier() and name != "return"  # never sent: it is enter
) | {"comma"}  # fmt: skip
_OFTEN_MEANT: Final = {
    "esc": "escape", "return": "enter", "del": "delete", "ins": "insert", "pgup": "pageup",
    "pgdn": "pagedown", "page_up": "pageup", "page_down": "pagedown", "bs": "backspace",
    "control": "ctrl", "option": "alt", "cmd": "super", "dot": "full_stop", "period": "full_stop",
    "dash": "minus", "hyphen": "minus",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class KeyTrouble:
    """Why a key cannot be bound.

    Attributes:
        what: What is wrong, without a full stop.
        hint: What to write instead; may be empty.
    """

    what: str
    hint: str = ""


def normalised(key: str) -> str:
    """A key as Textual tells of it when it is pressed: `?` is `question_mark`."""
    bare = key.strip()
    if bare == "+" or bare.endswith("++"):
        bare = f"{bare[:-1]}plus"
    *modifiers, last = bare.split("+")
    if len(last) == 1 and not last.isalnum():
        name = unicodedata.name(last, "").lower().replace("-", "_").replace(" ", "_")
        last = KEY_NAME_REPLACEMENTS.get(name, name) or last
    return "+".join((*sorted(set(modifiers), key=_rank), last))


def _rank(modifier: str) -> int:
    # Textual sorts them: alt+ctrl+shift+x.
    return sorted(_MODIFIERS).index(modifier) if modifier in _MODIFIERS else len(_MODIFIERS)


def key_problem(key: str) -> KeyTrouble | None:
    """What is wrong with a key, if anything.

    Args:
        key: One key, as a person writes it: `x`, `X`, `ctrl+x`, `f5`, `?`, `question_mark`.
    """
    bare = key.strip()
    if not bare:
        return KeyTrouble(
            "there is no key between the commas", "The key , itself is written comma"
        )  # fmt: skip
    name = normalised(bare)
    *modifiers, last = name.split("+")
    for modifier in modifiers:
        if modifier not in _MODIFIERS:
            meant = _OFTEN_MEANT.get(modifier)
            hint = f"Write {meant}" if meant else f"There are {', '.join(_MODIFIERS)}"
            return KeyTrouble(f"no key holds {modifier!r}", hint)
    if not _exists(last):
        return KeyTrouble(f"there is no key {last!r}", _instead(last))
    if name in _SAME_BYTES:
        return KeyTrouble(
            f"terminals cannot tell {name} from {_SAME_BYTES[name]}", "Choose another key"
        )
    if modifiers == ["shift"] and len(last) == 1 and last.isalpha():
        return KeyTrouble(f"terminals send {name} as {last.upper()}", f"Write {last.upper()}")
    return None


def _exists(name: str) -> bool:
    if len(name) == 1:
        return name.isprintable()
    if name in _NAMED or name in KEY_NAME_REPLACEMENTS.values():
        return True
    character = key_to_character(name)
    # `latin_small_letter_a` is a character, but no key is called so.
    return character is not None and not character.isalnum() and normalised(character) == name


def _instead(name: str) -> str:
    meant = _OFTEN_MEANT.get(name.lower())
    if meant is None and name.lower() != name and _exists(name.lower()):
        meant = name.lower()
    if meant is None:
        close = difflib.get_close_matches(name.lower(), _NAMED, n=1)
        meant = close[0] if close else None
    return f"Did you mean {meant}?" if meant else "Write a letter, or a name such as f5 or delete"
