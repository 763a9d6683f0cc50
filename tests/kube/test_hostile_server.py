"""What a hostile API server or identity provider can do: send clients elsewhere, fill memory."""

from __future__ import annotations

import asyncio
import gzip
import itertools
import json
import sys
import zlib
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from tests.kube.certificates import Authority, server_context
from tests.kube.hostile_client import SMALL_BYTES
from tests.kube.hostile_server import LIST, Response, endless, hostile_server, raw, scenario
from tests.kube.kubeconfigs import cluster_for, kubeconfig, write
from tui_forward.errors import TuiForwardError
from tui_forward.kube import PODS, ClusterClient
from tui_forward.kube.api import limits, rest_client
from tui_forward.kube.api.content_encoding import PIECE_BYTES, ContentDecoder
from tui_forward.kube.api.limits import Account, ListAccount, MemoryBudget
from tui_forward.model import ReasonCode

USER = {"token": "bearer-secret", "as": "root", "as-groups": ["system:masters"]}
EMPTY_LIST = LIST + b"]}"

# Each kind of request that the client sends.
REQUESTS: dict[str, Callable[[ClusterClient], Any]] = {
    "list": lambda cluster: collect(cluster.list_pages(PODS)),
    "get": lambda cluster: cluster.get(PODS, "shop", "web"),
    "watch": lambda cluster: collect(cluster.watch(PODS, "shop", resource_version="1")),
    "log": lambda cluster: cluster.pod_log("shop", "web", lines=10, max_bytes=1000),
}
requests_of_each_kind = pytest.mark.parametrize("request_of", REQUESTS.values(), ids=list(REQUESTS))


async def collect(items: Any) -> list[Any]:
    async with aclosing(items):
        return [item async for item in items]


def answer(status: int, body: bytes, *headers: str) -> Response:
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers, "", ""]
    return raw("\r\n".join(lines).encode(), body)


def always(response: Response) -> Callable[[str], Response]:
    head, blocks = response
    body = b"".join(blocks)
    return lambda _: raw(head, body)


async def failure(request: Any) -> TuiForwardError:
    with pytest.raises(TuiForwardError) as caught:
        async with asyncio.timeout(60):
            await request
    return caught.value


# Redirects -------------------------------------------------------------------------------


@requests_of_each_kind
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirects_to_another_server_are_not_followed(
    config_path: Path,
    tmp_path: Path,
    authority: Authority,
    request_of: Callable[[ClusterClient], Any],
    status: int,
) -> None:
    tls = server_context(authority.issue("server"), tmp_path)
    async with hostile_server(lambda _: answer(200, EMPTY_LIST)) as (elsewhere, seen):
        for location in (
            f"http://127.0.0.1:{elsewhere}/api",
            f"//127.0.0.1:{elsewhere}/api",
            f"http://user:password@127.0.0.1:{elsewhere}/api",
            f"http://localhost:{elsewhere}/api",
            f"https://127.0.0.1:{elsewhere}/api",
            "gopher://127.0.0.1/",
            "file:///etc/passwd",
            "http://[",
            "http://127.0.0.1:99999/",
        ):
            redirect = answer(status, b"", f"Location: {location}")
            async with hostile_server(always(redirect), tls=tls) as (port, _):
                content = kubeconfig(f"https://127.0.0.1:{port}", user=USER)
                cluster = cluster_for(write(config_path, content))
                error = await failure(request_of(cluster))
                assert error.code is ReasonCode.API_REDIRECTED, (location, error)
                assert "password" not in error.message
                await cluster.close()
        assert not seen


async def test_redirects_within_the_server_are_followed_as_in_client_go(
    config_path: Path, tmp_path: Path, authority: Authority
) -> None:
    def respond(path: str) -> Response:
        if path.startswith("/old/"):
            return answer(307, b"", "Location: /new/pods?limit=500&x=%2F")
        return answer(200, EMPTY_LIST)

    tls = server_context(authority.issue("server"), tmp_path)
    async with hostile_server(respond, tls=tls) as (port, seen):
        content = kubeconfig(f"https://127.0.0.1:{port}/old", user=USER)
        cluster = cluster_for(write(config_path, content))
        await collect(cluster.list_pages(PODS))
        assert [one.split(" ")[1] for one in seen] == [
            "/old/api/v1/pods?limit=500",
            "/new/pods?limit=500&x=%2F",
        ]
        assert all("Bearer bearer-secret" in one for one in seen)
        await cluster.close()


