from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import cast

import pytest

from tests.engine.fake_cluster import ECHO, FakeAccess, FakeCluster, running_cluster
from tests.engine.harness import POD, pool_to
from tests.support.waiting import until
from tui_forward.engine.limits import Limits
from tui_forward.engine.tunnels.pool import TunnelPool
from tui_forward.engine.tunnels.transport_cache import TransportCache
from tui_forward.errors import (
    ApiError,
    AuthError,
    ProtocolError,
    TransportError,
    TuiForwardError,
    UpgradeError,
)
from tui_forward.model import ReasonCode, TransportChoice

FORBIDDEN = '{"kind":"Status","reason":"Forbidden","message":"pods \\"web-1\\" is forbidden"}'
NOT_FOUND = '{"kind":"Status","reason":"NotFound","message":"pods \\"web-1\\" not found"}'
BAD = '{"kind":"Status","reason":"BadRequest","message":"Upgrade request required"}'
DIALING = '{"kind":"Status","message":"error dialing backend: dial tcp: refused"}'
SPDY, WEBSOCKET, CHANNELS = (
    TransportChoice.SPDY,
    TransportChoice.WEBSOCKET,
    TransportChoice.CHANNELS,
)
LIMITS = replace(Limits(), spare=0)
# For a server that does not answer. An answer that is to come may take long on a busy machine.
IMPATIENT = replace(LIMITS, upgrade_timeout_s=1.0)


async def dial_transport(
    cluster: FakeCluster,
    cache: TransportCache | None = None,
    access: FakeAccess | None = None,
    limits: Limits = LIMITS,
) -> TransportChoice | None:
    async with pool_to(cluster, limits, transport_cache=cache, access=access) as pool:
        await pool.connect(POD, ECHO)
        return pool.transport


async def dial_error(
    cluster: FakeCluster, access: FakeAccess | None = None, limits: Limits = LIMITS
) -> TuiForwardError:
    with pytest.raises(TuiForwardError) as caught:
        await dial_transport(cluster, access=access, limits=limits)
    return caught.value


async def test_spdy_is_tried_first() -> None:
    async with running_cluster() as cluster:
        assert await dial_transport(cluster) is SPDY
        request = cluster.requests[0]
        assert (request.method, request.target) == (
            "POST",
            "/api/v1/namespaces/shop/pods/web-1/portforward",
        )


async def test_next_transport_is_tried_and_cached() -> None:
    async with running_cluster() as cluster:
        cache = TransportCache()
        cluster.refuse = {"spdy": (400, "no"), "websocket": (400, BAD)}
        assert await dial_transport(cluster, cache) is CHANNELS
        assert len(cluster.requests) == 3
        assert await dial_transport(cluster, cache) is CHANNELS
        assert len(cluster.requests) == 4


async def test_cached_transport_may_stop_working() -> None:
    async with running_cluster() as cluster:
        cache = TransportCache()
        cache.set("test", WEBSOCKET)
        cluster.refuse = {"websocket": (403, "<html>blocked</html>")}
        assert await dial_transport(cluster, cache) is SPDY
        assert cache.get("test") is SPDY


@pytest.mark.parametrize("trouble", ["hang", "mute"])
async def test_unanswered_transport_is_skipped(trouble: str) -> None:
    async with running_cluster() as cluster:
        getattr(cluster, trouble).add("spdy")
        assert await dial_transport(cluster, limits=IMPATIENT) is WEBSOCKET


async def test_error_of_the_cluster_is_reported_when_no_transport_works() -> None:
    async with running_cluster() as cluster:
        cluster.refuse = {
            "spdy": (502, "<html>bad gateway</html>"),
            "websocket": (400, BAD),
            "channels": (500, "something else"),
        }
        cache = TransportCache()
        error = await dial_error(cluster)
        assert isinstance(error, UpgradeError)
        assert error.reason.tried == ("spdy", "websocket", "channels")
        assert error.code is ReasonCode.API_UPGRADE_STRIPPED
        assert error.status == 400
        assert cache.get("test") is None


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, NOT_FOUND),
        (404, "pod does not exist"),
        (500, 'pod not found ("web-1_shop")'),
        (500, DIALING),
        (500, "rpc error: code = Unavailable desc = connection error"),
        (429, ""),
    ],
)
async def test_final_refusal_is_not_retried(status: int, body: str) -> None:
    async with running_cluster() as cluster:
        cluster.refuse = dict.fromkeys(("spdy", "websocket", "channels"), (status, body))
        error = await dial_error(cluster)
        assert isinstance(error, ApiError)
        assert not isinstance(error, UpgradeError)
        assert error.status == status
        assert len(cluster.requests) == 1


