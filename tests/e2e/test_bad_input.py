"""User errors: one error line and a hint, never a traceback."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.e2e.processes import PROGRAM, http_get, program, wait_until
from tests.support import forked_program
from tests.support.cluster_process import ClusterProcess
from tui_forward.cli.main import main

Run = Callable[..., "Outcome"]
Config = dict[str, list[dict[str, dict[str, object]]]]


class Outcome:
    """What a command that failed printed: one error line, and perhaps a hint."""

    def __init__(self, code: int, out: str, err: str) -> None:
        lines = err.splitlines()
        self.error = next((x for x in lines if x.startswith("error: ")), "")
        self.hint = next((x for x in lines if x.startswith("hint: ")), "")
        assert code == 1, err
        assert "Traceback" not in err
        assert out == ""
        assert self.error, err
        assert len([x for x in lines if x.startswith("error: ")]) == 1
        assert len(lines) == 2, err
        assert self.hint, err


def run_process(*arguments: str, preexec: Callable[[], None] | None = None) -> Outcome:
    """Run `forward --quiet` as a process; assert that it fails with one error line and a hint."""
    done = forked_program.run(
        [*PROGRAM, "forward", "--quiet", *arguments], capture_output=True, text=True, timeout=60,
        stdin=subprocess.DEVNULL, preexec_fn=preexec,
    )  # fmt: skip
    return Outcome(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def run_failing(capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Return a function like `run_process` that runs the command in this process."""

    def run(*arguments: str) -> Outcome:
        code = main(["forward", "--quiet", *arguments])
        return Outcome(code, *capfd.readouterr())

    return run


def write_changed_kubeconfig(
    cluster: ClusterProcess, path: Path, change: Callable[[Config], object]
) -> Path:
    """Write a changed copy of the cluster's kubeconfig."""
    config = yaml.safe_load(cluster.kubeconfig.read_text())
    change(config)
    path.write_text(yaml.safe_dump(config))
    return path


def test_missing_kubeconfig(tmp_path: Path) -> None:
    assert "kubeconfig" in run_process("web", "80").error
    missing = tmp_path / "missing.yaml"
    assert str(missing) in run_process("web", "80", "--kubeconfig", str(missing)).error


