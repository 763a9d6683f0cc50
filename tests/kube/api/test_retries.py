"""Requests whose connection is lost: repeated, or resumed by their reader."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kube.api_server import ApiServer
from tests.kube.kubeconfigs import cluster_for, kubeconfig, write
from tests.kube.objects import pod
from tests.kube.resetting_server import ResettingServer, Stage
from tests.support.stream_server import StreamServer
from tests.support.waiting import until
from tui_forward.catalog.reflector import Reflector
from tui_forward.errors import ApiError, AuthError, TransportError, TuiForwardError
from tui_forward.kube import PODS, ClusterClient
from tui_forward.kube.api import retries
from tui_forward.kube.api.retries import Retries
from tui_forward.kube.errors import to_api_error
from tui_forward.model import Pod, Reason, ReasonCode


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "_FIRST_RESET_PAUSE_S", 0.001)
    monkeypatch.setattr(retries, "_LONGEST_RESET_PAUSE_S", 0.002)


async def list_pods(cluster: ClusterClient) -> str:
    return ",".join([i.name async for p in cluster.list_pages(PODS) for i in p.items])


async def get_pod(cluster: ClusterClient) -> str:
    return (await cluster.get(PODS, "shop", "web-1")).name


async def get_details(cluster: ClusterClient) -> str:
    await cluster.pod_details("shop", "web-1")
    return "web-1"


async def watch_pods(cluster: ClusterClient) -> str:
    async with aclosing(cluster.watch(PODS, "shop", resource_version="1000")) as events:
        async for event in events:
            if event.item is not None:
                return event.item.name
    return ""


def is_attempts(connections: int, attempts: int) -> bool:
    """Whether connections fit to attempts: aiohttp opens another one at once, as Go does."""
    return attempts <= connections <= 2 * attempts


RequestOf = Callable[[ClusterClient], Awaitable[str]]
GETS: tuple[RequestOf, ...] = (list_pods, get_pod)
# Before the body: a list is decoded while it arrives.
EARLY = (Stage.ACCEPT, Stage.REQUEST, Stage.PART_OF_HEAD, Stage.HEAD)


@pytest.mark.parametrize("request_of", GETS)
@pytest.mark.parametrize("stage", EARLY)
@pytest.mark.parametrize("abrupt", [True, False])
async def test_get_is_repeated_after_a_lost_connection(
    config_path: Path, api: ApiServer, stage: Stage, abrupt: bool, request_of: RequestOf
) -> None:
    api.put("pods", pod("web-1"))
    async with ResettingServer(api.port, stage, 3, abrupt=abrupt).running() as server:
        cluster = cluster_for(write(config_path, kubeconfig(server.url)))
        assert await request_of(cluster) == "web-1"
        assert (server.ended, len(api.requests)) == (3, 1)
        await cluster.close()


@pytest.mark.parametrize("request_of", [get_pod, get_details])
async def test_object_that_was_cut_is_asked_for_again(
    config_path: Path, api: ApiServer, request_of: RequestOf
) -> None:
    api.put("pods", pod("web-1"))
    async with ResettingServer(api.port, Stage.BODY, 3).running() as server:
        cluster = cluster_for(write(config_path, kubeconfig(server.url)))
        assert await request_of(cluster) == "web-1"
        assert (server.ended, len(api.requests)) == (3, 1)
        await cluster.close()


@pytest.mark.parametrize(
    ("stage", "request_of"),
    [(Stage.ACCEPT, get_pod), (Stage.BODY, get_pod), (Stage.REQUEST, list_pods)],
)
async def test_repetitions_are_bounded(
    config_path: Path, api: ApiServer, stage: Stage, request_of: RequestOf
) -> None:
    async with ResettingServer(api.port, stage, 99).running() as server:
        cluster = cluster_for(write(config_path, kubeconfig(server.url)))
        with pytest.raises(TransportError) as caught:
            await request_of(cluster)
        assert caught.value.code is ReasonCode.NETWORK_RESET
        assert is_attempts(server.ended, 11)  # as client-go
        await cluster.close()


@pytest.mark.parametrize(
    ("stage", "request_of"),
    [(Stage.BODY, list_pods), *((stage, watch_pods) for stage in Stage)],
)
async def test_what_has_a_reader_that_resumes_is_not_repeated(
    config_path: Path, api: ApiServer, stage: Stage, request_of: RequestOf
) -> None:
    async with ResettingServer(api.port, stage, 99).running() as server:
        cluster = cluster_for(write(config_path, kubeconfig(server.url)))
        with pytest.raises(TransportError):
            await request_of(cluster)
        assert is_attempts(server.ended, 1)
        await cluster.close()


@pytest.mark.parametrize("stage", Stage)
async def test_reflector_lists_and_watches_through_resets(
    config_path: Path, api: ApiServer, stage: Stage
) -> None:
    api.put("pods", pod("web-1"))
    async with ResettingServer(api.port, stage, 3).running() as server:
        cluster = cluster_for(write(config_path, kubeconfig(server.url)))
        reflector: Reflector[Pod] = Reflector(
            cluster, PODS, on_change=lambda *_: None, on_status=lambda: None
        )
        reflector.start()
        await until(lambda: reflector.synced)
        api.put("pods", pod("web-2"))
        await until(lambda: len(reflector.items) == 2)
        await reflector.stop()
        await cluster.close()


async def test_checks_do_not_wait(config_path: Path, api: ApiServer) -> None:
    async with ResettingServer(api.port, Stage.REQUEST, 99).running() as server:
        cluster = cluster_for(write(config_path, kubeconfig(server.url)))
        assert (await cluster.health()).ok is False
        assert await cluster.check_pod("shop", "web-1") is False
        assert is_attempts(server.ended, 2)
        await cluster.close()


async def test_connection_that_ends_within_the_tls_handshake(config_path: Path) -> None:
    connections = 0

    async def end(*_: object) -> None:
        nonlocal connections
        connections += 1

    server = StreamServer(end)
    await server.start()
    cluster = cluster_for(write(config_path, kubeconfig(f"https://127.0.0.1:{server.port}")))
    with pytest.raises(TransportError) as caught:
        await get_pod(cluster)
    assert caught.value.code is ReasonCode.NETWORK_TLS_CLOSED
    assert is_attempts(connections, 11)
    await cluster.close()
    await server.stop()


async def test_refused_and_wrong_servers_are_not_asked_again(
    config_path: Path, secure_api: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[TuiForwardError] = []
    real = Retries.next_pause_s

    def record(self: Retries, error: TuiForwardError) -> float | None:
        asked.append(error)
        return real(self, error)

    monkeypatch.setattr(Retries, "next_pause_s", record)
    untrusted = kubeconfig(secure_api.url, cluster={"insecure-skip-tls-verify": False})
    for url, content in (
        ("http://127.0.0.1:9", kubeconfig("http://127.0.0.1:9")),
        (secure_api.url, untrusted),
    ):
        cluster = cluster_for(write(config_path, content))
        with pytest.raises(TransportError):
            await get_pod(cluster)
        assert len(asked) == 1, url
        asked.clear()
        await cluster.close()


def test_pauses_grow_to_a_second_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr("random.SystemRandom.uniform", lambda _self, low, _high: low)
    reset = TransportError(Reason(code=ReasonCode.NETWORK_RESET))
    budget = Retries()
    pauses = [budget.next_pause_s(reset) for _ in range(11)]
    assert pauses == [0.2, 0.4, 0.8, *[1.0] * 7, None]
    assert Retries(0).next_pause_s(reset) is None
    short = Retries(1.0)
    assert [short.next_pause_s(reset) for _ in range(3)] == [0.2, 0.4, None]


@given(
    st.lists(
        st.sampled_from(
            [
                TransportError(Reason(code=ReasonCode.NETWORK_RESET)),
                TransportError(Reason(code=ReasonCode.NETWORK_TLS_CLOSED)),
                to_api_error(429, b"", what="x", server="y", headers=[("Retry-After", "0")]),
                to_api_error(503, b"", what="x", server="y", headers=[("Retry-After", "7")]),
            ]
        ),
        max_size=30,
    ),
    st.floats(0, 40),
)
def test_resets_and_busy_servers_share_attempts_and_time(
    failures: list[TuiForwardError], wait_s: float
) -> None:
    budget = Retries(wait_s)
    pauses = [budget.next_pause_s(error) for error in failures]
    granted = [pause_s for pause_s in pauses if pause_s is not None]
    assert len(granted) <= 10
    assert sum(granted) <= wait_s + 1e-6
    assert all(pause_s > 0 for pause_s in granted)


@pytest.mark.parametrize(
    "error",
    [
        *(
            TransportError(Reason(code=code))
            for code in ReasonCode
            if code.value.startswith("network.")
            and code
            not in {
                ReasonCode.NETWORK_RESET,
                ReasonCode.NETWORK_TLS_CLOSED,
                ReasonCode.NETWORK_PROXY_CLOSED,
            }
        ),
        ApiError(Reason(code=ReasonCode.API_ERROR), status=503),
        AuthError(Reason(code=ReasonCode.AUTH_UNAUTHORIZED)),
    ],
    ids=lambda error: error.code.value,
)
def test_other_failures_are_final(error: TuiForwardError) -> None:
    assert Retries().next_pause_s(error) is None
