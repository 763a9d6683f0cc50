"""Connections from the API server to kubelets."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

import h11

from tui_forward.minicluster.apiserver import resources
from tui_forward.minicluster.apiserver.fault_injection import Faults
from tui_forward.minicluster.apiserver.kubelet_certificates import (
    check_names,
    describe_certificate_error,
)
from tui_forward.minicluster.apiserver.resources import Object
from tui_forward.minicluster.apiserver.status_errors import StatusError, not_found
from tui_forward.minicluster.apiserver.store import Store
from tui_forward.minicluster.config import TlsFiles
from tui_forward.minicluster.socket_connection import SocketConnection, connect

DEFAULT_PORT = 10250
DIAL_TIMEOUT_S = 30.0
# How long a kernel takes to find that nothing answers for an address.
_NO_ROUTE_S = 3.0
# Size of a response's header from a kubelet or runtime; the limit of Go is 1 MiB.
HEAD_LIMIT = 64 * 1024


@dataclass(frozen=True, slots=True)
class Backend:
    """The address of a node's kubelet."""

    host: str
    port: int

    @property
    def authority(self) -> str:
        """Host and port for the `Host` header."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(slots=True)
class ResponseHead:
    """Status and headers of a response."""

    raw: bytes  # the received bytes, including the blank line
    status: int
    headers: list[tuple[str, str]]
    length: int | None  # Content-Length; None if the body ends with the connection
    chunked: bool

    def header(self, name: str) -> str:
        """Return the first value of a header."""
        return next((value for key, value in self.headers if key == name), "")


class KubeletDialer:
    """Looks up and connects to kubelets."""

    def __init__(self, store: Store, tls: TlsFiles, faults: Faults) -> None:
        self._store = store
        self._faults = faults
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=tls.ca)
        # Checked in `dial`, for an error that says what the certificate is valid for.
        context.check_hostname = False
        context.load_cert_chain(tls.cert, tls.key)
        # Upgrades require HTTP/1.1, and other requests to kubelets use it too.
        context.set_alpn_protocols(["http/1.1"])
        self._context = context

    def backend(self, node: str) -> Backend:
        """Return the address in the status of a Node."""
        item = self._store.get(resources.NODES, "", node)
        if item is None:
            raise not_found("pods", node)  # as a real API server does
        status: Object = item.copy().get("status") or {}
        addresses = {a["type"]: a["address"] for a in status.get("addresses") or ()}
        host = addresses.get("InternalIP") or addresses.get("Hostname")
        if not host:
            known = " ".join(addresses.values())
            message = f"no preferred addresses found; known addresses: [{known}]"
            raise StatusError(500, "", message)
        endpoint = (status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}
        return Backend(host, int(endpoint.get("Port") or DEFAULT_PORT))

    async def dial(self, backend: Backend) -> SocketConnection:
        """Connect to a kubelet and perform the TLS handshake."""
        connection: SocketConnection | None = None
        try:
            async with asyncio.timeout(DIAL_TIMEOUT_S):
                await self._fail_on_request()
                connection = await connect(backend.host, backend.port)
                await connection.start_tls(
                    self._context, server_side=False, server_hostname=backend.host
                )
                check_names(connection, backend.host)
                return connection
        except OSError as error:  # ssl.SSLError and TimeoutError are OSErrors
            if connection is not None:
                connection.abort()
            message = f"error dialing backend: {await _dial_error(backend, error)}"
            raise StatusError(500, "", message) from error
        except asyncio.CancelledError:
            if connection is not None:
                connection.abort()
            raise

    async def _fail_on_request(self) -> None:
        """Fail as the network between API server and kubelets may, if a fault says so."""
        if self._faults.dial == "no-route":
            await asyncio.sleep(_NO_ROUTE_S)
            raise OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))
        if self._faults.dial == "timeout":
            await asyncio.Event().wait()


async def read_head(connection: SocketConnection) -> ResponseHead:
    """Read status and headers of a response; push back the bytes that follow."""
    data = bytearray()
    while True:
        try:
            chunk = await connection.read()
        except OSError as error:
            message = f"error reading backend response: {_error_text(error)}"
            raise StatusError(500, "", message) from error
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
    upgrade = [("Host", "kubelet"), ("Connection", "upgrade"), ("Upgrade", "any")]
    with contextlib.suppress(h11.LocalProtocolError):
        parser.send(h11.Request(method="GET", target="/", headers=upgrade))
        parser.send(h11.EndOfMessage())
    parser.receive_data(raw)
    try:
        event = parser.next_event()
    except h11.RemoteProtocolError as error:
        raise StatusError(500, "", f"error reading backend response: {error}") from error
    if not isinstance(event, h11.Response | h11.InformationalResponse):
        raise StatusError(500, "", "error reading backend response: malformed HTTP response")
    connection.pushed_back = rest
    headers = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in event.headers]
    found = dict(headers)
    length = found.get("content-length")
    return ResponseHead(
        raw,
        event.status_code,
        headers,
        int(length) if length is not None else None,
        found.get("transfer-encoding", "").lower() == "chunked",
    )


async def _dial_error(backend: Backend, error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return await describe_certificate_error(error, backend.host, backend.port)
    if isinstance(error, socket.gaierror):
        return f"dial tcp: lookup {backend.host} on {_name_server()}: no such host"
    if isinstance(error, ssl.SSLError):
        return f"remote error: tls: {(error.reason or str(error)).lower()}"
    if isinstance(error, TimeoutError) and error.errno is None:
        return f"dial tcp {backend.authority}: i/o timeout"
    return f"dial tcp {backend.authority}: {_error_text(error, 'connect: ')}"


def _name_server() -> str:
    """Return the address of the name server in use, as Go names it."""
    with contextlib.suppress(OSError):
        for line in Path("/etc/resolv.conf").read_text().splitlines():
            words = line.split()
            if len(words) > 1 and words[0] == "nameserver":
                return f"{words[1]}:53"
    return "127.0.0.1:53"


def _error_text(error: OSError, syscall: str = "") -> str:
    """Return the text of Go's runtime for an error number: the system's in lower case."""
    if error.errno is not None and error.errno in errno.errorcode:
        return syscall + os.strerror(error.errno).lower()
    return str(error).lower()
