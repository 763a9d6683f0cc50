"""A server that gives the recorded answers of a fault to requests and upgrades."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.recorded_faults import load_fault
from tui_forward.errors import AuthError
from tui_forward.model import Reason
from tui_forward.transport import Endpoint
from tui_forward.transport.access import OutageClock

# Recorded times above it are those of programs that wait: the answer comes after our own limit.
SLOW_MS = 4900
_HOP_HEADERS = ("content-length", "transfer-encoding", "connection")


@dataclass
class RecordedServer:
    """Answers upgrades as recorded; `slow_s` is the delay of slow answers."""

    fault: str
    slow_s: float = 0.4
    requests: list[str] = field(default_factory=list)  # kinds of upgrades, in order
    port: int = 0
    serving: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def is_prompt(self) -> bool:
        """Whether every transport gets its answer at once."""
        answers = [self.answer(kind) for kind in ("spdy", "websocket", "channels")]
        return all(answer is not None and delay_s == 0 for answer, delay_s in answers)

    def answer(self, kind: str) -> tuple[bytes | None, float]:
        """Return the raw answer to an upgrade, None for none, and its delay."""
        recorded = self._recorded(kind)
        if recorded is None or not recorded.get("answer_status"):
            return None, 0.0
        delay_s = self.slow_s if recorded["ms"] > SLOW_MS else 0.0
        return raw_answer(recorded), delay_s

    def _recorded(self, kind: str) -> dict[str, Any] | None:
        upgrades = [
            request
            for request in load_fault(self.fault)["requests"]
            if request["what"].startswith("upgrade ")
        ]
        refused = [one for one in upgrades if "101" not in str(one.get("answer_status"))]
        of_kind = [one for one in refused if one["what"].startswith(f"upgrade {kind}")]
        # Not every transport was tried in every recording; the answers are the same for all.
        return next(iter(of_kind or refused), None)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        try:
            await self._serve(reader, writer)
        finally:
            writer.transport.abort()
            self.serving.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            kind = "spdy" if "upgrade: spdy" in head else "websocket"
            if "channel.k8s.io" in head:
                kind = "channels"
            self.requests.append(kind)
            answer, delay_s = self.answer(kind)
            if answer is None:
                await reader.read()  # until the client gives up
            else:
                await asyncio.sleep(delay_s)
                writer.write(answer)
                await writer.drain()
                writer.close()
                await writer.wait_closed()


def raw_answer(recorded: dict[str, Any]) -> bytes:
    """Return the bytes of a recorded answer."""
    body = recorded.get("answer_body") or ""
    if not isinstance(body, str):
        body = json.dumps(body)
    lines = [recorded["answer_status"]]
    for name, value in (recorded.get("answer_headers") or {}).items():
        if name.lower() not in _HOP_HEADERS:
            lines.append(f"{name}: {value}")
    if recorded["answer_status"].startswith("HTTP/1.1"):
        lines.append(f"Content-Length: {len(body.encode())}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body.encode()


class RecordedAccess:
    """`ServerAccess` to a recorded server; the pod answers as recorded."""

    def __init__(self, server: RecordedServer) -> None:
        self._server = server
        self._outage = OutageClock()
        self.context = "recorded"
        self.insecure = False
        self.refreshes = 0

    async def endpoint(self) -> Endpoint:
        return Endpoint(host="127.0.0.1", port=self._server.port, outage=self._outage)

    async def headers(self, *, refresh: bool = False) -> Mapping[str, str]:
        self.refreshes += refresh
        return {}

    @property
    def login(self) -> Reason | None:
        return None

    def observe_login(self, on_change: Callable[[], None]) -> Callable[[], None]:
        return lambda: None

    def explain(self, error: AuthError) -> AuthError:
        return error

    async def check_pod(self, namespace: str, pod: str) -> bool:
        answers = [
            str(request.get("answer_status"))
            for request in load_fault(self._server.fault)["requests"]
            if request["what"].startswith("GET ") and "/pods/" in request["what"]
        ]
        return any(" 200 " in answer or " 403 " in answer for answer in answers)


@contextlib.asynccontextmanager
async def recorded_server(fault: str) -> AsyncIterator[RecordedServer]:
    """Run a server that answers as in a recording."""
    recorded = RecordedServer(fault)
    server = await asyncio.start_server(recorded.serve, "127.0.0.1", 0)
    recorded.port = server.sockets[0].getsockname()[1]
    try:
        yield recorded
    finally:
        server.close()
        for task in recorded.serving:
            task.cancel()
        await asyncio.gather(*recorded.serving, return_exceptions=True)
        await server.wait_closed()
