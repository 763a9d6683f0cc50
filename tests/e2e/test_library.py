"""The fixtures of the pytest plugin, as another project uses them, through a rollout."""

from __future__ import annotations

import random
import socket
import urllib.request
from collections.abc import Iterator

import pytest

from tui_forward import EventKind, ForwardState
from tui_forward.api.embedded_cluster import EmbeddedCluster
from tui_forward.api.pytest_plugin import PortForwardFactory
from tui_forward.minicluster.control_socket import ControlClient


@pytest.fixture(scope="session")
def kube_config_file(embedded_cluster: EmbeddedCluster) -> str:
    return embedded_cluster.kubeconfig


@pytest.fixture(autouse=True)
def random_sequence_is_that_of_the_test() -> Iterator[None]:
    """Fail if the threads of the library draw numbers that a test with a seed would miss."""
    before = random.getstate()
    yield
    assert random.getstate() == before


def test_service_is_reached(port_forward: PortForwardFactory) -> None:
    web = port_forward("svc/web", "http", namespace="shop")
    with urllib.request.urlopen(web.url(), timeout=30) as answer:
        assert answer.status == 200
    assert web.status.state is ForwardState.READY


def test_two_services_at_once(port_forward: PortForwardFactory) -> None:
    echo = port_forward("deploy/echo", "echo", namespace="shop")
    web = port_forward("svc/web", "http", namespace="shop")
    assert web.port != echo.port
    with socket.create_connection((echo.host, echo.port), 30) as client:
        client.sendall(b"ping")
        assert client.recv(4) == b"ping"


async def test_forward_follows_a_replaced_pod(
    port_forward: PortForwardFactory, embedded_cluster: EmbeddedCluster
) -> None:
    echo = port_forward("deploy/echo", "echo", namespace="shop")
    before = echo.status.pod
    assert before is not None
    control = ControlClient(embedded_cluster.control, timeout_s=60)
    await control.request("delete-pod", namespace="shop", pod=before.name)
    for event in echo.events():
        replaced = echo.status.pod
        if event.event is EventKind.STATE and replaced and replaced.name != before.name:
            break
    assert echo.wait_ready(60).state is ForwardState.READY
    with socket.create_connection((echo.host, echo.port), 30) as client:
        client.sendall(b"ping")
        assert client.recv(4) == b"ping"
