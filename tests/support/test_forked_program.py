"""Forked processes of the program beside started ones."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.e2e.pseudo_terminal import PseudoTerminal, terminal_environment
from tests.support.cluster_process import ONE_NODE, ClusterProcess, running_cluster
from tests.support.forked_program import (
    ForkedProcess,
    Template,
    forking_command,
    is_forkable,
    run,
)
from tests.support.waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes are started elsewhere")
PROGRAM = [sys.executable, "-m", "tui_forward"]


def parent(process: subprocess.Popen[Any]) -> str:
    found = psutil.Process(process.pid).parent()
    return " ".join(found.cmdline()) if found is not None else ""


@pytest.mark.parametrize(
    "arguments", [["--version"], ["ls"], ["forward", "x", "80", "--kubeconfig", "none"], ["--nope"]]
)
def test_output_and_exit_code_are_those_of_a_started_one(
    arguments: list[str], tmp_path: Path
) -> None:
    command = [*PROGRAM, *arguments]
    forked = run(command, capture_output=True, cwd=tmp_path)
    started = subprocess.run(command, capture_output=True, cwd=tmp_path, check=False)
    assert (forked.returncode, forked.stdout) == (started.returncode, started.stdout)
    assert forked.stderr == started.stderr


@pytest.mark.parametrize("encoding", ["latin-1", "ascii:xmlcharrefreplace", ":replace"])
def test_encoding_of_its_streams_is_that_of_a_started_one(encoding: str, own_home: Path) -> None:
    profile = own_home / ".config/tui-forward/profiles/x.yaml"
    profile.parent.mkdir(parents=True)
    profile.write_text("description: Größe ✓ 日本\nforwards: {}\n")
    command = [*PROGRAM, "profile", "show", "x"]
    env = {**os.environ, "PYTHONIOENCODING": encoding}
    forked = run(command, capture_output=True, env=env)
    started = subprocess.run(command, capture_output=True, env=env, check=False)
    assert (forked.returncode, forked.stdout) == (started.returncode, started.stdout)
    assert forked.stderr == started.stderr


def shell_output(script: str, *before: str, cwd: Path) -> tuple[int, str]:
    """Return exit code and output of a script whose arguments fork the program."""
    words = (*before, "sh", "-c", f"set -e; {script}", "sh")
    done = subprocess.run(
        [*words, *forking_command(PROGRAM, "command")], stdin=subprocess.DEVNULL, cwd=cwd,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stdout


def test_shell_forks_it(own_home: Path, tmp_path: Path) -> None:
    """It has the environment, streams and folder of the shell; a deleted folder, too."""
    (tmp_path / "gone").mkdir()
    code, output = shell_output(
        'cd gone; rmdir "$PWD"; export NAME=x; echo "kubectl port-forward svc/web 8080:80" >../in; '
        '"$@" profile import - --name $NAME <../in >../out 2>&1; "$@" --nope',
        cwd=tmp_path,
    )
    assert (own_home / ".config/tui-forward/profiles/x.yaml").exists()
    assert "x" in (tmp_path / "out").read_text()
    assert code == 2
    assert "--nope" in output


@pytest.mark.mountns
@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare(1)"
)
def test_it_sees_the_file_systems_of_the_shell(own_home: Path, tmp_path: Path) -> None:
    profiles = own_home / ".config/tui-forward/profiles"
    profiles.mkdir(parents=True)
    script = f'mount -t tmpfs tmpfs {profiles}; touch {profiles}/x.yaml; "$@" profile list'
    code, output = shell_output(script, "unshare", "-m", cwd=tmp_path)
    assert (code, "x" in output) == (0, True), output
    assert list(profiles.iterdir()) == []


def test_command_environment_folder_and_input_are_its_own(own_home: Path, tmp_path: Path) -> None:
    command = [*PROGRAM, "profile", "import", "-", "--name", "x"]
    process = ForkedProcess(
        command, cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "FOR_THIS": "one"}, start_new_session=True,
    )  # fmt: skip
    with process:
        assert "program_template" in parent(process)
        seen = psutil.Process(process.pid)
        assert seen.cmdline() == command
        assert seen.environ()["FOR_THIS"] == "one"
        assert seen.cwd() == str(tmp_path)
        assert os.getsid(process.pid) == process.pid
        process.communicate("kubectl port-forward svc/web 8080:80")
    assert process.returncode == 0
    assert (own_home / ".config/tui-forward/profiles/x.yaml").exists()


def test_signal_is_the_exit_code() -> None:
    with ForkedProcess(
        [*PROGRAM, "profile", "import", "-"], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.poll() is None
        process.kill()
        assert process.wait(60) == -signal.SIGKILL


def test_terminal_controls_it(own_home: Path, tmp_path: Path) -> None:
    (own_home / ".kube").mkdir()
    with PseudoTerminal(*PROGRAM, env=terminal_environment(own_home)) as terminal:
        assert "program_template" in parent(terminal.process)
        assert psutil.Process(terminal.process.pid).terminal()
        terminal.wait_for_output("\x1b[?1049h")
        terminal.hang_up()
        terminal.wait(60)


@pytest.mark.parametrize(
    "environ",
    [{"PYTHONUTF8": "0"}, {"LC_ALL": "C"}, {"LANG": "de_DE.latin1"}],
)
def test_one_that_depends_on_the_start_of_python_is_started(environ: dict[str, str]) -> None:
    assert is_forkable(PROGRAM, {"LANG": "C.UTF-8"})
    assert not is_forkable(PROGRAM, environ)
    env = {**os.environ, **environ}
    with ForkedProcess([*PROGRAM, "--version"], stdout=subprocess.PIPE, env=env) as process:
        assert "program_template" not in parent(process)
        assert process.communicate()[0].startswith(b"tui-forward ")


def test_others_are_started() -> None:
    assert not is_forkable([sys.executable, "-c", "pass"], {})
    assert not is_forkable(["/usr/bin/python3", "-m", "tui_forward"], {})
    assert not is_forkable([sys.executable, "-m", "tui_forward.minicluster.kubelet"], {})


def test_cluster_has_the_processes_of_a_started_one() -> None:
    def names(cluster: ClusterProcess) -> list[list[str]]:
        process = psutil.Process(cluster.process.pid)
        return [sorted(each.name() for each in process.children())] + [
            sorted(each.name() for each in child.children()) for child in process.children()
        ]

    options = ("--no-workloads", *ONE_NODE)
    with running_cluster(*options) as forked:
        assert "program_template" in parent(forked.process)
        found = names(forked)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ForkedProcess, "template", None)
        with running_cluster(*options) as started:
            assert "program_template" not in parent(started.process)
            assert names(started) == found


async def test_template_ends_with_the_one_that_started_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Template() as template:
        monkeypatch.setattr(ForkedProcess, "template", template.socket)
        with ForkedProcess([*PROGRAM, "--version"], stdout=subprocess.PIPE) as process:
            template_process = psutil.Process(process.pid).parent()
            process.communicate()
        assert template_process is not None
    await until(lambda: not template_process.is_running())
