from __future__ import annotations

import asyncio
import base64
import json
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from tests.kube.api_server import ApiServer, Reply, Request, serving
from tests.kube.certificates import Authority, server_context
from tests.kube.kubeconfigs import cluster_for, kubeconfig, write
from tests.kube.objects import capture, pod
from tests.support.waiting import until
from tui_forward.errors import ApiError, AuthError, ConfigError, TransportError
from tui_forward.kube import PODS, ClusterClient, ClusterClients, KubeconfigSource, WatchEventType
from tui_forward.kube.api import watch as watch_module
from tui_forward.kube.api.pager import Page
from tui_forward.model import AccessOptions, BlockedBy, Pod, ReasonCode


@pytest.fixture
def path(config_path: Path, api: ApiServer) -> Path:
    return write(config_path, kubeconfig(api.url))


async def names(cluster: ClusterClient, namespace: str = "", **options: Any) -> list[str]:
    pages = cluster.list_pages(PODS, namespace, **options)
    return [item.name async for page in pages for item in page.items]


async def events(cluster: ClusterClient, version: str, count: int) -> list[tuple[str, str, str]]:
    found = []
    async with (
        asyncio.timeout(60),
        aclosing(cluster.watch(PODS, "shop", resource_version=version)) as watch,
    ):
        async for event in watch:
            name = event.item.name if event.item else ""
            found.append((str(event.type), name, event.resource_version))
            if len(found) == count:
                break
    return found


# Access ----------------------------------------------------------------------------------


async def test_token_authenticates_requests(config_path: Path, secure_api: ApiServer) -> None:
    secure_api.tokens = {"secret-token"}
    secure_api.put("pods", pod("web-1"))
    write(config_path, kubeconfig(secure_api.url, user={"token": "secret-token"}))
    cluster = cluster_for(config_path)
    assert await names(cluster, "shop") == ["web-1"]
    endpoint = await cluster.endpoint()
    assert (endpoint.host, endpoint.port) == ("127.0.0.1", secure_api.port)
    assert dict((await cluster.headers()).items()) == {"Authorization": "Bearer secret-token"}
    found = await cluster.get(PODS, "shop", "web-1")
    assert isinstance(found, Pod)
    assert found.ready
    await cluster.close()


async def test_client_certificate_authenticates_requests(
    config_path: Path, tmp_path: Path, authority: Authority
) -> None:
    tls = server_context(authority.issue("server"), tmp_path, clients=authority)
    client = authority.issue("client")
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
        cluster = cluster_for(write(config_path, content))
        assert await names(cluster) == ["web-1"]
        await cluster.close()


async def test_path_of_the_server_url_is_kept(config_path: Path) -> None:
    async with serving(prefix="/k8s/clusters/c-1") as server:
        server.put("pods", pod())
        cluster = cluster_for(write(config_path, kubeconfig(server.url + "/")))
        assert await names(cluster) == ["web-1"]
        await cluster.close()


async def test_impersonation_headers_are_sent_one_per_line(
    config_path: Path, api: ApiServer
) -> None:
    user = {"as": "jane", "as-groups": ["ops", "dev"]}
    cluster = cluster_for(write(config_path, kubeconfig(api.url, user=user)))
    await names(cluster)
    assert api.requests[0].all("Impersonate-Group") == ["ops", "dev"]
    assert api.requests[0].header("Impersonate-User") == "jane"
    await cluster.close()


async def test_refused_token_is_refreshed_once(config_path: Path, secure_api: ApiServer) -> None:
    secure_api.tokens = {"two"}
    token = config_path.with_name("token")
    put_text(token, "one")
    cluster = cluster_for(
        write(config_path, kubeconfig(secure_api.url, user={"tokenFile": "token"}))
    )

    def rotate(_: Request) -> None:
        put_text(token, "two")

    with pytest.raises(AuthError) as caught:
        await names(cluster)
    assert len(secure_api.requests) == 2
    assert str(token) in caught.value.hint
    rotate(secure_api.requests[0])
    assert await names(cluster) == []
    await cluster.close()


