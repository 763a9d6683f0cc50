from __future__ import annotations

import pytest

from tui_forward.model import DeclaredPort, PortProtocol, Service
from tui_forward.tui.viewmodel.entries import service_entry
from tui_forward.tui.viewmodel.entry_targets import unforwardable_reason

PORTS = (
    DeclaredPort(number=80, name="http"),
    DeclaredPort(number=53, name="dns", protocol=PortProtocol.UDP),
)


@pytest.mark.parametrize(
    ("external_name", "ports", "number", "expected"),
    [
        ("", PORTS, 1, ""),
        ("", PORTS, 2, "UDP cannot be forwarded"),
        ("", PORTS, 3, "web declares only 2 ports"),
        ("", (), 1, "web declares no ports"),
        (
            "db.example.com", PORTS, 1,
            "svc/web is the ExternalName db.example.com, so it has no pods to forward to → "
            "Connect to db.example.com instead",
        ),
        (
            "db.example.com", (), 1,
            "svc/web is the ExternalName db.example.com, so it has no pods to forward to → "
            "Connect to db.example.com instead",
        ),
    ],
)  # fmt: skip
def test_reason_why_a_port_cannot_be_forwarded(
    external_name: str, ports: tuple[DeclaredPort, ...], number: int, expected: str
) -> None:
    entry = service_entry(
        Service(namespace="shop", name="web", external_name=external_name, ports=ports)
    )
    assert unforwardable_reason(entry, number) == expected
