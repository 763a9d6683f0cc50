from __future__ import annotations

import pytest

from tui_forward.cli.proxy_runner import example_text
from tui_forward.model import LocalAddress, ProxyInfo, ProxySpec


@pytest.mark.parametrize(
    ("auth_file", "expected"),
    [
        (
            "",
            "http://SERVICE.NAMESPACE.localhost:1080/ in a browser, "
            "curl --proxy socks5h://127.0.0.1:1080 http://SERVICE.NAMESPACE/",
        ),
        ("/x", "curl --proxy socks5h://NAME:PASSWORD@127.0.0.1:1080 http://SERVICE.NAMESPACE/"),
    ],
)
def test_example_works_with_a_password(auth_file: str, expected: str) -> None:
    listening = (LocalAddress("::1", 1080), LocalAddress("127.0.0.1", 1080))
    spec = ProxySpec(context="here", namespace="shop", auth_file=auth_file)
    assert example_text(ProxyInfo(id="p1", spec=spec, listening=listening)) == expected