async def test_refused_static_token_is_not_retried(
    config_path: Path, secure_api: ApiServer
) -> None:
    secure_api.tokens = {"good"}
    cluster = cluster_for(write(config_path, kubeconfig(secure_api.url, user={"token": "bad"})))
    with pytest.raises(AuthError) as caught:
        await names(cluster)
    assert len(secure_api.requests) == 1
    assert "bad" not in str(caught.value) + caught.value.hint
    write(config_path, kubeconfig(secure_api.url, user={"token": "good"}))
    assert await names(cluster) == []
    await cluster.close()


async def test_changed_server_is_used_for_new_requests(config_path: Path, api: ApiServer) -> None:
    cluster = cluster_for(write(config_path, kubeconfig(api.url)))
    await names(cluster)
    watching = asyncio.create_task(events(cluster, "1000", 2))
    await until(lambda: api.count("watch", "pods") == 1)
    async with serving() as other:
        write(config_path, kubeconfig(other.url))
        await names(cluster)
        assert len(other.requests) == 1
        # Requests in progress on the old connection continue.
        api.put("pods", pod("web-9"))
        assert (await watching)[1][:2] == ("ADDED", "web-9")
        await cluster.close()


async def test_replaced_sessions_are_closed(config_path: Path, api: ApiServer) -> None:
    cluster = cluster_for(write(config_path, kubeconfig(api.url)))
    for number in range(3):
        write(config_path, kubeconfig(api.url, user={"token": f"t{number}"}))
        await names(cluster)
    assert not cluster._rest._retired
    await cluster.close()


async def test_redirect_to_another_server_is_not_followed(path: Path, api: ApiServer) -> None:
    async with serving() as other:
        api.intercept = lambda _: Reply(302, b"", f"text/plain\r\nLocation: {other.url}/version")
        cluster = cluster_for(path)
        with pytest.raises(
            TransportError, match=f"redirects to 127.0.0.1:{other.port}, which is not followed"
        ) as caught:
            await names(cluster)
        assert caught.value.code is ReasonCode.API_REDIRECTED
        assert not other.requests
        await cluster.close()


