from __future__ import annotations

import asyncio
import base64
import errno
import os
import ssl
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from tests.kube.api_server import ApiServer, serving
from tests.kube.certificates import Authority, server_context
from tests.kube.kubeconfigs import cluster_for, kubeconfig, write
from tests.kube.proxy_servers import ConnectProxy, Proxy, SocksProxy, running
from tui_forward.errors import ConfigError, TransportError
from tui_forward.kube import PODS, ClusterClient
from tui_forward.model import BlockedBy
from tui_forward.transport.proxy_address import parse_proxy_url


def b64(content: bytes) -> str:
    return base64.b64encode(content).decode()


@pytest.fixture
async def named(tmp_path: Path, authority: Authority) -> AsyncIterator[ApiServer]:
    """A server whose certificate is for the name "kubernetes" only."""
    folder = tmp_path / "server"
    folder.mkdir()
    pair = authority.issue("server", names=("kubernetes",))
    async with serving(tls=server_context(pair, folder, clients=authority)) as server:
        yield server


def cluster(
    path: Path, server: str, authority: Authority, options: dict[str, Any], *, client: bool = True
) -> ClusterClient:
    user = {"token": "t"}
    if client:
        pair = authority.issue("me")
        user = {
            "client-certificate-data": b64(pair.certificate),
            "client-key-data": b64(pair.key),
        }
    options = {"certificate-authority-data": b64(authority.pem), **options}
    return cluster_for(write(path, kubeconfig(server, user=user, cluster=options)))


async def ok(cluster: ClusterClient) -> str:
    health = await cluster.health()
    await cluster.close()
    return health.error


async def test_tls_server_name_is_verified(
    config_path: Path, named: ApiServer, authority: Authority
) -> None:
    found = cluster(config_path, named.url, authority, {"tls-server-name": "kubernetes"})
    assert (await found.endpoint()).server_hostname == "kubernetes"
    assert await ok(found) == ""


async def test_wrong_server_name_is_rejected_with_a_hint(
    config_path: Path, named: ApiServer, authority: Authority
) -> None:
    found = cluster(config_path, named.url, authority, {})
    health = await found.health()
    await found.close()
    assert "is not for '127.0.0.1'" in health.error
    assert "tls-server-name" in health.hint


async def test_unknown_authority_is_rejected(config_path: Path, named: ApiServer) -> None:
    other = Authority("another")
    found = cluster(config_path, named.url, other, {"tls-server-name": "kubernetes"})
    health = await found.health()
    await found.close()
    assert "not trusted" in health.error
    assert "certificate-authority" in health.hint


async def test_insecure_skips_verification(
    config_path: Path, named: ApiServer, authority: Authority
) -> None:
    options = {"certificate-authority-data": "", "insecure-skip-tls-verify": True}
    found = cluster(config_path, named.url, authority, options)
    assert found.insecure
    assert await ok(found) == ""


@pytest.mark.parametrize("inline", [True, False])
async def test_insecure_with_an_authority_is_refused(
    config_path: Path, tmp_path: Path, named: ApiServer, authority: Authority, *, inline: bool
) -> None:
    options: dict[str, Any] = {"insecure-skip-tls-verify": True}
    if not inline:
        path = tmp_path / "ca.pem"
        path.write_bytes(authority.pem)
        options |= {"certificate-authority-data": "", "certificate-authority": str(path)}
    found = cluster(config_path, named.url, authority, options)
    health = await found.health()
    await found.close()
    assert health.blocked_by is BlockedBy.CONFIG
    assert "sets both certificate-authority and insecure-skip-tls-verify" in health.error
    assert not named.requests


async def test_expired_server_certificate_is_reported(
    config_path: Path, tmp_path: Path, authority: Authority
) -> None:
    expired = server_context(authority.issue("server", days=-1), tmp_path)
    async with serving(tls=expired) as server:
        found = cluster(config_path, server.url, authority, {})
        health = await found.health()
        await found.close()
    assert "expired" in health.error
    assert "clock" in health.hint


