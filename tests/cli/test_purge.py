from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.e2e.processes import PROGRAM
from tests.e2e.pseudo_terminal import PseudoTerminal, terminal_environment
from tests.endurance.engine_process import running_engine
from tui_forward.cli.main import main
from tui_forward.cli.purge import own_folders
from tui_forward.common import paths
from tui_forward.daemon.unix_socket import default_socket_path


@pytest.fixture(autouse=True)
def home(own_home: Path) -> Path:
    return own_home


def write_all() -> list[Path]:
    """Write one file into each place that the program writes to."""
    files = [
        paths.settings_file(), paths.profiles_dir() / "shop.yaml", paths.trusted_profiles_file(),
        paths.favorites_file(), paths.view_state_file(), paths.sessions_dir() / "one.json",
        paths.logs_dir() / "engine.log", paths.spill_dir() / "data", paths.crash_report_file(),
        default_socket_path("/nowhere/config", os.environ),
    ]  # fmt: skip
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
    return files


def test_everything_is_removed_and_nothing_else(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = write_all()
    other = home / ".config" / "other"
    other.write_text("x")
    assert main(["config", "--purge", "--yes"]) == 0
    assert not [file for file in files if file.exists()]
    assert not [one.path for one in own_folders() if one.path.exists()]
    assert other.exists()
    shown = capsys.readouterr().err
    assert f"{paths.settings_file().parent}: 2 files, 1 KiB (settings and profiles)" in shown
    assert main(["config", "--purge"]) == 0
    assert capsys.readouterr().err == "There is nothing to remove.\n"


def test_without_a_terminal_and_yes_nothing_is_removed(capsys: pytest.CaptureFixture[str]) -> None:
    files = write_all()
    assert main(["config", "--purge"]) == 2
    assert "hint:  add --yes" in capsys.readouterr().err
    assert all(file.exists() for file in files)


@pytest.mark.parametrize(("answer", "code"), [(b"\n", 1), (b"n\n", 1), (b"y\n", 0)])
def test_terminal_is_asked(home: Path, answer: bytes, code: int) -> None:
    files = write_all()
    command = (*PROGRAM, "config", "--purge")
    with PseudoTerminal(*command, env=terminal_environment(home, **xdg())) as terminal:
        terminal.wait_for_output("Remove them?")
        terminal.send(answer)
        assert terminal.wait(60) == code
    assert {file.exists() for file in files} == {bool(code)}


def xdg() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("XDG_")}


def test_link_is_left_and_named(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As of a user who keeps configurations in a repository."""
    write_all()
    folder = paths.settings_file().parent
    kept = home / "dotfiles"
    folder.rename(kept)
    folder.symlink_to(kept)
    assert main(["config", "--purge", "--yes"]) == 1
    assert f"{folder} is a link" in capsys.readouterr().err
    assert (kept / "settings.toml").exists()
    assert not paths.sessions_dir().exists()


def test_link_inside_is_removed_but_not_what_it_leads_to(home: Path) -> None:
    write_all()
    kept = home / "profile.yaml"
    kept.write_text("x")
    (paths.profiles_dir() / "link.yaml").symlink_to(kept)
    assert main(["config", "--purge", "--yes"]) == 0
    assert kept.exists()


def test_running_engine_must_end_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text("{}")
    with running_engine(kubeconfig, idle_timeout_s=600) as engine:
        files = write_all()
        assert main(["config", "--purge", "--yes"]) == 2
        shown = capsys.readouterr().err
        assert f"an engine is running (process {engine.pid})" in shown
        assert all(file.exists() for file in files)


def test_documents_name_every_folder() -> None:
    text = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
    for name in ("~/.config/tui-forward", "~/.local/state/tui-forward", "~/.cache/tui-forward"):
        assert name in text
