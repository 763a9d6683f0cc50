"""Environment lines, read back by real shells."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui_forward.common.env_file import format_variable

HOSTILE = (
    "", "plain", "http://[::1]:8080/", "fe80::1%$(touch PWNED)", "`touch PWNED`", "a; touch PWNED",
    "a & touch PWNED", "a\ntouch PWNED", "'; touch PWNED; '", '"$(touch PWNED)"', "\\", "a\\'b",
    "$HOME", "~", "a b\tc", "*", "!!", "#x", "é ü 漢", "\x1b[2J",
)  # fmt: skip


@pytest.mark.parametrize("shell", ["sh", "bash", "dash", "zsh"])
def test_shells_read_hostile_values_back(shell: str, tmp_path: Path) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"there is no {shell}")
    file = tmp_path / "env"
    names = [f"V{number}" for number in range(len(HOSTILE))]
    lines = map(format_variable, names, HOSTILE)
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    script = '. ./env; for n in "$@"; do eval "printf \'%s\\\\0\' \\"\\$$n\\""; done'
    done = subprocess.run(
        [program, "-c", script, shell, *names], cwd=tmp_path, capture_output=True, timeout=60,
        check=True, encoding="utf-8",
    )  # fmt: skip
    assert done.stdout.split("\0")[:-1] == list(HOSTILE)
    assert [path.name for path in tmp_path.iterdir()] == ["env"]


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0")))
def test_a_value_is_bare_or_in_quotes(value: str) -> None:
    text = format_variable("A", value).removeprefix("A=")
    if text != value:
        assert text == "'" + value.replace("'", "'\"'\"'") + "'"
    else:
        assert value.isascii()
        assert not set(value) & set(" \t\n$`\\\"'();&|<>*?[]{}~#!")


@pytest.mark.parametrize(
    ("name", "value"), [("A-B", "x"), ("", "x"), ("A;id", "x"), ("1A", "x"), ("A", "x\0")]
)
def test_what_no_environment_can_hold_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match="environment"):
        format_variable(name, value)
