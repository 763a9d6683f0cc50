from __future__ import annotations

import base64
import json
import stat
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from tests.kube.certificates import Authority, server_context
from tests.kube.hostile_server import bomb
from tests.kube.kubeconfigs import cluster_for, text_of
from tests.kube.oidc_provider import IdentityProvider
from tests.kube.proxy_servers import ConnectProxy, Proxy, SocksProxy, running
from tui_forward.errors import AuthError
from tui_forward.kube import ClusterClient, KubeconfigSource
from tui_forward.kube.auth.oidc import OidcProvider
from tui_forward.kube.kubeconfig.loader import AuthProviderEntry, UserEntry

YAML = """\
# my clusters
apiVersion: v1
current-context: test
contexts:
- name: test
  context: {{cluster: test, user: me}}
clusters:
- name: test
  cluster: {{server: "https://x"}}
users:
- name: other
  user:
    auth-provider: {{name: oidc, config: {{id-token: keep, refresh-token: keep}}}}
- name: me
  user:
    auth-provider:
      name: oidc
      config:
        client-id: cli   # the client
        client-secret: hunter2-secret
        id-token: {token}
        refresh-token: {refresh_token}
        idp-issuer-url: {issuer}
        idp-certificate-authority-data: {authority}
"""


def jwt(expires_in: float, name: str = "t") -> str:
    def part(content: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")

    return f"{part({'alg': 'x'})}.{part({'exp': time.time() + expires_in, 'n': name})}.c2ln"


@pytest.fixture
async def provider(tmp_path: Path, authority: Authority) -> AsyncIterator[IdentityProvider]:
    tls = server_context(authority.issue("idp"), tmp_path)
    server = IdentityProvider(tls, {"id_token": jwt(3600, "new"), "refresh_token": "new-refresh"})
    await server.start()
    yield server
    await server.stop()


def config(
    path: Path,
    provider: IdentityProvider,
    authority: bytes,
    token: str,
    refresh_token: str = '"old-refresh"',
) -> Path:
    encoded = base64.b64encode(authority).decode()
    path.write_text(
        YAML.format(
            token=token, refresh_token=refresh_token, issuer=provider.url, authority=encoded
        )
    )
    path.chmod(0o640)
    return path


def mode_and_folder_content(path: Path) -> tuple[int, list[str]]:
    return stat.S_IMODE(path.stat().st_mode), sorted(p.name for p in path.parent.iterdir())


async def test_valid_token_is_used_unchanged(
    config_path: Path, provider: IdentityProvider, authority: Authority
) -> None:
    token = jwt(3600)
    cluster = cluster_for(config(config_path, provider, authority.pem, token))
    assert (await cluster.headers())["Authorization"] == f"Bearer {token}"
    assert provider.forms == []


async def test_expired_token_is_refreshed_and_written_back(
    config_path: Path, provider: IdentityProvider, authority: Authority
) -> None:
    config(config_path, provider, authority.pem, jwt(-10))
    before = text_of(config_path)
    cluster = cluster_for(config_path)
    fresh = provider.tokens["id_token"]
    assert (await cluster.headers())["Authorization"] == f"Bearer {fresh}"
    form = parse_qs(provider.forms[0])
    assert form["grant_type"] == ["refresh_token"]
    assert form["refresh_token"] == ["old-refresh"]
    after = text_of(config_path)
    # Only the two values changed: comments, order and the other user are unchanged.
    changed = [b for a, b in zip(before.splitlines(), after.splitlines(), strict=True) if a != b]
    assert [line.strip().split(":")[0] for line in changed] == ["id-token", "refresh-token"]
    assert "# the client" in after
    assert "new-refresh" in after
    assert mode_and_folder_content(config_path) == (0o640, ["config", "server.pem"])
    # The rewritten file does not invalidate the new token.
    assert (await cluster.headers())["Authorization"] == f"Bearer {fresh}"
    assert len(provider.forms) == 1


async def test_refused_token_is_refreshed_before_its_expiry(
    config_path: Path, provider: IdentityProvider, authority: Authority
) -> None:
    cluster = cluster_for(config(config_path, provider, authority.pem, jwt(3600)))
    await cluster.headers()
    fresh = provider.tokens["id_token"]
    assert (await cluster.headers(refresh=True))["Authorization"] == f"Bearer {fresh}"


def replace_secret(path: Path, secret: str) -> None:
    path.write_text(path.read_text().replace("hunter2-secret", secret))


async def test_client_and_secret_are_encoded_before_the_header(
    config_path: Path, provider: IdentityProvider, authority: Authority
) -> None:
    config(config_path, provider, authority.pem, jwt(-10))
    replace_secret(config_path, "s:e c+r%t")
    await cluster_for(config_path).headers()
    # RFC 6749, section 2.3.1; the server's heads are in lower case, which base64 does not survive.
    expected = base64.b64encode(b"cli:s%3Ae+c%2Br%25t").decode()
    assert f"authorization: basic {expected}".lower() in provider.heads[-1]


async def test_client_secret_is_sent_in_the_form_after_a_refused_header(
    config_path: Path, provider: IdentityProvider, authority: Authority
) -> None:
    provider.accept_header = False
    cluster = cluster_for(config(config_path, provider, authority.pem, jwt(-10)))
    await cluster.headers()
    assert parse_qs(provider.forms[1])["client_secret"] == ["hunter2-secret"]


@pytest.mark.parametrize("kind", [ConnectProxy, SocksProxy])
async def test_refresh_uses_the_proxy_of_the_environment(
    config_path: Path, tmp_path: Path, authority: Authority, kind: type[Proxy]
) -> None:
    tls = server_context(authority.issue("idp", names=("idp.inside",)), tmp_path)
    provider = IdentityProvider(tls, {"id_token": jwt(3600, "new")})
    await provider.start()
    proxy = kind(int(provider.url.split(":")[2].split("/")[0]))
    provider.url = "https://idp.inside/realm"
    async with running(proxy):
        path = config(config_path, provider, authority.pem, jwt(-10))
        cluster = ClusterClient(KubeconfigSource(path, environ={"HTTPS_PROXY": proxy.url}))
        fresh = provider.tokens["id_token"]
        assert (await cluster.headers())["Authorization"] == f"Bearer {fresh}"
        assert set(proxy.asked) == {"idp.inside:443"}
    await provider.stop()


async def test_symbolic_link_is_kept(
    tmp_path: Path, provider: IdentityProvider, authority: Authority
) -> None:
    real = config(tmp_path / "real", provider, authority.pem, jwt(-10))
    link = tmp_path / "link"
    link.symlink_to(real)
    await cluster_for(link).headers()
    assert link.is_symlink()
    assert "new-refresh" in text_of(real)


async def test_lock_of_another_program_is_respected(
    config_path: Path, provider: IdentityProvider, authority: Authority
) -> None:
    config(config_path, provider, authority.pem, jwt(-10))
    lock = config_path.with_name("config.lock")
    lock.touch()
    before = text_of(config_path)
    cluster = cluster_for(config_path)
    fresh = provider.tokens["id_token"]
    assert (await cluster.headers())["Authorization"] == f"Bearer {fresh}"
    assert text_of(config_path) == before
    assert lock.exists()


async def test_refresh_token_is_not_sent_to_an_untrusted_server(
    config_path: Path, provider: IdentityProvider
) -> None:
    other = Authority("other")
    cluster = cluster_for(config(config_path, provider, other.pem, jwt(-10)))
    with pytest.raises(AuthError, match="not trusted"):
        await cluster.headers()
    assert provider.forms == []


@pytest.mark.parametrize("part", ["discovery", "answer"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_refresh_token_does_not_follow_redirects(
    config_path: Path, tmp_path: Path, authority: Authority, part: str, status: int
) -> None:
    tls = server_context(authority.issue("idp"), tmp_path)
    tokens = {"id_token": jwt(3600, "new")}
    provider, elsewhere = IdentityProvider(tls, tokens), IdentityProvider(tls, tokens)
    await provider.start()
    await elsewhere.start()
    setattr(provider, part, (status, b""))
    provider.extra_headers = f"Location: {elsewhere.url}/.well-known/openid-configuration\r\n"
    cluster = cluster_for(config(config_path, provider, authority.pem, jwt(-10)))
    with pytest.raises(AuthError, match="redirects to 127.0.0.1" if part == "discovery" else "30"):
        await cluster.headers()
    assert not elsewhere.heads
    assert bool(provider.forms) == (part == "answer")
    await provider.stop()
    await elsewhere.stop()


async def test_compressed_response_is_refused(
    config_path: Path, provider: IdentityProvider, authority: Authority
) -> None:
    provider.discovery = (200, bomb(2**28))
    provider.extra_headers = "Content-Encoding: gzip\r\n"
    cluster = cluster_for(config(config_path, provider, authority.pem, jwt(-10)))
    with pytest.raises(AuthError, match="is compressed, which was not requested"):
        await cluster.headers()


@pytest.mark.parametrize("url", ["https://[", "https://x:99999999/", "http://", "x", "https:///"])
@pytest.mark.parametrize("part", ["issuer", "endpoint"])
async def test_invalid_address_is_an_error(
    config_path: Path, provider: IdentityProvider, authority: Authority, url: str, part: str
) -> None:
    if part == "endpoint":
        provider.discovery = (200, json.dumps({"token_endpoint": url}).encode())
    else:
        provider.url = f'"{url}"'
    config(config_path, provider, authority.pem, jwt(-10))
    with pytest.raises(AuthError):
        await cluster_for(config_path).headers()


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b'{"id_token":' + b"[" * 100_000, "not OpenID Connect"),
        (400, b'{"error":"invalid_grant","refresh_token":"old-refresh"}', "refused to refresh"),
        (200, b"{}", "returned no id_token"),
        (200, b"<html>", "not OpenID Connect"),
        (200, b"x" * 2_000_000, "is too long"),
    ],
)
async def test_refused_refresh_is_an_error_without_secrets(
    config_path: Path,
    provider: IdentityProvider,
    authority: Authority,
    status: int,
    body: bytes,
    expected: str,
) -> None:
    provider.answer = (status, body)
    cluster = cluster_for(config(config_path, provider, authority.pem, jwt(-10)))
    with pytest.raises(AuthError) as caught:
        await cluster.headers()
    assert expected in str(caught.value)
    text = str(caught.value) + caught.value.hint
    assert "old-refresh" not in text
    assert "hunter2" not in text


async def test_missing_refresh_token_requires_a_login(
    config_path: Path, provider: IdentityProvider, authority: Authority
) -> None:
    config(config_path, provider, authority.pem, jwt(-10), refresh_token='""')
    with pytest.raises(AuthError, match="has expired, and there is no refresh-token") as caught:
        await cluster_for(config_path).headers()
    assert "Log in again" in caught.value.hint


def test_tokens_are_exported_because_the_kubeconfig_may_be_read_only() -> None:
    """An identity provider may accept each refresh token only once."""

    def provider(**tokens: str) -> OidcProvider:
        entry = AuthProviderEntry("oidc", tuple(tokens.items()))
        return OidcProvider(UserEntry("me", auth_provider=entry), {})

    before = provider(**{"id-token": jwt(3600, "new"), "refresh-token": "second"})
    after = provider(**{"id-token": jwt(-3600, "old"), "refresh-token": "first"})
    kept = before.export()
    assert kept is not None
    after.adopt(kept)
    assert after.current() == before.current() is not None
    assert after.export() == kept
    assert kept.refresh_token == "second"
    assert provider().export() is None
