"""What is on, kept in a file, so that no crash and no reboot loses it.

The engine process writes it a moment after every change (`Keeper`), each time whole and in one
step. The next one brings the forwards back, on the ports they had, if it is told to (`--restore`)
or if they were to go on without a front end. Otherwise they are put by as the session before,
which front ends offer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from tui_forward.common import atomic_file as atomic_file
from tui_forward.common import paths as paths
from tui_forward.common.tasks import spawn_restarting
from tui_forward.errors import TuiForwardError
from tui_forward.model import EventKind, Forward, ForwardSpec
from tui_forward.profiles.plan import spec_with_bound_port
from tui_forward.profiles.profile import Profile, ProfileForward
from tui_forward.session import Session

_log = logging.getLogger(__name__)

# What belongs together (a forward begins, its port is found) is written once.
_TOGETHER_S = 0.02
_CHANGING = frozenset({EventKind.LISTENING, EventKind.STATE, EventKind.STOPPED})


class SavedForward(msgspec.Struct, frozen=True):
    """A forward that was on.

    Attributes:
        spec: With the local port it had.
        paused: Whether it was paused.
        id: What it was called; it is called so again, unless another one is by then.
    """

    spec: ForwardSpec
    paused: bool = False
    id: str = ""


class SavedProfile(msgspec.Struct, frozen=True):
    """A profile that was on, as its file was carried out last.

    What the file says otherwise by then was edited while no engine looked; what is not on
    although it is in here was stopped by hand.
    """

    name: str
    file: str
    team: bool = False
    forwards: tuple[ProfileForward, ...] = ()


class SavedSession(msgspec.Struct, frozen=True):
    """A session as a file holds it.

    Attributes:
        keep_running: Forwards go on without a front end.
        forwards: In the order in which they were begun.
        profiles: Those that forwards belong to.
    """

    version: Literal[1] = 1
    keep_running: bool = False
    forwards: tuple[SavedForward, ...] = ()
    profiles: tuple[SavedProfile, ...] = ()


EMPTY_SESSION = SavedSession()


def session_file(socket: Path) -> Path:
    """The file of the engine process that serves a socket."""
    return paths.sessions_dir() / f"{socket.stem}.json"


def previous_session_file(path: Path) -> Path:
    """The file of the session before, beside that of the present one."""
    return path.with_name(f"{path.stem}.previous.json")


def load_session(path: Path) -> SavedSession:
    """What a file holds. Never raises: what cannot be understood is put aside, and is nothing."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=SavedSession)
    except FileNotFoundError:
        return EMPTY_SESSION
    except OSError as error:
        _log.warning("%s cannot be read: %s", path, error.strerror)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:
            _log.warning(
                "%s could not be understood; it is now %s", path, atomic_file.quarantine(path)
            )
        except OSError as error:
            _log.warning("%s could not be understood: %s", path, error.strerror)
    return EMPTY_SESSION