async def test_endless_redirects_end(config_path: Path) -> None:
    async with hostile_server(lambda path: answer(302, b"", f"Location: {path}")) as (port, seen):
        cluster = cluster_for(write(config_path, kubeconfig(f"http://127.0.0.1:{port}")))
        error = await failure(cluster.get(PODS, "shop", "web"))
        assert error.code is ReasonCode.API_REDIRECTED
        assert len(seen) == 11
        await cluster.close()


async def test_status_without_content_is_an_error(config_path: Path) -> None:
    async with hostile_server(lambda _: answer(304, b"")) as (port, _):
        cluster = cluster_for(write(config_path, kubeconfig(f"http://127.0.0.1:{port}")))
        error = await failure(collect(cluster.list_pages(PODS)))
        assert (error.code, error.reason.status) == (ReasonCode.API_ERROR, "304")
        await cluster.close()


async def test_no_cookie_is_kept(config_path: Path) -> None:
    numbers = itertools.count()
    async with hostile_server(lambda _: answer(200, b"{}", f"Set-Cookie: c{next(numbers)}=x")) as (
        port,
        seen,
    ):
        cluster = cluster_for(write(config_path, kubeconfig(f"http://127.0.0.1:{port}")))
        for _ in range(3):
            await cluster.get(PODS, "shop", "web")
        assert not any("cookie" in one.lower() for one in seen)
        await cluster.close()


# Encodings -------------------------------------------------------------------------------


@requests_of_each_kind
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "x"])
async def test_encoding_that_was_not_requested_is_refused(
    config_path: Path, request_of: Callable[[ClusterClient], Any], encoding: str
) -> None:
    body = gzip.compress(EMPTY_LIST)
    async with hostile_server(lambda _: answer(200, body, f"Content-Encoding: {encoding}")) as (
        port,
        _,
    ):
        cluster = cluster_for(write(config_path, kubeconfig(f"http://127.0.0.1:{port}")))
        cluster._rest.latency_s = 0.0001  # a fast network: gzip is not requested
        error = await failure(request_of(cluster))
        assert error.code is ReasonCode.API_UNEXPECTED_ENCODING
        await cluster.close()


