"""Clients of a proxy from accept until a forward has their socket, or to their end."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from functools import partial
from typing import Final

from tui_forward.common.tasks import spawn
from tui_forward.engine.connections.client_socket import close_socket
from tui_forward.engine.connections.peer_state import find_user
from tui_forward.engine.context import ClusterDirectory
from tui_forward.engine.forwards.forward import ActiveForward
from tui_forward.engine.proxy.direct_connection import dial_direct, relay
from tui_forward.engine.proxy.handshake import ClientHandshake
from tui_forward.engine.proxy.handshake_reader import HandshakeReader, read_handshake
from tui_forward.engine.proxy.pages import pac_file
from tui_forward.engine.proxy.requests import RequestRules
from tui_forward.engine.proxy.router import DirectAddress, TargetRouter
from tui_forward.engine.proxy.target_forwards import TargetForwards
from tui_forward.errors import TuiForwardError
from tui_forward.model import LocalAddress, ProxySpec, Reason, Target
from tui_forward.reasons import reason_text

_log = logging.getLogger(__name__)

# A client says where it wants to go at once; people who type are at an HTTP client.
_HANDSHAKE_TIMEOUT_S: Final = 30.0
_ANSWER_TIMEOUT_S: Final = 5.0
# More clients that have not named a target wait in the kernel's backlog.
MAX_HANDSHAKES: Final = 2048


class AcceptedClients:
    """Serves each accepted socket. Belongs to one event loop.

    A client whose destination was used before gets its forward inside the callback that has read
    its request, which is often that of the accept; a task runs for the others only. `on_count` is
    called with the number of handshakes, `on_refused` with a text for the user.
    """

    def __init__(
        self, spec: ProxySpec, *, router: TargetRouter, directory: ClusterDirectory,
        targets: TargetForwards, rules: RequestRules,
        on_count: Callable[[int], None], on_refused: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._spec = spec
        self._router = router
        self._directory = directory
        self._targets = targets
        self._rules = rules
        self._user = os.getuid()
        self._on_count = on_count
        self._on_refused = on_refused
        self._reading: set[HandshakeReader] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def handshakes(self) -> int:
        """How many clients have not named their target yet."""
        return len(self._reading)

    def add(self, sock: socket.socket, client: LocalAddress, local: LocalAddress) -> None:
        """Serve an accepted socket, which is not blocking."""
        if not self._may_connect(client, local):
            close_socket(sock, reset=True)
            self._on_refused(f"a connection from {client}, of another user")
            return
        handshake = ClientHandshake(self._rules)
        # Most clients have sent something by now.
        problem = read_handshake(sock, handshake)
        if problem or handshake.is_done:
            self._handshake_done(sock, client, local, handshake, problem)
            return
        reader = HandshakeReader(
            sock,
            handshake,
            timeout_s=_HANDSHAKE_TIMEOUT_S,
            on_done=partial(self._reader_done, client, local),
        )
        self._reading.add(reader)
        self._on_count(len(self._reading))

    def _may_connect(self, client: LocalAddress, local: LocalAddress) -> bool:
        """Whether a client is a process of this user, where the system tells; or has to log in."""
        if self._rules.credentials is not None:
            return True
        user = find_user((client.host, client.port), (local.host, local.port))
        return user is None or user == self._user

    async def close(self) -> None:
        """Close the sockets of all clients without a target. Idempotent."""
        for reader in self._reading:
            reader.stop()
            close_socket(reader.sock, reset=True)
        self._reading.clear()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    # One client -----------------------------------------------------------------------

    def _reader_done(
        self, client: LocalAddress, local: LocalAddress, reader: HandshakeReader, problem: str
    ) -> None:
        self._reading.discard(reader)
        self._on_count(len(self._reading))
        self._handshake_done(reader.sock, client, local, reader.handshake, problem)

    def _handshake_done(
        self, sock: socket.socket, client: LocalAddress, local: LocalAddress,
        handshake: ClientHandshake, problem: str,
    ) -> None:  # fmt: skip
        if problem:
            close_socket(sock, reset=True)
            return
        destination = handshake.destination
        if destination is not None:
            target = self._router.find_known(destination)
            if target is not None and self._serve(sock, client, local, handshake, target):
                return
        task = spawn(
            self._serve_in_task(sock, client, local, handshake), name=f"proxy client {client}"
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _serve(
        self, sock: socket.socket, client: LocalAddress, local: LocalAddress,
        handshake: ClientHandshake, target: Target,
    ) -> bool:  # fmt: skip
        """Pass a socket to the forward of its target; return whether that was possible."""
        try:
            forward = self._targets.get(target)
        except TuiForwardError:
            return False
        handshake.target_reason = partial(_reason_of, forward)
        forward.serve(sock, client, local, handshake)
        return True

    async def _serve_in_task(
        self, sock: socket.socket, client: LocalAddress, local: LocalAddress,
        handshake: ClientHandshake,
    ) -> None:  # fmt: skip
        is_open, reset = True, True
        try:
            destination = handshake.destination
            if destination is None:
                await self._send_last_answer(sock, handshake, local)
            else:
                route = await self._router.find(destination)
                if isinstance(route, Target):
                    forward = self._targets.get(route)
                    is_open = False
                    handshake.target_reason = partial(_reason_of, forward)
                    forward.serve(sock, client, local, handshake)
                else:
                    await _relay(sock, handshake, route)
            reset = False
        except TuiForwardError as error:
            self._on_refused(f"{handshake.destination}: {reason_text(error.reason)}")
            await _send(sock, handshake.failed(error.reason))
            reset = False
        except OSError:
            pass  # the client has left
        finally:
            if is_open:
                close_socket(sock, reset=reset)

    async def _send_last_answer(
        self, sock: socket.socket, handshake: ClientHandshake, local: LocalAddress
    ) -> None:
        if handshake.wants_pac:
            namespaces = self._directory.namespaces if self._rules.credentials is None else ()
            await _send(sock, pac_file(local, self._spec.domain, namespaces))
        elif handshake.refusal:
            self._on_refused(f"a client: {handshake.refusal}")


def _reason_of(forward: ActiveForward) -> Reason:
    return forward.reason


async def _relay(sock: socket.socket, handshake: ClientHandshake, address: DirectAddress) -> None:
    with await dial_direct(address) as server:
        try:
            await relay(sock, handshake, server)
        except* OSError:
            pass  # one of the two has left


async def _send(sock: socket.socket, data: bytes) -> None:
    try:
        async with asyncio.timeout(_ANSWER_TIMEOUT_S):
            await asyncio.get_running_loop().sock_sendall(sock, data)
    except (OSError, TimeoutError):
        pass  # it has left, or does not read