def discard_session(path: Path) -> None:
    """Offer this session no more."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        _log.warning("%s cannot be removed: %s", path, error.strerror)


def as_saved(
    forwards: Sequence[Forward], profiles: Iterable[Profile] = (), *, keep_running: bool
) -> SavedSession:
    """A session as it is to be brought back: each forward on the port it has.

    Of the profiles, those that forwards belong to.
    """
    on = {one.spec.profile for one in forwards}
    return SavedSession(
        keep_running=keep_running,
        forwards=tuple(
            SavedForward(spec_with_bound_port(one), one.paused, one.id) for one in forwards
        ),
        profiles=tuple(
            SavedProfile(one.name, str(one.file), one.team, one.forwards)
            for one in profiles
            if one.id in on
        ),
    )


def profiles_of(saved: SavedSession) -> dict[str, Profile]:
    """The profiles of a session, by what their forwards carry."""
    found = (
        Profile(name=one.name, file=Path(one.file), team=one.team, forwards=one.forwards)
        for one in saved.profiles
    )
    return {one.id: one for one in found}


class RestorableSession(Session, Protocol):
    """A session whose forwards can be called what they were called before."""

    async def start(self, spec: ForwardSpec, *, forward_id: str = "") -> str:
        """As `Session.start`, with the id it had, if that is free."""


async def restore(
    session: Session,
    saved: SavedSession,
    start: Callable[[SavedForward], Awaitable[str]] | None = None,
) -> list[TuiForwardError]:
    """Switch on what was on; gives what could not be begun at all.

    Args:
        session: Where.
        saved: What.
        start: How one is begun; default: as a new one.
    """
    troubles = []
    for forward in saved.forwards:
        try:
            forward_id = await (start(forward) if start else session.start(forward.spec))
            if forward.paused:
                await session.pause(forward_id)
        except TuiForwardError as error:
            _log.warning("%s cannot be brought back: %s", forward.spec.target, error)
            troubles.append(error)
    return troubles


class SessionSaver:
    """Writes down what is on, as long as it lives.

    Args:
        session: Whose forwards.
        path: The file.

    Attributes:
        keep_requested: Forwards are to go on without a front end. Call `touch` when it changes.
        orphaned: They go on because a front end was lost, until somebody decides; that is not
            written down: what a reboot ends is offered, and not brought back unasked.
        has_forwards: Whether any were on when it looked last.
        profiles: Those that are on, as their files were carried out last. Whoever follows them
            changes it, and calls `look`.
        before: Likewise of the session before, brought back or offered, until they are followed.
    """

    def __init__(self, session: RestorableSession, path: Path) -> None:
        self._session = session
        self._path = path
        self._dirty = asyncio.Event()
        self._began = asyncio.Event()
        self._written = EMPTY_SESSION
        self._latest = EMPTY_SESSION
        self._failed = False
        self._between = False
        self._tasks: list[asyncio.Task[None]] = []
        self.keep_requested = False
        self.orphaned = False
        self.has_forwards = False
        self.profiles: dict[str, Profile] = {}
        self.before: dict[str, Profile] = {}

    async def open(self, *, resume: bool, handed: SavedSession | None = None) -> bool:
        """Bring back what was on, or put it by; then begin to write.

        Args:
            resume: Bring it back although it was not to go on without a front end.
            handed: What was on, by word of the engine before instead of the file.

        Returns:
            Whether anything was brought back.
        """
        before = handed if handed is not None else await asyncio.to_thread(load_session, self._path)
        back = bool(before.forwards) and (resume or before.keep_running)
        offered = before
        if not before.forwards:
            offered = await asyncio.to_thread(load_session, previous_session_file(self._path))
        self.before = profiles_of(offered)
        if back:
            _log.info("bringing back %d forwards", len(before.forwards))
            self.keep_requested, self._latest = before.keep_running, before
            await restore(self._session, before, self._start)
            self.schedule_save()
        elif before.forwards:
            try:
                await asyncio.to_thread(self._path.replace, previous_session_file(self._path))
            except OSError as error:
                _log.warning("%s cannot be put by: %s", self._path, error.strerror)
        self._tasks = [
            spawn_restarting(self._write_forever, name="session writer"),
            spawn_restarting(self._listen, name="session listener"),
        ]
        return back

    async def _start(self, one: SavedForward) -> str:
        return await self._session.start(one.spec, forward_id=one.id)

    def schedule_save(self) -> None:
        """Something was begun, ended or asked for."""
        self.has_forwards = True  # as far as is known before the next look
        self._began.set()
        self.check_profiles()

    def check_profiles(self) -> None:
        """Write what is on, if it is something else."""
        self._dirty.set()

    @contextlib.contextmanager
    def between(self) -> Iterator[None]:
        """Inside, what is on is neither what it was nor what it is to be: nothing is written.

        If the engine is killed or told to end meanwhile, the next one begins from before.
        """
        self._between = True
        try:
            yield
        except Exception:  # not when it is cancelled: the engine ends in between
            self._between = False
            raise
        self._between = False
        self.check_profiles()

    @property
    def keep_running(self) -> bool:
        """Whether forwards go on without a front end, for whatever reason."""
        return self.keep_requested or self.orphaned

    async def now(self) -> SavedSession:
        """What is on; in the middle of an edit, what was on before.

        Raises:
            TuiForwardError: The session has ended.
        """
        forwards = (await self._session.snapshot()).forwards
        if not self._between:
            profiles = {**self.before, **self.profiles}.values()
            self._latest = as_saved(forwards, profiles, keep_running=self.keep_requested)
        return self._latest

    async def close(self, *, write: bool = True) -> None:
        """Write what is on for the last time, unless another one does now.

        Before the session ends.
        """
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if write and self._began.is_set():
            await self._write()

    async def _listen(self) -> None:
        # Not before there is something: it loads the engine, and the first rows come first.
        await self._began.wait()
        async for event in self._session.events():
            if event.event in _CHANGING:
                self._dirty.set()

    async def _write_forever(self) -> None:
        while True:
            await self._dirty.wait()
            await asyncio.sleep(_TOGETHER_S)
            self._dirty.clear()
            await self._write()

    async def _write(self) -> None:
        try:
            now = await self.now()
        except TuiForwardError:
            return  # it is ending
        self.has_forwards = bool(now.forwards)
        if now == self._written:
            return
        data = msgspec.json.format(msgspec.json.encode(now), indent=1)
        try:
            await asyncio.to_thread(atomic_file.write_atomically, self._path, data)
        except OSError as error:
            if not self._failed:
                _log.warning("%s cannot be written: %s", self._path, error.strerror)
            self._failed = True
        else:
            self._written, self._failed = now, False
