"""Processes in surroundings that lack something: disk space, a folder, an encoding, a context."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from tests.e2e.processes import PROGRAM
from tests.e2e.pseudo_terminal import PseudoTerminal, terminal_environment
from tests.support.cluster_process import ClusterProcess
from tests.support.forked_program import forking_command

PROFILE = """\
description: Größe ✓ 日本
forwards:
  web: {target: deploy/web, namespace: shop, port: http, local: 0}
"""


def write_profile(home: Path) -> None:
    folder = home / ".config/tui-forward/profiles"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "shop.yaml").write_text(PROFILE)


def run_script(
    script: str, *, is_forked: bool = True, before: Sequence[str] = (), **env: str
) -> str:
    """Return the output of a shell script in which `tui_forward` is the program.

    Args:
        is_forked: Fork the program where that is possible.
        before: First words of the command that runs the script.
    """
    command = forking_command(PROGRAM, "command") if is_forked else PROGRAM
    function = f'tui_forward() {{ {shlex.join(command)} "$@"; }}'
    done = subprocess.run(
        [*before, "sh", "-c", f"{function}\n{script}"], env={**os.environ, **env},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120,
        check=False,
    )  # fmt: skip
    output = done.stdout.decode("utf-8", "replace")
    assert "unexpected" not in output, output
    assert "Traceback" not in output, output
    return output


def test_stdout_without_utf8(kubeconfig: Path, own_home: Path) -> None:
    write_profile(own_home)
    for encoding in ("latin-1", "cp437", "ascii"):
        output = run_script(
            "tui_forward up shop && tui_forward status && tui_forward profile show shop"
            f" && tui_forward ls --json; {'tui_forward down shop' if encoding == 'ascii' else ''}",
            PYTHONIOENCODING=encoding,
        )
        assert "ready" in output, encoding
        assert "1 forward, 0 connections" in output, encoding
    assert "shop: stopped 1 forward" in output


def test_deleted_current_folder(kubeconfig: Path, own_home: Path, tmp_path: Path) -> None:
    write_profile(own_home)
    (tmp_path / "deleted").mkdir()
    output = run_script(
        f"cd {tmp_path}/deleted && rmdir {tmp_path}/deleted\n"
        "tui_forward up shop && tui_forward profile list; tui_forward down shop"
    )
    assert "ready" in output
    assert "1 forward" in output
    environ = terminal_environment(own_home, KUBECONFIG=str(kubeconfig))
    (tmp_path / "deleted").mkdir()
    delete = f"cd {tmp_path}/deleted && rmdir {tmp_path}/deleted"
    with PseudoTerminal(*PROGRAM, "-n", "shop", env=environ, before=delete) as terminal:
        terminal.wait_for_output("[workloads]")
        terminal.send(b"q")
        assert terminal.wait(60) == 0


def test_dashboard_on_a_dumb_terminal_of_any_size(kubeconfig: Path, own_home: Path) -> None:
    environ = terminal_environment(
        own_home, KUBECONFIG=str(kubeconfig), TERM="dumb", LC_ALL="POSIX",
    )  # fmt: skip
    with PseudoTerminal(*PROGRAM, "-n", "shop", env=environ, size=(20, 10)) as terminal:
        terminal.wait_for_output("0 forwards")
        terminal.resize(256, 70)
        terminal.wait_for_output("minicluster", "deploy/", "API", " ms")
        terminal.send(b"q")
        assert terminal.wait(60) == 0
    assert terminal.text().isascii()


@pytest.mark.parametrize("trouble", ["dangling", "no cluster"])
def test_context_is_chosen_if_the_current_one_is_unusable(
    trouble: str, cluster: ClusterProcess, own_home: Path, tmp_path: Path
) -> None:
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    first = config["current-context"]
    broken = {"name": "broken", "context": {"cluster": "gone", "user": first}}
    config["contexts"].append(broken)
    config["current-context"] = "deleted-yesterday" if trouble == "dangling" else "broken"
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(config))
    # Words of the sentence, which wraps.
    words = {
        "dangling": ("there", "context", '"deleted-yesterday"'), "no cluster": ("cluster", '"gone"')
    }[trouble]  # fmt: skip
    environ = terminal_environment(own_home, KUBECONFIG=str(path))
    with PseudoTerminal(*PROGRAM, env=environ, size=(120, 30)) as terminal:
        terminal.wait_for_output("Choose", *words)
        terminal.send(first.encode() + b"\r")
        terminal.wait_for_output("[workloads]", "API", " ms")
        terminal.send(b"q")
        assert terminal.wait(60) == 0


@pytest.mark.mountns
@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare(1)"
)
@pytest.mark.parametrize("disk", ["read-only", "full"])
def test_home_on_a_disk_that_cannot_be_written(
    disk: str, kubeconfig: Path, own_home: Path, tmp_path: Path
) -> None:
    """Forwards work; what cannot be saved is named once, by the engine."""
    (home := tmp_path / "home").mkdir()
    write_profile(own_home)
    shutil.copytree(own_home / ".config", tmp_path / "config")
    spoil = {
        "read-only": f"mount -o remount,ro {home}",
        "full": f"head -c 4000000 /dev/zero >{home}/fill 2>/dev/null",
    }[disk]
    cause = {"read-only": "read-only file system", "full": "no space left on device"}[disk]
    output = run_script(
        f"mount -t tmpfs -o size=512k,mode=700 tmpfs {home}\n"
        f"cp -r {tmp_path}/config {home}/.config\n"
        f"{spoil}\n"
        "tui_forward up shop && tui_forward status; tui_forward profile import /dev/null\n"
        "tui_forward down shop\n",
        before=("unshare", "-m"), HOME=str(home), XDG_CONFIG_HOME="", XDG_STATE_HOME="",
        XDG_CACHE_HOME="", XDG_DATA_HOME="",
    )  # fmt: skip
    assert "ready" in output
    assert "shop: stopped 1 forward" in output
    assert output.count("active forwards cannot be saved") == 1
    assert cause in output
