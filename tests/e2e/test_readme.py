"""The README's walk-through of profiles, literally."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

from tests.e2e.processes import wait_until
from tests.e2e.test_profiles import Shell, shell
from tui_forward.profiles.parser import parse_profile

__all__ = ["shell"]

README = Path(__file__).parents[2] / "README.md"


def blocks(language: str) -> list[str]:
    """Return the code blocks of the section about profiles."""
    section = README.read_text(encoding="utf-8").partition("\n## Profiles\n")[2]
    section = section.partition("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def test_profile_with_access_options_is_valid() -> None:
    _, profile = blocks("yaml")
    assert profile.startswith("access:")
    (forward,) = parse_profile(profile, README).forwards
    assert forward.spec.target.options.user == "bob"


def test_walk_through_of_profiles(shell: Shell) -> None:
    profile, _ = blocks("yaml")
    (commands,) = blocks("sh")
    # An editor that writes the file of the README.
    (shell.folder / "profile").write_text(profile)
    editor = shell.folder / "editor"
    editor.write_text(f'#!/bin/sh\ncp "{shell.folder}/profile" "$1"\n')
    editor.chmod(0o700)
    os.environ["VISUAL"] = str(editor)
    (shell.folder / "Makefile").write_text(
        'test:\n\t@test "$$DB_PORT" = 15432 && echo "$$DB_HOST $$WEB_URL" > seen\n'
    )
    (shell.profiles / "shop.yaml").unlink()
    try:
        done = []
        for line in commands.splitlines():
            words = shlex.split(line, comments=True)
            assert words[0] == "tui-forward"
            done.append((words[1], shell(*words[1:])))
    finally:
        del os.environ["VISUAL"]
    outputs = dict(done)
    assert [name for name, _ in done] == ["profile", "up", "ls", "run", "down"]
    assert (shell.profiles / "shop.yaml").read_text() == profile
    assert outputs["up"].stdout.count("ready") == outputs["ls"].stdout.count("ready") == 2
    assert "127.0.0.1:15432" in outputs["ls"].stdout
    assert re.fullmatch(
        r"127\.0\.0\.1 http://127\.0\.0\.1:\d+/\n", (shell.folder / "seen").read_text()
    )
    wait_until(lambda: not shell.engines(), "the engine to end")
