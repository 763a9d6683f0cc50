"""Restores the saved forwards of an engine process, and saves them while it runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import msgspec

from tui_forward.common.blocking_call import run_in_thread
from tui_forward.common.tasks import spawn_restarting
from tui_forward.daemon.session_store import (
    EMPTY_SESSION,
    SavedForward,
    SavedProxy,
    SavedSession,
    SaveResult,
    fallback_file,
    load_latest_session,
    load_session,
    move_to_previous,
    previous_session_file,
    profiles_of,
    restore,
    save_session,
    to_saved,
)
from tui_forward.errors import TuiForwardError
from tui_forward.model import EventKind, ForwardSpec, ProxySpec
from tui_forward.profiles.profile import Profile
from tui_forward.session import Session

_log = logging.getLogger(__name__)

# Changes that follow each other (a forward starts, its port is bound) are written once.
_DEBOUNCE_S = 0.02
# How long an answer waits for a disk that does not respond.
_FLUSH_S = 2.0
# Pause until a failed write is repeated.
_RETRY_S = 10.0
_RELEVANT_EVENTS = frozenset({EventKind.LISTENING, EventKind.STATE, EventKind.STOPPED})


class RestorableSession(Session, Protocol):
    """A session whose forwards can get the ids they had before."""

    async def start(self, spec: ForwardSpec, *, forward_id: str = "") -> str:
        """Do what `Session.start` does, with the given id if that is free."""

    async def start_proxy(self, spec: ProxySpec, *, proxy_id: str = "") -> str:
        """Do what `Session.start_proxy` does, with the given id if that is free."""


class SessionSaver:
    """Saves the active forwards of a session to a file.

    `socket` and `kubeconfig` identify the engine, see `SavedSession`. `on_problem` gets a sentence
    when the file cannot be written, and again only when the consequences change.
    """

    def __init__(
        self, session: RestorableSession, path: Path, *, socket: str = "", kubeconfig: str = "",
        on_problem: Callable[[str], object] = lambda _: None,
    ) -> None:  # fmt: skip
        self._session = session
        self._path = path
        self._socket = socket
        self._kubeconfig = kubeconfig
        self._on_problem = on_problem
        self._dirty = asyncio.Event()
        self._changed = asyncio.Event()  # for the first time
        self._fallback = fallback_file(Path(socket)) if socket else None
        self._latest = EMPTY_SESSION
        self._written: SavedSession | None = EMPTY_SESSION  # None after a failure
        self._in_file: SavedSession | None = EMPTY_SESSION  # None if that is unknown
        # A thread whose task is canceled continues, and must not replace what is newer.
        self._file_lock = threading.Lock()
        self._sequence_in_file = 0
        self.sequence = 0  # of the latest session, see `SavedSession`
        self._urgent = asyncio.Event()
        self._flushing: list[asyncio.Future[None]] = []
        # Why the active forwards are not saved, and what follows from it; empty if they are.
        self.problem = ""
        self._in_transition = False
        self._tasks: list[asyncio.Task[None]] = []
        # A client requested that forwards keep running without clients. Call `schedule_save` after
        # a change.
        self.keep_requested = False
        # Forwards keep running because a client was lost, until one decides. This is not saved:
        # after a reboot they are offered, and not restored automatically.
        self.orphaned = False
        self.has_forwards = False  # whether any, or a proxy, were active at the last check
        # Active profiles by id, as they were applied last. The profile watcher changes it, and
        # calls `mark_dirty`.
        self.profiles: dict[str, Profile] = {}
        # The same of the previous session, restored or offered, until the profile watcher takes
        # them over.
        self.previous_profiles: dict[str, Profile] = {}

    async def open(self, *, restore: bool, handed_over: SavedSession | None = None) -> bool:
        """Restore the saved forwards, or make them the previous session; then start to save.

        `restore` restores them although they were not to keep running without clients.
        `handed_over` replaces the file by the session of a replaced engine. Return whether anything
        was restored.
        """
        if handed_over is not None:
            # The engine that is being replaced may still write its file.
            self._in_file, saved = None, handed_over
        else:
            self._in_file, saved = await run_in_thread(
                lambda: (
                    load_session(self._path),
                    load_latest_session(self._path, self._fallback),
                ),
                name="session file",
            )
        self.sequence = saved.sequence
        restored = not saved.is_empty and (restore or saved.keep_running)
        offered = saved
        if saved.is_empty:
            offered = await run_in_thread(
                lambda: load_session(previous_session_file(self._path)), name="session file"
            )
        self.previous_profiles = profiles_of(offered)
        if restored:
            await self._restore(saved)
        elif not saved.is_empty:
            try:
                await run_in_thread(
                    lambda: move_to_previous(self._path, self._fallback, saved),
                    name="session file",
                )
            except OSError as error:
                _log.warning("cannot move %s: %s", self._path, error.strerror)
                # If this engine is killed, the next one restores what it finds.
                self._written = None
                self.mark_dirty()
            else:
                self._in_file = EMPTY_SESSION
        self._tasks = [
            spawn_restarting(self._write_changes, name="session writer"),
            spawn_restarting(self._watch_events, name="session events"),
        ]
        return restored

    async def _restore(self, saved: SavedSession) -> None:
        async def start(one: SavedForward) -> str:
            return await self._session.start(one.spec, forward_id=one.id)

        async def start_proxy(one: SavedProxy) -> str:
            return await self._session.start_proxy(one.spec, proxy_id=one.id)

        _log.info("restoring %d forwards and %d proxies", len(saved.forwards), len(saved.proxies))
        self.keep_requested, self._latest = saved.keep_running, saved
        await restore(self._session, saved, start, start_proxy)
        self.schedule_save()

    def schedule_save(self) -> None:
        """Save soon, after a command that may have changed the active forwards."""
        self.has_forwards = True  # until the next check
        self._changed.set()
        self.mark_dirty()

    def mark_dirty(self) -> None:
        """Write the file soon, if its content has changed."""
        self._dirty.set()

    @contextlib.contextmanager
    def transition(self) -> Iterator[None]:
        """Write nothing inside, while the active forwards are in an intermediate state.

        If the engine is killed or canceled inside, the next one restores the state from before.
        """
        self._in_transition = True
        try:
            yield
        except Exception:  # not on cancellation, when the engine ends in the intermediate state
            self._in_transition = False
            raise
        self._in_transition = False
        self.mark_dirty()

    @property
    def keep_running(self) -> bool:
        """Whether forwards keep running without clients, for whatever reason."""
        return self.keep_requested or self.orphaned

    async def current(self) -> SavedSession:
        """Return the active forwards; during a transition, those from before."""
        snapshot = await self._session.snapshot()
        if not self._in_transition:
            profiles = {**self.previous_profiles, **self.profiles}.values()
            self._latest = msgspec.structs.replace(
                to_saved(
                    snapshot.forwards,
                    profiles,
                    keep_running=self.keep_requested,
                    proxies=snapshot.proxies,
                ),
                socket=self._socket,
                kubeconfig=self._kubeconfig,
            )
        return self._latest

    async def flush(self) -> None:
        """Wait until what is active now is saved, or cannot be, or the disk does not respond.

        So what was stopped before the call is not restored if the engine is killed after it.
        """
        flushed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._flushing.append(flushed)
        self._urgent.set()
        self._dirty.set()
        await asyncio.wait({flushed}, timeout=_FLUSH_S)

    async def close(self, *, write: bool = True) -> None:
        """Write the file a last time if this engine owns it. Call before the session ends."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if write and self._changed.is_set():
            await self._write()

    async def _watch_events(self) -> None:
        # Wait for the first change, because subscribing loads the engine, and the first rows of
        # the dashboard are more urgent.
        await self._changed.wait()
        async for event in self._session.events():
            if event.event in _RELEVANT_EVENTS:
                self._dirty.set()

    async def _write_changes(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_RETRY_S if self.problem else None):
                    await self._dirty.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_DEBOUNCE_S):
                    await self._urgent.wait()
            self._dirty.clear()
            self._urgent.clear()
            flushing, self._flushing = self._flushing, []
            try:
                await self._write()
            finally:
                for flushed in flushing:
                    if not flushed.done():
                        flushed.set_result(None)

    async def _write(self) -> None:
        try:
            current = await self.current()
        except TuiForwardError:
            return  # the session is ending
        self.has_forwards = not current.is_empty
        if current == self._written:
            return
        self.sequence += 1
        numbered = msgspec.structs.replace(current, sequence=self.sequence)
        is_outdated = self._in_file is None or _has_more(self._in_file, current)
        result = await run_in_thread(
            lambda: self._save(numbered, is_outdated=is_outdated), name="session file"
        )
        if result.error is None:
            self._written = self._in_file = current
        else:
            self._written = None
            if not result.is_outdated and (is_outdated or current.is_empty):
                self._in_file = EMPTY_SESSION
        problem = self._describe_problem(result, current)
        if problem not in {"", self.problem}:
            self._on_problem(problem)
        self.problem = problem

    def _save(self, saved: SavedSession, *, is_outdated: bool) -> SaveResult:
        with self._file_lock:
            if saved.sequence < self._sequence_in_file:
                return SaveResult()
            self._sequence_in_file = saved.sequence
            return save_session(self._path, self._fallback, saved, is_outdated=is_outdated)

    def _describe_problem(self, result: SaveResult, current: SavedSession) -> str:
        """Return why a session is not saved; empty if it is, or there is nothing to lose."""
        error = result.error
        if error is None or (current.is_empty and not result.is_outdated):
            return ""
        cause = (error.strerror or type(error).__name__).lower()
        if result.has_fallback and result.is_outdated:
            effect = "and what was stopped may be restored after a reboot"
        elif result.has_fallback:
            effect = "and are lost at a reboot"
        elif result.is_outdated:
            effect = "and what was stopped may be restored by the next engine"
        else:
            effect = "and are lost if the engine is killed"
        return f"active forwards cannot be saved, {effect}: {self._path}: {cause}"


def _has_more(saved: SavedSession, current: SavedSession) -> bool:
    """Return whether a saved session would restore what is not active."""
    if saved.keep_running and not current.keep_running:
        return True
    active = [(one.id, one.spec.target, one.paused) for one in current.forwards]
    if not {one.id for one in saved.proxies} <= {one.id for one in current.proxies}:
        return True
    return any((one.id, one.spec.target, one.paused) not in active for one in saved.forwards)
