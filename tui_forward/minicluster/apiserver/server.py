"""The API server: accepts connections and authenticates clients by certificate."""

from __future__ import annotations

import asyncio
import socket
import ssl

import msgspec

from tui_forward.errors import UsageError
from tui_forward.minicluster.apiserver.auth import Authenticator
from tui_forward.minicluster.apiserver.authorization import Authorizer
from tui_forward.minicluster.apiserver.fault_injection import Faults
from tui_forward.minicluster.apiserver.gateway import Gateway
from tui_forward.minicluster.apiserver.http import HandlerResult, HttpConnection, Peer, Request
from tui_forward.minicluster.apiserver.kubelet_dialer import KubeletDialer
from tui_forward.minicluster.apiserver.object_writer import ObjectWriter
from tui_forward.minicluster.apiserver.request_handler import LongRunningRequests, RequestHandler
from tui_forward.minicluster.apiserver.store import Store
from tui_forward.minicluster.apiserver.uid_generator import UidGenerator
from tui_forward.minicluster.config import ApiServerConfig, TlsFiles
from tui_forward.minicluster.listener import Listener
from tui_forward.minicluster.socket_connection import SocketConnection

HANDSHAKE_TIMEOUT_S = 10.0


class ApiServer:
    """Serves the Kubernetes API."""

    def __init__(self, config: ApiServerConfig, store: Store, uid_generator: UidGenerator) -> None:
        self._config = config
        self.store = store
        self.faults = Faults()
        self.gateway = Gateway()
        self.authenticator = Authenticator(config.tokens)
        self.authorizer = Authorizer(store)
        self.writer = ObjectWriter(store, uid_generator)
        self.long_running = LongRunningRequests(self.faults)
        # By task; None during the TLS handshake.
        self.connections: dict[asyncio.Task[None], HttpConnection | None] = {}
        self.port = config.port
        self.request_count = 0
        self._tls_context = _server_tls_context(config.tls)
        self._listener = Listener(self._serve)
        self._handler: RequestHandler | None = None
        self._not_stalled = asyncio.Event()
        self._not_stalled.set()

    def start(self) -> None:
        """Start to listen. Raises `OSError`: the port is in use."""
        # The supervisor keeps the port bound, without listening, across restarts.
        self._listener.start(self._config.listen, self._config.port, reuse_port=True)
        self.port = self._listener.port
        self._handler = RequestHandler(
            self.writer,
            KubeletDialer(self.store, self._config.kubelet_tls, self.faults),
            self.authenticator,
            self.authorizer,
            self.faults,
            self.long_running,
            server_address=f"{self._config.listen}:{self.port}",
            # Plain HTTP is for clients without TLS and credentials.
            allow_anonymous=self._config.tls is None,
        )

    async def close(self) -> None:
        """Stop listening and close all connections."""
        self.long_running.end_watches()
        await self._listener.close()

    async def _serve(self, sock: socket.socket, address: str) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.connections[task] = None
        transport = SocketConnection(sock)
        try:
            await self._not_stalled.wait()
            peer = Peer(address)
            if self._tls_context is not None:
                async with asyncio.timeout(HANDSHAKE_TIMEOUT_S):
                    await transport.start_tls(self._tls_context, server_side=True)
                peer = _peer_of_certificate(transport, address)
            connection = self.connections[task] = HttpConnection(transport, peer, self._handle)
            await connection.run()
        except OSError:  # ssl.SSLError and TimeoutError are OSErrors
            return
        finally:
            transport.close()
            del self.connections[task]

    async def _handle(self, request: Request) -> HandlerResult:
        assert self._handler is not None
        self.request_count += 1
        await self._not_stalled.wait()
        answer = await self.gateway.intercept(request)
        if answer is not None:
            return answer
        return await self._handler.handle(request)

    def accept(self, *, on: bool) -> None:
        """Refuse new connections and keep those that are open, as while it ends; or undo that."""
        if not on:
            self._listener.stop_accepting()
        elif not self._listener.is_accepting:
            self._listener.start(self._config.listen, self.port, reuse_port=True)

    @property
    def has_tls(self) -> bool:
        """Whether it serves HTTPS."""
        return self._config.tls is not None

    def use_certificate(self, cert: str, key: str) -> None:
        """Serve another certificate to new connections; the own one again if it is empty.

        Raises `UsageError`: it cannot be read, or there is no TLS.
        """
        tls = self._config.tls
        if tls is None:
            raise UsageError("the API server has no TLS")
        if cert:
            tls = msgspec.structs.replace(tls, cert=cert, key=key)
        try:
            self._tls_context = _server_tls_context(tls)
        except OSError as error:
            raise UsageError(f"cannot use certificate {cert}: {error}") from error

    def cut(self, target: str) -> int:
        """Reset "tunnels", "watches" or "all" connections; return their number."""
        count = self.long_running.reset_tunnels() if target in ("tunnels", "all") else 0
        for task, connection in list(self.connections.items()):
            if connection is None or connection.is_hijacked:
                continue
            if target == "all" or (target == "watches" and connection.is_streaming):
                connection.transport.abort()
                task.cancel()
                count += 1
        return count

    def stall(self, target: str) -> None:
        """Stall "tunnels", "watches" or "all" connections; empty resumes everything."""
        self.long_running.stall(target)
        if target == "all":
            self._not_stalled.clear()
        else:
            self._not_stalled.set()


def _server_tls_context(tls: TlsFiles | None) -> ssl.SSLContext | None:
    if tls is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=tls.ca)
    context.load_cert_chain(tls.cert, tls.key)
    # A client without a certificate may use a token or be anonymous.
    context.verify_mode = ssl.CERT_OPTIONAL
    context.set_alpn_protocols(["http/1.1"])
    # No client resumes a session, and tickets would be sent before a tunnel's first bytes.
    context.num_tickets = 0
    context.options |= ssl.OP_NO_TICKET
    return context


def _peer_of_certificate(transport: SocketConnection, address: str) -> Peer:
    names = transport.peer_names()
    user = names.get("commonName", [""])[0]
    return Peer(address, user, tuple(names.get("organizationName", ())))
