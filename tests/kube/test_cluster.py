from __future__ import annotations

import base64
from pathlib import Path

from tests.kube.api_server import serving
from tests.kube.certificates import Authority, server_context
from tests.kube.kubeconfigs import cluster_for, kubeconfig, write
from tests.kube.objects import pod
from tui_forward.kube import PODS, Cluster
from tui_forward.model import Pod


async def names(cluster: Cluster, namespace: str = "", **options: int) -> list[str]:
    found = []
    async for page in cluster.list_pages(PODS, namespace, **options):  # type: ignore[arg-type]
        found += [item.name for item in page.items]
    return found


async def test_a_token_lets_in_and_pods_are_listed(tmp_path: Path) -> None:
    async with serving(tokens={"secret-token"}) as server:
        server.put("pods", pod("web-1"))
        path = write(tmp_path / "config", kubeconfig(server.url, user={"token": "secret-token"}))
        cluster = cluster_for(path)
        assert await names(cluster, "shop") == ["web-1"]
        endpoint = await cluster.endpoint()
        assert (endpoint.host, endpoint.port, endpoint.tls) == ("127.0.0.1", server.port, None)
        assert dict((await cluster.headers()).items()) == {"Authorization": "Bearer secret-token"}
        found = await cluster.get(PODS, "shop", "web-1")
        assert isinstance(found, Pod)
        assert found.ready
        await cluster.close()


async def test_a_client_certificate_lets_in(tmp_path: Path) -> None:
    authority = Authority()
    tls = server_context(authority.issue("server"), tmp_path, clients=authority)
    client = authority.issue("person")
    async with serving(tls=tls) as server:
        server.put("pods", pod("web-1"))
        content = kubeconfig(
            server.url,
            user={
                "client-certificate-data": base64.b64encode(client.certificate).decode(),
                "client-key-data": base64.b64encode(client.key).decode(),
            },
            cluster={"certificate-authority-data": base64.b64encode(authority.pem).decode()},
        )
        cluster = cluster_for(write(tmp_path / "config", content))
        assert await names(cluster) == ["web-1"]
        await cluster.close()
