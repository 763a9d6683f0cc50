from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from pathlib import Path

import pytest

from tui_forward.common import paths
from tui_forward.common.user_folders import (
    absolute_path,
    expand_home,
    home_dir,
    working_dir,
)
from tui_forward.errors import UsageError

PATHS: list[Callable[[], Path]] = [
    paths.settings_file, paths.profiles_dir, paths.trusted_profiles_file, paths.favorites_file,
    paths.view_state_file, paths.sessions_dir, paths.logs_dir, paths.spill_dir,
    paths.crash_report_file,
]  # fmt: skip


@pytest.fixture
def deleted_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "deleted"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()


@pytest.fixture
def unknown_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run as a user id without an entry in the user database, and without XDG variables."""

    def no_entry(_: object) -> pwd.struct_passwd:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", no_entry)
    for name in ("CONFIG", "STATE", "CACHE", "DATA"):
        monkeypatch.delenv(f"XDG_{name}_HOME")


@pytest.mark.parametrize("home", [None, "", "relative", "./x"])
def test_home_of_the_user_database_replaces_a_useless_one(
    home: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOME")
    if home is not None:
        monkeypatch.setenv("HOME", home)
    assert home_dir() == Path(pwd.getpwuid(os.getuid()).pw_dir)
    assert expand_home("~/x") == home_dir() / "x"


@pytest.mark.parametrize("home", [None, "", "relative"])
def test_user_without_a_home_has_paths_that_do_not_exist(
    home: str | None, unknown_user: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOME")
    if home is not None:
        monkeypatch.setenv("HOME", home)
    for path in (home_dir(), expand_home("~/x"), *(find() for find in PATHS)):
        assert path.is_absolute()
        assert path.parts[:2] == ("/", "nonexistent")


@pytest.mark.parametrize("name", ["sp ace", "ünï", "new\nline", "q'uote\"", "per%cent$X"])
def test_strange_home(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / name))
    assert expand_home("~/x") == tmp_path / name / "x"
    assert expand_home("~") == tmp_path / name


@pytest.mark.parametrize("variable", ["CONFIG", "STATE", "CACHE"])
def test_relative_xdg_folder_is_ignored(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The specification says so; the engine and its clients have other current folders."""
    monkeypatch.setenv(f"XDG_{variable}_HOME", "relative")
    for find in PATHS:
        assert find().is_absolute()


def test_home_of_an_unknown_user_is_not_expanded(tmp_path: Path) -> None:
    assert expand_home("~no-such-user/x") == Path("~no-such-user/x")


def test_deleted_current_folder(deleted_folder: None, tmp_path: Path) -> None:
    assert working_dir() is None
    assert absolute_path(tmp_path / "x") == tmp_path / "x"
    assert absolute_path("~/x") == home_dir() / "x"
    with pytest.raises(UsageError, match=r"^x/y cannot be found: the current folder was deleted"):
        absolute_path("x/y")


def test_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert working_dir() == tmp_path
    assert absolute_path("x") == tmp_path / "x"