@pytest.mark.parametrize(
    "damage", [lambda body: body[:-9], lambda body: b"x" + body, lambda _: b""]
)
async def test_damaged_gzip_is_an_error(
    config_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    body = damage(gzip.compress(EMPTY_LIST))
    async with hostile_server(lambda _: answer(200, body, "Content-Encoding: gzip")) as (port, _):
        cluster = cluster_for(write(config_path, kubeconfig(f"http://127.0.0.1:{port}")))
        cluster._rest.latency_s = 0.1
        error = await failure(collect(cluster.list_pages(PODS)))
        assert "no answer to list pods" in error.message
        await cluster.close()


def test_gzip_is_decoded_in_bounded_pieces() -> None:
    content = bytes(10_000_000) + b"end"
    body = gzip.compress(content[:5_000_000]) + gzip.compress(content[5_000_000:])
    decoder = ContentDecoder(gzip=True)
    pieces = [
        piece for at in range(0, len(body), 700) for piece in decoder.decode(body[at : at + 700])
    ]
    decoder.finish()
    assert b"".join(pieces) == content
    assert max(map(len, pieces)) <= PIECE_BYTES


def test_garbage_after_gzip_is_an_error() -> None:
    with pytest.raises(zlib.error):
        list(ContentDecoder(gzip=True).decode(gzip.compress(b"x") + b"garbage"))


# Pages -----------------------------------------------------------------------------------


def page(token: str) -> bytes:
    metadata = {"resourceVersion": "1", "continue": token}
    return json.dumps({"kind": "PodList", "metadata": metadata, "items": []}).encode()


@pytest.mark.parametrize(
    ("token", "expected"),
    [(lambda _: "same", "leads back to itself"), (lambda n: str(n), "more than 50 pages")],
)
async def test_endless_pages_end(
    config_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    token: Callable[[int], str],
    expected: str,
) -> None:
    monkeypatch.setattr(limits, "MAX_LIST_PAGES", 50)
    numbers = itertools.count()
    async with hostile_server(lambda _: answer(200, page(token(next(numbers))))) as (port, seen):
        cluster = cluster_for(write(config_path, kubeconfig(f"http://127.0.0.1:{port}")))
        error = await failure(collect(cluster.list_pages(PODS)))
        assert error.code is ReasonCode.API_RESPONSE_TOO_LARGE
        assert expected in error.message
        assert len(seen) <= 52
        await cluster.close()


# Memory ----------------------------------------------------------------------------------

TOO_LARGE = "api.response_too_large"
# In this order: what an allocator keeps of freed memory adds to what follows.
OUTCOMES = {
    "parallel": TOO_LARGE,
    "header": "network.protocol",
    "headers": "network.protocol",
    "interim": "network.timeout",
    "event": TOO_LARGE,
    "blanks": TOO_LARGE,
    "elements": TOO_LARGE,
    "labels": TOO_LARGE,
    "gzip": TOO_LARGE,
    "objects": TOO_LARGE,
    "large-objects": TOO_LARGE,
    "events": TOO_LARGE,
}
MAX_GROWTH_MIB = SMALL_BYTES / 2**20 + 64


@pytest.mark.timeout(180)  # a dozen requests, each limited to 100 s, on a busy machine
async def test_memory_is_bounded_whatever_the_server_sends() -> None:
    """Read endless responses in a process with bounds of 16 MiB, and a gzip of 1 GiB."""
    async with hostile_server(scenario) as (port, _):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.kube.hostile_client", str(port), *OUTCOMES,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    results = {one["scenario"]: one for one in map(json.loads, output.splitlines())}
    assert results.pop("line")["received"] == "1048576 bytes"  # of an endless line of a log
    assert {name: one["code"] for name, one in results.items()} == OUTCOMES
    grown = {name: one["grown"] for name, one in results.items()}
    assert max(grown.values()) <= MAX_GROWTH_MIB, grown


async def test_slow_body_ends(config_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rest_client, "BODY_TIMEOUT_S", 0.5)
    # Each byte restarts the wait for the next one.
    async with hostile_server(lambda _: endless(b"", b" "), pause_s=0.02) as (port, _):
        cluster = cluster_for(write(config_path, kubeconfig(f"http://127.0.0.1:{port}")))
        assert (await failure(cluster.get(PODS, "shop", "web"))).code is ReasonCode.NETWORK_TIMEOUT
        await cluster.close()


def test_accounts_share_a_budget() -> None:
    budget = MemoryBudget(100)
    one, two = Account("a", "", budget=budget), Account("b", "", budget=budget)
    one.hold(60)
    with pytest.raises(TuiForwardError, match="all lists together"):
        two.hold(41)
    two.hold(40)
    one.close()
    one.close()
    one.hold(-5)
    assert (budget.held, one.held, two.held) == (40, 0, 40)


def test_list_account_starts_over() -> None:
    account = ListAccount("list pods", "", budget=MemoryBudget(10_000))
    account.add_page("")
    account.add_page("a")
    account.hold(100)
    account.restart()
    assert account.held == 0
    account.add_page("")


def test_large_real_lists_are_far_below_the_bounds() -> None:
    """10,000 pods of 10 KB, with 60 fields each, in one response."""
    fields = ",".join(f'"f:field-{number}":{{}}' for number in range(60))
    one = b'{"metadata":{"name":"web","managedFields":[{"fieldsV1":{%b}}]}}' % fields.encode()
    content = b'{"items":[' + b",".join([one] * 10_000) + b"]}"
    assert limits.max_decoded_size(content) < limits.MAX_DECODED_BYTES
