"""The endpoint `/portForward/{namespace}/{pod}[/{uid}]`: proxies a request to the runtime.

The kubelet requests a streaming URL from the runtime, forwards the request to it nearly
unchanged, and relays bytes after the 101. Statuses and texts follow `pkg/kubelet/server` and
`UpgradeAwareHandler`.
"""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qs, urlsplit

from tui_forward.errors import ProtocolError
from tui_forward.minicluster.cri.errors import CriError
from tui_forward.minicluster.kubelet.kubelet import Kubelet
from tui_forward.minicluster.kubelet.objects import full_name
from tui_forward.minicluster.relay import Relay
from tui_forward.minicluster.socket_connection import SocketConnection, connect
from tui_forward.protocol.upgrade_server import (
    HttpRequest,
    encode_response,
    is_upgrade,
    is_websocket_upgrade,
)


class RefusalError(Exception):
    """A request was refused."""

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw.partition(b"\r\n")[0].decode())
        self.raw = raw


_HEAD_TIMEOUT_S = 30.0
_MAX_HEAD_BYTES = 64 * 1024
_NO_SNIFF = (("X-Content-Type-Options", "nosniff"),)


def parse_ports(request: HttpRequest) -> list[int]:
    """Return the ports of a legacy WebSocket request, else none; refuse as `NewV4Options` does."""
    if not is_websocket_upgrade(request.headers):
        return []
    texts = parse_qs(urlsplit(request.target).query, keep_blank_values=True).get("port", [])
    if not texts:
        raise RefusalError(encode_response(400, 'query parameter "port" is required'))
    ports = []
    for text in texts:
        for part in text.split(","):
            if not (part.isascii() and part.isdigit()) or int(part) > 0xFFFF:
                raise RefusalError(encode_response(400, f'unable to parse "{part}" as a port'))
            if int(part) == 0:
                raise RefusalError(encode_response(400, f'port "{part}" must be > 0'))
            ports.append(int(part))
    return ports


async def get_streaming_url(
    kubelet: Kubelet, request: HttpRequest, namespace: str, name: str, uid: str
) -> str:
    """Return the runtime's URL for this request, or refuse: no such pod, or not running."""
    ports = parse_ports(request)
    worker = kubelet.find(namespace, name)
    if worker is None:
        raise RefusalError(encode_response(404, "pod does not exist"))
    if uid and uid != worker.uid:
        raise RefusalError(encode_response(404, "pod not found"))
    try:
        sandbox = await worker.newest_sandbox()
        if sandbox is None:
            raise RefusalError(encode_response(500, f'pod not found ("{full_name(worker.pod)}")'))
        return await kubelet.runtime.port_forward(sandbox.id, ports)
    except CriError as error:
        if error.not_found:
            raise RefusalError(encode_response(404, str(error))) from error
        if error.exhausted:
            headers = (("Retry-After", "60"),)
            raise RefusalError(encode_response(429, str(error), headers=headers)) from error
        raise RefusalError(encode_response(500, str(error))) from error


async def proxy_to_runtime(
    client: SocketConnection, request: HttpRequest, url: str, client_ip: str
) -> Relay:
    """Send the request to the runtime and, after its 101, return the running relay.

    Raises `RefusalError`: there was no 101; holds the runtime's own response if there is one.
    """
    if not is_upgrade(request.headers):
        raise RefusalError(_encode_error("Upgrade request required"))
    parts = urlsplit(url)
    authority, path = parts.netloc, parts.path
    try:
        async with asyncio.timeout(_HEAD_TIMEOUT_S):
            upstream = await connect(parts.hostname or "127.0.0.1", parts.port or 80)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        text = f"error dialing backend: dial tcp {authority}: connect: {reason}"
        raise RefusalError(_encode_error(text)) from error
    try:
        async with asyncio.timeout(_HEAD_TIMEOUT_S):
            await upstream.write(_encode_head(request, path, authority, client_ip))
            head, rest = await _read_head(upstream)
            status = int(head.split(b" ", 2)[1])
            if status != 101:
                if status < 400:
                    text = f"invalid upgrade response: status code {status}"
                    raise RefusalError(_encode_error(text))
                raise RefusalError(head + rest + await _read_rest(upstream))
        upstream.pushed_back = rest
        await client.write(head)
        return Relay(client, upstream)
    except (TimeoutError, ProtocolError, ValueError, IndexError) as error:
        upstream.close()
        raise RefusalError(_encode_error(f"error reading backend response: {error}")) from error
    except BaseException:
        upstream.close()
        raise


def _encode_error(text: str) -> bytes:
    return encode_response(500, text + "\n", headers=_NO_SNIFF)


def _encode_head(request: HttpRequest, path: str, authority: str, client_ip: str) -> bytes:
    lines = [f"{request.method} {path} HTTP/1.1", f"Host: {authority}"]
    forwarded = client_ip
    for name, value in request.headers:
        lower = name.lower()
        if lower == "host":
            continue
        if lower == "x-forwarded-for":
            forwarded = f"{value}, {client_ip}"
            continue
        lines.append(f"{name}: {value}")
    lines.append(f"X-Forwarded-For: {forwarded}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def _read_head(upstream: SocketConnection) -> tuple[bytes, bytes]:
    """Return the head of the runtime's response and the bytes that followed it."""
    data = bytearray()
    while True:
        chunk = await upstream.read()
        if not chunk:
            raise ProtocolError("unexpected EOF")
        data += chunk
        end = data.find(b"\r\n\r\n")
        if end >= 0:
            return bytes(data[: end + 4]), bytes(data[end + 4 :])
        if len(data) > _MAX_HEAD_BYTES:
            raise ProtocolError("header is too large")


async def _read_rest(upstream: SocketConnection) -> bytes:
    """Return the rest of an error response, after which the runtime closes."""
    data = bytearray()
    while len(data) < _MAX_HEAD_BYTES:
        chunk = await upstream.read()
        if not chunk:
            break
        data += chunk
    return bytes(data)
