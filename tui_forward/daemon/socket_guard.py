"""Restores the path of a running engine's socket, and its lock file, if something removes them.

The system removes a user's runtime folder when the user logs out, and programs clean up `/tmp`.
Without its path, clients cannot reach the engine. Those that find its record wait, see
`engine_record`; others would start a second one, which could not bind the ports of the first.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

from tui_forward.common.file_checks import FILE_CHECKS
from tui_forward.daemon import unix_socket
from tui_forward.daemon.unix_socket import SocketLock
from tui_forward.errors import ConfigError

_log = logging.getLogger(__name__)


class SocketGuard:
    """Checks the path of the socket that an engine serves.

    Args:
        path: The socket; it exists.
        lock: The lock, which this process holds.
        on_rebound: Called with a new socket at the path, which is to be served from now on.
        on_overtaken: Called if another engine has taken the path meanwhile.
    """

    def __init__(
        self, path: Path, lock: SocketLock, *,
        on_rebound: Callable[[socket.socket], Awaitable[None]], on_overtaken: Callable[[], None],
    ) -> None:  # fmt: skip
        self._path = path
        self._lock = lock
        self._on_rebound = on_rebound
        self._on_overtaken = on_overtaken
        self._identity = unix_socket.path_identity(path)
        self._failed = False  # at the last check

    async def run(self) -> None:
        """Check repeatedly until another engine has taken the path."""
        while True:
            if not await self.check():
                return
            await FILE_CHECKS.wait_for(lambda: (self._path,), lambda: not self._is_complete)

    async def check(self) -> bool:
        """Restore what is missing; return False if another engine has taken the path."""
        if self._is_complete:
            return True
        try:
            unix_socket.ensure_private_dir(self._path)
            if not self._lock.is_in_place and not self._lock.acquire():
                if not unix_socket.is_served(self._path):
                    return True  # an engine that has not taken the path yet, or is ending
                self._on_overtaken()
                return False
            if not self.is_in_place:
                listening = unix_socket.bind_socket(self._path)
                self._identity = unix_socket.path_identity(self._path)
                await self._on_rebound(listening)
        except (ConfigError, OSError) as error:
            if not self._failed:
                _log.warning("cannot restore %s: %s", self._path, error)
            self._failed = True
        else:
            _log.warning("restored %s, which was removed", self._path)
            self._failed = False
        return True

    @property
    def _is_complete(self) -> bool:
        return self._lock.is_in_place and self.is_in_place

    @property
    def is_in_place(self) -> bool:
        """Whether the path leads to the socket of this engine."""
        return self._identity is not None and (
            unix_socket.path_identity(self._path) == self._identity
        )
