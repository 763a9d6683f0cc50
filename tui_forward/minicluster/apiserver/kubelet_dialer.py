"""The way from the API server to a kubelet: where it is, and a connection to it."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import ssl
from dataclasses import dataclass
from typing import Any

import h11

from tui_forward.minicluster.apiserver import resources
from tui_forward.minicluster.apiserver.status_errors import StatusError
from tui_forward.minicluster.apiserver.store import Store
from tui_forward.minicluster.config import TlsFiles
from tui_forward.minicluster.socket_connection import SocketConnection, connect

DEFAULT_PORT = 10250
DIAL_TIMEOUT_S = 30.0
# The head of an answer from a kubelet or a runtime; Go's own limit is 1 MiB.
HEAD_LIMIT = 64 * 1024


@dataclass(frozen=True, slots=True)
class Backend:
    """Where a node's kubelet listens."""

    host: str
    port: int

    @property
    def authority(self) -> str:
        """For the `Host` header."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(slots=True)
class Head:
    """The head of an answer.

    Attributes:
        raw: Its bytes as they came, the blank line included.
        length: Content-Length, None when the end of the connection is the end of the body.
    """

    raw: bytes
    status: int
    headers: list[tuple[str, str]]
    length: int | None
    chunked: bool

    def header(self, name: str) -> str:
        """The first value of a header."""
        return next((value for key, value in self.headers if key == name), "")


class KubeletDialer:
    """Finds and dials kubelets.

    Args:
        store: Has the Node objects.
        tls: The API server's client certificate, and the authority of the kubelets'.
    """

    def __init__(self, store: Store, tls: TlsFiles) -> None:
        self._store = store
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=tls.ca)
        context.load_cert_chain(tls.cert, tls.key)
        # An upgrade is HTTP/1.1; so is everything else this server asks of a kubelet.
        context.set_alpn_protocols(["http/1.1"])
        self._context = context

    def backend(self, node: str) -> Backend:
        """Where a node's kubelet listens, as its Node says.

        Raises:
            Failure: 404 when there is no such node, 500 when it has no address.
        """
        item = self._store.get(resources.NODES, "", node)
        if item is None:
            raise StatusError(
                404,
                "NotFound",
                f'nodes "{node}" not found',
                details={"name": node, "kind": "nodes"},
            )
        status: dict[str, Any] = item.copy().get("status") or {}
        addresses = {a["type"]: a["address"] for a in status.get("addresses") or ()}
        host = addresses.get("InternalIP") or addresses.get("Hostname")
        if not host:
            raise StatusError(
                500,
                "InternalError",
                f"no preferred addresses found; known addresses: {list(addresses.values())}",
            )
        endpoint = (status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}
        return Backend(host, int(endpoint.get("Port") or DEFAULT_PORT))

    async def dial(self, backend: Backend) -> SocketConnection:
        """Connect to a kubelet and do the TLS handshake.

        Raises:
            Failure: 500, worded as Go words a failed dial.
        """
        wire: SocketConnection | None = None
        try:
            async with asyncio.timeout(DIAL_TIMEOUT_S):
                wire = await connect(backend.host, backend.port)
                await wire.start_tls(self._context, server_side=False, server_hostname=backend.host)
                return wire
        except OSError as error:  # ssl.SSLError and TimeoutError are OSErrors
            if wire is not None:
                wire.abort()
            raise StatusError(
                500, "", f"error dialing backend: {_dial_error(backend, error)}"
            ) from error
        except asyncio.CancelledError:
            if wire is not None:
                wire.abort()
            raise


async def read_head(wire: SocketConnection) -> Head:
    """Read the head of the answer to a request just sent; the rest is pushed back.

    Raises:
        Failure: 500 when what comes is not an HTTP answer.
    """
    data = bytearray()
    while True:
        try:
            chunk = await wire.read()
        except OSError as error:
            raise StatusError(
                500, "", f"error reading backend response: {_words(error)}"
            ) from error
        if not chunk:
            raise StatusError(500, "", "error reading backend response: unexpected EOF")
        data += chunk
        end = data.find(b"\r\n\r\n")
        if end >= 0:
            break
        if len(data) > HEAD_LIMIT:
            raise StatusError(500, "", "error reading backend response: header is too large")
    raw, rest = bytes(data[: end + 4]), bytes(data[end + 4 :])
    parser = h11.Connection(h11.CLIENT)
    with contextlib.suppress(h11.LocalProtocolError):
        parser.send(
            h11.Request(
                method="GET",
                target="/",
                headers=[("Host", "kubelet"), ("Connection", "upgrade"), ("Upgrade", "any")],
            )
        )
        parser.send(h11.EndOfMessage())
    parser.receive_data(raw)
    try:
        event = parser.next_event()
    except h11.RemoteProtocolError as error:
        raise StatusError(500, "", f"error reading backend response: {error}") from error
    if not isinstance(event, h11.Response | h11.InformationalResponse):
        raise StatusError(500, "", "error reading backend response: malformed HTTP response")
    wire.pushed_back = rest
    headers = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in event.headers]
    found = dict(headers)
    length = found.get("content-length")
    return Head(
        raw,
        event.status_code,
        headers,
        int(length) if length is not None else None,
        found.get("transfer-encoding", "").lower() == "chunked",
    )


def _dial_error(backend: Backend, error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"remote error: tls: {(error.reason or str(error)).lower()}"
    if isinstance(error, TimeoutError) and error.errno is None:
        return f"dial tcp {backend.authority}: i/o timeout"
    return f"dial tcp {backend.authority}: {_words(error, 'connect: ')}"


def _words(error: OSError, call: str = "") -> str:
    """An error number in the words of Go's runtime, which are the system's in lower case."""
    if error.errno is not None and error.errno in errno.errorcode:
        return call + os.strerror(error.errno).lower()
    return str(error).lower()