async def test_requests_are_logged_without_secrets(
    config_path: Path, api: ApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    user = {"token": "hunter2-token"}
    cluster = cluster_for(write(config_path, kubeconfig(api.url, user=user)))
    await names(cluster, "shop", label_selector="app=hunter2")
    assert f"dial 127.0.0.1:{api.port}: " in caplog.text
    assert "GET /api/v1/namespaces/shop/pods: 200, " in caplog.text
    await api.stop()
    with pytest.raises(TransportError):
        await names(cluster, "shop")
    assert "GET /api/v1/namespaces/shop/pods failed: " in caplog.text
    assert "hunter2" not in caplog.text
    await cluster.close()


async def test_clients_are_shared_by_context(path: Path) -> None:
    clusters = ClusterClients(KubeconfigSource(path))
    assert clusters.get() is clusters.get("test")
    with pytest.raises(ConfigError):
        clusters.get("other")
    await clusters.close()


# Lists -----------------------------------------------------------------------------------


async def test_list_is_read_in_pages(path: Path, api: ApiServer) -> None:
    for number in range(7):
        api.put("pods", pod(f"web-{number}"))
    cluster = cluster_for(path)
    pages: list[Page[Pod]] = [p async for p in cluster.list_pages(PODS, "shop", limit=3)]
    assert [len(p.items) for p in pages] == [3, 3, 1]
    assert [p.remaining for p in pages] == [4, 1, None]
    assert [p.last for p in pages] == [False, False, True]
    assert {p.resource_version for p in pages} == {"1007"}
    assert not any(p.restarted for p in pages)
    await cluster.close()


async def test_next_page_is_prefetched(path: Path, api: ApiServer) -> None:
    for number in range(4):
        api.put("pods", pod(f"web-{number}"))
    cluster = cluster_for(path)
    async with aclosing(cluster.list_pages(PODS, limit=2)) as pages:
        await anext(pages)
        await until(lambda: len(api.requests) == 2)
    await cluster.close()


async def test_expired_list_starts_over(path: Path, api: ApiServer) -> None:
    for number in range(9):
        api.put("pods", pod(f"web-{number}"))

    def forget(request: Request) -> None:
        if "continue" in request.query and len(api.requests) == 3:
            api.expire_continues()

    api.intercept = forget
    cluster = cluster_for(path)
    found: list[str] = []
    restarts = 0
    async for page in cluster.list_pages(PODS, limit=2):
        if page.restarted:
            restarts += 1
            found.clear()
        found += [item.name for item in page.items]
    assert restarts == 1
    assert found == [f"web-{number}" for number in range(9)]
    # The second attempt uses larger pages.
    assert api.requests[3].query["limit"] == "8"
    await cluster.close()


async def test_selectors_are_sent(path: Path, api: ApiServer) -> None:
    api.put("pods", pod("a", labels={"app": "x", "tier": "front end".replace(" ", "-")}))
    api.put("pods", pod("b", labels={"app": "y"}))
    cluster = cluster_for(path)
    assert await names(cluster, label_selector="app=x,tier=front-end") == ["a"]
    assert await names(cluster, field_selector="metadata.name=b") == ["b"]
    await cluster.close()


async def test_null_is_an_empty_list(path: Path) -> None:
    cluster = cluster_for(path)
    assert await names(cluster) == []
    await cluster.close()


@pytest.mark.parametrize("slow", [False, True])
async def test_compression_depends_on_latency(path: Path, api: ApiServer, slow: bool) -> None:
    for number in range(20):
        api.put("pods", pod(f"web-{number}"))
    cluster = cluster_for(path)
    cluster._rest.latency_s = 0.1 if slow else 0.0001
    assert len(await names(cluster)) == 20
    assert api.requests[0].header("Accept-Encoding") == ("gzip" if slow else "identity")
    await cluster.close()


async def test_disable_compression_is_respected(config_path: Path, api: ApiServer) -> None:
    content = kubeconfig(api.url, cluster={"disable-compression": True})
    cluster = cluster_for(write(config_path, content))
    cluster._rest.latency_s = 0.1
    await names(cluster)
    assert api.requests[0].header("Accept-Encoding") == "identity"
    await cluster.close()


# Errors ----------------------------------------------------------------------------------


def reply(status: int, body: bytes, content_type: str = "application/json") -> Any:
    return lambda _: Reply(status, body, content_type)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, b"<html>hello</html>", "no answer to list pods"),
        (200, b"{}{}", "no answer to list pods"),
        (200, b'{"metadata":{},"items":[{"metadata":7}]}', "no answer to list pods"),
        (200, b'{"metadata":{},"items":' + b"[" * 100_000, "no answer to list pods"),
        (200, b"\xff\xfe", "no answer to list pods"),
        (404, b"404 page not found\n", "does not support the request to list pods"),
        (500, b'{"kind":"Status","message":"etcd is sad","code":500}', "500 to list pods"),
        (503, b"<html>upstream</html>", "503 to list pods"),
        (429, b"", "is busy (429)"),
        (418, b"token=hunter2hunter2", "418 to list pods"),
        (500, b"x" * 1_000_000, "500 to list pods"),
    ],
)
async def test_unexpected_response_is_an_api_error(
    path: Path, api: ApiServer, status: int, body: bytes, expected: str
) -> None:
    api.intercept = reply(status, body)
    cluster = cluster_for(path)
    with pytest.raises(ApiError) as caught:
        await names(cluster)
    assert expected in str(caught.value)
    assert caught.value.status == status
    assert len(str(caught.value)) < 500
    assert "hunter2" not in str(caught.value)
    await cluster.close()


