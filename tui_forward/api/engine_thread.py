"""The engine of all forwards of one kubeconfig, in a thread that ends with the last of them."""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final, NamedTuple

from tui_forward.api.loop_thread import LoopThread
from tui_forward.common.logging_levels import redact_records

if TYPE_CHECKING:
    from tui_forward.session import Session


class EngineKey(NamedTuple):
    """What forwards must have in common to share a session.

    `variable` is the value of KUBECONFIG; `daemon` selects the user's engine process.
    """

    kubeconfig: str | None
    variable: str | None
    daemon: bool


class EngineThread(LoopThread["Session"]):
    """A session in a thread."""

    def __init__(self, key: EngineKey) -> None:
        super().__init__(_open_session(key))
        self.key = key


@contextlib.asynccontextmanager
async def _open_session(key: EngineKey) -> AsyncIterator[Session]:
    """Open the session of a key; ConfigError, TransportError: the engine cannot be started."""
    if key.daemon:
        from tui_forward.daemon.reconnecting_session import open_reconnecting_session

        session: Session = await open_reconnecting_session(key.kubeconfig)
    else:
        from tui_forward.session.local import LocalSession

        # As with kubectl: a credential plugin may use the terminal if stdin is one.
        has_terminal = sys.stdin is not None and sys.stdin.isatty()
        session = LocalSession(key.kubeconfig, has_terminal=has_terminal)
    try:
        yield session
    finally:
        await session.close()


class EngineThreads:
    """The engines of this process, one per key, each with the number of its uses."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._engines: dict[EngineKey, EngineThread] = {}
        self._uses: Counter[EngineKey] = Counter()

    def acquire(self, key: EngineKey) -> EngineThread:
        """Return the engine of a key, which is started if there is none. Never waits for I/O."""
        redact_records()
        with self._lock:
            engine = self._engines.get(key)
            if engine is None:
                engine = self._engines[key] = EngineThread(key)
                engine.start()
            self._uses[key] += 1
            return engine

    def release(self, engine: EngineThread) -> None:
        """End one use of an engine; the last one ends the engine. Nothing in a fork."""
        if engine.is_inherited:
            return
        key = engine.key
        with self._lock:
            self._uses[key] -= 1
            if self._uses[key] or self._engines.get(key) is not engine:
                return
            del self._engines[key]
        engine.end()

    def end_all(self) -> None:
        """End all engines, at the end of the interpreter."""
        with self._lock:
            engines = list(self._engines.values())
            self._engines.clear()
        for engine in engines:
            engine.end()

    def leave_all(self) -> None:
        """Close what a fork has inherited: ports and connections belong to its parent.

        Otherwise a port would stay open, without being served, when the parent closes it.
        """
        self._lock = threading.Lock()
        engines = list(self._engines.values())
        self._engines.clear()
        self._uses.clear()
        if engines:
            null = os.open(os.devnull, os.O_RDWR)
            for engine in engines:
                engine.close_inherited(null)
            os.close(null)


engine_threads: Final = EngineThreads()
atexit.register(engine_threads.end_all)
os.register_at_fork(after_in_child=engine_threads.leave_all)