async def test_missing_client_certificate_is_reported(
    config_path: Path, named: ApiServer, authority: Authority
) -> None:
    options = {"tls-server-name": "kubernetes"}
    error = await ok(cluster(config_path, named.url, authority, options, client=False))
    assert "TLS" in error or "broke" in error


async def test_plain_http_server_is_reported(config_path: Path, authority: Authority) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.0 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        found = cluster(config_path, f"https://127.0.0.1:{port}", authority, {})
        health = await found.health()
        await found.close()
    assert "does not support TLS" in health.error
    assert "http://" in health.hint


@pytest.mark.parametrize("memory", [True, False])
async def test_client_key_leaves_no_file(
    config_path: Path,
    tmp_path: Path,
    named: ApiServer,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    memory: bool,
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    if not memory:
        monkeypatch.delattr(os, "memfd_create", raising=False)
    seen: list[int] = []
    load = ssl.SSLContext.load_cert_chain

    def spy(self: ssl.SSLContext, path: str, *args: Any, **options: Any) -> None:
        seen.append(Path(path).stat().st_mode & 0o77)
        load(self, path, *args, **options)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", spy)
    found = cluster(config_path, named.url, authority, {"tls-server-name": "kubernetes"})
    assert await ok(found) == ""
    assert seen
    assert memory or seen == [0]
    assert listing(folder) == []


@pytest.mark.parametrize("memory", [True, False])
async def test_client_key_that_fits_nowhere_is_one_error(
    config_path: Path, named: ApiServer, authority: Authority, monkeypatch: pytest.MonkeyPatch,
    memory: bool,
) -> None:  # fmt: skip
    """RLIMIT_FSIZE is 0, or there is neither /proc nor a folder for temporary files."""

    def fail(*_: object, **__: object) -> int:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))

    if memory:
        monkeypatch.setattr(os, "write", fail)
    else:
        monkeypatch.delattr(os, "memfd_create", raising=False)
        monkeypatch.setattr(tempfile, "mkstemp", fail)
    found = cluster(config_path, named.url, authority, {"tls-server-name": "kubernetes"})
    with pytest.raises(
        ConfigError, match=r"cannot be passed to OpenSSL .*: file too large"
    ) as caught:
        await found.endpoint()
    assert "TMPDIR" in caught.value.hint


def listing(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_key_with_passphrase_does_not_prompt(config_path: Path, authority: Authority) -> None:
    pair = authority.issue("me")
    key = serialization.load_pem_private_key(pair.key, None)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"passphrase"),
    )
    user = {
        "client-certificate-data": b64(pair.certificate),
        "client-key-data": b64(locked),
    }
    found = cluster_for(write(config_path, kubeconfig("https://x", user=user)))
    with pytest.raises(ConfigError, match="passphrase") as caught:
        await found.endpoint()
    assert caught.value.hint


@pytest.mark.parametrize(
    ("user", "options", "expected"),
    [
        (None, {"certificate-authority-data": b64(b"no pem")}, "contains no valid PEM certificate"),
        (None, {"certificate-authority-data": "!"}, "not base64"),
        (None, {"certificate-authority": "none.crt"}, "cannot be read"),
        ("garbage", {}, "cannot be used"),
        ("mismatch", {}, "cannot be used"),
        (None, {"proxy-url": "ftp://x"}, "unknown scheme"),
        (None, {"server": ""}, "no server address"),
        (None, {"server": "ftp://x"}, "not an http"),
        (None, {"server": "https://x:99999"}, "not a valid URL"),
    ],
)
async def test_invalid_certificate_setting_is_a_config_error(
    config_path: Path,
    authority: Authority,
    user: str | None,
    options: dict[str, Any],
    expected: str,
) -> None:
    one, two = authority.issue("one"), authority.issue("two")
    users = {
        None: {"token": "t"},
        "garbage": {"client-certificate-data": b64(b"x"), "client-key-data": b64(b"y")},
        "mismatch": {
            "client-certificate-data": b64(one.certificate),
            "client-key-data": b64(two.key),
        },
    }
    content = kubeconfig("https://x", user=users[user], cluster=options)
    with pytest.raises(ConfigError, match=expected) as caught:
        await cluster_for(write(config_path, content)).endpoint()
    assert caught.value.hint


