"""Whatever a server does with watches, there is a pause between requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.catalog.harness import Setup
from tests.kube.api_server import Reply, Request, status_body
from tests.kube.objects import pod
from tests.support.waiting import until
from tui_forward.model import TargetKind

PERIOD_S = 1.0
MOST_REQUESTS = 32  # of two reflectors, with lists and watches

BOOKMARK = b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"7"}}}\n'
EXPIRED = b'{"type":"ERROR","object":' + status_body(410, "Expired", "too old") + b"}\n"
ANSWERS: dict[str, Callable[[Request], Reply | None]] = {
    "every version is too old": lambda one: (
        Reply(410, status_body(410, "Expired", "too old")) if one.watching else None
    ),
    "every version is too old, as an event": lambda one: (
        Reply(200, EXPIRED) if one.watching else None
    ),
    "a watch ends at once": lambda one: Reply(200, b"") if one.watching else None,
    "a watch ends after an event": lambda one: Reply(200, BOOKMARK) if one.watching else None,
    "a watch is noise": lambda one: Reply(200, b"noise\n") if one.watching else None,
    "an answer that nothing maps": lambda _: Reply(418, b"teapot"),
    "success that is none": lambda _: Reply(204, b""),
}


@pytest.mark.parametrize("answer", ANSWERS)
async def test_requests_have_pauses(setup: Setup, answer: str) -> None:
    setup.server.put("pods", pod("web-1"))
    setup.server.intercept = ANSWERS[answer]
    setup.watch(TargetKind.POD, "web-1")
    await until(lambda: bool(setup.server.requests))
    await asyncio.sleep(PERIOD_S)
    assert len(setup.server.requests) <= MOST_REQUESTS
