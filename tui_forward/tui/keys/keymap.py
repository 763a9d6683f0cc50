"""Which of the person's keys can be used, and why the rest cannot. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from tui_forward.settings.parser import FILE_NAME, SettingsProblem, did_you_mean
from tui_forward.tui.keys.key_names import key_problem, normalize_key


@dataclass(frozen=True, slots=True)
class KeyCheck:
    """What became of the keys.

    Attributes:
        keymap: What can be used, ready for `App.set_keymap`.
        problems: Why the rest cannot.
    """

    keymap: Mapping[str, str]
    problems: tuple[SettingsProblem, ...]


def check_keys(
    keys: Mapping[str, str],
    known_ids: Mapping[str, str],
    *,
    lines: Mapping[str, int] | None = None,
    file: str = FILE_NAME,
) -> KeyCheck:
    """Which of the person's keys can be used.

    A key may mean different things in different places (`forwards.stop`, `connections.end`),
    but only one thing in one place, and nothing else where an `app.` binding has it.

    Args:
        keys: Binding id → key string, from `Settings.keys`.
        known_ids: Every binding id there is → its keys by default.
        lines: From `Settings.lines`.
        file: From `Settings.file`.
    """
    lines = lines or {}
    problems: list[SettingsProblem] = []
    keymap: dict[str, str] = {}
    # What each key means so far: defaults of whatever the person did not touch, then theirs.
    owners: dict[str, list[str]] = {}
    for binding, default in known_ids.items():
        if binding not in keys:
            for key in default.split(","):
                owners.setdefault(normalize_key(key), []).append(binding)

    def wrong(binding: str, what: str, hint: str = "") -> None:
        problems.append(SettingsProblem(file, lines.get(binding), what, hint))

    for binding, value in keys.items():
        if binding not in known_ids:
            hint = did_you_mean(binding, known_ids) or "The help (?) shows what there is"
            wrong(binding, f"nothing is called {binding!r}", hint)
            continue
        good: list[str] = []
        for written in value.split(","):
            key = normalize_key(written)
            trouble = key_problem(written)
            if trouble is not None:
                wrong(binding, f"{binding}: {trouble.what}", trouble.hint)
                continue
            other = _clash(binding, owners.get(key, ()))
            if other:
                wrong(
                    binding, f"{binding}: {written.strip()} is the key of {other} already",
                    f"Choose another key, or give {other} another one",
                )  # fmt: skip
            elif key not in good:
                good.append(key)
        if good:
            keymap[binding] = ",".join(good)
        # With nothing usable left, its default keys count, and nobody else may have them.
        for key in good or map(normalize_key, known_ids[binding].split(",")):
            owners.setdefault(key, []).append(binding)
    return KeyCheck(keymap, tuple(problems))


def _clash(binding: str, owners: Collection[str]) -> str:
    place = binding.partition(".")[0]
    for other in owners:
        there = other.partition(".")[0]
        if place == there or "app" in (place, there):
            return other
    return ""
