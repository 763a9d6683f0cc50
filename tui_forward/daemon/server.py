"""Server of the engine process: one session, any number of clients."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Callable
from typing import Any

from tui_forward.daemon import unix_socket
from tui_forward.daemon.client_connection import ClientConnection
from tui_forward.daemon.handover import HandoverSender
from tui_forward.daemon.notices import NoticeLog
from tui_forward.daemon.session_saver import SessionSaver
from tui_forward.errors import ProtocolError
from tui_forward.session import Session

_log = logging.getLogger(__name__)

_CLOSE_S = 2.0


class SessionServer:
    """Serves a session on a listening unix socket. The session is not closed here.

    `on_client_count` is called with the number of clients whenever it changes.
    """

    def __init__(
        self,
        session: Session,
        saver: SessionSaver,
        notices: NoticeLog,
        handover: HandoverSender,
        *,
        kubeconfig: str = "",
        on_client_count: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._session = session
        self._saver = saver
        self._notices = notices
        self._handover = handover
        self._kubeconfig = kubeconfig
        self._on_client_count = on_client_count
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()

    async def start(self, listening: socket.socket) -> None:
        """Start to serve; the server owns the socket from now on."""
        # After a handover another process serves the path, which this one must not unlink.
        keep_path: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
        self._server = await asyncio.start_unix_server(self._accept, sock=listening, **keep_path)

    async def close(self) -> None:
        """Stop to serve and disconnect all clients. Idempotent."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for task in self._clients:
            task.cancel()
        if self._clients:
            await asyncio.wait(set(self._clients), timeout=_CLOSE_S)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        sock = writer.get_extra_info("socket")
        if self._server is None:  # accepted while `close` ran
            writer.transport.abort()
            return
        if sock is None or not unix_socket.is_same_user(sock):
            _log.warning("rejected a client of another user")
            writer.transport.abort()
            return
        self._clients.add(task)
        self._on_client_count(len(self._clients))
        try:
            client = ClientConnection(
                self._session, self._saver, self._notices, self._handover, reader, writer,
                self._kubeconfig,
            )  # fmt: skip
            await client.serve()
        except (ProtocolError, OSError, TimeoutError) as error:
            _log.info("lost a client: %s", str(error) or type(error).__name__)
        except asyncio.CancelledError:
            pass  # by `close`
        except Exception:  # noqa: BLE001 - a bug must not affect other clients
            _log.exception("the connection of a client failed")
        finally:
            self._clients.discard(task)
            self._on_client_count(len(self._clients))
            # Not `wait_closed`, which would wait for a client that does not read.
            writer.transport.abort()
