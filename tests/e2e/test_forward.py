"""The command `forward` on the embedded cluster."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import psutil
import pytest

from tests.e2e.processes import PROGRAM, Process, exchange, http_get, program, wait_until
from tests.support.cluster_process import ClusterProcess
from tests.support.forked_program import ForkedProcess
from tests.support.free_ports import find_free_port
from tui_forward.cli.main import main

pytestmark = pytest.mark.usefixtures("kubeconfig")


def wait_for_port(process: Process) -> int:
    """Return the local port once it is printed."""
    process.wait_for_output("Forwarding from 127.0.0.1:")
    return process.local_ports()[0]


def test_service_prints_the_lines_of_kubectl() -> None:
    port = find_free_port()
    with program("forward", "svc/web", f"{port}:http", "-n", "shop", is_forked=False) as process:
        process.wait_for_output(
            f"Forwarding from 127.0.0.1:{port} -> 8080", f"Forwarding from [::1]:{port} -> 8080"
        )
        status, body = http_get(port)
        assert status == 200
        assert b"You reached pod" in body
        process.wait_for_output(f"Handling connection for {port}")
        assert exchange(port, b"GET /healthz HTTP/1.0\r\n\r\n", host="::1").startswith(
            b"HTTP/1.1 200"
        )
        assert process.stop(signal.SIGINT) == 0
    assert [line for line in process.out if not line.startswith("Handling")] == [
        f"Forwarding from 127.0.0.1:{port} -> 8080",
        f"Forwarding from [::1]:{port} -> 8080",
    ]


@pytest.mark.parametrize(
    ("arguments", "remote"),
    [
        (["deploy/web", "8080"], 8080),
        (["deployment.apps/web", ":metrics"], 9090),
        (["svc/web-direct", ":8888"], 8080),
        (["-l", "app=web", ":15000"], 15000),
    ],
)
def test_target_kinds(arguments: list[str], remote: int) -> None:
    with program("forward", *arguments, "-n", "shop") as process:
        port = wait_for_port(process)
        assert http_get(port)[0] == 200
        assert f"Forwarding from 127.0.0.1:{port} -> {remote}" in process.out


def test_statefulset_and_a_pod_without_owner() -> None:
    with program("forward", "sts/db", ":sql", "-n", "data") as process:
        assert exchange(wait_for_port(process), b"PING\nQUIT\n").startswith(b"+tiny-db")
    with program("forward", "echo", ":7000", "-n", "default") as process:
        assert exchange(wait_for_port(process), b"hello", answer=5) == b"hello"


@pytest.mark.parametrize("transport", ["spdy", "websocket", "channels"])
def test_every_transport_carries_both_directions(transport: str) -> None:
    data = os.urandom(3_000_000)
    with program("forward", "deploy/toolbox", ":7000", "-n", "ops", "--transport", transport) as it:
        port = wait_for_port(it)
        with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
            sender = threading.Thread(target=sock.sendall, args=(data,))
            sender.start()
            received = bytearray()
            while len(received) < len(data):
                received += sock.recv(1 << 20)
            sender.join()
        assert received == data


def test_several_ports_in_one_process_that_starts_no_other() -> None:
    with program("forward", "deploy/web", ":8080", ":9090", ":15000", "-n", "shop") as process:
        wait_until(lambda: len(process.local_ports()) == 3, "three ports")
        for port in process.local_ports():
            assert http_get(port)[0] == 200
        below = psutil.Process(process.popen.pid).children(recursive=True)
        assert below == []  # the engine runs in this process


def test_json_output_contains_only_events() -> None:
    with program("forward", "svc/web", ":http", "-n", "shop", "--json") as process:
        wait_until(lambda: any('"ready"' in line for line in process.out), "ready")
        listening = next(e for e in process.events if e["event"] == "listening")
        port = next(a["port"] for a in listening["listening"] if a["host"] == "127.0.0.1")
        assert http_get(port)[0] == 200
        wait_until(lambda: any("connection.closed" in line for line in process.out), "the end")
        assert process.stop() == 0
    events = process.events
    assert events[-1]["event"] == "stopped"
    assert [e["sequence"] for e in events] == list(range(1, len(events) + 1))
    assert {e["forward"] for e in events} == {events[0]["forward"]}
    closed = next(e for e in events if e["event"] == "connection.closed")["connection"]
    assert closed["bytes_from_pod"] > 100
    assert closed["bytes_to_pod"] == len(
        b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    assert process.err == []


def test_deleted_pod_is_followed_and_connections_are_queued(cluster: ClusterProcess) -> None:
    with program("forward", "deploy/echo", ":7000", "-n", "shop") as process:
        port = wait_for_port(process)
        pod = next(line for line in process.err if line.startswith("ready:"))
        failures: list[str] = []
        served = 0
        stop = threading.Event()

        def call_repeatedly() -> None:
            nonlocal served
            while not stop.is_set():
                began = time.monotonic()
                try:
                    if exchange(port, b"ping", answer=4) == b"ping":
                        served += 1
                    else:
                        failures.append(f"cut after {time.monotonic() - began:.2f} s")
                except OSError as error:
                    failures.append(str(error))

        thread = threading.Thread(target=call_repeatedly)
        thread.start()
        try:
            for _ in range(3):
                found = re.search(r"\becho-[a-z0-9]+-[a-z0-9]+\b", _all(process.err, "ready:")[-1])
                assert found, process.err
                count = len(_all(process.err, "ready:"))
                cluster.control.send("delete-pod", namespace="shop", pod=found[0], grace=0)
                wait_until(
                    lambda count=count: len(_all(process.err, "ready:")) > count,  # type: ignore[misc]
                    f"the replacement; {process.output()}",
                )
                enough = served + 5
                wait_until(lambda enough=enough: served > enough, "connections after it")  # type: ignore[misc]
        finally:
            stop.set()
            thread.join()
        assert pod
        # Only a connection that was open at the deletion may be cut.
        assert len(failures) <= 3, failures
        assert not [f for f in failures if "refused" in f]
        assert process.popen.poll() is None


def _all(lines: list[str], start: str) -> list[str]:
    return [line for line in lines if line.startswith(start)]


@pytest.mark.parametrize("sink", ["closed", "full", "pipe without a reader"])
def test_forward_outlives_its_output(sink: str) -> None:
    port = find_free_port()
    command = [*PROGRAM, "forward", "svc/web", f"{port}:http", "-n", "shop"]
    if sink == "full":
        if not Path("/dev/full").exists():
            pytest.skip("there is no /dev/full")
        output = os.open("/dev/full", os.O_WRONLY)
    else:
        reader, output = os.pipe()
        os.close(reader)
    if sink == "closed":  # which matters at the start of Python
        command = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command]
    process = ForkedProcess(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    os.close(output)
    try:

        def answers() -> bool:
            with contextlib.suppress(OSError):
                return http_get(port)[0] == 200
            return False

        wait_until(answers, "the forward")
        for _ in range(3):  # each prints "Handling connection"
            assert http_get(port)[0] == 200
        assert process.poll() is None
    finally:
        process.terminate()
        assert process.wait(60) == 0


def test_forward_under_nohup_outlives_its_terminal() -> None:
    process = Process("nohup", *PROGRAM, "forward", "svc/web", ":http", "-n", "shop")
    try:
        port = wait_for_port(process)
        process.popen.send_signal(signal.SIGHUP)
        for _ in range(3):
            assert http_get(port)[0] == 200
        assert process.popen.poll() is None
    finally:
        assert process.stop() == 0


def _shrink_pipe(descriptor: int) -> int:
    """Set the smallest capacity that the system allows; return it in bytes."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        return fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, 4096)
    return 64 * 1024  # of macOS


