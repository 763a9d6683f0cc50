"""Every request and every tunnel goes through the proxy: only there the server has a name."""

from __future__ import annotations

import base64
import re
import ssl
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from tests.kube.api_server import serving
from tests.kube.certificates import Authority, server_context
from tests.kube.kubeconfigs import kubeconfig, write
from tests.kube.kubectl_peer import run_kubectl
from tests.kube.objects import pod
from tests.kube.proxy_servers import ConnectProxy, Proxy, SocksProxy, running
from tui_forward.common.blocking_call import run_in_thread
from tui_forward.errors import TransportError
from tui_forward.kube import PODS, ClusterClient, KubeconfigSource
from tui_forward.transport import connect

HOST = "api.inside.invalid"


async def first(items: Any) -> Any:
    async with aclosing(items):
        return await anext(items)


async def dial_tunnel(cluster: ClusterClient) -> None:
    stream = await connect(await cluster.endpoint(), timeout_s=10)
    stream.abort()


REQUESTS: dict[str, Callable[[ClusterClient], Any]] = {
    "list": lambda cluster: first(cluster.list_pages(PODS)),
    "get": lambda cluster: cluster.get(PODS, "shop", "web"),
    "watch": lambda cluster: first(cluster.watch(PODS, "shop", resource_version="1")),
    "log": lambda cluster: cluster.pod_log("shop", "web", lines=1, max_bytes=1000),
    "health": lambda cluster: cluster.health(),
    "tunnel": dial_tunnel,
}


@pytest.mark.parametrize("request_of", REQUESTS.values(), ids=list(REQUESTS))
@pytest.mark.parametrize("kind", [ConnectProxy, SocksProxy])
@pytest.mark.parametrize("source", ["kubeconfig", "environment"])
async def test_every_request_uses_the_proxy(
    config_path: Path,
    tmp_path: Path,
    authority: Authority,
    request_of: Callable[[ClusterClient], Any],
    kind: type[Proxy],
    source: str,
) -> None:
    tls = server_context(authority.issue("api", names=(HOST,)), tmp_path)
    async with serving(tls=tls) as api, running(proxy := kind(api.port)):
        api.put("pods", pod("web"))
        cluster_entry = {"certificate-authority-data": base64.b64encode(authority.pem).decode()}
        environ = {}
        if source == "kubeconfig":
            cluster_entry["proxy-url"] = proxy.url
        else:
            environ["HTTPS_PROXY"] = proxy.url
        content = kubeconfig(f"https://{HOST}:6443", cluster=cluster_entry)
        path = write(config_path, content)
        cluster = ClusterClient(KubeconfigSource(path, environ=environ))
        await request_of(cluster)
        assert set(proxy.asked) == {f"{HOST}:6443"}
        await cluster.close()


class SecureProxy:
    """A proxy that is reached by TLS and asks for a certificate, and kubeconfigs that name it."""

    def __init__(self, authority: Authority, folder: Path, port: int) -> None:
        tls = server_context(authority.issue("proxy"), folder)
        tls.verify_mode = ssl.CERT_OPTIONAL
        tls.load_verify_locations(cadata=authority.pem.decode())
        self.proxy = ConnectProxy(port, tls=tls)
        self.client = authority.issue("client")
        self._authority = authority

    def kubeconfig(self, scheme: str = "https", **cluster: Any) -> dict[str, Any]:
        entry = {
            "certificate-authority-data": base64.b64encode(self._authority.pem).decode(),
            "proxy-url": self.proxy.url,
            **cluster,
        }
        user = {
            "client-certificate-data": base64.b64encode(self.client.certificate).decode(),
            "client-key-data": base64.b64encode(self.client.key).decode(),
        }
        return kubeconfig(f"{scheme}://{HOST}:6443", user=user, cluster=entry)


@pytest.mark.parametrize("request_of", [REQUESTS["get"], REQUESTS["tunnel"]])
async def test_client_certificate_is_shown_to_a_proxy_with_tls(
    config_path: Path,
    tmp_path: Path,
    authority: Authority,
    request_of: Callable[[ClusterClient], Any],
) -> None:
    tls = server_context(authority.issue("api", names=(HOST,)), tmp_path)
    async with serving(tls=tls) as api:
        secure = SecureProxy(authority, tmp_path, api.port)
        async with running(secure.proxy):
            api.put("pods", pod("web"))
            path = write(config_path, secure.kubeconfig())
            cluster = ClusterClient(KubeconfigSource(path, environ={}))
            await request_of(cluster)
            await cluster.close()
    certificate = ssl.PEM_cert_to_DER_cert(secure.client.certificate.decode())
    assert set(secure.proxy.shown) == {certificate}


@pytest.mark.kubectl
@pytest.mark.parametrize(
    ("cluster", "accepted"),
    [
        ({}, True),
        # The proxy is verified like the cluster.
        ({"certificate-authority-data": None, "insecure-skip-tls-verify": True}, True),
        ({"certificate-authority-data": None}, False),
    ],
)
async def test_proxy_with_tls_as_kubectl(
    config_path: Path,
    tmp_path: Path,
    authority: Authority,
    cluster: dict[str, Any],
    accepted: bool,
) -> None:
    tls = server_context(authority.issue("api", names=(HOST,)), tmp_path)
    async with serving(tls=tls) as api:
        secure = SecureProxy(authority, tmp_path, api.port)
        async with running(secure.proxy):
            api.put("pods", pod("web"))
            content = secure.kubeconfig(**cluster)
            entry = content["clusters"][0]["cluster"]
            content["clusters"][0]["cluster"] = {k: v for k, v in entry.items() if v is not None}
            path = write(config_path, content)
            raw = ("get", "--raw", "/api/v1/pods", "--request-timeout=20s")
            arguments = ("--kubeconfig", str(path), *raw)
            done = await run_in_thread(
                lambda: run_kubectl(tmp_path, {}, *arguments), name="kubectl"
            )
            shown_by_kubectl = set(secure.proxy.shown)
            secure.proxy.shown.clear()
            client = ClusterClient(KubeconfigSource(path, environ={}))
            if accepted:
                await client.get(PODS, "shop", "web")
            else:
                with pytest.raises(TransportError):
                    await client.get(PODS, "shop", "web")
            await client.close()
            assert (done.returncode == 0) is accepted, done.stderr
            assert set(secure.proxy.shown) == shown_by_kubectl


def test_nothing_else_opens_connections_to_servers() -> None:
    """`transport` is the only place that connects, resolves names and knows proxies."""
    package = Path(__file__).parents[2] / "tui_forward"
    pattern = re.compile(
        r"open_connection\(|create_connection\(|urllib\.request|http\.client|import requests"
        r"|ClientSession\(|TCPConnector|getaddrinfo\("
    )
    allowed = {
        "kube/http_connector.py",  # on the connections of `transport`
        "cli/demo/traffic.py",  # to the forwards of the demo
        "cli/proxy_env.py",  # to a cluster proxy on loopback
    }
    found = {
        str(path.relative_to(package))
        for folder in ("kube", "catalog", "engine", "session", "profiles", "daemon", "cli")
        for path in (package / folder).rglob("*.py")
        if pattern.search(path.read_text())
    }
    assert found - allowed == set()
