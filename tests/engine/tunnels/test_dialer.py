from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from tests.engine.fake_cluster import ECHO, FakeAccess, FakeCluster, running_chain
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
from tui_forward.model import TransportChoice

FORBIDDEN = '{"kind":"Status","reason":"Forbidden","message":"pods \\"web-1\\" is forbidden"}'
NOT_FOUND = '{"kind":"Status","reason":"NotFound","message":"pods \\"web-1\\" not found"}'
BAD = '{"kind":"Status","reason":"BadRequest","message":"Upgrade request required"}'
DIALLING = '{"kind":"Status","message":"error dialing backend: dial tcp: refused"}'
SPDY, WEBSOCKET, CHANNELS = (
    TransportChoice.SPDY,
    TransportChoice.WEBSOCKET,
    TransportChoice.CHANNELS,
)
QUICK = replace(Limits(), upgrade_timeout_s=0.2, spare=0)


async def dialled(
    chain: FakeCluster, cache: TransportCache | None = None, access: FakeAccess | None = None
) -> TransportChoice | None:
    async with pool_to(chain, QUICK, transport_cache=cache, access=access) as pool:
        await pool.connect(POD, ECHO)
        return pool.transport


async def failure_of(chain: FakeCluster, access: FakeAccess | None = None) -> TuiForwardError:
    with pytest.raises(TuiForwardError) as caught:
        await dialled(chain, access=access)
    return caught.value


async def test_spdy_comes_first() -> None:
    async with running_chain() as chain:
        assert await dialled(chain) is SPDY
        request = chain.requests[0]
        assert (request.method, request.target) == (
            "POST",
            "/api/v1/namespaces/shop/pods/web-1/portforward",
        )


async def test_what_refuses_spdy_is_asked_for_the_next_and_that_is_remembered() -> None:
    async with running_chain() as chain:
        cache = TransportCache()
        chain.refuse = {"spdy": (400, "no"), "websocket": (400, BAD)}
        assert await dialled(chain, cache) is CHANNELS
        assert len(chain.requests) == 3
        assert await dialled(chain, cache) is CHANNELS
        assert len(chain.requests) == 4


async def test_what_was_remembered_may_stop_working() -> None:
    async with running_chain() as chain:
        cache = TransportCache()
        cache.set("test", WEBSOCKET)
        chain.refuse = {"websocket": (403, "<html>blocked</html>")}
        assert await dialled(chain, cache) is SPDY
        assert cache.get("test") is SPDY


@pytest.mark.parametrize("trouble", ["hang", "mute"])
async def test_what_does_not_answer_is_given_up_for_the_next(trouble: str) -> None:
    async with running_chain() as chain:
        getattr(chain, trouble).add("spdy")
        assert await dialled(chain) is WEBSOCKET


async def test_the_first_words_of_the_cluster_are_reported_when_nothing_works() -> None:
    async with running_chain() as chain:
        chain.refuse = {
            "spdy": (502, "<html>bad gateway</html>"),
            "websocket": (400, BAD),
            "channels": (500, "something else"),
        }
        cache = TransportCache()
        error = await failure_of(chain)
        assert isinstance(error, UpgradeError)
        assert error.reason.tried == ("spdy", "websocket", "channels")
        assert "400: Upgrade request required (tried spdy, websocket" in error.message
        assert error.status == 400
        assert cache.get("test") is None


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (404, NOT_FOUND),
        (404, "pod does not exist"),
        (500, 'pod not found ("web-1_shop")'),
        (500, DIALLING),
        (500, "rpc error: code = Unavailable desc = connection error"),
        (429, ""),
    ],
)
async def test_the_clusters_last_word_is_not_argued_with(status: int, body: str) -> None:
    async with running_chain() as chain:
        chain.refuse = dict.fromkeys(("spdy", "websocket", "channels"), (status, body))
        error = await failure_of(chain)
        assert isinstance(error, ApiError)
        assert not isinstance(error, UpgradeError)
        assert error.status == status
        assert len(chain.requests) == 1


async def test_what_may_not_be_created_may_still_be_got() -> None:
    async with running_chain() as chain:
        chain.refuse = {"spdy": (403, FORBIDDEN)}
        assert await dialled(chain) is WEBSOCKET
        chain.refuse = dict.fromkeys(("spdy", "websocket", "channels"), (403, FORBIDDEN))
        error = await failure_of(chain)
        assert isinstance(error, ApiError)
        assert error.forbidden


async def test_credentials_are_refreshed_once() -> None:
    async with running_chain() as chain:
        chain.token = "new"
        access = FakeAccess(chain, tokens=("old", "new"))
        assert await dialled(chain, access=access) is SPDY
        assert access.refreshes == 1


async def test_credentials_that_stay_wrong_are_an_auth_error() -> None:
    async with running_chain() as chain:
        chain.token = "never"
        access = FakeAccess(chain, tokens=("old",))
        error = await failure_of(chain, access)
        assert isinstance(error, AuthError)
        assert (access.refreshes, len(chain.requests)) == (1, 2)


async def test_nobody_there_is_no_reason_to_try_other_transports() -> None:
    async with running_chain() as chain:
        pass
    error = await failure_of(chain)
    assert isinstance(error, TransportError)
    assert "refuses connections" in error.message


class CannedServer(asyncio.Protocol):
    """Answers anything with the same words and waits."""

    def __init__(self, words: bytes) -> None:
        self._words = words

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(self._words)


async def failure_at_a_server_that_says(words: bytes) -> TuiForwardError:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: CannedServer(words), "127.0.0.1", 0)
    try:
        return await failure_of(FakeCluster(port=server.sockets[0].getsockname()[1]))
    finally:
        server.close()
        await server.wait_closed()


async def test_a_refusal_without_an_end_is_still_a_refusal() -> None:
    error = await failure_at_a_server_that_says(
        b"HTTP/1.1 403 Forbidden\r\nContent-Length: 999\r\n\r\n" + FORBIDDEN.encode()
    )
    assert isinstance(error, ApiError)
    assert error.status == 403


async def test_a_server_that_does_not_speak_http() -> None:
    error = await failure_at_a_server_that_says(b"220 mail ready\r\n\r\n")
    assert isinstance(error, ProtocolError)


@pytest.mark.parametrize("transport", [SPDY, WEBSOCKET, CHANNELS])
async def test_a_forced_transport_is_the_only_one_tried(transport: TransportChoice) -> None:
    async with running_chain() as chain:
        async with pool_to(chain, QUICK, transport=transport) as pool:
            await pool.connect(POD, ECHO)
            assert pool.transport is transport
        chain.refuse = {transport.value: (400, "no")}
        async with pool_to(chain, QUICK, transport=transport) as pool:
            with pytest.raises(UpgradeError, match=r"upgrade request with 400: no$"):
                await pool.connect(POD, ECHO)
        assert len(chain.requests) == 2


async def test_cancelling_a_dial_leaves_no_socket() -> None:
    async with running_chain() as chain:
        chain.hang = {"spdy"}
        pool = TunnelPool(
            FakeAccess(chain),
            transport=SPDY,
            transport_cache=TransportCache(),
            limits=Limits(),
            on_change=lambda: None,
        )
        dial = asyncio.create_task(pool.connect(POD, ECHO))
        await until(lambda: chain.requests)
        dial.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dial
        assert not pool.up
        await pool.close()
        await until(lambda: not chain.live)
