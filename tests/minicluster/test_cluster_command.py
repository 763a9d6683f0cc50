"""`tui-forward cluster fault` and `cluster user` on a running cluster."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.cluster_process import ONE_NODE, ClusterProcess, running_cluster
from tui_forward.cli.main import main
from tui_forward.minicluster.named_faults import FAULTS

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClusterProcess]:
    with running_cluster(*ONE_NODE, "--no-workloads") as running:
        yield running


@pytest.fixture
def run(
    cluster: ClusterProcess, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Return a function that runs a command beside the cluster's kubeconfig."""
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))

    def run_it(*arguments: str) -> tuple[int, str, str]:
        code = main(["cluster", *arguments])
        return (code, *capfd.readouterr())

    return run_it


def test_list_has_a_line_for_each_fault_and_marks_those_that_are_on(run: Run) -> None:
    code, out, _ = run("fault", "list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == [each.name for each in FAULTS]
    assert run("fault", "gateway-502", "on")[0] == 0
    _, out, _ = run("fault", "list")
    marked = [line for line in out.splitlines() if line.startswith("on ")]
    assert [line.split()[1] for line in marked] == ["gateway-502"]
    _, out, _ = run("fault", "list", "--json")
    assert [json.loads(line)["on"] for line in out.splitlines()].count(True) == 1
    code, out, err = run("fault", "gateway-502", "off")
    assert (code, out, err) == (0, "", "gateway-502 is off\n")
    assert not [line for line in run("fault", "list")[1].splitlines() if line[0] != " "]


def test_fault_of_an_object_says_how_to_see_it(run: Run) -> None:
    code, _, err = run("fault", "service-no-pods")
    assert code == 0
    assert "service-no-pods is on" in err
    assert "tui-forward forward -n faults svc/service-no-pods 80" in err
    assert run("fault", "clear") == (0, '{"ok": true}\n', "")


def test_requests_to_components_have_fields(run: Run) -> None:
    assert run("fault", "delay", "component=apiserver", "seconds=0")[1] == '{"ok": true}\n'
    code, _, err = run("fault", "nonsense")
    assert code == 1
    assert "unknown fault 'nonsense'" in err


@pytest.mark.parametrize("state", [(), ("on",), ("off",)], ids=["", "on", "off"])
@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("kubelet-down", "Did you mean kubelet-paused, kubelet-forbidden or kubelet-stopped?"),
        ("gateway_502", "Did you mean gateway-502"),
        ("port-close", "Did you mean port-closes"),
        ("nonsense", "`list` shows all faults."),
    ],
)
def test_similar_faults_are_named(run: Run, name: str, hint: str, state: tuple[str, ...]) -> None:
    code, out, err = run("fault", name, *state)
    assert (code, out) == (1, "")
    assert f"unknown fault {name!r}" in err
    assert hint in err


def test_user_gets_a_context(run: Run, cluster: ClusterProcess) -> None:
    assert run("user", "eve", "--group", "dev", "-n", "shop") == (0, "eve\n", "")
    assert "eve" in cluster.kubeconfig.read_text()


def test_only_running_cluster_is_found_without_a_kubeconfig(
    run: Run, cluster: ClusterProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBECONFIG")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert "no embedded cluster runs" in run("fault", "list")[2]
    folder = tmp_path / "minicluster-a"
    folder.mkdir()
    (folder / "control.sock").symlink_to(cluster.control.path)
    assert run("fault", "list")[0] == 0
    (tmp_path / "minicluster-b").symlink_to(folder)
    assert "several embedded clusters run" in run("fault", "list")[2]
