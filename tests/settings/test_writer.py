from __future__ import annotations

import os
import stat
import tomllib
from pathlib import Path

import pytest

from tests.settings.samples import GOOD
from tui_forward.errors import ConfigError
from tui_forward.settings.parser import load_settings
from tui_forward.settings.writer import save_theme


def test_only_the_theme_changes(path: Path) -> None:
    path.write_text(GOOD)
    save_theme(path, "forward-ember")
    assert path.read_text() == GOOD.replace("forward-light", "forward-ember")


def test_missing_file_is_created(tmp_path: Path) -> None:
    path = tmp_path / "new" / "settings.toml"
    save_theme(path, "forward-ember")
    assert path.read_text() == 'theme = "forward-ember"\n'
    assert load_settings(path).theme == "forward-ember"


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
def test_edit_changes_the_theme_alone(path: Path, before: str, after: str | None) -> None:
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
def test_unsafe_edit_is_rejected(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(ConfigError) as raised:
        save_theme(path, "n")
    assert "cannot edit settings.toml" in raised.value.message
    assert raised.value.hint
    assert path.read_bytes() == content
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_symlink_and_mode_are_preserved(tmp_path: Path, path: Path) -> None:
    real = tmp_path / "dotfiles.toml"
    real.write_text('theme = "a"\n')
    real.chmod(0o640)
    path.symlink_to(real)
    save_theme(path, "n")
    assert path.is_symlink()
    assert real.read_text() == 'theme = "n"\n'
    assert stat.S_IMODE(real.stat().st_mode) == 0o640


def test_failed_write_leaves_the_old_file_intact(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text(GOOD)

    def broken(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(ConfigError, match="No space left on device"):
        save_theme(path, "n")
    assert path.read_text() == GOOD
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def test_theme_name_is_quoted(path: Path) -> None:
    save_theme(path, 'a"\\ü')
    assert load_settings(path).theme == 'a"\\ü'
    with pytest.raises(ConfigError, match="invalid theme name"):
        save_theme(path, "a\nb")