def test_full_stdout_pipe_blocks_no_connection() -> None:
    reader, writer = os.pipe()
    capacity = _shrink_pipe(writer)
    command = ForkedProcess(
        [*PROGRAM, "forward", "deploy/toolbox", "0:7000", "-n", "ops"],
        stdin=subprocess.DEVNULL, stdout=writer, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(writer)
    try:
        line = b""
        while not line.endswith(b"\n"):
            line += os.read(reader, 1)
        port = int(line.split()[2].rpartition(b":")[2])
        # "Handling connection for 12345" and the newline are 30 bytes.
        for _ in range(capacity // 30 + 20):
            assert exchange(port, b"ping", answer=4) == b"ping"
    finally:
        command.terminate()
        assert command.wait(60) == 0
        os.close(reader)


def test_other_address_is_used_with_a_warning() -> None:
    with program(
        "forward", "svc/web", ":http", "-n", "shop", "--address", "0.0.0.0"
    ) as process:  # fmt: skip
        process.wait_for_output("Forwarding from 0.0.0.0:", "other machines may reach")
        port = int(next(x for x in process.out if "0.0.0.0:" in x).split()[2].rpartition(":")[2])
        assert http_get(port)[0] == 200


def test_kubeconfig_from_a_list_and_from_an_option(
    cluster: ClusterProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'missing'}{os.pathsep}{cluster.kubeconfig}")
    with program("forward", "svc/web", ":http", "-n", "shop") as process:
        wait_for_port(process)
    monkeypatch.delenv("KUBECONFIG")
    with program(
        "--kubeconfig", str(cluster.kubeconfig), "-n", "shop", "forward", "svc/web", ":http"
    ) as process:  # fmt: skip
        wait_for_port(process)


def test_json_output_of_a_failure(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["forward", "no-such-pod", ":1", "-n", "shop", "--json"]) == 1
    out, err = capfd.readouterr()
    events = [json.loads(line) for line in out.splitlines()]
    assert {e["event"] for e in events} <= {"listening", "state", "stopped"}
    assert "no-such-pod" in err
