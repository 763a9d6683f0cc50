"""Shell completion on the embedded cluster."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys

import pytest

from tests.e2e.processes import wait_until
from tests.e2e.test_profiles import Shell, shell
from tui_forward.cli import completers
from tui_forward.cli.main import cli
from tui_forward.cli.shell_completion import SafeBashComplete

__all__ = ["shell"]

pytestmark = pytest.mark.timeout(180)


# On a busy machine, the program alone takes longer to start than a completion may take.
PROGRAM = (
    sys.executable,
    "-c",
    "import sys\n"
    "from tui_forward.cli import completers\n"
    "from tui_forward.cli.main import main\n"
    "completers._TIMEOUT_S = 30.0\n"
    "sys.exit(main())",
)


@pytest.fixture(autouse=True)
def patient_completers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completers, "_TIMEOUT_S", 150.0)  # after it, the process ends


def complete(shell: Shell, line: str, *, process: bool = False) -> list[str]:
    """Return the completions of a command line in bash."""
    words = {
        "_TUI_FORWARD_COMPLETE": "bash_complete", "COMP_WORDS": line,
        "COMP_CWORD": line.rpartition(" ")[2],
    }  # fmt: skip
    if process:
        done = subprocess.run(
            PROGRAM, cwd=shell.folder, capture_output=True, text=True, timeout=90, check=False,
            env={**os.environ, **words},
        )  # fmt: skip
        assert done.stderr == ""
        printed = done.stdout
    else:
        with pytest.MonkeyPatch.context() as patch, contextlib.chdir(shell.folder):
            for name, value in words.items():
                patch.setenv(name, value)
            printed = SafeBashComplete(cli, {}, "tui-forward", "X").complete()
    return [one.partition(",")[2] for one in printed.splitlines() if one]


def wait_for_completions(shell: Shell, line: str, *expected: str, among: bool = False) -> None:
    """Wait for completions; one that takes too long is empty."""

    def arrived() -> bool:
        found = complete(shell, line)
        assert not found or set(expected) <= set(found)
        return bool(found) and (among or found == list(expected))

    wait_until(arrived, f"the completions of {line!r}", 60)


def test_completions_of_commands_and_cluster_objects(shell: Shell) -> None:
    assert {"up", "status", "forward"} <= set(complete(shell, "tui-forward "))
    assert complete(shell, "tui-forward up sh") == ["shop"]
    wait_for_completions(shell, "tui-forward --context ", "viewer", among=True)
    wait_for_completions(shell, "tui-forward forward -n sh", "shop")
    assert complete(shell, "tui-forward forward -n sh", process=True) == ["shop"]
    wait_for_completions(shell, "tui-forward forward -n shop deploy/we", "deploy/web")
    wait_for_completions(shell, "tui-forward forward -n shop svc/", "svc/web", among=True)
    wait_for_completions(shell, "tui-forward forward -n shop deploy/web h", "http")
    wait_for_completions(shell, "tui-forward forward -n shop svc/echo 9000:e", "9000:echo")
    assert complete(shell, "tui-forward stop ") == []
    assert not shell.engines(), "completion must not start an engine"
    shell("up", "shop")
    wait_for_completions(shell, "tui-forward stop ", "db", "web", among=True)
    shell("down", "shop")


def test_completion_is_silent_without_a_cluster(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    lines = ("tui-forward --context ", "tui-forward forward -n ", "tui-forward forward svc/")
    for line in lines:
        assert complete(shell, line) == []
    assert complete(shell, lines[0], process=True) == []
    no_current_context = shell.folder / "config"
    no_current_context.write_text(
        """
apiVersion: v1
kind: Config
contexts: [{name: here, context: {cluster: here, user: me}}]
clusters: [{name: here, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: me, user: {}}]
"""
    )
    monkeypatch.setenv("KUBECONFIG", str(no_current_context))
    wait_for_completions(shell, lines[0], "here")
    for line in (*lines[1:], "tui-forward --context nope forward svc/"):
        assert complete(shell, line) == []


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_completion_scripts_are_valid(shell: Shell, name: str) -> None:
    script = shell("completion", name).stdout
    assert f"_TUI_FORWARD_COMPLETE={name}_complete" in script
    if (program := shutil.which(name)) is not None:
        subprocess.run([program, "-n"], input=script, text=True, check=True, timeout=60)
