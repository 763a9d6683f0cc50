"""The base install: the wheel without extras."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.processes import Process, http_get
from tests.e2e.pseudo_terminal import PseudoTerminal, terminal_environment
from tests.minicluster.kubectl import kubectls
from tests.packaging.base_install import install
from tests.support.cluster_process import ONE_NODE, ClusterProcess, running_cluster

PROFILE = """\
namespace: shop
forwards:
  web: {target: deploy/web, port: http, local: 0}
"""


@pytest.fixture(scope="module")
def programs(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(next(built.glob("*.whl")), tmp_path_factory.mktemp("base") / "venv")


@pytest.fixture(scope="module")
def running() -> Iterator[ClusterProcess]:
    with running_cluster(*ONE_NODE) as running:
        yield running


@pytest.fixture
def env(running: ClusterProcess, own_home: Path) -> dict[str, str]:
    """Return the environment of a user whose kubeconfig is that of the cluster."""
    return terminal_environment(own_home, KUBECONFIG=str(running.kubeconfig), PYTHONPATH="")


def test_forward(programs: Path, env: dict[str, str]) -> None:
    process = Process(
        str(programs / "tui-forward"), "forward", "-n", "shop", "deploy/web", ":http", env=env
    )
    try:
        process.wait_for_output("Forwarding from 127.0.0.1:")
        assert http_get(process.local_ports()[0])[0] == 200
    finally:
        assert process.stop(signal.SIGINT) == 0


def test_profile(programs: Path, env: dict[str, str], own_home: Path) -> None:
    file = own_home / "shop.yaml"
    file.write_text(PROFILE)
    for command in (["up", "-y", str(file)], ["ls"], ["down", str(file)]):
        done = subprocess.run(
            [programs / "tui-forward", *command],
            env=env, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        if command == ["ls"]:
            assert "deploy/web" in done.stdout


def test_dashboard(programs: Path, env: dict[str, str]) -> None:
    command = (str(programs / "tui-forward"), "-n", "shop")
    with PseudoTerminal(*command, env=env, size=(120, 36)) as terminal:
        terminal.wait_for_output("recommender", "[workloads]")
        terminal.send(b"q")
        assert terminal.wait(60) == 0


def test_no_package_of_an_extra_is_imported(programs: Path, env: dict[str, str]) -> None:
    script = (
        "from importlib.util import find_spec\n"
        "assert not [one for one in ('grpc', 'google', 'cryptography', 'mcp') if find_spec(one)]\n"
        "import tui_forward, tui_forward.session.local, tui_forward.tui.app\n"
        "print(tui_forward.__file__)\n"
    )
    done = subprocess.run(
        [programs / "python", "-P", "-c", script],
        env=env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(programs.parent)


@pytest.mark.parametrize(
    ("command", "error", "extra"),
    [
        (["cluster"], "the embedded cluster is not installed", "demo"),
        (["demo", "--report"], "the embedded cluster is not installed", "demo"),
        (["mcp"], "the server is not installed", "mcp"),
    ],
)
def test_command_of_an_extra_says_how_to_install_it(
    programs: Path, env: dict[str, str], command: list[str], error: str, extra: str
) -> None:
    done = subprocess.run(
        [programs / "tui-forward", *command],
        env=env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.splitlines()[-2:] == [
        f"error: {error}",
        f'hint:  pip install "tui-forward[{extra}]"',
    ]


@pytest.mark.kubectl
@pytest.mark.parametrize("kubectl", kubectls())
def test_kubectl_finds_its_plugin(programs: Path, env: dict[str, str], kubectl: Path) -> None:
    env["PATH"] = f"{programs}{os.pathsep}{env['PATH']}"
    listed = subprocess.run(
        [kubectl, "plugin", "list"], env=env, capture_output=True, text=True, check=False
    )
    assert f"{programs}/kubectl-tui_forward" in listed.stdout.splitlines()
    shown = subprocess.run(
        [kubectl, "tui-forward", "forward", "--help"],
        env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert shown.stdout.startswith("Usage: kubectl tui-forward forward ")
