"""The streaming server before the upgrade: tokens and refusals."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from tests.minicluster.node.harness import SPDY_HEADERS, WEBSOCKET_HEADERS, RuntimeHarness
from tui_forward.minicluster.cri.errors import CriError


async def get_url(runtime: RuntimeHarness, *ports: int) -> str:
    pod = await runtime.pod("echo")
    return await runtime.cri.port_forward(pod.sandbox, list(ports))


async def test_token_is_valid_for_one_request(
    runtime: RuntimeHarness,
) -> None:
    url = await get_url(runtime)
    assert url.startswith("http://127.0.0.1:")
    assert len(url.rpartition("/portforward/")[2]) == 8
    status, headers, _, sock = await runtime.request(url, SPDY_HEADERS)
    sock.close()
    assert status == 101
    assert headers["upgrade"] == "SPDY/3.1"
    assert headers["x-stream-protocol-version"] == "portforward.k8s.io"
    status, _, body, sock = await runtime.request(url, SPDY_HEADERS)
    sock.close()
    assert (status, body) == (404, b"404 page not found\n")


async def test_token_expires(runtime: RuntimeHarness) -> None:
    await runtime.control.request("streaming", token_life_s=0.05)
    url = await get_url(runtime)
    await asyncio.sleep(0.06)
    status, _, _, sock = await runtime.request(url, SPDY_HEADERS)
    sock.close()
    assert status == 404


async def test_token_cache_is_bounded(runtime: RuntimeHarness) -> None:
    await runtime.control.request("streaming", max_tokens=3)
    pod = await runtime.pod("echo")
    for _ in range(3):
        await runtime.cri.port_forward(pod.sandbox, [])
    with pytest.raises(CriError, match="maximum number of in-flight requests exceeded") as caught:
        await runtime.cri.port_forward(pod.sandbox, [])
    assert caught.value.status is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_get_and_post_are_accepted(runtime: RuntimeHarness, method: str) -> None:
    status, _, _, sock = await runtime.request(await get_url(runtime), SPDY_HEADERS, method)
    sock.close()
    assert status == 101


@pytest.mark.parametrize(
    ("changes", "status", "body"),
    [
        ({"X-Stream-Protocol-Version": None}, 200, b""),
        (
            {"X-Stream-Protocol-Version": "nope.k8s.io"},
            403,
            b"unable to upgrade: unable to negotiate protocol: client supports [nope.k8s.io], "
            b"server accepts [portforward.k8s.io]\n",
        ),
        ({"Upgrade": "h2c"}, 400, b"unable to upgrade: missing upgrade headers in request"),
        ({"Connection": None}, 400, b"unable to upgrade: missing upgrade headers in request"),
    ],
)
async def test_spdy_refusals(
    runtime: RuntimeHarness, changes: dict[str, str | None], status: int, body: bytes
) -> None:
    changed = {**SPDY_HEADERS, **changes}
    headers = {name: value for name, value in changed.items() if value is not None}
    received, fields, text, sock = await runtime.request(await get_url(runtime), headers)
    sock.close()
    assert received == status
    assert text.startswith(body)
    if status == 403:
        assert fields["x-accepted-stream-protocol-versions"] == "portforward.k8s.io"


async def test_missing_protocol_header_is_refused_as_in_newer_libraries(
    runtime: RuntimeHarness,
) -> None:
    await runtime.control.request("streaming", no_protocol_status=400)
    headers = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1"}
    status, _, body, sock = await runtime.request(await get_url(runtime), headers)
    sock.close()
    assert (status, body) == (400, b"unable to upgrade: X-Stream-Protocol-Version is required\n")


async def test_first_supported_protocol_is_chosen(runtime: RuntimeHarness) -> None:
    headers = {**SPDY_HEADERS, "X-Stream-Protocol-Version": "other.io, portforward.k8s.io"}
    status, fields, _, sock = await runtime.request(await get_url(runtime), headers)
    sock.close()
    assert status == 101
    assert fields["x-stream-protocol-version"] == "portforward.k8s.io"


@pytest.mark.parametrize(
    ("method", "changes", "status"),
    [
        ("POST", {}, 405),
        ("GET", {"Sec-WebSocket-Version": "8"}, 400),
        ("GET", {"Sec-WebSocket-Key": "short"}, 400),
        ("GET", {"Sec-WebSocket-Protocol": "nope"}, 403),
    ],
)
async def test_websocket_refusals(
    runtime: RuntimeHarness, method: str, changes: dict[str, str], status: int
) -> None:
    headers = {**WEBSOCKET_HEADERS, **changes}
    received, _, body, sock = await runtime.request(await get_url(runtime, 7000), headers, method)
    sock.close()
    assert (received, body) == (status, b"")


async def test_unknown_paths_are_not_found(runtime: RuntimeHarness) -> None:
    url = await get_url(runtime)
    for path in ("/", "/exec/abc", "/portforward/", "/portforward/a/b"):
        status, _, _, sock = await runtime.request(url, SPDY_HEADERS, path=path)
        sock.close()
        assert status == 404


async def test_port_forward_to_unknown_or_stopped_sandbox_fails(runtime: RuntimeHarness) -> None:
    with pytest.raises(CriError, match="failed to find sandbox") as caught:
        await runtime.cri.port_forward("unknown", [])
    assert caught.value.not_found
    pod = await runtime.pod("echo")
    await runtime.cri.stop_pod_sandbox(pod.sandbox)
    with pytest.raises(CriError, match="sandbox container is not running"):
        await runtime.cri.port_forward(pod.sandbox, [])
