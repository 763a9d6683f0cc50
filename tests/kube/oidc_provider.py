"""A small OpenID Connect provider for tests."""

from __future__ import annotations

import asyncio
import json
import ssl


class IdentityProvider:
    def __init__(self, tls: ssl.SSLContext, tokens: dict[str, str]) -> None:
        self._tls = tls
        self.tokens = tokens
        self.heads: list[str] = []
        self.forms: list[str] = []
        self.accept_header = True
        self.answer: tuple[int, bytes] | None = None
        self.discovery: tuple[int, bytes] | None = None
        self.extra_headers = ""  # lines of each response
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.url = ""

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.url = f"https://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/realm"

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for task in [*self._tasks]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                self.heads.append(head)
                length = 0
                for line in head.split("\r\n"):
                    if line.startswith("content-length:"):
                        length = int(line.split(":")[1])
                body = (await reader.readexactly(length)).decode()
                status, answer = self._answer(head, body)
                reply = f"HTTP/1.1 {status} X\r\nContent-Length: {len(answer)}\r\n"
                reply += f"{self.extra_headers}\r\n"
                writer.write(reply.encode() + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    def _answer(self, head: str, body: str) -> tuple[int, bytes]:
        if "/realm/.well-known/openid-configuration" in head:
            return self.discovery or (
                200,
                json.dumps({"token_endpoint": f"{self.url}/token"}).encode(),
            )
        self.forms.append(body)
        if self.answer is not None:
            return self.answer
        if not self.accept_header and "authorization: basic" in head:
            return 401, b'{"error":"invalid_client"}'
        return 200, json.dumps(self.tokens).encode()