async def test_ca_bundle_may_contain_comments(
    config_path: Path, named: ApiServer, authority: Authority
) -> None:
    bundle = "# Größe\n".encode() + Authority("x").pem + b"\n# Zwei\n" + authority.pem
    (config_path.parent / "ca.crt").write_bytes(bundle)
    options = {
        "certificate-authority-data": "",
        "certificate-authority": "ca.crt",
        "tls-server-name": "kubernetes",
    }
    assert await ok(cluster(config_path, named.url, authority, options)) == ""


async def test_rotated_client_certificate_is_used_at_once(
    config_path: Path, authority: Authority
) -> None:
    folder = config_path.parent
    one, two = authority.issue("one"), authority.issue("two")
    put(folder, one.certificate, one.key)
    user = {"client-certificate": "me.crt", "client-key": "me.key"}
    found = cluster_for(write(config_path, kubeconfig("https://x", user=user)))
    before = await found.endpoint()
    assert await found.endpoint() is before
    put(folder, two.certificate, two.key + b"\n")
    assert await found.endpoint() is not before


def put(folder: Path, certificate: bytes, key: bytes) -> None:
    (folder / "me.crt").write_bytes(certificate)
    (folder / "me.key").write_bytes(key)


@pytest.mark.parametrize(
    ("server", "options", "expected"),
    [
        ("https://x", {}, ("x", 443, True, "")),
        ("http://x", {}, ("x", 80, False, "")),
        (
            "https://[fd00::1]:6443/k8s/clusters/c-1/",
            {},
            ("fd00::1", 6443, True, "/k8s/clusters/c-1"),
        ),
        ("x:8080", {}, ("x", 8080, False, "")),
        ("x:6443", {"insecure-skip-tls-verify": True}, ("x", 6443, False, "")),
        ("x:6443/", {"certificate-authority-data": "YQ=="}, ("x", 6443, False, "")),
        ("HTTPS://u:p@X:1?a=b#c", {}, ("x", 1, True, "")),
    ],
)
async def test_server_address_is_parsed_as_in_client_go(
    config_path: Path, server: str, options: dict[str, Any], expected: tuple[object, ...]
) -> None:
    found = cluster_for(write(config_path, kubeconfig(server, cluster=options)))
    endpoint = await found.endpoint()
    assert (
        endpoint.host,
        endpoint.port,
        endpoint.tls is not None,
        endpoint.path_prefix,
    ) == expected


@pytest.mark.parametrize("kind", [ConnectProxy, SocksProxy])
async def test_proxy_resolves_the_server_name(
    config_path: Path, named: ApiServer, authority: Authority, kind: type[Proxy]
) -> None:
    proxy = kind(named.port)
    async with running(proxy):
        options = {"proxy-url": proxy.url, "tls-server-name": "kubernetes"}
        found = cluster(config_path, "https://only.inside:6443", authority, options)
        assert await ok(found) == ""
        assert proxy.asked == ["only.inside:6443"]


@pytest.mark.parametrize("kind", [ConnectProxy, SocksProxy])
async def test_refusing_proxy_is_named_without_password(
    config_path: Path, named: ApiServer, authority: Authority, kind: type[Proxy]
) -> None:
    proxy = kind(named.port)
    proxy.refuse = True
    async with running(proxy):
        found = cluster(
            config_path, "https://only.inside:6443", authority, {"proxy-url": proxy.url}
        )
        health = await found.health()
        await found.close()
    assert f"the proxy {parse_proxy_url(proxy.url)} " in health.error
    assert "hunter2" not in health.error + health.hint


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_unreachable_proxy_is_named(
    config_path: Path, authority: Authority, scheme: str
) -> None:
    url = f"{scheme}://127.0.0.1:1"
    found = cluster(config_path, "https://only.inside:6443", authority, {"proxy-url": url})
    with pytest.raises(TransportError, match=r"127\.0\.0\.1:1"):
        async for _ in found.list_pages(PODS):
            pass
    await found.close()
