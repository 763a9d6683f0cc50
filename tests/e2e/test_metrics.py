"""`metrics` as a process: it serves what runs, starts nothing, and survives its clients."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

import msgspec
import pytest

from tests.e2e.processes import PROGRAM, Process, http_get, program, wait_until
from tests.support.engine_processes import engine_processes
from tests.support.forked_program import run
from tui_forward.cli.main import main
from tui_forward.daemon import session_store, unix_socket
from tui_forward.model import ForwardSpec, Target, TargetKind


def port_of(process: Process) -> int:
    process.wait_for_output("/metrics")
    return int(process.err[0].split(":")[2].split("/")[0])


@pytest.fixture
def saved_session(kubeconfig: Path) -> None:
    """An engine that was to keep running was killed: commands that attach would restart it."""
    target = Target(context="", namespace="shop", kind=TargetKind.SERVICE, name="web", port="http")
    saved = session_store.SavedSession(
        keep_running=True,
        forwards=(session_store.SavedForward(ForwardSpec(target=target), id="f1"),),
    )
    path = session_store.session_file(unix_socket.default_socket_path(None, os.environ))
    path.parent.mkdir(parents=True)
    path.write_bytes(msgspec.json.encode(saved))


def test_engine_that_is_gone_is_not_started(saved_session: None, own_home: Path) -> None:
    printed = run([*PROGRAM, "metrics"], capture_output=True, text=True, timeout=60, check=True)
    assert "tui_forward_up 0\n" in printed.stdout
    with program("metrics", "--listen", "127.0.0.1:0") as process:
        port = port_of(process)
        for _ in range(3):
            status, body = http_get(port, "/metrics?x=1")
            assert status == 200
            assert b"tui_forward_up 0\n" in body
    assert not engine_processes(own_home)


def test_metrics_of_a_running_engine_until_it_is_gone(saved_session: None, own_home: Path) -> None:
    run([*PROGRAM, "ls"], capture_output=True, timeout=60, check=True)  # restarts it
    with program("metrics", "--listen", "127.0.0.1:0") as process:
        port = port_of(process)
        status, body = http_get(port, "/metrics")
        assert status == 200
        assert b"tui_forward_up 1\n" in body
        assert b'target="shop/svc/web:http"' in body
        run([*PROGRAM, "stop", "--all"], capture_output=True, timeout=60, check=True)
        wait_until(lambda: not engine_processes(own_home), "the engine to end")
        wait_until(lambda: b"tui_forward_up 0\n" in http_get(port, "/metrics")[1], "the metric")


def test_more_connections_than_descriptors_leave_no_traceback(own_home: Path) -> None:
    clients: list[socket.socket] = []
    limited = 'ulimit -n 40; exec "$@"'
    process = Process("sh", "-c", limited, "sh", *PROGRAM, "metrics", "--listen", "127.0.0.1:0")
    try:
        port = port_of(process)
        for _ in range(300):
            client = socket.socket()
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect(("127.0.0.1", port))
            clients.append(client)
        wait_until(lambda: len(process.err) > 1, "the warning")
        while clients:
            clients.pop().close()

        def answers() -> bool:
            with contextlib.suppress(OSError, IndexError):
                return http_get(port, "/metrics")[0] == 200
            return False

        wait_until(answers, "an answer")
    finally:
        for client in clients:
            client.close()
        assert process.stop() == 0
    assert len(process.err) <= 3, process.output()
    assert all("warning: " in line for line in process.err[1:])


@pytest.mark.parametrize(
    ("listen", "text"),
    [("0.0.0.0:0", "other machines can reach it"), ("127.0.0.1,127.0.0.2:0", "error: ")],
)
def test_other_addresses_are_refused(
    listen: str, text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["metrics", "--listen", listen]) == 2
    err = capfd.readouterr().err
    assert text in err
    assert "bug" not in err
