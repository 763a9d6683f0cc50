"""An event loop in a thread of its own, with the session of all forwards of one kubeconfig.

The caller's thread may block, run another event loop, or have none: bytes flow all the same. The
thread starts with the first forward and ends with the last one.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import selectors
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from tui_forward.common.blocking_call import join_threads
from tui_forward.common.logging_levels import redact_records
from tui_forward.errors import ForwardError
from tui_forward.model import ReasonCode

if TYPE_CHECKING:
    from tui_forward.session import Session

T = TypeVar("T")

# Closing a session waits for the last bytes of connections, for two seconds at most.
_JOIN_S: Final = 10.0
# Lookups of names and processes have threads of their own, which may hang.
_LOOKUPS_S: Final = 1.0


class EngineKey(NamedTuple):
    """What forwards must have in common to share a session.

    `variable` is the value of KUBECONFIG; `daemon` selects the user's engine process.
    """

    kubeconfig: str | None
    variable: str | None
    daemon: bool


class EngineThread:
    """A session in a thread."""

    def __init__(self, key: EngineKey) -> None:
        self.key = key
        self._pid = os.getpid()
        self._selector = selectors.DefaultSelector()
        self._loop = asyncio.SelectorEventLoop(self._selector)
        self._session: Future[Session] = Future()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="tui-forward", daemon=True)

    # Life -----------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread, which opens the session."""
        self._thread.start()

    def end(self) -> None:
        """Close the session and wait for the thread to end."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_JOIN_S)
        join_threads(_LOOKUPS_S)

    @property
    def is_inherited(self) -> bool:
        """Whether this process is a fork of the one whose thread this is."""
        return self._pid != os.getpid()

    def close_inherited(self, null: int) -> None:
        """Replace all descriptors of the loop, in a fork, by one of the null device.

        The objects that own them close them again at some time, so they may not be reused.
        """
        for descriptor in list(self._selector.get_map()):
            if isinstance(descriptor, int):
                with contextlib.suppress(OSError):
                    os.dup2(null, descriptor, inheritable=False)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        """Open the session, keep it until the end, and close it."""
        async with contextlib.AsyncExitStack() as stack:
            try:
                session = await stack.enter_async_context(_open_session(self.key))
            except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
                self._session.set_exception(error)
            else:
                self._session.set_result(session)
            await self._stop.wait()

    # Use ------------------------------------------------------------------------------

    def submit(self, function: Callable[[Session], Coroutine[Any, Any, T]]) -> Future[T]:
        """Run a function on the session in the thread; canceling the future cancels it.

        ForwardError: this process is a fork, which has no threads of the one before.
        """
        if self.is_inherited:
            raise ForwardError(
                "the forward belongs to the process that this one was forked from",
                hint="start forwards after the fork, or start processes by spawn",
            )
        call = self._call(function)
        try:
            return asyncio.run_coroutine_threadsafe(call, self._loop)
        except RuntimeError as error:  # its loop is closed
            call.close()
            raise _ended_error() from error

    async def _call(self, function: Callable[[Session], Coroutine[Any, Any, T]]) -> T:
        session = await asyncio.shield(asyncio.wrap_future(self._session))
        return await function(session)

    def wait(self, function: Callable[[Session], Coroutine[Any, Any, T]]) -> T:
        """Run a function on the session in the thread, and wait for its result."""
        future = self.submit(function)
        try:
            return future.result()
        except CancelledError:
            raise _ended_error() from None
        except BaseException:  # KeyboardInterrupt: the function must not go on
            future.cancel()
            raise

    async def call(self, function: Callable[[Session], Coroutine[Any, Any, T]]) -> T:
        """Run a function on the session in the thread, for a caller in another event loop."""
        future = self.submit(function)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise _ended_error() from None


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


def _ended_error() -> ForwardError:
    return ForwardError(
        "the forward is stopped",
        hint="use it inside its with block",
        code=ReasonCode.FORWARD_STOPPED,
    )


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
