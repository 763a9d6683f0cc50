from __future__ import annotations

import pytest

from tui_forward.errors import ConfigError
from tui_forward.kube.proxy_selection import select_proxy


def chosen(host: str, environ: dict[str, str], *, port: int = 6443, tls: bool = True) -> str | None:
    proxy = select_proxy(host, port, tls=tls, proxy_url="", environ=environ, origin="x")
    return None if proxy is None else str(proxy)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ({"https_proxy": "p:1"}, "http://p:1"),
        ({"HTTPS_PROXY": "socks5://p:1"}, "socks5://p:1"),
        ({"HTTP_PROXY": "http://p:1"}, None),
        ({"ALL_PROXY": "http://p:1"}, None),
    ],
)
def test_environment_is_read_as_in_go(environ: dict[str, str], expected: str | None) -> None:
    assert chosen("k8s.example", environ) == expected


@pytest.mark.parametrize(
    ("host", "no_proxy", "bypassed"),
    [
        ("k8s.example", "", False),
        ("k8s.example", "*", True),
        ("k8s.example", "example", True),
        ("k8s.example", ".example", True),
        ("k8s.example", "*.example", True),
        ("example", ".example", False),
        ("notexample", "example", False),
        ("k8s.example", "other, k8s.example", True),
        ("k8s.example", "k8s.example:6443", True),
        ("k8s.example", "k8s.example:443", False),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "192.168.0.0/16,garbage/x", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("fd00::1", "fd00::/8", True),
        ("fd00::1", "[fd00::1]:6443", True),
        ("fd00::1", "FD00:0::1", True),
        ("k8s.example", ".", False),
        ("k8s.example", ":6443", False),
        ("127.0.0.1", "", True),
        ("::1", "", True),
        ("localhost", "", True),
        ("LOCALHOST", "", True),
        ("localhost.", "", False),
        ("k8s.example.", "k8s.example", False),
        ("192.0.2.1", "192.000.2.0/24", True),
        ("192.0.2.1", "192.0.2.001", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("::ffff:192.0.2.1", "192.0.2.0/24", True),
        ("::ffff:127.0.0.1", "", True),
    ],
)
def test_no_proxy_entry_bypasses_the_proxy(host: str, no_proxy: str, bypassed: bool) -> None:
    environ = {"HTTPS_PROXY": "http://p:1", "NO_PROXY": no_proxy}
    assert (chosen(host, environ) is None) is bypassed


def test_http_server_uses_http_proxy() -> None:
    assert chosen("k8s", {"HTTP_PROXY": "http://p:1"}, tls=False) == "http://p:1"


def test_proxy_url_takes_precedence_over_the_environment() -> None:
    environ = {"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}
    found = select_proxy(
        "127.0.0.1", 1, tls=True, proxy_url="socks5://q:2", environ=environ, origin="x"
    )
    assert str(found) == "socks5://q:2"


@pytest.mark.parametrize(
    "url",
    [
        "ftp://me:hunter2@p:1",
        "http://",
        "http://me:hunter2@p:99999",
        "socks5://:1",
        "socks5h://me:hunter2@p:1",
        "http://me:hunter2%zz@p:1",
        "http://me:hunter2%@p:1",
    ],
)
def test_invalid_proxy_url_is_an_error_without_password(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        select_proxy("h", 1, tls=True, proxy_url=url, environ={}, origin='cluster "c"')
    assert 'proxy-url of cluster "c"' in str(caught.value)
    assert "hunter2" not in str(caught.value) + caught.value.hint
