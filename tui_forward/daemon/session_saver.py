"""Restores the saved forwards of an engine process, and saves them while it runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import msgspec

from tui_forward.common import atomic_file
from tui_forward.common.blocking_call import run_in_thread
from tui_forward.common.printable import escape_json
from tui_forward.common.tasks import spawn_restarting
from tui_forward.daemon.session_store import (
    EMPTY_SESSION,
    SavedForward,
    SavedSession,
    load_session,
    previous_session_file,
    profiles_of,
    restore,
    to_saved,
)
from tui_forward.errors import TuiForwardError
from tui_forward.model import EventKind, ForwardSpec
from tui_forward.profiles.profile import Profile
from tui_forward.session import Session

_log = logging.getLogger(__name__)

# Changes that follow each other (a forward starts, its port is bound) are written once.
_DEBOUNCE_S = 0.02
_RELEVANT_EVENTS = frozenset({EventKind.LISTENING, EventKind.STATE, EventKind.STOPPED})


class RestorableSession(Session, Protocol):
    """A session whose forwards can get the ids they had before."""

    async def start(self, spec: ForwardSpec, *, forward_id: str = "") -> str:
        """Do what `Session.start` does, with the given id if that is free."""


class SessionSaver:
    """Saves the active forwards of a session to a file.

    `socket` and `kubeconfig` identify the engine, see `SavedSession`. `on_problem` gets a sentence
    when the file cannot be written, once until it can.
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
        self._written = EMPTY_SESSION
        self._latest = EMPTY_SESSION
        self._write_failed = False
        self._in_transition = False
        self._tasks: list[asyncio.Task[None]] = []
        # A client requested that forwards keep running without clients. Call `schedule_save` after
        # a change.
        self.keep_requested = False
        # Forwards keep running because a client was lost, until one decides. This is not saved:
        # after a reboot they are offered, and not restored automatically.
        self.orphaned = False
        self.has_forwards = False  # whether any were active at the last check
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
        saved = handed_over
        if saved is None:
            saved = await run_in_thread(lambda: load_session(self._path), name="session file")
        restored = bool(saved.forwards) and (restore or saved.keep_running)
        offered = saved
        if not saved.forwards:
            offered = await run_in_thread(
                lambda: load_session(previous_session_file(self._path)), name="session file"
            )
        self.previous_profiles = profiles_of(offered)
        if restored:
            await self._restore(saved)
        elif saved.forwards:
            try:
                await run_in_thread(
                    lambda: self._path.replace(previous_session_file(self._path)),
                    name="session file",
                )
            except OSError as error:
                _log.warning("cannot move %s: %s", self._path, error.strerror)
        self._tasks = [
            spawn_restarting(self._write_changes, name="session writer"),
            spawn_restarting(self._watch_events, name="session events"),
        ]
        return restored

    async def _restore(self, saved: SavedSession) -> None:
        async def start(one: SavedForward) -> str:
            return await self._session.start(one.spec, forward_id=one.id)

        _log.info("restoring %d forwards", len(saved.forwards))
        self.keep_requested, self._latest = saved.keep_running, saved
        await restore(self._session, saved, start)
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
        forwards = (await self._session.snapshot()).forwards
        if not self._in_transition:
            profiles = {**self.previous_profiles, **self.profiles}.values()
            self._latest = msgspec.structs.replace(
                to_saved(forwards, profiles, keep_running=self.keep_requested),
                socket=self._socket,
                kubeconfig=self._kubeconfig,
            )
        return self._latest

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
            await self._dirty.wait()
            await asyncio.sleep(_DEBOUNCE_S)
            self._dirty.clear()
            await self._write()

    async def _write(self) -> None:
        try:
            current = await self.current()
        except TuiForwardError:
            return  # the session is ending
        self.has_forwards = bool(current.forwards)
        if current == self._written:
            return
        data = escape_json(msgspec.json.format(msgspec.json.encode(current), indent=1))
        try:
            await run_in_thread(
                lambda: atomic_file.write_atomically(self._path, data), name="session file"
            )
        except OSError as error:
            if not self._write_failed:
                cause = (error.strerror or type(error).__name__).lower()
                self._on_problem(
                    f"active forwards cannot be saved, and are lost if the engine is killed: "
                    f"{self._path}: {cause}"
                )
            self._write_failed = True
        else:
            self._written, self._write_failed = current, False
