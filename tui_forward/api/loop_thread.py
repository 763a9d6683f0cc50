"""An event loop in a thread of its own, which holds one asynchronous context open.

The caller's thread may block, run another event loop, or have none: bytes flow all the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import selectors
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Generic, TypeVar

from tui_forward.common.blocking_call import join_threads
from tui_forward.errors import ForwardError, TuiForwardError
from tui_forward.model import ReasonCode

Value = TypeVar("Value")
Result = TypeVar("Result")

# Closing a session waits for the last bytes of connections, for two seconds at most.
_JOIN_S: Final = 10.0
# Lookups of names and processes have threads of their own, which may hang.
_LOOKUPS_S: Final = 1.0


class LoopThread(Generic[Value]):
    """A thread whose event loop opens a context, calls functions on its value, and closes it.

    Errors of the context are those of every call.
    """

    def __init__(self, context: AbstractAsyncContextManager[Value]) -> None:
        self._context = context
        self._pid = os.getpid()
        self._selector = selectors.DefaultSelector()
        self._loop = asyncio.SelectorEventLoop(self._selector)
        self._value: Future[Value] = Future()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="tui-forward", daemon=True)

    # Life -----------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread, which opens the context."""
        self._thread.start()

    def end(self) -> None:
        """Close the context and wait for the thread to end."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_JOIN_S)
        join_threads(self._thread, _LOOKUPS_S)

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
        """Open the context, keep it until the end, and close it."""
        async with contextlib.AsyncExitStack() as stack:
            try:
                value = await stack.enter_async_context(self._context)
            except BaseException as error:  # noqa: BLE001 - raised again where it is awaited
                self._value.set_exception(error)
            else:
                self._value.set_result(value)
            await self._stop.wait()

    # Use ------------------------------------------------------------------------------

    def submit(self, function: Callable[[Value], Coroutine[Any, Any, Result]]) -> Future[Result]:
        """Run a function on the value in the thread; canceling the future cancels it.

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
            raise stopped_error() from error

    async def _call(self, function: Callable[[Value], Coroutine[Any, Any, Result]]) -> Result:
        try:
            return await function(await asyncio.shield(asyncio.wrap_future(self._value)))
        except TuiForwardError as error:
            if error.hint and not getattr(error, "__notes__", None):
                error.add_note(f"Hint: {error.hint}")  # part of the traceback
            raise

    def wait(self, function: Callable[[Value], Coroutine[Any, Any, Result]]) -> Result:
        """Run a function on the value in the thread, and wait for its result."""
        future = self.submit(function)
        try:
            return future.result()
        except CancelledError:
            raise stopped_error() from None
        except BaseException:  # KeyboardInterrupt: the function must not go on
            future.cancel()
            raise

    async def call(self, function: Callable[[Value], Coroutine[Any, Any, Result]]) -> Result:
        """Run a function on the value in the thread, for a caller in another event loop."""
        future = self.submit(function)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise stopped_error() from None


def stopped_error() -> ForwardError:
    """Return the error of a forward that is used after its end."""
    return ForwardError(
        "the forward is stopped",
        hint="use it inside its with block",
        code=ReasonCode.FORWARD_STOPPED,
    )
