"""Validation of the keys in the user's settings. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from tui_forward.settings.parser import FILE_NAME, SettingsProblem, did_you_mean
from tui_forward.tui.keys.key_names import key_problem, normalize_key


class KeyCheck(msgspec.Struct, frozen=True):
    """Result of validating keys."""

    keymap: Mapping[str, str]  # valid keys, for `App.set_keymap`
    problems: tuple[SettingsProblem, ...]


def check_keys(
    keys: Mapping[str, str], known_ids: Mapping[str, str], *,
    lines: Mapping[str, int] | None = None, file: str = FILE_NAME,
) -> KeyCheck:  # fmt: skip
    """Validate keys by binding id from the settings; `known_ids` has the default keys.

    A key may be bound in several scopes (`forwards.stop`, `connections.end`), but only once per
    scope, and not at all if an `app.` binding has it.
    """
    lines = lines or {}
    problems: list[SettingsProblem] = []
    keymap: dict[str, str] = {}
    # Bindings of each key so far: defaults that the settings do not change, then the settings.
    owners: dict[str, list[str]] = {}
    for binding, default in known_ids.items():
        if binding not in keys:
            for key in default.split(","):
                owners.setdefault(normalize_key(key), []).append(binding)

    def add_problem(binding: str, message: str, hint: str = "") -> None:
        problems.append(SettingsProblem(file, lines.get(binding), message, hint))

    for binding, value in keys.items():
        if binding not in known_ids:
            hint = did_you_mean(binding, known_ids) or "The help (?) lists all action ids"
            add_problem(binding, f"unknown action id {binding!r}", hint)
            continue
        valid: list[str] = []
        for written in value.split(","):
            key = normalize_key(written)
            problem = key_problem(written)
            if problem is not None:
                add_problem(binding, f"{binding}: {problem.what}", problem.hint)
                continue
            other = _clash(binding, owners.get(key, ()))
            if other:
                add_problem(
                    binding, f"{binding}: {written.strip()} is already the key of {other}",
                    f"Choose another key, or change that of {other}",
                )  # fmt: skip
            elif key not in valid:
                valid.append(key)
        if valid:
            keymap[binding] = ",".join(valid)
        # Without a valid key its default keys apply, and no other binding may have them.
        for key in valid or map(normalize_key, known_ids[binding].split(",")):
            owners.setdefault(key, []).append(binding)
    return KeyCheck(keymap, tuple(problems))


def _clash(binding: str, owners: Collection[str]) -> str:
    scope = binding.partition(".")[0]
    for other in owners:
        other_scope = other.partition(".")[0]
        if scope == other_scope or "app" in (scope, other_scope):
            return other
    return ""
