"""`/portForward/{namespace}/{pod}[/{uid}]`: from the API server's request to the runtime's URL.

The kubelet asks the runtime for a URL, hands the request to it nearly unchanged, and from the
101 on relays bytes. Statuses and texts after `pkg/kubelet/server` and `UpgradeAwareHandler`.
"""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qs, urlsplit

from tui_forward.errors import ProtocolError
from tui_forward.minicluster.cri.errors import CriError
from tui_forward.minicluster.kubelet import cri_config as cri_config
from tui_forward.minicluster.kubelet.kubelet import Kubelet
from tui_forward.minicluster.relay import Relay
from tui_forward.minicluster.socket_connection import SocketConnection, connect
from tui_forward.protocol.upgrade_server import (
    HttpRequest,
    encode_response,
    is_upgrade,
    is_websocket_upgrade,
)

HEAD_S = 30.0
_HEAD_LIMIT = 64 * 1024
_NO_SNIFF = (("X-Content-Type-Options", "nosniff"),)


class RefusalError(Exception):
    """The answer to a request that goes no further."""

    def __init__(self, raw: bytes) -> None:
        super().__init__(raw.partition(b"\r\n")[0].decode())
        self.raw = raw


def ports_of(request: HttpRequest) -> list[int]:
    """The ports of a legacy WebSocket request; empty for everything else.

    Raises:
        RefusalError: 400, as `NewV4Options` has it.
    """
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


async def streaming_url(
    kubelet: Kubelet, request: HttpRequest, namespace: str, name: str, uid: str
) -> str:
    """Where the runtime waits for this request.

    Raises:
        RefusalError: There is no such pod, it does not run, or the runtime refuses.
    """
    ports = ports_of(request)
    worker = kubelet.find(namespace, name)
    if worker is None:
        raise RefusalError(encode_response(404, "pod does not exist"))
    if uid and uid != worker.uid:
        raise RefusalError(encode_response(404, "pod not found"))
    full_name = cri_config.full_name(worker.pod)
    try:
        sandbox = await worker.newest_sandbox()
        if sandbox is None:
            raise RefusalError(encode_response(500, f'pod not found ("{full_name}")'))
        return await kubelet.runtime.port_forward(sandbox.id, ports)
    except CriError as error:
        if error.not_found:
            raise RefusalError(encode_response(404, str(error))) from error
        if error.exhausted:
            headers = (("Retry-After", "60"),)
            raise RefusalError(encode_response(429, str(error), headers=headers)) from error
        raise RefusalError(encode_response(500, str(error))) from error


async def proxy_to_runtime(
    wire: SocketConnection, request: HttpRequest, url: str, peer: str
) -> Relay:
    """Connect the client to the runtime.

    Args:
        wire: The API server's connection, its request read.
        request: The request.
        url: The runtime's URL for it.
        peer: Address of the API server, for `X-Forwarded-For`.

    Returns:
        The running relay; the 101 has been passed on.

    Raises:
        RefusalError: There was no 101; the runtime's own answer, if it has one.
        OSError: The client's connection broke.
    """
    if not is_upgrade(request.headers):
        raise RefusalError(_error("Upgrade request required"))
    parts = urlsplit(url)
    authority, path = parts.netloc, parts.path
    try:
        async with asyncio.timeout(HEAD_S):
            upstream = await connect(parts.hostname or "127.0.0.1", parts.port or 80)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        text = f"error dialing backend: dial tcp {authority}: connect: {reason}"
        raise RefusalError(_error(text)) from error
    try:
        async with asyncio.timeout(HEAD_S):
            await upstream.write(_head(request, path, authority, peer))
            head, rest = await _answer(upstream)
            status = int(head.split(b" ", 2)[1])
            if status != 101:
                if status < 400:
                    raise RefusalError(_error(f"invalid upgrade response: status code {status}"))
                raise RefusalError(head + rest + await _remainder(upstream))
        upstream.pushed_back = rest
        await wire.write(head)
        return Relay(wire, upstream)
    except (TimeoutError, ProtocolError, ValueError, IndexError) as error:
        upstream.close()
        raise RefusalError(_error(f"error reading backend response: {error}")) from error
    except BaseException:
        upstream.close()
        raise


def _error(text: str) -> bytes:
    return encode_response(500, text + "\n", headers=_NO_SNIFF)


def _head(request: HttpRequest, path: str, authority: str, peer: str) -> bytes:
    lines = [f"{request.method} {path} HTTP/1.1", f"Host: {authority}"]
    forwarded = peer
    for name, value in request.headers:
        lower = name.lower()
        if lower == "host":
            continue
        if lower == "x-forwarded-for":
            forwarded = f"{value}, {peer}"
            continue
        lines.append(f"{name}: {value}")
    lines.append(f"X-Forwarded-For: {forwarded}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


async def _answer(upstream: SocketConnection) -> tuple[bytes, bytes]:
    """The head of the runtime's answer, and what came behind it."""
    data = bytearray()
    while True:
        chunk = await upstream.read()
        if not chunk:
            raise ProtocolError("unexpected EOF")
        data += chunk
        end = data.find(b"\r\n\r\n")
        if end >= 0:
            return bytes(data[: end + 4]), bytes(data[end + 4 :])
        if len(data) > _HEAD_LIMIT:
            raise ProtocolError("header is too large")


async def _remainder(upstream: SocketConnection) -> bytes:
    """The rest of an error answer; the runtime closes behind it."""
    data = bytearray()
    while len(data) < _HEAD_LIMIT:
        chunk = await upstream.read()
        if not chunk:
            break
        data += chunk
    return bytes(data)