async def test_forbidden_error_names_verb_resource_and_namespace(
    path: Path, api: ApiServer
) -> None:
    api.denied = {("list", "pods"), ("watch", "pods"), ("get", "pods")}
    cluster = cluster_for(path)
    with pytest.raises(ApiError, match="not allowed to list pods in namespace shop") as caught:
        await names(cluster, "shop")
    assert caught.value.forbidden
    assert "list pods" in caught.value.hint
    with pytest.raises(ApiError, match="list pods in all namespaces"):
        await names(cluster)
    with pytest.raises(ApiError, match='get pods "x" in namespace shop'):
        await cluster.get(PODS, "shop", "x")
    with pytest.raises(ApiError, match="watch pods in namespace shop"):
        await events(cluster, "1", 1)
    await cluster.close()


async def test_not_found_error_keeps_the_server_message(path: Path, api: ApiServer) -> None:
    recorded = capture("pod-not-found")
    api.intercept = reply(recorded["status"], recorded["body"].encode())
    cluster = cluster_for(path)
    with pytest.raises(ApiError, match='pods "nope" not found') as caught:
        await cluster.get(PODS, "shop", "nope")
    assert caught.value.not_found
    assert caught.value.status_reason == "NotFound"
    assert caught.value.hint
    await cluster.close()


async def test_recorded_invalid_continue_token_is_an_error(path: Path, api: ApiServer) -> None:
    recorded = capture("list-continue-expired")
    api.intercept = reply(recorded["status"], recorded["body"].encode())
    cluster = cluster_for(path)
    with pytest.raises(ApiError, match="invalid continue token") as caught:
        await names(cluster)
    assert not caught.value.expired
    await cluster.close()


async def test_refused_connection_is_a_transport_error(config_path: Path) -> None:
    cluster = cluster_for(write(config_path, kubeconfig("https://127.0.0.1:1")))
    with pytest.raises(TransportError, match=r"127\.0\.0\.1:1 refuses connections") as caught:
        await names(cluster)
    assert caught.value.hint
    await cluster.close()


async def test_unresolvable_name_is_a_transport_error(config_path: Path) -> None:
    cluster = cluster_for(write(config_path, kubeconfig("https://no-such-host.invalid:6443")))
    with pytest.raises(TransportError, match="cannot be resolved") as caught:
        await names(cluster)
    assert "VPN" in caught.value.hint
    await cluster.close()


async def test_closed_connection_is_a_transport_error(path: Path, api: ApiServer) -> None:
    def hang_up(_: Request) -> None:
        api.drop_connections()

    api.intercept = hang_up
    cluster = cluster_for(path)
    with pytest.raises(TransportError, match="broke"):
        await names(cluster)
    await cluster.close()


async def test_silent_server_is_a_transport_error(path: Path, api: ApiServer) -> None:
    api.stalled = True
    cluster = cluster_for(path)
    with pytest.raises(TransportError, match="does not answer"):
        await cluster._rest.get("/version", "get the version", read_timeout_s=0.05)
    await cluster.close()


async def test_closed_client_sends_no_requests(path: Path) -> None:
    cluster = cluster_for(path)
    await cluster.close()
    with pytest.raises(TransportError, match="closed"):
        await names(cluster)


async def test_canceling_a_request_closes_its_connection(path: Path, api: ApiServer) -> None:
    api.stalled = True
    cluster = cluster_for(path)
    waiting = asyncio.create_task(names(cluster))
    await until(lambda: api.requests)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await cluster.close()


# Health ----------------------------------------------------------------------------------


async def test_health_reports_version_and_latency(path: Path, api: ApiServer) -> None:
    cluster = cluster_for(path)
    health = await cluster.health()
    assert (health.ok, health.version, health.server) == (True, "v1.36.2", f"127.0.0.1:{api.port}")
    assert health.latency_s is not None
    assert health.latency_s > 0
    api.intercept = reply(403, b"{}")
    assert (await cluster.health()).ok
    api.intercept = reply(500, b"{}")
    assert not (await cluster.health()).ok
    await cluster.close()


