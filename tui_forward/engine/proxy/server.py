"""One cluster proxy: its local port, its clients until they have a target, and what is shown."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from functools import partial
from typing import Final

from tui_forward.common.blocking_call import run_in_thread
from tui_forward.common.clock import correction_s, steady_time
from tui_forward.common.tasks import spawn
from tui_forward.engine.connections.client_socket import close_socket
from tui_forward.engine.connections.listener import Listener
from tui_forward.engine.connections.local_ports import (
    InheritedSockets,
    PortRequest,
    bind_sockets,
    find_port_problem,
)
from tui_forward.engine.connections.peer_state import find_user_of_peer
from tui_forward.engine.context import ClusterDirectory, ClusterProvider, EngineContext
from tui_forward.engine.forwards.forward import ActiveForward
from tui_forward.engine.forwards.open_listener import name_port_owner
from tui_forward.engine.proxy.direct_connection import dial_direct, relay
from tui_forward.engine.proxy.handshake import ClientHandshake
from tui_forward.engine.proxy.pages import pac_file
from tui_forward.engine.proxy.policy import Credentials, read_credentials
from tui_forward.engine.proxy.router import DirectAddress, TargetRouter
from tui_forward.engine.proxy.target_forwards import ForwardStarter, TargetForwards
from tui_forward.errors import ForwardError, TuiForwardError
from tui_forward.model import LocalAddress, ProxyInfo, ProxySpec, Reason, Target
from tui_forward.reasons import reason_hint, reason_text

_log = logging.getLogger(__name__)

_ADDRESSES: Final = ("localhost",)
_READ_SIZE: Final = 64 * 1024
# A client says where it wants to go at once; people who type are at an HTTP client.
_HANDSHAKE_TIMEOUT_S: Final = 30.0
_ANSWER_TIMEOUT_S: Final = 5.0
# More clients that have not named a target wait in the kernel's backlog.
_MAX_HANDSHAKES: Final = 2048


class ProxyServer:
    """Serves one proxy from `open` to `close`; `spec` has context and namespace filled in."""

    def __init__(
        self,
        proxy_id: str,
        spec: ProxySpec,
        *,
        starter: ForwardStarter,
        engine: EngineContext,
        clusters: ClusterProvider,
    ) -> None:
        self.id = proxy_id
        self.spec = spec
        self._engine = engine
        self._clusters = clusters
        self._targets = TargetForwards(proxy_id, spec, starter, clusters)
        self._started_at = steady_time()
        self._listener: Listener | None = None
        self._directory: ClusterDirectory | None = None
        self._router: TargetRouter | None = None
        self._credentials: Credentials | None = None
        self._clients: set[asyncio.Task[None]] = set()
        self._handshakes = 0
        self._refused = 0
        self._last_refusal = ""

    async def open(self) -> None:
        """Listen, and start to follow the names of the cluster.

        ConfigError: the context or the file with the password cannot be used. ForwardError: the
        port cannot be opened; it names who holds it.
        """
        spec = self.spec
        if spec.auth_file:
            read = partial(read_credentials, spec.auth_file)
            self._credentials = await run_in_thread(read, name="proxy password")
        self._directory = self._clusters.directory(spec.context, spec.options)
        try:
            sockets = self._bind()
        except ForwardError as error:
            raise ForwardError(await name_port_owner(error.reason, self._engine)) from error
        for sock in sockets:
            self._engine.socket_holder.hold(sock.fileno())
        self._router = TargetRouter(spec, self._directory)
        self._listener = Listener(
            sockets, on_accept=self._accepted, on_exhausted=self._report_exhausted
        )
        self._engine.changed()

    def _bind(self) -> list[socket.socket]:
        """Bind the port on both addresses of localhost, or on the one that this machine has.

        A client that tries the other one first must not reach another program.
        """
        port, inherited = self.spec.port, self._engine.inherited_sockets
        if port and not any(address.port == port for address in inherited):
            problem = find_port_problem(_ADDRESSES, port)
            if problem is not None:
                raise problem
        return bind_sockets(_ADDRESSES, PortRequest(port, required=bool(port)), inherited)

    async def close(self) -> None:
        """Stop listening, and stop all targets with their connections. Idempotent."""
        if self._listener is not None and not self._listener.is_closed:
            self._listener.close()
            for address in self._listener.addresses:
                self._engine.socket_holder.release(address)
            await self._engine.socket_holder.flush()
        for task in self._clients:
            task.cancel()
        if self._clients:
            await asyncio.wait(self._clients)
        await self._targets.close()
        if self._directory is not None:
            await self._directory.close()

    # Handover to another process ----------------------------------------------------

    def hold(self) -> InheritedSockets:
        """Stop accepting for now, and return the listening sockets."""
        return self._listener.hold() if self._listener is not None else {}

    def release(self) -> None:
        """Undo `hold`. Idempotent."""
        if self._listener is not None:
            self._listener.release()

    def detach(self) -> None:
        """Close the listener, which another process has taken over; keep the connections."""
        if self._listener is not None:
            self._listener.close()

    @property
    def addresses(self) -> tuple[LocalAddress, ...]:
        """What it listens on."""
        return self._listener.addresses if self._listener is not None else ()

    def info(self) -> ProxyInfo:
        """Return the proxy as it is now."""
        problem = self._directory.problem if self._directory is not None else None
        return ProxyInfo(
            id=self.id,
            spec=self.spec,
            listening=self.addresses,
            started_at=self._started_at + correction_s(),
            services=self._directory.count if self._directory is not None else 0,
            code=problem.code if problem is not None else None,
            reason=reason_text(problem) if problem is not None else "",
            hint=reason_hint(problem) if problem is not None else "",
            handshakes=self._handshakes,
            refused=self._refused,
            last_refusal=self._last_refusal,
        )

    # Clients --------------------------------------------------------------------------

    def _accepted(self, sock: socket.socket, client: LocalAddress, local: LocalAddress) -> None:
        if not self._may_connect(sock):
            self._record_refusal(f"a connection from {client}, of another user")
            close_socket(sock, reset=True)
            return
        self._handshakes += 1
        assert self._listener is not None
        if self._handshakes >= _MAX_HANDSHAKES:
            self._listener.pause()
        task = spawn(self._serve(sock, client, local), name=f"proxy client {client}")
        self._clients.add(task)
        task.add_done_callback(self._clients.discard)

    def _may_connect(self, sock: socket.socket) -> bool:
        """Whether a client is a process of this user, where the system tells; or has to log in."""
        if self._credentials is not None:
            return True
        user = find_user_of_peer(sock)
        return user is None or user == os.getuid()

    async def _serve(self, sock: socket.socket, client: LocalAddress, local: LocalAddress) -> None:
        """Serve a client until its target has its socket, or to its end."""
        assert self._listener is not None
        handshake = ClientHandshake(local.port, self._credentials)
        is_open, reset = True, True
        try:
            try:
                async with asyncio.timeout(_HANDSHAKE_TIMEOUT_S):
                    await self._negotiate(sock, handshake)
                    target = await self._find_target(handshake)
            finally:
                self._handshakes -= 1
                if self._handshakes <= _MAX_HANDSHAKES // 2:
                    self._listener.resume()
            if isinstance(target, Target):
                forward = self._targets.get(target)
                is_open = False
                handshake.target_reason = partial(_reason_of, forward)
                forward.serve(sock, client, local, handshake)
            elif isinstance(target, DirectAddress):
                await self._relay(sock, handshake, target)
                reset = False
            else:
                await self._send_last_answer(sock, handshake, local)
                reset = False
        except TuiForwardError as error:
            await self._send_failure(sock, handshake, error.reason)
            reset = False
        except (OSError, TimeoutError):
            pass  # the client has left, or sends nothing
        finally:
            if is_open:
                close_socket(sock, reset=reset)

    async def _negotiate(self, sock: socket.socket, handshake: ClientHandshake) -> None:
        loop = asyncio.get_running_loop()
        while not (handshake.destination or handshake.wants_pac or handshake.is_over):
            try:
                data = sock.recv(_READ_SIZE)
            except (BlockingIOError, InterruptedError):
                data = await loop.sock_recv(sock, _READ_SIZE)
            handshake.receive_data(data)
            output = handshake.data_to_send()
            if output and sock.send(output) != len(output):
                raise BlockingIOError  # a client that does not read a few bytes

    async def _find_target(self, handshake: ClientHandshake) -> Target | DirectAddress | None:
        destination = handshake.destination
        if destination is None:
            return None
        assert self._router is not None
        if destination.is_localhost:
            return await self._router.route_localhost(destination.host, destination.port)
        return await self._router.route(destination.host, int(destination.port))

    async def _relay(
        self, sock: socket.socket, handshake: ClientHandshake, address: DirectAddress
    ) -> None:
        with await dial_direct(address) as server:
            try:
                await relay(sock, handshake, server)
            except* OSError:
                pass  # one of the two has left

    async def _send_last_answer(
        self, sock: socket.socket, handshake: ClientHandshake, local: LocalAddress
    ) -> None:
        if handshake.wants_pac:
            assert self._directory is not None
            script = pac_file(local, self.spec.domain, self._directory.namespaces)
            await self._send(sock, script)
        elif handshake.refusal:
            self._record_refusal(handshake.refusal)

    async def _send_failure(
        self, sock: socket.socket, handshake: ClientHandshake, reason: Reason
    ) -> None:
        self._record_refusal(f"{handshake.destination}: {reason_text(reason)}")
        await self._send(sock, handshake.failed(reason))

    async def _send(self, sock: socket.socket, data: bytes) -> None:
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT_S):
                await asyncio.get_running_loop().sock_sendall(sock, data)
        except (OSError, TimeoutError):
            pass  # it has left, or does not read

    def _record_refusal(self, text: str) -> None:
        self._refused += 1
        self._last_refusal = text
        _log.info("proxy %s refused %s", self.id, text)
        self._engine.changed()

    def _report_exhausted(self, reason: Reason) -> None:
        _log.warning("proxy %s: new connections wait: %s", self.id, reason_text(reason))


def _reason_of(forward: ActiveForward) -> Reason:
    return forward.reason
