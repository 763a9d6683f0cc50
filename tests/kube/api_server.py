"""A small API server for tests: objects, pages, watches and refusals, controlled by the test.

It shares no code with the package, so that a mistake cannot hide on both sides.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import gzip
import itertools
import json
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.stream_server import StreamServer

Object = dict[str, Any]


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: list[tuple[str, str]]
    body: bytes = b""

    def header(self, name: str) -> str | None:
        return next((v for k, v in self.headers if k.lower() == name.lower()), None)

    def all(self, name: str) -> list[str]:
        return [v for k, v in self.headers if k.lower() == name.lower()]

    @property
    def watching(self) -> bool:
        return self.query.get("watch") == "true"

    @property
    def lists_by_watch(self) -> bool:
        return self.query.get("sendInitialEvents") == "true"

    @property
    def plural(self) -> str:
        return _parse(self.path)[0]

    @property
    def verb(self) -> str:
        if self.watching:
            return "watch"
        return "get" if _parse(self.path)[2] else "list"


@dataclass
class Reply:
    status: int
    body: bytes
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


def status_body(code: int, reason: str, message: str) -> bytes:
    return json.dumps(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            "code": code,
        }
    ).encode()


def _parse(path: str) -> tuple[str, str, str]:
    """Return plural, namespace and name."""
    parts = [unquote(part) for part in path.strip("/").split("/")]
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    namespace = ""
    if len(parts) >= 3 and parts[0] == "namespaces":
        namespace, parts = parts[1], parts[2:]
    return parts[0] if parts else "", namespace, parts[1] if len(parts) > 1 else ""


@dataclass
class ApiServer:
    tls: ssl.SSLContext | None = None
    tokens: set[str] | None = None
    objects: dict[str, dict[tuple[str, str], Object]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    denied: set[tuple[str, str]] = field(default_factory=set)
    denied_all_namespaces: set[str] = field(default_factory=set)
    intercept: Callable[[Request], Reply | None] | None = None
    # Answers about these resources wait for the event.
    held: dict[str, asyncio.Event] = field(default_factory=dict)
    prefix: str = ""
    too_old_as_http: bool = False
    bookmarks: bool = False
    stalled: bool = False
    # What it makes of sendInitialEvents: "offered", "refused", "ignored" (as before 1.27).
    watch_list: str = "offered"

    def __post_init__(self) -> None:
        self.version = 1000
        self.oldest = 0
        self.history: list[tuple[int, str, str, Object]] = []
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._continues: dict[str, tuple[int, list[Object], int]] = {}
        self._numbers = itertools.count()
        self._server = StreamServer(self._serve, tls=self.tls, limit=2**20)
        self.watch_generation = 0

    # Lifecycle ---------------------------------------------------------------------------

    async def start(self, port: int = 0) -> None:
        await self._server.start(port)

    async def stop(self) -> None:
        await self._server.stop()
        for task in [*self._tasks]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}{self.prefix}"

    def drop_connections(self) -> None:
        self._server.drop_connections()

    async def end_watches(self) -> None:
        """End every watch cleanly, as a server does after timeoutSeconds."""
        async with self._changed:
            self.watch_generation += 1
            self._changed.notify_all()

    # Objects ------------------------------------------------------------------------

    def put(self, plural: str, obj: Object) -> Object:
        """Create or replace an object; returns what is stored."""
        self.version += 1
        stored = copy.deepcopy(obj)
        metadata = stored.setdefault("metadata", {})
        metadata["resourceVersion"] = str(self.version)
        key = (metadata.get("namespace", ""), metadata["name"])
        objects = self.objects.setdefault(plural, {})
        kind = "MODIFIED" if key in objects else "ADDED"
        objects[key] = stored
        self._record(plural, kind, stored)
        return stored

    def delete(self, plural: str, namespace: str, name: str) -> None:
        self.version += 1
        gone = copy.deepcopy(self.objects[plural].pop((namespace, name)))
        gone["metadata"]["resourceVersion"] = str(self.version)
        self._record(plural, "DELETED", gone)

    def compact(self) -> None:
        """Let new watches from older versions fail; watches that run miss nothing."""
        self.version += 1
        self.oldest = self.version

    def expire_continues(self) -> None:
        self._continues.clear()

    def _record(self, plural: str, kind: str, obj: Object) -> None:
        self.history.append((self.version, plural, kind, obj))
        self._wake()

    def _wake(self) -> None:
        async def notify() -> None:
            async with self._changed:
                self._changed.notify_all()

        try:
            task = asyncio.get_running_loop().create_task(notify())
        except RuntimeError:
            return
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def count(self, verb: str, plural: str) -> int:
        return sum(1 for r in self.requests if r.plural == plural and r.verb == verb)

    def count_lists(self, plural: str) -> int:
        """Return how often all objects were asked for, by a list or by a watch."""
        asked = [one for one in self.requests if one.plural == plural]
        return sum(one.verb == "list" or one.lists_by_watch for one in asked)

    # HTTP ---------------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            request = self._request(head.decode())
            request.body = await reader.readexactly(int(request.header("content-length") or 0))
            await self._answer(request, writer)

    def _request(self, head: str) -> Request:
        first, *lines = head.split("\r\n")
        method, target, _ = first.split(" ")
        parts = urlsplit(target)
        path = parts.path.removeprefix(self.prefix) if self.prefix else parts.path
        query = {k: v[-1] for k, v in parse_qs(parts.query, keep_blank_values=True).items()}
        headers = [
            (name, value.strip())
            for name, _, value in (line.partition(":") for line in lines if line)
        ]
        return Request(method, path, query, headers)

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.requests.append(request)
        if self.stalled:
            await asyncio.Event().wait()
        if request.plural in self.held:
            await self.held[request.plural].wait()
        reply = self._refusal(request)
        if reply is None and self.intercept is not None:
            reply = self.intercept(request)
        if reply is None and request.lists_by_watch and self.watch_list == "refused":
            message = (
                "ListOptions.meta.k8s.io is invalid: sendInitialEvents: Forbidden: "
                "sendInitialEvents is forbidden for watch unless the WatchList feature gate is "
                "enabled"
            )
            reply = Reply(422, status_body(422, "Invalid", message))
        if reply is None and request.watching:
            await self._watch(request, writer)
            return
        reply = reply or self._read(request)
        body, extra = reply.body, ""
        if "gzip" in (request.header("accept-encoding") or "") and len(body) > 1024:
            body, extra = gzip.compress(body, 1), "Content-Encoding: gzip\r\n"
        extra += "".join(f"{name}: {value}\r\n" for name, value in reply.headers.items())
        writer.write(
            f"HTTP/1.1 {reply.status} X\r\nContent-Type: {reply.content_type}\r\n{extra}"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
        )
        writer.write(body)
        await writer.drain()

    def _refusal(self, request: Request) -> Reply | None:
        if self.tokens is not None:
            token = (request.header("authorization") or "").removeprefix("Bearer ")
            if token not in self.tokens:
                return Reply(401, status_body(401, "Unauthorized", "Unauthorized"))
        plural, namespace, _ = _parse(request.path)
        denied = (request.verb, plural) in self.denied or ("*", plural) in self.denied
        if denied or (not namespace and plural in self.denied_all_namespaces):
            message = f'{plural} is forbidden: User "u" cannot {request.verb} resource "{plural}"'
            return Reply(403, status_body(403, "Forbidden", message))
        return None

    def _read(self, request: Request) -> Reply:
        if request.path == "/version":
            return Reply(200, b'{"major":"1","minor":"36","gitVersion":"v1.36.2"}')
        plural, namespace, name = _parse(request.path)
        if name:
            obj = self.objects.get(plural, {}).get((namespace, name))
            if obj is None:
                return Reply(404, status_body(404, "NotFound", f'{plural} "{name}" not found'))
            return Reply(200, json.dumps(obj).encode())
        token = request.query.get("continue", "")
        if token:
            if token not in self._continues:
                return Reply(410, status_body(410, "Expired", "The provided continue is too old"))
            version, rest, limit = self._continues.pop(token)
        else:
            version, rest = self.version, self._matching(request)
            limit = int(request.query.get("limit", 0))
        page, rest = (rest[:limit], rest[limit:]) if limit else (rest, [])
        metadata: dict[str, Any] = {"resourceVersion": str(version)}
        if rest:
            following = f"token-{next(self._numbers)}"
            self._continues[following] = (version, rest, limit)
            metadata |= {"continue": following, "remainingItemCount": len(rest)}
        listing = {"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": page or None}
        return Reply(200, json.dumps(listing, separators=(",", ":")).encode())

    def _matching(self, request: Request) -> list[Object]:
        plural, _, _ = _parse(request.path)
        return [
            obj for obj in self.objects.get(plural, {}).values() if self._selected(request, obj)
        ]

    def _selected(self, request: Request, obj: Object) -> bool:
        _, namespace, _ = _parse(request.path)
        metadata = obj["metadata"]
        if namespace and metadata.get("namespace") != namespace:
            return False
        labels = metadata.get("labels") or {}
        for item in filter(None, request.query.get("labelSelector", "").split(",")):
            key, _, value = item.partition("=")
            if labels.get(key) != value:
                return False
        for item in filter(None, request.query.get("fieldSelector", "").split(",")):
            key, _, value = item.partition("=")
            field: Any = obj
            for part in key.split("."):
                field = field[part]
            if field != value:
                return False
        return True

    async def _watch(self, request: Request, writer: asyncio.StreamWriter) -> None:
        since = int(request.query.get("resourceVersion") or 0)
        if request.lists_by_watch:
            since = max(self.version, self.oldest)
        if since < self.oldest:
            message = f"too old resource version: {since} ({self.oldest})"
            body = status_body(410, "Expired", message)
            if self.too_old_as_http:
                writer.write(b"HTTP/1.1 410 Gone\r\nContent-Type: application/json\r\n")
                writer.write(f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
                return
            self._begin(writer)
            self._line(writer, {"type": "ERROR", "object": json.loads(body)})
            writer.write(b"0\r\n\r\n")
            return
        self._begin(writer)
        plural, generation = request.plural, self.watch_generation
        if request.lists_by_watch:
            for obj in self._matching(request):
                self._line(writer, {"type": "ADDED", "object": obj})
            if self.watch_list == "offered":
                ended = {"k8s.io/initial-events-end": "true"}
                metadata = {"resourceVersion": str(self.version), "annotations": ended}
                self._line(writer, {"type": "BOOKMARK", "object": {"metadata": metadata}})
        seen: set[tuple[str, str]] = {
            key
            for key, obj in self.objects.get(plural, {}).items()
            if self._selected(request, obj) and int(obj["metadata"]["resourceVersion"]) <= since
        }
        while True:
            for version, kind_of, kind, obj in [*self.history]:
                if version <= since or kind_of != plural:
                    continue
                since = version
                key = (obj["metadata"].get("namespace", ""), obj["metadata"]["name"])
                matches = self._selected(request, obj)
                if kind == "DELETED" or not matches:
                    if matches or key in seen:
                        self._line(writer, {"type": "DELETED", "object": obj})
                    seen.discard(key)
                else:
                    kind = "MODIFIED" if key in seen else "ADDED"
                    seen.add(key)
                    self._line(writer, {"type": kind, "object": obj})
            if self.bookmarks:
                bookmark = {"metadata": {"resourceVersion": str(self.version)}}
                self._line(writer, {"type": "BOOKMARK", "object": bookmark})
            await writer.drain()
            async with self._changed:
                if generation != self.watch_generation:
                    writer.write(b"0\r\n\r\n")
                    return
                if not any(v > since and p == plural for v, p, _, _ in self.history):
                    await self._changed.wait()
            if generation != self.watch_generation:
                writer.write(b"0\r\n\r\n")
                return

    @staticmethod
    def _begin(writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )

    @staticmethod
    def _line(writer: asyncio.StreamWriter, event: Object) -> None:
        line = json.dumps(event, separators=(",", ":")).encode() + b"\n"
        writer.write(f"{len(line):x}\r\n".encode() + line + b"\r\n")


@contextlib.asynccontextmanager
async def serving(**options: Any) -> AsyncIterator[ApiServer]:
    server = ApiServer(**options)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
