"""One cluster proxy: its local port, the names of its cluster, its targets, and what is shown."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from functools import partial
from typing import Final

from tui_forward.common.blocking_call import run_in_thread
from tui_forward.common.clock import correction_s, steady_time
from tui_forward.common.tasks import spawn_restarting
from tui_forward.engine.connections.listener import Listener
from tui_forward.engine.connections.local_ports import (
    InheritedSockets,
    PortRequest,
    bind_sockets,
    find_port_problem,
)
from tui_forward.engine.context import ClusterDirectory, ClusterProvider, EngineContext
from tui_forward.engine.forwards.open_listener import name_port_owner
from tui_forward.engine.proxy.accepted_clients import MAX_HANDSHAKES, AcceptedClients
from tui_forward.engine.proxy.policy import Credentials, read_credentials
from tui_forward.engine.proxy.requests import RequestRules
from tui_forward.engine.proxy.router import TargetRouter
from tui_forward.engine.proxy.target_forwards import ForwardStarter, TargetForwards
from tui_forward.errors import ForwardError
from tui_forward.model import Event, EventKind, LocalAddress, ProxyInfo, ProxySpec, Reason
from tui_forward.reasons import reason_hint, reason_text

_log = logging.getLogger(__name__)

_ADDRESSES: Final = ("localhost",)
_RETRY_S: Final = 1.0  # as for the port of a forward


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
        self._clients: AcceptedClients | None = None
        self._retrying: asyncio.Task[None] | None = None
        self._blocked: Reason | None = None  # why it does not listen
        self._refused = 0
        self._last_refusal = ""

    async def open(self, *, waits_for_port: bool = False) -> None:
        """Listen, and start to follow the names of the cluster.

        ConfigError: the context or the file with the password cannot be used. ForwardError: the
        port cannot be opened; it names who holds it. With `waits_for_port` it is tried again until
        `close` instead, and `info` has the reason.
        """
        spec = self.spec
        credentials = None
        if spec.auth_file:
            read = partial(read_credentials, spec.auth_file)
            credentials = await run_in_thread(read, name="proxy password")
        self._directory = self._clusters.directory(spec.context, spec.options)
        try:
            self._listen(self._bind(), credentials, self._directory)
        except ForwardError as error:
            reason = await name_port_owner(error.reason, self._engine)
            if not waits_for_port:
                raise ForwardError(reason) from error
            self._set_blocked(reason)
            retry = partial(self._retry, credentials, self._directory)
            self._retrying = spawn_restarting(retry, name="proxy port")

    async def _retry(self, credentials: Credentials | None, directory: ClusterDirectory) -> None:
        """Try to open the port until it is free."""
        while self._listener is None:
            await asyncio.sleep(_RETRY_S)
            try:
                self._listen(self._bind(), credentials, directory)
            except ForwardError as error:
                self._set_blocked(await name_port_owner(error.reason, self._engine))

    def _set_blocked(self, reason: Reason) -> None:
        if reason != self._blocked:
            self._blocked = reason
            self._engine.changed()

    def _listen(
        self, sockets: list[socket.socket], credentials: Credentials | None,
        directory: ClusterDirectory,
    ) -> None:  # fmt: skip
        for sock in sockets:
            self._engine.socket_holder.hold(sock.fileno())
        port = sockets[0].getsockname()[1]  # the same on all addresses
        self._clients = AcceptedClients(
            self.spec,
            router=TargetRouter(self.spec, directory),
            directory=directory,
            targets=self._targets,
            rules=RequestRules(port, credentials, strips_suffix=self.spec.strip_suffix),
            on_count=self._count_changed,
            on_refused=self._record_refusal,
        )
        self._listener = Listener(
            sockets, on_accept=self._accepted, on_exhausted=self._report_exhausted
        )
        self._blocked = None
        self._engine.emit(
            Event(
                event=EventKind.LISTENING,
                time=time.time(),
                forward=self.id,
                target="proxy",
                listening=self.addresses,
            )
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
        if self._retrying is not None:
            self._retrying.cancel()
            await asyncio.gather(self._retrying, return_exceptions=True)
        if self._listener is not None and not self._listener.is_closed:
            self._listener.close()
            for address in self._listener.addresses:
                self._engine.socket_holder.release(address)
            await self._engine.socket_holder.flush()
        if self._clients is not None:
            await self._clients.close()
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
        problem = self._blocked
        if problem is None and self._directory is not None:
            problem = self._directory.problem
        return ProxyInfo(
            id=self.id,
            spec=self.spec,
            listening=self.addresses,
            started_at=self._started_at + correction_s(),
            services=self._directory.count if self._directory is not None else 0,
            code=problem.code if problem is not None else None,
            reason=reason_text(problem) if problem is not None else "",
            hint=reason_hint(problem) if problem is not None else "",
            handshakes=self._clients.handshakes if self._clients is not None else 0,
            refused=self._refused,
            last_refusal=self._last_refusal,
        )

    # Callbacks of its parts -----------------------------------------------------------

    def _accepted(self, sock: socket.socket, client: LocalAddress, local: LocalAddress) -> None:
        assert self._clients is not None
        self._clients.add(sock, client, local)

    def _count_changed(self, handshakes: int) -> None:
        assert self._listener is not None
        if handshakes >= MAX_HANDSHAKES:
            self._listener.pause()
        elif handshakes == MAX_HANDSHAKES // 2:
            self._listener.resume()

    def _record_refusal(self, text: str) -> None:
        self._refused += 1
        self._last_refusal = text
        _log.info("proxy %s refused %s", self.id, text)
        self._engine.changed()

    def _report_exhausted(self, reason: Reason) -> None:
        _log.warning("proxy %s: new connections wait: %s", self.id, reason_text(reason))
