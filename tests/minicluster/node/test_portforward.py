"""Ports of port-forward requests to the kubelet."""

from __future__ import annotations

import pytest

from tui_forward.minicluster.kubelet.portforward import RefusalError, parse_ports
from tui_forward.protocol.upgrade_server import HttpRequest


@pytest.mark.parametrize(
    ("query", "ports", "text"),
    [
        ("port=80", [80], ""),
        ("port=80,8080&port=80", [80, 8080, 80], ""),
        ("", [], 'query parameter "port" is required'),
        ("port=0", [], 'port "0" must be > 0'),
        ("port=x", [], 'unable to parse "x" as a port'),
        ("port=70000", [], 'unable to parse "70000" as a port'),
    ],
)
def test_ports_of_legacy_requests_are_parsed(query: str, ports: list[int], text: str) -> None:
    headers = [("Connection", "Upgrade"), ("Upgrade", "websocket")]
    request = HttpRequest("GET", f"/portForward/a/b?{query}", headers)
    if text:
        with pytest.raises(RefusalError) as caught:
            parse_ports(request)
        assert caught.value.raw.endswith(text.encode())
    else:
        assert parse_ports(request) == ports
