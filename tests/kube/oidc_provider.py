"""A small OpenID Connect provider for tests."""

from __future__ import annotations

import asyncio
import json
import ssl

from tests.support.stream_server import StreamServer


class IdentityProvider:
    def __init__(self, tls: ssl.SSLContext, tokens: dict[str, str]) -> None:
        self.tokens = tokens
        self.heads: list[str] = []
        self.forms: list[str] = []
        self.accept_header = True
        self.answer: tuple[int, bytes] | None = None
        self.discovery: tuple[int, bytes] | None = None
        self.extra_headers = ""  # lines of each response
        self.url = ""  # of the issuer
        self._server = StreamServer(self._serve, tls=tls)

    async def start(self) -> None:
        await self._server.start()
        self.url = f"https://127.0.0.1:{self._server.port}/realm"

    async def stop(self) -> None:
        await self._server.stop()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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
