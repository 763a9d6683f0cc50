from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tui_forward.errors import ConfigError
from tui_forward.tui.settings import (
    Habit,
    KeyCheck,
    Problem,
    Settings,
    check_keys,
    load,
    save_theme,
)

KNOWN = {
    "app.help": "question_mark,f1",
    "app.quit": "q",
    "forwards.stop": "x",
    "forwards.open": "o",
    "connections.end": "x",
}
GOOD = """\
# Mine.
theme = "forward-light"  # daylight

[keys]
"forwards.stop" = "ctrl+x,delete"
app.help = "f2"  # without quotes
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "settings.toml"


def said(found: Settings | KeyCheck) -> str:
    return "\n".join(map(str, found.problems))


# Reading.


def test_what_is_good_is_taken(path: Path) -> None:
    path.write_text(GOOD)
    found = load(path)
    assert found.theme == "forward-light"
    assert found.keys == {"forwards.stop": "ctrl+x,delete", "app.help": "f2"}
    assert found.lines == {"forwards.stop": 5, "app.help": 6}
    assert not found.problems
    check = check_keys(found.keys, KNOWN, lines=found.lines, file=found.file)
    assert check == KeyCheck({"forwards.stop": "ctrl+x,delete", "app.help": "f2"}, ())


def test_habits(path: Path) -> None:
    path.write_text('leave_on = "always"\nresume = "never"\n')
    found = load(path)
    assert (found.leave_on, found.resume) == (Habit.ALWAYS, Habit.NEVER)
    assert not found.problems
    path.write_text('leave_on = "sometimes"\nresume = true\n')
    found = load(path)
    assert (found.leave_on, found.resume) == (Habit.ASK, Habit.ASK)
    assert said(found) == (
        'settings.toml, line 1: leave_on is not one of ask, always, never. Write leave_on = "ask"\n'
        'settings.toml, line 2: resume is not one of ask, always, never. Write resume = "ask"'
    )


def test_no_file_is_no_problem(path: Path) -> None:
    assert load(path) == Settings()


@pytest.mark.parametrize(
    ("content", "line", "says"),
    [
        (b'theme = "a"\nkeys = [', None, "is not TOML"),
        (b'theme = "a"\ntheme = "b"\n', 2, "is not TOML"),
        (b'x = \n', 1, "is not TOML: invalid value"),
        (b'theme = "a"\n# \xff\n', 2, "is not UTF-8"),
        (b"theme = 3\n", 1, "theme is not a name"),
        (b'\n\nkeys = "x"\n', 3, "keys is not a table"),
        (b'[keys]\n"forwards.stop" = 7\n', 2, "keys of 'forwards.stop' are not in quotes"),
        (b'[keys.forwards]\nstop = ["x"]\n', 2, "keys of 'forwards.stop' are not in quotes"),
        (b'themes = "a"\n', 1, "no setting 'themes'"),
        (b"x = " + b"[" * 20_000, None, "is not TOML"),
        (b"#" * 300_000, None, "too large"),
    ],
)  # fmt: skip
def test_what_is_bad_is_said(path: Path, content: bytes, line: int | None, says: str) -> None:
    path.write_bytes(content)
    found = load(path)
    assert len(found.problems) == 1
    problem = found.problems[0]
    assert (problem.file, problem.line) == ("settings.toml", line)
    assert says in problem.what
    assert problem.hint
    assert not found.keys


def test_a_fault_costs_only_itself(path: Path) -> None:
    path.write_text('theme = "mine"\ncolour = 1\n[keys]\n"app.help" = 3\n"app.quit" = "ctrl+d"\n')
    found = load(path)
    assert found.theme == "mine"
    assert found.keys == {"app.quit": "ctrl+d"}
    assert len(found.problems) == 2


def test_a_folder_is_no_file(path: Path) -> None:
    path.mkdir()
    assert "cannot be read" in said(load(path))


def test_a_byte_order_mark_and_windows_lines_do_no_harm(path: Path) -> None:
    path.write_bytes(b'\xef\xbb\xbftheme = "a"\r\n[keys]\r\n"app.quit" = "Q"\r\n')
    found = load(path)
    assert (found.theme, dict(found.keys), dict(found.lines)) == ("a", {"app.quit": "Q"},
        {"app.quit": 3})  # fmt: skip


def test_problems_in_words() -> None:
    assert str(Problem("settings.toml", 3, "is odd", "Mend it")) == (
        "settings.toml, line 3: is odd. Mend it"
    )
    assert str(Problem("settings.toml", None, "is odd")) == "settings.toml: is odd"


@given(
    st.binary(max_size=200) | st.text(alphabet='[]"=.#{}\n tkehmys', max_size=80).map(str.encode)
)
@hypothesis_settings(max_examples=150, deadline=None)
def test_garbage_never_raises(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("garbage") / "settings.toml"
    path.write_bytes(data)
    found = load(path)
    check_keys(found.keys, KNOWN)


# Keys.


def test_ids_that_do_not_exist() -> None:
    check = check_keys({"forward.stop": "z", "zzz": "z"}, KNOWN, lines={"forward.stop": 9})
    assert not check.keymap
    assert check.problems[0] == Problem(
        "settings.toml", 9, "nothing is called 'forward.stop'", "Did you mean 'forwards.stop'?"
    )
    assert "help" in check.problems[1].hint


def test_keys_that_do_not_exist_leave_the_others() -> None:
    check = check_keys({"forwards.stop": "esc, ctrl+x,,ctrl+x"}, KNOWN)
    assert check.keymap == {"forwards.stop": "ctrl+x"}
    assert ["no key 'esc'" in said(check), "between the commas" in said(check)] == [True, True]
    assert not check_keys({"forwards.stop": "nokey"}, KNOWN).keymap


def test_signs_are_named_as_textual_names_them() -> None:
    assert check_keys({"app.help": "?,/"}, KNOWN).keymap == {"app.help": "question_mark,slash"}


@pytest.mark.parametrize(
    ("keys", "other"),
    [
        ({"forwards.stop": "o"}, "forwards.open"),  # a default of the same place
        ({"forwards.stop": "?"}, "app.help"),  # a default of everywhere
        ({"app.quit": "x"}, "forwards.stop"),  # everywhere over a place
        ({"forwards.stop": "z", "forwards.open": "z"}, "forwards.stop"),  # two of the person's
    ],
)
def test_one_key_means_one_thing_in_one_place(keys: dict[str, str], other: str) -> None:
    check = check_keys(keys, KNOWN)
    assert len(check.problems) == 1
    assert f"is the key of {other} already" in str(check.problems[0])
    last = list(keys)[-1]
    assert last not in check.keymap


def test_keys_may_be_swapped_and_shared_between_places() -> None:
    swapped = {"forwards.stop": "o", "forwards.open": "x"}
    assert check_keys(swapped, KNOWN) == KeyCheck(swapped, ())
    shared = {"forwards.stop": "d", "connections.end": "d"}
    assert check_keys(shared, KNOWN) == KeyCheck(shared, ())


def test_defaults_that_come_back_belong_to_nobody_else() -> None:
    """`stop` keeps x because its own wish is void, so `open` cannot have it."""
    check = check_keys({"forwards.stop": "nokey", "forwards.open": "x"}, KNOWN)
    assert not check.keymap
    assert "is the key of forwards.stop already" in said(check)


# Writing.


def test_only_the_theme_changes(path: Path) -> None:
    path.write_text(GOOD)
    save_theme(path, "forward-ember")
    assert path.read_text() == GOOD.replace("forward-light", "forward-ember")


def test_a_file_is_made(tmp_path: Path) -> None:
    path = tmp_path / "new" / "settings.toml"
    save_theme(path, "forward-ember")
    assert path.read_text() == 'theme = "forward-ember"\n'
    assert load(path).theme == "forward-ember"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", 'theme = "n"\n'),
        ("# mine", None),
        ('[keys]\n"app.quit" = "Q"\n', 'theme = "n"\n\n[keys]\n"app.quit" = "Q"\n'),
        ("# mine\n\n[keys]\n", '# mine\n\ntheme = "n"\n\n[keys]\n'),
        ("# of keys\n[keys]\n", 'theme = "n"\n# of keys\n[keys]\n'),
        ("  'theme'= 'o'# c\n", "  'theme'= \"n\"# c\n"),
        ('theme = "a # b" # c\r\n[keys]\r\n', 'theme = "n" # c\r\n[keys]\r\n'),
        ("theme = 3  # odd\n", 'theme = "n"  # odd\n'),
        ('\ufefftheme = "a"\n', '\ufefftheme = "n"\n'),
        (
            'other = """\ntheme = "no"\n"""\ntheme = "a"\n',
            'other = """\ntheme = "no"\n"""\ntheme = "n"\n',
        ),
        ('[other]\ntheme = "no"\n', 'theme = "n"\n\n[other]\ntheme = "no"\n'),
        ('theme = "a"', 'theme = "n"'),
    ],
)  # fmt: skip
def test_edits_are_small(path: Path, before: str, after: str | None) -> None:
    path.write_bytes(before.encode())
    save_theme(path, "n")
    text = path.read_bytes().decode()
    if after is not None:
        assert text == after
    assert before.strip() in text or '"n"' in text
    content = tomllib.loads(text.removeprefix("\ufeff"))
    assert content["theme"] == "n"
    assert {**tomllib.loads(before.removeprefix("\ufeff")), "theme": "n"} == content


@pytest.mark.parametrize(
    "content", [b"theme = [\n", b"\xff", b'theme = """\na"""\n', b"theme.x = 1\n"]
)
def test_what_is_not_understood_is_not_touched(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ConfigError) as raised:
        save_theme(path, "n")
    assert "left as it is" in raised.value.message
    assert raised.value.hint
    assert path.read_bytes() == content
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_links_and_rights_are_kept(tmp_path: Path, path: Path) -> None:
    real = tmp_path / "dotfiles.toml"
    real.write_text('theme = "a"\n')
    real.chmod(0o640)
    path.symlink_to(real)
    save_theme(path, "n")
    assert path.is_symlink()
    assert real.read_text() == 'theme = "n"\n'
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


def test_a_failure_leaves_the_old_file_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text(GOOD)

    def broken(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(ConfigError, match="No space left on device"):
        save_theme(path, "n")
    assert path.read_text() == GOOD
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_names_are_quoted(path: Path) -> None:
    save_theme(path, 'a"\\ü')
    assert load(path).theme == 'a"\\ü'
    with pytest.raises(ConfigError, match="no name"):
        save_theme(path, "a\nb")
