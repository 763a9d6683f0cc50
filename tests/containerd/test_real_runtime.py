"""The embedded API server and kubelet with a real containerd, and kubectl as client."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec
import pytest

from tests.containerd.conftest import TOOLBOX_PORTS, RealChain, create, toolbox_pod
from tests.e2e.processes import PROGRAM, Process, environment, exchange, program, wait_until
from tests.support import forked_program
from tui_forward.model import DoctorHop, DoctorOutcome, DoctorResult, ReasonCode

pytestmark = [pytest.mark.containerd, pytest.mark.timeout(180)]

TRANSPORTS = pytest.mark.parametrize("websocket", ["true", "false"], ids=["websocket", "spdy"])


def local_ports(process: Process) -> dict[int, int]:
    """Return local ports by remote port, from "Forwarding from 127.0.0.1:LOCAL -> REMOTE"."""
    words = [line.split() for line in process.out if line.startswith("Forwarding from 127.0.0.1:")]
    return {int(word[4]): int(word[2].rpartition(":")[2]) for word in words}


@contextmanager
def port_forward(chain: RealChain, websocket: str) -> Iterator[tuple[Process, dict[int, int]]]:
    """Run kubectl port-forward to the toolbox; yield the local ports by remote port."""
    env = {**environment(chain.kubeconfig.parent), "KUBECTL_PORT_FORWARD_WEBSOCKETS": websocket}
    process = Process(
        *("kubectl", "--kubeconfig", str(chain.kubeconfig), "port-forward", "--address"),
        *("127.0.0.1", f"pod/{chain.pod}", *(f":{port}" for port in TOOLBOX_PORTS)),
        env=env,
    )
    try:
        wait_until(lambda: len(process.local_ports()) == len(TOOLBOX_PORTS), process.output())
        yield process, local_ports(process)
    finally:
        process.stop()


def test_sandbox_and_container_are_running(real_chain: RealChain) -> None:
    of_pod = 'labels."io.kubernetes.pod.name"==toolbox'
    ids = real_chain.containerd.ctr("containers", "ls", "--quiet", of_pod).split()
    tasks = dict(
        line.split()[::2] for line in real_chain.containerd.ctr("tasks", "ls").splitlines()[1:]
    )
    # The sandbox's process and the container's.
    assert [tasks[each] for each in ids] == ["RUNNING", "RUNNING"]


def test_pod_status_has_ids_and_ip_of_containerd(real_chain: RealChain) -> None:
    pod = real_chain.get_pod("toolbox")
    (container,) = pod["status"]["containerStatuses"]
    assert pod["status"]["phase"] == "Running"
    assert container["ready"]
    assert container["started"]
    assert container["containerID"].startswith("containerd://")
    assert container["imageID"].startswith("sha256:")
    assert pod["status"]["podIP"].startswith("10.99.")


@TRANSPORTS
def test_port_forward_transfers_bytes_in_both_directions(
    real_chain: RealChain, websocket: str
) -> None:
    with port_forward(real_chain, websocket) as (_, ports):
        assert exchange(ports[7000], b"hello", answer=5) == b"hello"
        size = 5_000_000
        assert len(exchange(ports[7002], b"%d\n" % size, answer=size)) == size
        data = b"%d\n" % size + b"u" * size
        assert exchange(ports[7001], data, answer=8) == b"%d\n" % size


@TRANSPORTS
def test_refusal_ends_kubectl_with_text_of_containerd(
    real_chain: RealChain, websocket: str
) -> None:
    with port_forward(real_chain, websocket) as (process, ports):
        assert exchange(ports[7999], b"x") == b""
        process.wait_for_output("failed to connect to localhost:7999 inside namespace")
        process.wait_for_output("connect: connection refused", "lost connection to pod")


def test_byte_counters_of_the_pod_are_exact(real_chain: RealChain) -> None:
    def counters() -> dict[str, int]:
        request = b"GET /counters?port=7002 HTTP/1.0\r\n\r\n"
        body = exchange(ports[7009], request).partition(b"\r\n\r\n")[2]
        counts: dict[str, int] = json.loads(body)
        return counts

    with port_forward(real_chain, "false") as (_, ports):
        before = counters()
        for size in (1, 1000, 3_000_000):
            assert len(exchange(ports[7002], b"%d\n" % size)) == size
        after = counters()
        assert after["sent"] - before["sent"] == 3_001_001
        assert after["received"] - before["received"] == len(b"1\n1000\n3000000\n")


def test_container_logs(real_chain: RealChain) -> None:
    assert "toolbox: serving" in real_chain.kubectl("logs", "toolbox")


def test_crashed_container_is_restarted_and_removed(real_chain: RealChain) -> None:
    create(real_chain, toolbox_pod("crashing"))
    real_chain.wait_until_ready("crashing")
    before = real_chain.get_pod("crashing")["status"]["containerStatuses"][0]
    container_id = before["containerID"].removeprefix("containerd://")
    real_chain.containerd.ctr("tasks", "kill", "--signal", "SIGKILL", container_id)

    def restarted() -> bool:
        status = real_chain.get_pod("crashing")["status"]["containerStatuses"][0]
        return status["restartCount"] == 1 and bool(status["ready"])

    wait_until(restarted, "the restart")
    after = real_chain.get_pod("crashing")["status"]["containerStatuses"][0]
    assert after["lastState"]["terminated"]["exitCode"] == 137
    assert after["containerID"] != before["containerID"]
    real_chain.kubectl("delete", "pod", "crashing", "--wait=true")
    wait_until(
        lambda: container_id not in real_chain.containerd.ctr("containers", "ls", "-q"),
        "the container to be removed",
    )


def test_pods_survive_restart_of_kubelet(real_chain: RealChain) -> None:
    before = real_chain.get_pod("toolbox")["status"]["containerStatuses"][0]
    real_chain.control.send("restart-component", component="kubelet", kill=True)
    real_chain.wait_until_ready("toolbox")
    after = real_chain.get_pod("toolbox")["status"]["containerStatuses"][0]
    assert after["containerID"] == before["containerID"]
    assert after["restartCount"] == 0
    with (
        port_forward(real_chain, "false") as (_, ports),
        socket.create_connection(("127.0.0.1", ports[7000]), timeout=60) as sock,
    ):
        sock.sendall(b"again")
        assert sock.recv(5) == b"again"


@pytest.mark.parametrize("transport", ["spdy", "websocket", "channels"])
def test_tui_forward_gets_bytes_and_refusals(real_chain: RealChain, transport: str) -> None:
    env = {
        **environment(real_chain.kubeconfig.parent),
        "KUBECONFIG": str(real_chain.kubeconfig),
    }
    ports = [port for port in TOOLBOX_PORTS if port != 7009]
    with program(
        *("forward", "pod/toolbox", *(f":{port}" for port in ports)),
        *("--transport", transport),
        env=env,
    ) as process:
        wait_until(lambda: len(process.local_ports()) == len(ports), process.output())
        local = local_ports(process)
        assert exchange(local[7000], b"hello", answer=5) == b"hello"
        size = 5_000_000
        received = exchange(local[7002], b"%d\n" % size)
        assert received == bytes(range(256)) * (size // 256) + bytes(range(size % 256))
        data = b"%d\n" % size + b"u" * size
        assert exchange(local[7001], data, answer=8) == b"%d\n" % size
        # Unlike other clients, it gets a reply that comes three seconds after its EOF.
        with socket.create_connection(("127.0.0.1", local[7006]), timeout=30) as sock:
            sock.sendall(b"hello\n")
            sock.shutdown(socket.SHUT_WR)
            assert sock.recv(100) == b"late hello\n"
        with pytest.raises(ConnectionResetError):
            exchange(local[7999], b"x", answer=1)
        # A refusal affects only its connection.
        assert exchange(local[7000], b"still", answer=5) == b"still"


def doctor(real_chain: RealChain, *arguments: str) -> list[DoctorResult]:
    environ = {
        **environment(real_chain.kubeconfig.parent),
        "KUBECONFIG": str(real_chain.kubeconfig),
    }
    done = forked_program.run(
        [*PROGRAM, "doctor", *arguments, "--json"], env=environ, capture_output=True, timeout=120
    )
    return [msgspec.json.decode(line, type=DoctorResult) for line in done.stdout.splitlines()]


def test_doctor_raises_no_false_alarm(real_chain: RealChain) -> None:
    results = doctor(real_chain, "pod/toolbox", "7000")
    assert [one for one in results if one.outcome is not DoctorOutcome.GOOD] == []
    assert {one.hop for one in results} == set(DoctorHop)


def test_doctor_names_a_port_that_refuses(real_chain: RealChain) -> None:
    results = doctor(real_chain, "pod/toolbox", "7999")
    (fault,) = [one for one in results if one.outcome is DoctorOutcome.FAULT]
    assert (fault.hop, fault.code) == (DoctorHop.PORT, ReasonCode.PORT_REFUSED)