async def test_forbidden_create_falls_back_to_get() -> None:
    async with running_cluster() as cluster:
        cluster.refuse = {"spdy": (403, FORBIDDEN)}
        assert await dial_transport(cluster) is WEBSOCKET
        cluster.refuse = dict.fromkeys(("spdy", "websocket", "channels"), (403, FORBIDDEN))
        error = await dial_error(cluster)
        assert isinstance(error, ApiError)
        assert error.forbidden


async def test_credentials_are_refreshed_once() -> None:
    async with running_cluster() as cluster:
        cluster.token = "new"
        access = FakeAccess(cluster, tokens=("old", "new"))
        assert await dial_transport(cluster, access=access) is SPDY
        assert access.refreshes == 1


async def test_credentials_refused_after_refresh_are_an_auth_error() -> None:
    async with running_cluster() as cluster:
        cluster.token = "never"
        access = FakeAccess(cluster, tokens=("old",))
        error = await dial_error(cluster, access)
        assert isinstance(error, AuthError)
        assert (access.refreshes, len(cluster.requests)) == (1, 2)


async def test_connection_refused_is_not_retried() -> None:
    async with running_cluster() as cluster:
        pass
    error = await dial_error(cluster)
    assert isinstance(error, TransportError)
    assert "refuses connections" in error.message


class FixedAnswerServer(asyncio.Protocol):
    """Server that sends the same bytes after any request, and keeps the connection open."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(self._answer)


async def dial_error_at_server_answering(answer: bytes, limits: Limits = LIMITS) -> TuiForwardError:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: FixedAnswerServer(answer), "127.0.0.1", 0)
    try:
        cluster = FakeCluster(port=server.sockets[0].getsockname()[1])
        return await dial_error(cluster, limits=limits)
    finally:
        server.close()
        await server.wait_closed()


async def test_refusal_with_incomplete_body_is_a_refusal() -> None:
    error = await dial_error_at_server_answering(
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 999\r\n\r\n" + FORBIDDEN.encode(), IMPATIENT
    )
    assert isinstance(error, ApiError)
    assert error.status == 403


async def test_non_http_answer_is_a_protocol_error() -> None:
    error = await dial_error_at_server_answering(b"220 mail ready\r\n\r\n")
    assert isinstance(error, ProtocolError)


@pytest.mark.parametrize("transport", [SPDY, WEBSOCKET, CHANNELS])
async def test_required_transport_is_the_only_one_tried(transport: TransportChoice) -> None:
    async with running_cluster() as cluster:
        async with pool_to(cluster, LIMITS, transport=transport) as pool:
            await pool.connect(POD, ECHO)
            assert pool.transport is transport
        cluster.refuse = {transport.value: (400, "no")}
        async with pool_to(cluster, LIMITS, transport=transport) as pool:
            with pytest.raises(UpgradeError, match=r"upgrade request with 400: no$"):
                await pool.connect(POD, ECHO)
        assert len(cluster.requests) == 2


async def test_canceled_dial_closes_its_socket() -> None:
    async with running_cluster() as cluster:
        cluster.hang = {"spdy"}
        pool = TunnelPool(
            FakeAccess(cluster),
            transport=SPDY,
            transport_cache=TransportCache(),
            limits=Limits(),
            on_change=lambda: None,
        )
        dial = asyncio.create_task(pool.connect(POD, ECHO))
        await until(lambda: cluster.requests)
        dial.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dial
        assert not pool.up
        await pool.close()
        await until(lambda: not cluster.live)
