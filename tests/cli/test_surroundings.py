"""Commands in surroundings that lack something: they work, or one sentence names it."""

from __future__ import annotations

import contextlib
import io
import pwd
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.other_user import needs_other_user, run_as_other_user
from tui_forward.cli.main import main

Prepare = Callable[[Path, pytest.MonkeyPatch], object]

PROFILE = "forwards: {web: {target: svc/web, port: 80}}\n"
# Command, its exit code where nothing is missing, and whether it needs the user's files.
COMMANDS = {
    "ls": 0, "status": 0, "stop --all": 0, "config": 0, "profile list": 0, "metrics": 0,
    "completion bash": 0, "completion zsh": 0, "completion fish": 0, "profile show shop": 0,
    "profile check shop": 0, "profile export shop": 0, "down shop": 0, "restart": 2,
    "forward svc/web 80": 1, "--version": 0,
}  # fmt: skip
# These find no profile, because it is in the home folder.
OF_THE_PROFILE = tuple(command for command in COMMANDS if command.endswith("shop"))


def delete_current_folder(folder: Path, patch: pytest.MonkeyPatch) -> None:
    (folder / "deleted").mkdir()
    patch.chdir(folder / "deleted")
    (folder / "deleted").rmdir()


def forget_folders(patch: pytest.MonkeyPatch) -> None:
    for name in ("CONFIG", "STATE", "CACHE", "DATA"):
        patch.delenv(f"XDG_{name}_HOME")


def use_home(value: str) -> Prepare:
    def prepare(_: Path, patch: pytest.MonkeyPatch) -> None:
        forget_folders(patch)
        patch.setenv("HOME", value)

    return prepare


def be_unknown(_: Path, patch: pytest.MonkeyPatch) -> None:
    """Run as a user id that the system does not know, without HOME."""

    def no_entry(_: object) -> pwd.struct_passwd:
        raise KeyError

    forget_folders(patch)
    patch.delenv("HOME")
    patch.setattr(pwd, "getpwuid", no_entry)


def set_variables(**values: str) -> Prepare:
    def prepare(_: Path, patch: pytest.MonkeyPatch) -> None:
        for name, value in values.items():
            patch.setenv(name, value)

    return prepare


def use_relative_folders(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.chdir(folder)
    patch.setenv("HOME", str(folder))
    for name in ("CONFIG", "STATE", "CACHE"):
        patch.setenv(f"XDG_{name}_HOME", "relative")


SURROUNDINGS: dict[str, Prepare] = {
    "deleted current folder": delete_current_folder,
    "unknown user without HOME": be_unknown,
    "HOME is a file": use_home("/dev/null"),
    "HOME does not exist": use_home("/nonexistent/home"),
    "relative XDG folders": use_relative_folders,
    "no PATH": set_variables(PATH=""),
    "TERM is dumb": set_variables(TERM="dumb"),
    "TERM is empty": set_variables(TERM=""),
    "odd sizes": set_variables(COLUMNS="abc", LINES="-1"),
    "unknown time zone": set_variables(TZ="Nowhere/Bad"),
    "no temporary folder": set_variables(TMPDIR="/nonexistent/tmp", XDG_RUNTIME_DIR=""),
    "no runtime folder": set_variables(XDG_RUNTIME_DIR="/nonexistent/run"),
    "home of an unknown user": set_variables(KUBECONFIG="~no-such-user/config:/nonexistent/config"),
}
# The profile is not found there.
WITHOUT_PROFILE = (
    "unknown user without HOME",
    "HOME is a file",
    "HOME does not exist",
    "relative XDG folders",
)


@pytest.fixture(autouse=True)
def profile(own_home: Path) -> None:
    folder = own_home / ".config/tui-forward/profiles"
    folder.mkdir(parents=True)
    (folder / "shop.yaml").write_text(PROFILE)


def problem_of(code: int, expected: tuple[int, ...], output: str) -> str:
    """Return what is wrong with the outcome of a command, or ""."""
    errors = [line for line in output.splitlines() if line.startswith("error: ")]
    if code not in expected:
        return f"exit code {code}: {output}"
    if "unexpected" in output or "Traceback" in output:
        return output
    if bool(code) != bool(errors) or len(errors) > 1:
        return f"{len(errors)} errors with exit code {code}: {output}"
    return ""


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("surroundings", SURROUNDINGS)
def test_command_works_or_gives_one_error(
    surroundings: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    SURROUNDINGS[surroundings](tmp_path, monkeypatch)
    expected: tuple[int, ...] = (COMMANDS[command],)
    if surroundings in WITHOUT_PROFILE and command in OF_THE_PROFILE:
        expected = (1, 2)
    elif surroundings == "HOME is a file" and command in ("config", "profile list"):
        return  # its files cannot be read, which `config` lists
    code = main(command.split())
    shown = capsys.readouterr()
    assert not (problem := problem_of(code, expected, shown.err)), problem


def test_relative_path_in_a_deleted_folder_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    delete_current_folder(tmp_path, monkeypatch)
    for command in ("profile show ./x.yaml", "ls --kubeconfig x"):
        assert main(command.split()) == 2
        shown = capsys.readouterr().err
        assert "the current folder was deleted or cannot be read" in shown
        assert "hint:  use an absolute path, or change to another folder" in shown


@needs_other_user
@pytest.mark.parametrize("command", [one for one in COMMANDS if one != "config"])
def test_home_of_another_user(
    command: str, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HOME stays that of the user who ran `sudo -E` or `su`, and may not be entered."""
    forget_folders(monkeypatch)
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nonexistent")

    main(command.split())  # imports what the other user may not read

    def run() -> str:
        shown = io.StringIO()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(shown):
            code = main(command.split())
        return problem_of(code, (0, 1, 2), shown.getvalue()) or "good"

    assert run_as_other_user(run) == "good"
