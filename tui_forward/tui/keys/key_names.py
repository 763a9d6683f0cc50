"""Key names: those of Textual, those a terminal can send, and display names. Pure."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

import msgspec
from textual import keys as textual_keys
from textual.app import App
from textual.binding import Binding
from textual.keys import KEY_NAME_REPLACEMENTS, Keys, key_to_character

from tui_forward.tui.textual_internals.apps import active_keymap

T = TypeVar("T")

_MODIFIERS: Final = ("ctrl", "shift", "alt", "super", "hyper", "meta")
# Terminals send the same bytes for these.
_SAME_BYTES: Final = {"ctrl+i": "tab", "ctrl+m": "enter", "ctrl+left_square_bracket": "escape"}
_NAMED: Final = frozenset(
    name
    for name in (str(key.value) for key in Keys)
    if "+" not in name and name.isidentifier() and name != "return"  # never sent; it is enter
) | {"comma"}  # fmt: skip
_COMMON_ALIASES: Final = {
    "esc": "escape", "return": "enter", "del": "delete", "ins": "insert", "pgup": "pageup",
    "pgdn": "pagedown", "page_up": "pageup", "page_down": "pagedown", "bs": "backspace",
    "control": "ctrl", "option": "alt", "cmd": "super", "dot": "full_stop", "period": "full_stop",
    "dash": "minus", "hyphen": "minus",
}  # fmt: skip


class KeyProblemKind(msgspec.Struct, frozen=True):
    """Why a key cannot be bound."""

    what: str  # the problem, without a full stop
    hint: str = ""  # what to write instead; may be empty


def normalize_key(key: str) -> str:
    """Return the key name of Textual's key events: `?` is `question_mark`."""
    bare = key.strip()
    if bare == "+" or bare.endswith("++"):
        bare = f"{bare[:-1]}plus"
    *modifiers, last = bare.split("+")
    if len(last) == 1 and not last.isalnum():
        name = unicodedata.name(last, "").lower().replace("-", "_").replace(" ", "_")
        last = KEY_NAME_REPLACEMENTS.get(name, name) or last
    return "+".join((*sorted(set(modifiers), key=_rank), last))


def _rank(modifier: str) -> int:
    # Textual sorts modifiers: alt+ctrl+shift+x.
    return sorted(_MODIFIERS).index(modifier) if modifier in _MODIFIERS else len(_MODIFIERS)


def key_problem(key: str) -> KeyProblemKind | None:
    """Return the problem of a key as written in settings (`X`, `ctrl+x`, `f5`, `?`), if any."""
    bare = key.strip()
    if not bare:
        return KeyProblemKind("there is no key between the commas", "Write the key , as comma")
    name = normalize_key(bare)
    *modifiers, last = name.split("+")
    for modifier in modifiers:
        if modifier not in _MODIFIERS:
            correction = _COMMON_ALIASES.get(modifier)
            hint = f"Write {correction}" if correction else f"Available: {', '.join(_MODIFIERS)}"
            return KeyProblemKind(f"{modifier!r} is not a modifier key", hint)
    if not _exists(last):
        return KeyProblemKind(f"there is no key {last!r}", _suggestion(last))
    if name in _SAME_BYTES:
        return KeyProblemKind(
            f"terminals cannot tell {name} from {_SAME_BYTES[name]}", "Choose another key"
        )
    if modifiers == ["shift"] and len(last) == 1 and last.isalpha():
        return KeyProblemKind(f"terminals send {name} as {last.upper()}", f"Write {last.upper()}")
    return None


def _exists(name: str) -> bool:
    if len(name) == 1:
        return name.isprintable()
    if name in _NAMED or name in KEY_NAME_REPLACEMENTS.values():
        return True
    character = key_to_character(name)
    # `latin_small_letter_a` is a character name, but not a key name.
    return character is not None and not character.isalnum() and normalize_key(character) == name


def _suggestion(name: str) -> str:
    correction = _COMMON_ALIASES.get(name.lower())
    if correction is None and name.lower() != name and _exists(name.lower()):
        correction = name.lower()
    if correction is None:
        close = difflib.get_close_matches(name.lower(), _NAMED, n=1)
        correction = close[0] if close else None
    if correction:
        return f"Did you mean {correction}?"
    return "Write a letter, or a name such as f5 or delete"


def format_key(keys: str) -> str:
    """Format the keys of a binding, separated by commas: `↑ k`, `ctrl+x`, `? f1`, `1-9`."""
    names = [_display_name(key) for key in keys.split(",") if key.strip()]
    # Consecutive digits form a range.
    runs: list[str] = []
    for name in names:
        last = runs[-1][-1] if runs else ""
        in_row = len(name) == 1 and name.isdecimal() and last.isdecimal()
        if in_row and len(runs[-1]) in (1, 3) and ord(name) == ord(last) + 1:
            runs[-1] = f"{runs[-1][0]}-{name}"
        else:
            runs.append(name)
    return " ".join(runs)


def _display_name(key: str) -> str:
    *modifiers, last = normalize_key(key).split("+")
    name = {"pageup": "page up", "pagedown": "page down", "enter": "enter"}.get(last)
    return "+".join((*modifiers, name or textual_keys.format_key(last)))


def bindings_of(owner: type[object]) -> Iterator[Binding]:
    """Yield the bindings that a class declares or inherits, its own first."""
    for one in owner.__mro__:
        for binding in vars(one).get("BINDINGS", ()):
            if isinstance(binding, Binding):
                yield binding


def default_keys(owners: Iterable[type[object]]) -> dict[str, str]:
    """Return the default keys by binding id of some classes, for `keymap.check_keys`."""
    found: dict[str, str] = {}
    for owner in owners:
        for binding in bindings_of(owner):
            if binding.id is not None:
                found.setdefault(binding.id, binding.key)
    return found


def keys_of(app: App[T], binding: str, *also: type[object]) -> tuple[str, ...]:
    """Return the keys of a binding id in a running app: those of its keymap, or the defaults.

    The defaults are those of the focused widget, the nodes around it, and further classes.
    """
    mapped = active_keymap(app).get(binding)
    if mapped is None:
        owners = [type(node) for node in (app.focused or app.screen).ancestors_with_self]
        mapped = default_keys([*owners, *also, type(app)]).get(binding, "")
    return tuple(normalize_key(key) for key in mapped.split(",") if key.strip())
