from __future__ import annotations

import pytest

from tests.catalog.factories import pod, service
from tui_forward.catalog.port_resolution import (
    PortResolutionError,
    find_service_port,
    resolve_pod_port,
    resolve_service_port,
)
from tui_forward.model import DeclaredPort, PortProtocol
from tui_forward.reasons import reason_hint, reason_text

UDP = PortProtocol.UDP
BOTH = (DeclaredPort(number=53, name="dns-udp", protocol=UDP), DeclaredPort(number=53, name="dns"))


@pytest.mark.parametrize(
    ("port", "expected"), [("http", 8080), ("8080", 8080), ("9999", 9999), ("1", 1)]
)
def test_ports_of_a_pod(port: str, expected: int) -> None:
    assert resolve_pod_port(pod(), port) == expected


def test_port_with_udp_and_tcp_is_accepted() -> None:
    assert resolve_pod_port(pod(ports=BOTH), "53") == 53
    assert find_service_port(service(*BOTH), "53").name == "dns"
    # kubectl compares the number, and that exists as TCP too.
    assert find_service_port(service(*BOTH), "dns-udp").number == 53


@pytest.mark.parametrize(
    ("port", "expected", "hint"),
    [
        ("https", 'pod web-1 has no port named "https"', "http (8080)"),
        ("dns", "is UDP", "TCP"),
        ("53", "is UDP", "TCP"),
        ("0", "is not a port number", "65535"),
        ("65536", "is not a port number", "65535"),
        ("", "no port named", "http"),
        ("٣", "no port named", "http"),
    ],
)
def test_unknown_pod_ports(port: str, expected: str, hint: str) -> None:
    with pytest.raises(PortResolutionError) as caught:
        resolve_pod_port(pod(), port)
    assert expected in reason_text(caught.value.reason)
    assert hint in reason_hint(caught.value.reason)


def test_hint_for_a_pod_without_ports() -> None:
    with pytest.raises(PortResolutionError) as caught:
        resolve_pod_port(pod(ports=()), "http")
    assert "can be given by number" in reason_hint(caught.value.reason)


@pytest.mark.parametrize(
    ("declared", "port", "expected"),
    [
        (DeclaredPort(number=80, name="www", target="http"), "80", 8080),
        (DeclaredPort(number=80, name="www", target="http"), "www", 8080),
        (DeclaredPort(number=80, name="www", target="9090"), "www", 9090),
        (DeclaredPort(number=80, name="www"), "80", 80),
    ],
)
def test_ports_of_a_service(declared: DeclaredPort, port: str, expected: int) -> None:
    assert resolve_service_port(service(declared), pod(), port) == expected


@pytest.mark.parametrize("port", ["80", "www"])
def test_headless_service_does_not_map_ports(port: str) -> None:
    declared = DeclaredPort(number=80, name="www", target="http")
    assert resolve_service_port(service(declared, cluster_ip="None"), pod(), port) == 80


@pytest.mark.parametrize(
    ("declared", "port", "expected", "hint"),
    [
        (DeclaredPort(number=80, name="www"), "81", "svc/web has no port 81", "www (80)"),
        (DeclaredPort(number=80), "web", 'no port named "web"', "80"),
        (DeclaredPort(number=80, name="q", protocol=UDP), "80", "is UDP", "TCP"),
        (DeclaredPort(number=80, name="q", protocol=UDP), "q", "is UDP", "TCP"),
        (
            DeclaredPort(number=80, target="admin"),
            "80",
            'leads to a port named "admin", which pod web-1 does not have',
            "http (8080)",
        ),
        # A pod's port that the service does not declare: kubectl refuses it, too.
        (DeclaredPort(number=80, target="http"), "8080", "has no port 8080", "80"),
    ],
)
def test_unknown_service_ports(declared: DeclaredPort, port: str, expected: str, hint: str) -> None:
    with pytest.raises(PortResolutionError) as caught:
        resolve_service_port(service(declared), pod(), port)
    assert expected in reason_text(caught.value.reason)
    assert hint in reason_hint(caught.value.reason)


def test_headless_service_must_declare_the_port() -> None:
    with pytest.raises(PortResolutionError, match="no port 8080"):
        resolve_service_port(service(cluster_ip="None"), pod(), "8080")
