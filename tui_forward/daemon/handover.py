"""One engine process takes the place of another, and no port is closed in between.

The new one asks over the socket of the one that runs (`wire.TakeOver`). From then on that one
accepts nothing, and hands over what only one process can make: its lock, the socket it serves,
and the sockets its forwards listen on (SCM_RIGHTS, see unix(7)). Whoever connects meanwhile waits
in them. When the new one serves it says so (`wire.Taken`), and only then the old one lets go; it
stays for the connections it has, until they end. If anything fails before that, the old one goes
on as if nobody had asked.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tui_forward.daemon import rpc as rpc
from tui_forward.daemon import unix_socket as unix_socket
from tui_forward.daemon.framing import read_message
from tui_forward.daemon.session_store import SavedSession, SessionSaver
from tui_forward.errors import ProtocolError, TransportError, UsageError
from tui_forward.model import ConnectionState, LocalAddress

if TYPE_CHECKING:
    from tui_forward.session.local import LocalSession

_log = logging.getLogger(__name__)

# The other one has loaded everything before it asks.
_PATIENCE_S = 10.0
# Linux takes 253 descriptors at once (SCM_MAX_FD), others fewer.
_AT_ONCE = 100
# Of others only the pod's last words are waited for.
_IN_USE = frozenset({ConnectionState.QUEUED, ConnectionState.OPEN})


class HandoverSender:
    """The one that runs.

    Args:
        session: Whose forwards.
        keeper: Knows what is on.
        lock: Of the socket.
        serving: The socket itself, as it listens.
        handed: What else the other one is told; the rest is filled in.
        on_given: Called with words once another one has taken this one's place.

    Attributes:
        given: Another engine has taken this one's place.
        undisturbed: Not set from when somebody asks: what is on must not change then. Set again
            if it was not taken.
    """

    def __init__(
        self,
        session: LocalSession,
        keeper: SessionSaver,
        lock: unix_socket.SocketLock,
        serving: socket.socket,
        handed: rpc.HandoverOffer,
        *,
        on_given: Callable[[str], None],
    ) -> None:
        self._on_given = on_given
        self._session = session
        self._keeper = keeper
        self._lock = lock
        self._serving = serving
        self._handed = handed
        self.given = False
        self.undisturbed = asyncio.Event()
        self.undisturbed.set()

    async def send(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hand everything over to the engine at the other end.

        Raises:
            ProtocolError: It says something else.
            OSError, TimeoutError: It is gone, or does not answer.
        """
        if self.given or not self.undisturbed.is_set():
            return  # one at a time
        self.undisturbed.clear()
        try:
            held = self._session.hold()
            now = msgspec.structs.replace(
                await self._keeper.now(), keep_running=self._keeper.keep_running
            )
            handed = msgspec.structs.replace(
                self._handed,
                version=rpc.VERSION,
                session=msgspec.json.encode(now),
                addresses=tuple(held),
                connections=sum(one.state in _IN_USE for one in await self._session.connections()),
            )
            sockets = [self._lock.fileno(), self._serving.fileno()]
            sockets += [sock.fileno() for sock in held.values()]
            # Nothing was sent to it yet, so that nothing of asyncio's is in the way.
            with contextlib.closing(writer.get_extra_info("socket").dup()) as bare:
                await asyncio.to_thread(_send, bare, handed, sockets)
            async with asyncio.timeout(_PATIENCE_S):
                body = await read_message(reader, rpc.MAX_REQUEST)
            self.given = body is not None and isinstance(rpc.unpack_request(body), rpc.HandoverDone)
            if self.given:
                self._on_given("another engine has taken its place")
        finally:
            if not self.given:
                _log.info("another engine has asked for everything, and not taken it")
                self._session.release()
                self.undisturbed.set()


def _send(bare: socket.socket, handed: rpc.HandoverOffer, descriptors: list[int]) -> None:
    bare.settimeout(_PATIENCE_S)
    bare.sendall(rpc.encode_message(handed))
    for first in range(0, len(descriptors), _AT_ONCE):
        socket.send_fds(bare, [b"."], descriptors[first : first + _AT_ONCE])


@dataclass
class HandoverState:
    """What was handed over.

    Attributes:
        handed: What was told.
        session: What is on.
        lock: Descriptor of the lock file, locked.
        serving: The socket front ends come to, as it listens.
        listening: The sockets that forwards listen on.
    """

    handed: rpc.HandoverOffer
    session: SavedSession
    lock: int
    serving: socket.socket
    listening: dict[LocalAddress, socket.socket]
    _connection: socket.socket

    def confirm(self) -> None:
        """Tell the old one that it is not needed any more."""
        with self._connection, contextlib.suppress(OSError):  # it is gone: just as well
            self._connection.sendall(rpc.encode_message(rpc.HandoverDone()))


def request_handover(path: Path) -> HandoverState:
    """Ask the engine that runs for everything it has. Blocks. Call `Estate.taken` in the end.

    Raises:
        UsageError: None runs.
        TransportError: It does not answer, or cannot be understood.
    """
    holder = unix_socket.SocketLock(path).holder
    hint = f"end it: kill {holder}; what is on is brought back" if holder else ""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(_PATIENCE_S)
    try:
        try:
            connection.connect(os.fspath(path))
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise UsageError("no engine runs", hint="there is nothing to begin anew") from error
        if not unix_socket.is_same_user(connection):
            raise TransportError(f"the engine at {path} belongs to another user")
        connection.sendall(rpc.encode_message(rpc.HandoverRequest()))
        return _received(connection)
    except TimeoutError as error:
        connection.close()
        raise TransportError(f"the engine at {path} does not answer", hint=hint) from error
    except (OSError, ProtocolError, msgspec.DecodeError) as error:
        connection.close()
        why = str(error) or type(error).__name__
        raise TransportError(
            f"the engine at {path} cannot be replaced: {why}", hint=hint
        ) from error
    except BaseException:
        connection.close()
        raise


def _received(connection: socket.socket) -> HandoverState:
    size = int.from_bytes(_exactly(connection, rpc.LENGTH), "big")
    if size > rpc.MAX_ANSWER:
        raise ProtocolError("it says too much")
    handed = rpc.unpack_answer(_exactly(connection, size))
    if not isinstance(handed, rpc.HandoverOffer):
        raise ProtocolError("it does not know how to hand over")
    session = msgspec.json.decode(handed.session, type=SavedSession)
    descriptors = list(_descriptors(connection, 2 + len(handed.addresses)))
    sockets = [socket.socket(fileno=descriptor) for descriptor in descriptors[1:]]
    for sock in sockets:
        sock.setblocking(False)
    return HandoverState(
        handed=handed,
        session=session,
        lock=descriptors[0],
        serving=sockets[0],
        listening=dict(zip(handed.addresses, sockets[1:], strict=True)),
        _connection=connection,
    )


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = connection.recv(size - len(data))
        if not piece:
            raise ProtocolError("it hung up")
        data += piece
    return bytes(data)


def _descriptors(connection: socket.socket, count: int) -> Iterator[int]:
    while count > 0:
        marker, descriptors, _, _ = socket.recv_fds(connection, 1, _AT_ONCE)
        if not marker or not descriptors:
            raise ProtocolError("it hung up")
        count -= len(descriptors)
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
            yield descriptor