@pytest.mark.parametrize(
    "text", ["{", "just words", "- a\n- list", "\x00\x01\x02", "kind: Config\ncontexts: 7\n"]
)
def test_invalid_kubeconfig(run_failing: Run, tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    assert str(path) in run_failing("web", "80", "--kubeconfig", str(path)).error


def test_unknown_context(run_failing: Run, cluster: ClusterProcess) -> None:
    outcome = run_failing(
        "web", "80", "--kubeconfig", str(cluster.kubeconfig), "--context", "nowhere"
    )
    assert '"nowhere"' in outcome.error
    assert "admin" in outcome.hint or "minicluster" in outcome.hint


def test_unresolvable_server_name(
    run_failing: Run, cluster: ClusterProcess, tmp_path: Path
) -> None:
    path = write_changed_kubeconfig(
        cluster, tmp_path / "config",
        lambda c: [x["cluster"].update(server="https://nowhere.invalid:1") for x in c["clusters"]],
    )  # fmt: skip
    assert "nowhere.invalid" in run_failing("web", "80", "--kubeconfig", str(path)).error


def test_untrusted_certificate(run_failing: Run, cluster: ClusterProcess, tmp_path: Path) -> None:
    def distrust(config: Config) -> None:
        for entry in config["clusters"]:
            for key in ("certificate-authority", "certificate-authority-data"):
                entry["cluster"].pop(key, None)

    path = write_changed_kubeconfig(cluster, tmp_path / "config", distrust)
    assert "certificate" in run_failing("web", "80", "--kubeconfig", str(path)).error


def test_wrong_credentials(run_failing: Run, cluster: ClusterProcess, tmp_path: Path) -> None:
    def forget(config: Config) -> None:
        for entry in config["users"]:
            entry["user"] = {"token": "wrong"}

    path = write_changed_kubeconfig(cluster, tmp_path / "config", forget)
    outcome = run_failing("echo", ":7000", "-n", "default", "--kubeconfig", str(path))
    assert re.search(
        r"401|[Uu]nauthorized|credentials|refused|does not accept the token", outcome.error
    ), outcome.error


def test_forbidden_error_names_verb_and_resource(run_failing: Run, cluster: ClusterProcess) -> None:
    outcome = run_failing(
        "echo", ":7000", "-n", "default", "--kubeconfig", str(cluster.kubeconfig),
        "--context", "alice",
    )  # fmt: skip
    assert re.search(r"\b(get|list|watch|create)\b.*\bpods", outcome.error), outcome.error


@pytest.mark.parametrize("target", ["no-such-pod", "svc/no-such", "deploy/no-such", "job/no-such"])
def test_unknown_target(run_failing: Run, cluster: ClusterProcess, target: str) -> None:
    outcome = run_failing(target, ":80", "-n", "shop", "--kubeconfig", str(cluster.kubeconfig))
    assert target.rpartition("/")[2] in outcome.error


def test_unknown_port_name(run_failing: Run, cluster: ClusterProcess) -> None:
    outcome = run_failing("svc/web", ":nope", "-n", "shop", "--kubeconfig", str(cluster.kubeconfig))
    assert "nope" in outcome.error


def test_port_of_another_protocol(run_failing: Run, cluster: ClusterProcess) -> None:
    outcome = run_failing(
        "svc/gateway", ":statsd", "-n", "shop", "--kubeconfig", str(cluster.kubeconfig)
    )
    assert "UDP" in outcome.error


def test_used_local_port_names_its_process(cluster: ClusterProcess) -> None:
    with contextlib.ExitStack() as stack:
        taken = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = taken.getsockname()[1]
        with contextlib.suppress(OSError):  # no ::1 here
            stack.enter_context(socket.create_server(("::1", port), family=socket.AF_INET6))
        outcome = run_process(
            "svc/web", f"{port}:http", "-n", "shop", "--kubeconfig", str(cluster.kubeconfig)
        )
    assert str(port) in outcome.error
    assert str(os.getpid()) in outcome.error + outcome.hint


@pytest.mark.parametrize(("held", "other"), [("::1", "127.0.0.1"), ("127.0.0.1", "[::1]")])
def test_port_used_on_one_address_of_localhost_is_a_warning(
    cluster: ClusterProcess, held: str, other: str
) -> None:
    family = socket.AF_INET6 if ":" in held else socket.AF_INET
    try:
        taken = socket.create_server((held, 0), family=family)
    except OSError:
        pytest.skip("this machine has no ::1")
    with taken:
        port = taken.getsockname()[1]
        with program(
            "forward", "svc/web", f"{port}:http", "-n", "shop",
            "--kubeconfig", str(cluster.kubeconfig),
        ) as process:  # fmt: skip
            process.wait_for_output(f"Forwarding from {other}:{port}", f":{port} is taken by ")
            assert any(f"({os.getpid()})" in line for line in process.err)


def test_default_local_port_in_use_is_replaced_with_a_note(cluster: ClusterProcess) -> None:
    with contextlib.ExitStack() as stack:

        def hold_port() -> bool:
            # Another test may hold it, and release it at any time.
            with contextlib.suppress(OSError):
                stack.enter_context(socket.create_server(("127.0.0.1", 8080)))
                return True
            return False

        wait_until(hold_port, "port 8080")
        process = stack.enter_context(
            program(
                "forward", "deploy/web", "8080", "-n", "shop",
                "--kubeconfig", str(cluster.kubeconfig),
            )
        )  # fmt: skip
        process.wait_for_output(
            "Forwarding from 127.0.0.1:", "local port 8080 is in use, listening on"
        )
        assert http_get(process.local_ports()[0])[0] == 200


def _without_privileges() -> None:
    """Drop the capability to bind low ports: PR_CAPBSET_DROP, CAP_NET_BIND_SERVICE."""
    if os.geteuid() == 0:
        ctypes.CDLL(None).prctl(24, 10, 0, 0, 0)


@pytest.mark.skipif(sys.platform != "linux", reason="macOS allows low ports")
def test_privileged_port(cluster: ClusterProcess) -> None:
    start = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    if int(start.read_text()) <= 81:
        pytest.skip("this machine allows low ports")
    outcome = run_process(
        "svc/web", "81:http", "-n", "shop", "--kubeconfig", str(cluster.kubeconfig),
        preexec=_without_privileges,
    )  # fmt: skip
    assert "81" in outcome.error
    assert re.search(r"privilege|permi", outcome.error), outcome.error


def test_pending_pod_is_waited_for_with_its_reason(cluster: ClusterProcess) -> None:
    with program(
        "forward", "deploy/search", ":8080", "-n", "shop", "--kubeconfig", str(cluster.kubeconfig)
    ) as process:  # fmt: skip
        process.wait_for_output("waiting:", "is not scheduled to a node")
        assert process.popen.poll() is None
