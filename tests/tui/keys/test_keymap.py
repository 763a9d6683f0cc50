from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_forward.settings.parser import SettingsProblem
from tui_forward.tui.keys.keymap import KeyCheck, check_keys

KNOWN = {
    "app.help": "question_mark,f1",
    "app.quit": "q",
    "forwards.stop": "x",
    "forwards.open": "o",
    "connections.end": "x",
}


def problems(found: KeyCheck) -> str:
    return "\n".join(map(str, found.problems))


def test_unknown_action_ids() -> None:
    check = check_keys({"forward.stop": "z", "zzz": "z"}, KNOWN, lines={"forward.stop": 9})
    assert not check.keymap
    assert check.problems[0] == SettingsProblem(
        "settings.toml", 9, "unknown action id 'forward.stop'", "Did you mean 'forwards.stop'?"
    )
    assert "help" in check.problems[1].hint


def test_invalid_keys_do_not_affect_others() -> None:
    check = check_keys({"forwards.stop": "esc, ctrl+x,,ctrl+x"}, KNOWN)
    assert check.keymap == {"forwards.stop": "ctrl+x"}
    assert ["no key 'esc'" in problems(check), "between the commas" in problems(check)] == [
        True,
        True,
    ]
    assert not check_keys({"forwards.stop": "nokey"}, KNOWN).keymap


def test_punctuation_keys_use_textual_names() -> None:
    assert check_keys({"app.help": "?,/"}, KNOWN).keymap == {"app.help": "question_mark,slash"}


@pytest.mark.parametrize(
    ("keys", "other"),
    [
        ({"forwards.stop": "o"}, "forwards.open"),  # a default of the same place
        ({"forwards.stop": "?"}, "app.help"),  # a default of everywhere
        ({"app.quit": "x"}, "forwards.stop"),  # everywhere over a place
        ({"forwards.stop": "z", "forwards.open": "z"}, "forwards.stop"),  # two from the settings
    ],
)
def test_key_is_bound_once_per_scope(keys: dict[str, str], other: str) -> None:
    check = check_keys(keys, KNOWN)
    assert len(check.problems) == 1
    assert f"is already the key of {other}" in str(check.problems[0])
    last = list(keys)[-1]
    assert last not in check.keymap


def test_keys_may_be_swapped_and_shared_between_scopes() -> None:
    swapped = {"forwards.stop": "o", "forwards.open": "x"}
    assert check_keys(swapped, KNOWN) == KeyCheck(swapped, ())
    shared = {"forwards.stop": "d", "connections.end": "d"}
    assert check_keys(shared, KNOWN) == KeyCheck(shared, ())


def test_restored_default_keys_are_reserved() -> None:
    """`stop` keeps x because its configured key is invalid, so `open` cannot have it."""
    check = check_keys({"forwards.stop": "nokey", "forwards.open": "x"}, KNOWN)
    assert not check.keymap
    assert "is already the key of forwards.stop" in problems(check)


@given(st.dictionaries(st.sampled_from([*KNOWN, "no.such"]), st.text(max_size=12)))
def test_garbage_never_raises(keys: dict[str, str]) -> None:
    check = check_keys(keys, KNOWN)
    assert check.keymap.keys() <= keys.keys() & KNOWN.keys()