async def test_health_reports_what_blocks(config_path: Path, secure_api: ApiServer) -> None:
    secure_api.tokens = {"good"}
    cluster = cluster_for(write(config_path, kubeconfig(secure_api.url, user={"token": "bad"})))
    health = await cluster.health()
    assert (health.ok, health.blocked_by) == (False, BlockedBy.CREDENTIALS)
    assert health.hint
    write(config_path, kubeconfig(secure_api.url, cluster={"proxy-url": "x://"}))
    assert (await cluster.health()).blocked_by is BlockedBy.CONFIG
    await cluster.close()


# Watches ---------------------------------------------------------------------------------


async def test_watch_yields_changes_since_a_version(path: Path, api: ApiServer) -> None:
    api.put("pods", pod("old"))
    since = str(api.version)
    api.put("pods", pod("web-1"))
    api.put("pods", pod("web-1", phase="Failed"))
    api.delete("pods", "shop", "web-1")
    api.put("pods", pod("elsewhere", namespace="other"))
    cluster = cluster_for(path)
    assert await events(cluster, since, 4) == [
        ("BOOKMARK", "", since),
        ("ADDED", "web-1", "1002"),
        ("MODIFIED", "web-1", "1003"),
        ("DELETED", "web-1", "1004"),
    ]
    assert api.requests[0].query["allowWatchBookmarks"] == "true"
    assert 240 <= int(api.requests[0].query["timeoutSeconds"]) <= 480
    assert api.requests[0].header("Accept-Encoding") == "identity"
    await cluster.close()


async def test_bookmarks_have_the_version(path: Path, api: ApiServer) -> None:
    api.bookmarks = True
    cluster = cluster_for(path)
    assert await events(cluster, "1000", 2) == [("BOOKMARK", "", "1000"), ("BOOKMARK", "", "1000")]
    await cluster.close()


@pytest.mark.parametrize("as_http", [True, False])
async def test_expired_version_is_reported_as_response_or_event(
    path: Path, api: ApiServer, as_http: bool
) -> None:
    api.put("pods", pod())
    api.compact()
    api.too_old_as_http = as_http
    cluster = cluster_for(path)
    with pytest.raises(ApiError, match="no longer has that version") as caught:
        await events(cluster, "1", 9)
    assert caught.value.expired
    await cluster.close()


async def test_watch_ends_without_error_when_the_server_ends_it(path: Path, api: ApiServer) -> None:
    cluster = cluster_for(path)
    ending = asyncio.create_task(events(cluster, "1000", 99))
    await until(lambda: api.requests)
    await api.end_watches()
    assert await ending == [("BOOKMARK", "", "1000")]
    await cluster.close()


async def test_silent_watch_times_out(path: Path) -> None:
    cluster = cluster_for(path)
    with pytest.raises(TransportError, match="does not answer"):
        async for _ in cluster.watch(PODS, resource_version="1000", stall_s=0.05):
            pass
    await cluster.close()


async def test_broken_watch_is_a_transport_error(path: Path, api: ApiServer) -> None:
    cluster = cluster_for(path)
    waiting = asyncio.create_task(events(cluster, "1000", 99))
    await until(lambda: api.requests)
    api.drop_connections()
    with pytest.raises(TransportError, match="broke"):
        await waiting
    await cluster.close()


@pytest.mark.parametrize(
    "line",
    [
        b"garbage\n",
        b'{"type":"ADDED","object":7}\n',
        b'{"type":"ADDED","object":{"metadata":[]}}\n',
        b'{"object":{}}\n',
        b"x" * 5000,
    ],
)
async def test_garbage_ends_the_watch(
    path: Path, api: ApiServer, line: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "MAX_LINE_BYTES", 4096)
    monkeypatch.setattr(ApiServer, "_line", staticmethod(lambda w, _: w.write(chunked(line))))
    api.bookmarks = True
    cluster = cluster_for(path)
    with pytest.raises(ApiError):
        await events(cluster, "1000", 99)
    await cluster.close()


def chunked(content: bytes) -> bytes:
    return f"{len(content):x}\r\n".encode() + content + b"\r\n"


