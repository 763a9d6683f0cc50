"""Handover from one engine process to another, without closing a port.

The new engine sends a request over the socket of the running one (`rpc.HandoverRequest`). From then
on, the running engine accepts nothing and hands over what only one process can create: its lock,
the socket it serves, and the sockets its forwards listen on (SCM_RIGHTS, see unix(7)). New
connections wait in the backlogs of these. When the new engine is able to serve, it confirms
(`rpc.HandoverDone`). Then the old one gives up its place, answers (`rpc.HandoverAccepted`), and
continues for the connections it has until they end. If anything fails before that, or the new
engine is too late, the old engine continues as before; and a new engine without that answer ends.
So exactly one of the two serves.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tui_forward.common.blocking_call import run_in_thread
from tui_forward.daemon import rpc, unix_socket
from tui_forward.daemon.framing import read_message
from tui_forward.daemon.session_saver import SessionSaver
from tui_forward.daemon.session_store import SavedSession
from tui_forward.errors import ProtocolError, TransportError, UsageError
from tui_forward.model import ConnectionState, LocalAddress
from tui_forward.session.callers import encode_callers

if TYPE_CHECKING:
    from tui_forward.session.local import LocalSession

_log = logging.getLogger(__name__)

# The other engine has imported everything before it sends its request.
_TIMEOUT_S = 10.0
_CONFIRMATION_S = 10.0  # how long the old engine waits for the new one to be ready
# The old engine answers at once, or has closed the connection. If it was suspended for so long, it
# has noticed since that it was too late.
_ANSWER_TIMEOUT_S = 30.0
# Linux transfers at most 253 descriptors at once (SCM_MAX_FD), other systems fewer.
_MAX_DESCRIPTORS = 100
# Most plugins take a moment. Less than `_TIMEOUT_S`, for which the other engine waits.
_LOGIN_S = 5.0
_POLL_S = 0.02
# Connections in other states only wait for the pod's last bytes.
_OPEN_STATES = frozenset({ConnectionState.QUEUED, ConnectionState.OPEN})


class HandoverSender:
    """The side of the running engine.

    `offer` has the options of this engine; the rest is filled in. `on_handed_over` is called with a
    reason once another engine has replaced this one.
    """

    def __init__(
        self, session: LocalSession, saver: SessionSaver, lock: unix_socket.SocketLock,
        server_socket: socket.socket, offer: rpc.HandoverOffer, *,
        on_handed_over: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._on_handed_over = on_handed_over
        self._session = session
        self._saver = saver
        self._lock = lock
        self.server_socket = server_socket
        self._offer = offer
        self._is_sending = False
        self.is_done = False  # another engine has replaced this one
        # Set unless a handover is in progress, during which the active forwards must not change.
        # Set again if it fails.
        self.idle = asyncio.Event()
        self.idle.set()

    def give_up(self) -> None:
        """Give up the place to another engine, which has it already."""
        self.is_done = True
        self._on_handed_over("another engine has replaced it")

    async def send(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hand everything over to the engine that sent the request.

        Raise ProtocolError if it violates the protocol, OSError or TimeoutError if it is gone.
        """
        if self.is_done or self._is_sending:
            return  # one at a time
        self._is_sending = True
        try:
            refusal = await self._wait_for_logins()
            if refusal is None:
                await self._hand_over(reader, writer)
            else:
                writer.write(rpc.encode_message(rpc.from_exception(0, refusal)))
                await writer.drain()
        finally:
            self._is_sending = False

    async def _wait_for_logins(self) -> TransportError | None:
        """Wait for credential plugins, which a handover would end; an error if one takes long."""
        deadline = time.monotonic() + _LOGIN_S
        while running := self._session.running_logins():
            if time.monotonic() >= deadline:
                plugins = ", ".join(f'{plugin} for context "{name}"' for name, plugin in running)
                return TransportError(
                    f"a login is in progress, which a restart would end: {plugins}",
                    hint="complete it, or stop what waits for it, and try again; the running "
                    "engine continues",
                )
            await asyncio.sleep(_POLL_S)
        return None

    async def _hand_over(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.idle.clear()
        try:
            logins = self._session.hold_logins()
            forward_sockets = self._session.hold()
            current = msgspec.structs.replace(
                await self._saver.current(),
                keep_running=self._saver.keep_running,
                sequence=self._saver.sequence,
            )
            connections = await self._session.connections()
            offer = msgspec.structs.replace(
                self._offer,
                version=rpc.VERSION,
                session=msgspec.json.encode(current),
                addresses=tuple(forward_sockets),
                secrets=self._session.export_secrets(),
                connections=sum(one.state in _OPEN_STATES for one in connections),
                callers=encode_callers(self._session.callers()),
                logins=logins,
            )
            descriptors = [self._lock.fileno(), self.server_socket.fileno()]
            descriptors += [sock.fileno() for sock in forward_sockets.values()]
            # asyncio has sent nothing on this connection, so its buffer is empty.
            with contextlib.closing(writer.get_extra_info("socket").dup()) as raw_socket:
                await run_in_thread(lambda: _send(raw_socket, offer, descriptors), name="handover")
            async with asyncio.timeout(_CONFIRMATION_S):
                body = await read_message(reader, rpc.MAX_REQUEST)
            if body is not None and isinstance(rpc.decode_request(body), rpc.HandoverDone):
                # Fails if the new engine is gone.
                writer.write(rpc.encode_message(rpc.HandoverAccepted()))
                await writer.drain()
                self.give_up()
        finally:
            if not self.is_done:
                _log.info("another engine requested a handover and did not complete it")
                self._session.release()
                self.idle.set()


def _send(raw_socket: socket.socket, offer: rpc.HandoverOffer, descriptors: list[int]) -> None:
    raw_socket.settimeout(_TIMEOUT_S)
    raw_socket.sendall(rpc.encode_message(offer))
    for first in range(0, len(descriptors), _MAX_DESCRIPTORS):
        socket.send_fds(raw_socket, [b"."], descriptors[first : first + _MAX_DESCRIPTORS])


@dataclass
class HandoverState:
    """What a new engine has received."""

    offer: rpc.HandoverOffer  # options of the old engine
    session: SavedSession
    lock_fd: int  # descriptor of the lock file, locked
    server_socket: socket.socket  # the socket that clients connect to, listening
    forward_sockets: dict[LocalAddress, socket.socket]  # the sockets that forwards listen on
    _connection: socket.socket

    def confirm(self) -> None:
        """Replace the old engine. Blocks.

        Raise TransportError if the old engine continues, or was killed; another one may replace it.
        """
        error: Exception | None = None
        with self._connection as connection:
            try:
                connection.settimeout(_ANSWER_TIMEOUT_S)
                connection.sendall(rpc.encode_message(rpc.HandoverDone()))
                if isinstance(_receive_message(connection), rpc.HandoverAccepted):
                    return
            except (OSError, ProtocolError) as failed:
                error = failed
        raise TransportError(
            "the running engine was not replaced: the new one was not ready in time",
            hint="Try again; the running engine continues",
        ) from error


def request_handover(path: Path) -> HandoverState:
    """Request everything from the running engine; call `HandoverState.confirm` later. Blocks.

    Raise UsageError if no engine is running, TransportError if it does not respond properly.
    """
    holder = unix_socket.SocketLock(path).holder
    hint = f"end it with kill {holder}; its forwards are restored" if holder else ""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(_TIMEOUT_S)
    try:
        try:
            connection.connect(os.fspath(path))
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise UsageError("no engine is running", hint="there is nothing to restart") from error
        if not unix_socket.is_same_user(connection):
            raise TransportError(f"the engine at {path} belongs to another user")
        connection.sendall(rpc.encode_message(rpc.HandoverRequest()))
        return _receive_state(connection)
    except TimeoutError as error:
        connection.close()
        raise TransportError(f"the engine at {path} is not responding", hint=hint) from error
    except (OSError, ProtocolError, msgspec.DecodeError) as error:
        connection.close()
        cause = str(error) or type(error).__name__
        raise TransportError(
            f"the engine at {path} cannot be replaced: {cause}", hint=hint
        ) from error
    except BaseException:
        connection.close()
        raise


def _receive_state(connection: socket.socket) -> HandoverState:
    offer = _receive_message(connection)
    if isinstance(offer, rpc.Failure):
        raise rpc.to_exception(offer)
    if not isinstance(offer, rpc.HandoverOffer):
        raise ProtocolError("it does not support a handover")
    session = msgspec.json.decode(offer.session, type=SavedSession)
    descriptors = list(_receive_descriptors(connection, 2 + len(offer.addresses)))
    sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors[1:]]
    for sock in sockets:
        sock.setblocking(False)
    return HandoverState(
        offer=offer,
        session=session,
        lock_fd=descriptors[0],
        server_socket=sockets[0],
        forward_sockets=dict(zip(offer.addresses, sockets[1:], strict=True)),
        _connection=connection,
    )


def _receive_message(connection: socket.socket) -> rpc.FromEngine:
    size = int.from_bytes(_receive_exactly(connection, rpc.HEADER_SIZE), "big")
    if size > rpc.MAX_RESPONSE:
        raise ProtocolError("its message is too long")
    return rpc.decode_response(_receive_exactly(connection, size))


def _receive_exactly(connection: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        chunk = connection.recv(size - len(data))
        if not chunk:
            raise ProtocolError("it closed the connection")
        data += chunk
    return bytes(data)


def _receive_descriptors(connection: socket.socket, count: int) -> Iterator[int]:
    while count > 0:
        marker, descriptors, _, _ = socket.recv_fds(connection, 1, _MAX_DESCRIPTORS)
        if not marker or not descriptors:
            raise ProtocolError("it closed the connection")
        count -= len(descriptors)
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
            yield descriptor
