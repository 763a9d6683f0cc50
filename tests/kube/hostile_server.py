"""A server that answers each path with an endless or deceptive response.

Responses are made of repeated blocks, so that the server itself needs no memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import itertools
import ssl
from collections.abc import AsyncIterator, Callable, Iterator

# A head and the blocks of the body; the connection is closed at their end.
Response = tuple[bytes, Iterator[bytes]]
Responder = Callable[[str], Response]

_OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
LIST = b'{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":['
_BLOCK = 64 * 1024


def raw(head: bytes, *blocks: bytes) -> Response:
    return head, iter(blocks)


def endless(start: bytes, block: bytes, *, head: bytes = _OK) -> Response:
    """Return `start` and then `block` for ever."""
    return head + b"\r\n", itertools.chain([start], itertools.repeat(block))


def bomb(size: int) -> bytes:
    """Return gzip of that many blanks, in members of 16 MiB."""
    member = gzip.compress(b" " * 2**24, 9)
    return member * (size >> 24)


def objects(texts: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the items of a list as blocks."""
    while block := b",".join(itertools.islice(texts, 500)):
        yield block + b","


def unique_pods(labels: int = 0) -> Iterator[bytes]:
    """Yield different pods for ever."""
    for number in itertools.count():
        more = ",".join(f'"k{number}-{label}":"v{number}-{label}"' for label in range(labels))
        yield (
            f'{{"metadata":{{"name":"pod-{number}","namespace":"shop","uid":"{number}",'
            f'"resourceVersion":"{number}","labels":{{{more}}}}},"spec":{{}},"status":{{}}}}'
        ).encode()


@contextlib.asynccontextmanager
async def hostile_server(
    respond: Responder, *, pause_s: float = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[int, list[str]]]:
    """Serve, with pauses between blocks; yields the port and the requests as they arrive."""
    requests: list[str] = []
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            request = (await reader.readuntil(b"\r\n\r\n")).decode()
            requests.append(request)
            head, blocks = respond(request.split(" ", 2)[1])
            writer.write(head)
            for block in blocks:
                writer.write(block)
                await writer.drain()
                await asyncio.sleep(pause_s)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1], requests
    finally:
        server.close()
        for task in [*tasks]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def scenario(path: str) -> Response:
    """Return the response for the first part of a path, the prefix of the server URL."""
    name = path.split("/")[1]
    if name == "gzip":
        body = bomb(2**30)
        head = _OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
        return raw(head, body)
    if name == "blanks":
        return endless(LIST, b" " * _BLOCK)
    if name == "elements":  # 3 bytes that become an object of several hundred
        many = itertools.repeat(b"{}," * 20_000, 100)
        return _OK + b"\r\n", itertools.chain([LIST], many, [b"{}]}"])
    if name == "labels":  # 8 bytes that become two strings
        start, end = LIST + b'{"metadata":{"labels":{', b'"a":"b"}}}]}'
        many = itertools.repeat(b'"a":"b",' * 8_000, 100)
        return _OK + b"\r\n", itertools.chain([start], many, [end])
    if name == "objects":
        head = _OK + b"\r\n"
        return head, itertools.chain([LIST], objects(unique_pods()))
    if name == "large-objects":
        return _OK + b"\r\n", itertools.chain([LIST], objects(unique_pods(labels=200)))
    if name == "line":
        return endless(b"", b"x" * _BLOCK, head=b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n")
    if name == "event":
        return endless(b'{"type":"ADDED","object":{"metadata":{"name":"', b"x" * _BLOCK)
    if name == "events":
        lines = (b'{"type":"ADDED","object":%b}\n' % one for one in unique_pods(labels=50))
        blocks = iter(lambda: b"".join(itertools.islice(lines, 100)), b"")
        return _OK + b"\r\n", blocks
    if name == "header":
        return endless(b"HTTP/1.1 200 OK\r\nX-Long: ", b"x" * _BLOCK, head=b"")
    if name == "headers":
        return endless(b"HTTP/1.1 200 OK\r\n", b"X-Many: x\r\n" * 1000, head=b"")
    if name == "interim":
        return endless(b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" * 1000, head=b"")
    raise AssertionError(path)
