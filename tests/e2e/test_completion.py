"""Completion as shells ask for it, on the embedded cluster."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from tests.e2e.processes import PROGRAM
from tests.e2e.test_profiles import Shell, shell

__all__ = ["shell"]


def offered(shell: Shell, line: str) -> list[str]:
    """What bash is offered behind a line."""
    words = line.split(" ")
    done = subprocess.run(
        PROGRAM, cwd=shell.folder, capture_output=True, text=True, timeout=30, check=False,
        env={
            **os.environ, "_TUI_FORWARD_COMPLETE": "bash_complete", "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
        },
    )  # fmt: skip
    assert done.stderr == ""
    return [one.partition(",")[2] for one in done.stdout.splitlines() if one]


def test_what_a_shell_is_offered(shell: Shell) -> None:
    assert {"up", "status", "forward"} <= set(offered(shell, "tui-forward "))
    assert offered(shell, "tui-forward up sh") == ["shop"]
    assert "viewer" in offered(shell, "tui-forward --context ")
    assert offered(shell, "tui-forward forward -n sh") == ["shop"]
    assert offered(shell, "tui-forward forward -n shop deploy/we") == ["deploy/web"]
    assert "svc/web" in offered(shell, "tui-forward forward -n shop svc/")
    assert offered(shell, "tui-forward forward -n shop deploy/web h") == ["http"]
    assert offered(shell, "tui-forward forward -n shop svc/echo 9000:e") == ["9000:echo"]
    assert offered(shell, "tui-forward stop ") == []
    assert not shell.engines(), "completing begins nothing"
    shell("up", "shop")
    assert {"db", "web"} <= set(offered(shell, "tui-forward stop "))
    shell("down", "shop")


def test_what_cannot_be_asked_is_silent(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    lines = ("tui-forward --context ", "tui-forward forward -n ", "tui-forward forward svc/")
    for line in lines:
        assert offered(shell, line) == []
    without_a_current_one = shell.folder / "config"
    without_a_current_one.write_text(
        """
apiVersion: v1
kind: Config
contexts: [{name: here, context: {cluster: here, user: me}}]
clusters: [{name: here, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: me, user: {}}]
"""
    )
    monkeypatch.setenv("KUBECONFIG", str(without_a_current_one))
    assert offered(shell, lines[0]) == ["here"]
    for line in (*lines[1:], "tui-forward --context nope forward svc/"):
        assert offered(shell, line) == []


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_the_scripts_are_scripts(shell: Shell, name: str) -> None:
    script = shell("completion", name).stdout
    assert f"_TUI_FORWARD_COMPLETE={name}_complete" in script
    if (program := shutil.which(name)) is not None:
        subprocess.run([program, "-n"], input=script, text=True, check=True, timeout=10)
