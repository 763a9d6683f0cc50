"""Questions of the command line, answered or not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.processes import PROGRAM
from tests.e2e.pseudo_terminal import PseudoTerminal, terminal_environment

PROFILE = "forwards:\n  db: {target: sts/db, port: 5432}\n"


@pytest.mark.parametrize(
    ("command", "keys"),
    [
        (("up", "{}"), b"\x03"), (("up", "{}"), b"\x04"), (("up", "{}"), b"\n"),
        (("run", "{}", "--", "true"), b"\x03"), (("--profile", "{}"), b"\x03"),
    ],
    ids=["up ^C", "up ^D", "up Enter", "run ^C", "dashboard ^C"],
)  # fmt: skip
def test_declined_profile_fails_and_starts_nothing(
    command: tuple[str, ...], keys: bytes, own_home: Path, tmp_path: Path
) -> None:
    profile = tmp_path / ".tui-forward.yaml"
    profile.write_text(PROFILE)
    (tmp_path / ".git").mkdir()
    arguments = [word.format(profile) for word in command]
    env = terminal_environment(own_home, KUBECONFIG=str(tmp_path / "none"))
    with PseudoTerminal(*PROGRAM, *arguments, env=env, cwd=tmp_path) as terminal:
        terminal.wait_for_output("Trust it?")
        terminal.send(keys)
        assert terminal.wait(60) == 1
        terminal.wait_for_output("profile not trusted")
        assert "Traceback" not in terminal.text()


def test_declined_second_edit_of_an_invalid_profile_fails(own_home: Path, tmp_path: Path) -> None:
    env = terminal_environment(own_home, EDITOR="sh -c 'echo forwards: 1 >$0'")
    with PseudoTerminal(*PROGRAM, "profile", "edit", "x", env=env, cwd=tmp_path) as terminal:
        terminal.wait_for_output("Edit it again?")
        terminal.send(b"\x03")
        assert terminal.wait(60) == 1
        terminal.wait_for_output("was not changed")