async def test_unknown_event_types_are_skipped(
    path: Path, api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (
        b'{"type":"NEWS","object":{"metadata":7}}\n\n'
        + json.dumps({"type": "ADDED", "object": pod("web-1")}).encode()
        + b"\n"
    )
    monkeypatch.setattr(ApiServer, "_line", staticmethod(lambda w, _: w.write(chunked(lines))))
    api.bookmarks = True
    cluster = cluster_for(path)
    assert [e[:2] for e in await events(cluster, "1000", 2)] == [
        ("BOOKMARK", ""),
        (WatchEventType.ADDED, "web-1"),
    ]
    await cluster.close()


async def test_error_event_is_an_api_error(
    path: Path, api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = {"kind": "Status", "code": 500, "message": "storage is (re)initializing"}
    line = json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"
    monkeypatch.setattr(ApiServer, "_line", staticmethod(lambda w, _: w.write(chunked(line))))
    api.bookmarks = True
    cluster = cluster_for(path)
    with pytest.raises(ApiError, match="initializing") as caught:
        await events(cluster, "1000", 9)
    assert (caught.value.status, caught.value.expired) == (500, False)
    await cluster.close()


async def test_recorded_watches_are_decoded(
    path: Path, api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = capture("watch-pod-replaced")
    lines = b"".join(entry["line"].encode() + b"\n" for entry in recorded)
    monkeypatch.setattr(ApiServer, "_line", staticmethod(lambda w, _: w.write(chunked(lines))))
    api.bookmarks = True
    cluster = cluster_for(path)
    found: list[tuple[str, str]] = []
    async with aclosing(cluster.watch(PODS, "shop", resource_version="1000")) as watch:
        async for event in watch:
            if event.item is not None:
                found.append((event.item.name[-5:], event.item.status))
            if len(found) == len(recorded):
                break
    assert found == [
        ("swjjv", "Terminating"),
        ("5njvb", "Pending"),
        ("swjjv", "Terminating"),
        ("5njvb", "Pending"),
        ("5njvb", "ContainerCreating"),
        ("5njvb", "ContainerCreating"),
        ("swjjv", "Error"),
        ("5njvb", "Running"),
        ("swjjv", "Error"),
        ("swjjv", "Error"),
    ]
    too_old = capture("watch-too-old")["body"].encode()
    monkeypatch.setattr(ApiServer, "_line", staticmethod(lambda w, _: w.write(chunked(too_old))))
    with pytest.raises(ApiError) as caught:
        await events(cluster, "1000", 9)
    assert caught.value.expired
    await cluster.close()


def put_text(path: Path, text: str) -> None:
    path.write_text(text)


async def test_outage_is_logged_once(
    config_path: Path, api: ApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = cluster_for(write(config_path, kubeconfig(api.url)))
    await api.stop()
    for _ in range(3):
        with pytest.raises(TransportError):
            await names(cluster)
    warnings = [one for one in caplog.records if one.levelname == "WARNING"]
    assert len(warnings) == 1
    await cluster.close()


async def test_request_timeout_limits_requests_but_not_watches(
    config_path: Path, api: ApiServer
) -> None:
    api.put("pods", pod("web-1"))
    options = AccessOptions(request_timeout_s=0.2)
    source = KubeconfigSource(write(config_path, kubeconfig(api.url)), environ={})
    cluster = ClusterClient(source, "", options)
    watch = cluster.watch(PODS, "shop", resource_version=str(api.version))
    async with asyncio.timeout(60), aclosing(watch):
        await anext(watch)
        later = asyncio.create_task(watch.__anext__())
        await asyncio.sleep(0.4)
        api.put("pods", pod("web-2"))
        assert (await later).item is not None
    api.stalled = True
    with pytest.raises(TransportError, match=r"did not answer within 0\.2s: get") as error:
        await cluster.get(PODS, "shop", "web-1")
    assert error.value.code is ReasonCode.NETWORK_TIMEOUT
    await cluster.close()
