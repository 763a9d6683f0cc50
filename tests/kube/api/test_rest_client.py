"""Requests to a busy server, and the media types that are asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kube.api_server import ApiServer, Reply, Request, status_body
from tests.kube.kubeconfigs import cluster_for, kubeconfig, write
from tests.kube.objects import pod
from tests.support.waiting import until
from tui_forward.errors import ApiError, AuthError, TransportError
from tui_forward.kube import PODS, ClusterClient
from tui_forward.kube.api import retries
from tui_forward.kube.api.retries import Retries
from tui_forward.kube.errors import to_api_error


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "_MIN_PAUSE_S", 0.001)


@pytest.fixture
def cluster(config_path: Path, api: ApiServer) -> ClusterClient:
    api.put("pods", pod("web-1"))
    return cluster_for(write(config_path, kubeconfig(api.url)))


async def list_all(cluster: ClusterClient) -> str:
    return ",".join([i.name async for p in cluster.list_pages(PODS) for i in p.items])


async def get_one(cluster: ClusterClient) -> str:
    return (await cluster.get(PODS, "shop", "web-1")).name


async def watch_one(cluster: ClusterClient) -> str:
    async with aclosing(cluster.watch(PODS, "shop", resource_version="1000")) as events:
        async for event in events:
            if event.item is not None:
                return event.item.name
    return ""


async def details(cluster: ClusterClient) -> str:
    await cluster.pod_details("shop", "web-1")
    return "web-1"


REQUESTS = [list_all, get_one, watch_one, details]


def busy(
    status: int, times: int, retry_after: str | None = "0"
) -> Callable[[Request], Reply | None]:
    left = [times]

    def intercept(_: Request) -> Reply | None:
        left[0] -= 1
        headers = {} if retry_after is None else {"Retry-After": retry_after}
        body = status_body(status, "TooManyRequests", "too many requests")
        return Reply(status, body, headers=headers) if left[0] >= 0 else None

    return intercept


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_busy_server_is_asked_again(
    cluster: ClusterClient,
    api: ApiServer,
    status: int,
    request_: Callable[[ClusterClient], Awaitable[str]],
) -> None:
    api.intercept = busy(status, 3)
    assert await request_(cluster) == "web-1"
    assert len(api.requests) == 4
    await cluster.close()


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize(
    ("status", "times", "retry_after", "requests"),
    [
        (429, 99, "0", 11),
        (503, 99, "0", 11),
        (429, 1, None, 1),
        (429, 1, "soon", 1),
        (429, 1, "Wed, 21 Oct 2099 07:28:00 GMT", 1),
        (429, 1, "-1", 1),
        (429, 1, "1.5", 1),
        (429, 1, "31", 1),  # longer than a request waits: its caller shows the error
        (503, 1, "99999999999999", 1),
        (500, 1, None, 1),
        (404, 1, "0", 1),
        (403, 1, "0", 1),
        (409, 1, "0", 1),
    ],
)
async def test_error_of_a_server_that_stays_busy_or_names_no_time(
    cluster: ClusterClient,
    api: ApiServer,
    status: int,
    times: int,
    retry_after: str | None,
    requests: int,
    request_: Callable[[ClusterClient], Awaitable[str]],
) -> None:
    api.intercept = busy(status, times, retry_after)
    with pytest.raises(ApiError) as caught:
        await request_(cluster)
    assert caught.value.status == status
    assert len(api.requests) == requests
    await cluster.close()


async def test_requests_wait_as_long_as_is_asked(cluster: ClusterClient, api: ApiServer) -> None:
    api.intercept = busy(429, 1, "1")
    started_at = asyncio.get_running_loop().time()
    assert await list_all(cluster) == "web-1"
    assert asyncio.get_running_loop().time() - started_at >= 1.0
    await cluster.close()


async def test_a_busy_page_is_asked_for_again_not_the_list(
    cluster: ClusterClient, api: ApiServer
) -> None:
    for number in range(2, 8):
        api.put("pods", pod(f"web-{number}"))
    refused = set()

    def intercept(request: Request) -> Reply | None:
        token = request.query.get("continue", "")
        if token and token not in refused:
            refused.add(token)
            return Reply(429, b"", headers={"Retry-After": "0"})
        return None

    api.intercept = intercept
    found = [i.name async for p in cluster.list_pages(PODS, limit=2) for i in p.items]
    assert found == [f"web-{number}" for number in range(1, 8)]
    assert len(refused) == 3
    assert sum("continue" not in one.query for one in api.requests) == 1
    await cluster.close()


async def test_refused_token_of_a_busy_server_is_refreshed_once(
    config_path: Path, secure_api: ApiServer
) -> None:
    api = secure_api
    api.put("pods", pod("web-1"))
    config_path.with_name("token").write_text("one")
    cluster = cluster_for(write(config_path, kubeconfig(api.url, user={"tokenFile": "token"})))
    refused, busy_once = Reply(401, b""), Reply(429, b"", headers={"Retry-After": "0"})
    replies = [refused, busy_once, busy_once, busy_once]
    api.intercept = lambda _: replies.pop(0) if replies else None
    assert await list_all(cluster) == "web-1"
    assert len(api.requests) == 5
    replies = [refused, busy_once, refused]
    with pytest.raises(AuthError):
        await list_all(cluster)
    assert len(api.requests) == 8
    await cluster.close()


async def test_health_check_does_not_wait(cluster: ClusterClient, api: ApiServer) -> None:
    api.intercept = busy(503, 99)
    assert (await cluster.health()).ok is False
    assert len(api.requests) == 1
    assert await cluster.check_pod("shop", "web-1") is False
    assert len(api.requests) == 2
    await cluster.close()


async def test_canceled_request_does_not_wait(cluster: ClusterClient, api: ApiServer) -> None:
    api.intercept = busy(429, 99, "25")
    task = asyncio.create_task(list_all(cluster))
    await until(lambda: bool(api.requests))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await cluster.close()
    with pytest.raises(TransportError):
        await list_all(cluster)


@given(st.integers(100, 599), st.one_of(st.none(), st.integers(-5, 10**7).map(str), st.text()))
def test_pause_is_never_shorter_than_asked(status: int, retry_after: str | None) -> None:
    headers = [] if retry_after is None else [("Retry-After", retry_after)]
    error = to_api_error(status, b"", what="x", server="y", headers=headers)
    pause_s = Retries(1e9).next_pause_s(error)
    if pause_s is None:
        return
    assert status == 429 or status >= 500
    assert retry_after is not None
    assert max(int(retry_after), 0.001) <= pause_s <= 1.2 * max(int(retry_after), 0.001)


async def test_objects_are_asked_for_without_managed_fields(
    cluster: ClusterClient, api: ApiServer
) -> None:
    for request in REQUESTS:
        await request(cluster)
    await cluster.health()
    *objects, version = [one.header("Accept") for one in api.requests]
    # A server that knows no parameters finds the plain type behind.
    wanted = "application/json;drop=metadata.managedFields,application/json"
    assert objects == [wanted] * len(REQUESTS)
    assert version == "application/json"
    await cluster.close()
