"""Files that store the active forwards, so that a crash or a reboot does not lose them.

The engine process writes its file shortly after every change (see `session_saver`), as a whole and
atomically. The next engine restores the forwards, on the ports they had, with `--restore` or if
they were to keep running without clients. Otherwise the file becomes that of the previous session,
which clients offer to restore.

What was stopped must not be restored, even if the disk is full or read-only by then. So a session
that cannot be written to its file is written beside the socket, where it lasts until a reboot, and
the outdated file is removed. Of the two, the later one counts.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from tui_forward.common import atomic_file, paths
from tui_forward.common.bounded_file import read_bounded
from tui_forward.common.printable import escape_json
from tui_forward.common.private_files import open_private_file
from tui_forward.errors import TuiForwardError
from tui_forward.model import Forward, ForwardSpec, ProxyInfo, ProxySpec
from tui_forward.profiles.plan import spec_with_bound_port
from tui_forward.profiles.profile import Profile, ProfileForward
from tui_forward.session import Session

_log = logging.getLogger(__name__)

_PREVIOUS = ".previous.json"
_FALLBACK = ".session.json"


class SavedForward(msgspec.Struct, frozen=True):
    """A forward that was active."""

    spec: ForwardSpec  # with the local port it had
    paused: bool = False
    id: str = ""  # its id, which it gets again unless another forward has it by then


class SavedProfile(msgspec.Struct, frozen=True):
    """A profile that was active, as it was applied last.

    If its file differs from it by then, the file was edited while no engine was running. A forward
    of it that was not active was stopped by the user.
    """

    name: str
    file: str
    team: bool = False
    forwards: tuple[ProfileForward, ...] = ()
    proxy: ProxySpec | None = None


class SavedProxy(msgspec.Struct, frozen=True):
    """A cluster proxy that was active."""

    spec: ProxySpec  # with the local port it had
    id: str = ""  # its id, as in `SavedForward`


class SavedSession(msgspec.Struct, frozen=True):
    """The content of a file."""

    version: Literal[1] = 1
    keep_running: bool = False  # forwards keep running without clients
    forwards: tuple[SavedForward, ...] = ()  # in the order in which they were started
    profiles: tuple[SavedProfile, ...] = ()
    socket: str = ""  # socket of the engine that wrote the file
    kubeconfig: str = ""  # its files as in KUBECONFIG; empty for kubectl's default
    sequence: int = 0  # counts up with each session that is written, also by the next engines
    proxies: tuple[SavedProxy, ...] = ()  # their targets are opened again when they are used

    @property
    def is_empty(self) -> bool:
        """Whether nothing was active."""
        return not (self.forwards or self.proxies)


EMPTY_SESSION = SavedSession()


def session_file(socket: Path) -> Path:
    """Return the file of the engine process that serves a socket."""
    return paths.sessions_dir() / f"{socket.stem}.json"


def previous_session_file(path: Path) -> Path:
    """Return the file of the previous session, beside that of the current one."""
    return path.with_name(f"{path.stem}{_PREVIOUS}")


def fallback_file(socket: Path) -> Path:
    """Return the file beside a socket for a session that cannot be written to its own file."""
    return socket.with_name(f"{socket.stem}{_FALLBACK}")


def is_previous(name: str) -> bool:
    """Return whether a file is that of a previous session."""
    return name.endswith(_PREVIOUS)


def load_session(path: Path) -> SavedSession:
    """Return the content of a file. Never raises: an invalid file is moved, and is empty."""
    try:
        return msgspec.json.decode(read_bounded(path), type=SavedSession)
    except FileNotFoundError:
        return EMPTY_SESSION
    except OSError as error:
        _log.warning("cannot read %s: %s", path, error.strerror)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        try:
            _log.warning("%s is invalid; moved to %s", path, atomic_file.quarantine(path))
        except OSError as error:
            _log.warning("%s is invalid and cannot be moved: %s", path, error.strerror)
    return EMPTY_SESSION


def load_latest_session(path: Path, fallback: Path | None) -> SavedSession:
    """Return the session that was saved last, in its file or beside the socket. Never raises."""
    saved = load_session(path)
    if fallback is None:
        return saved
    return max(saved, load_session(fallback), key=lambda one: one.sequence)


class SaveResult(NamedTuple):
    """What has become of a session that was to be saved."""

    error: OSError | None = None  # why the file could not be written
    has_fallback: bool = False  # it was written beside the socket instead
    is_outdated: bool = False  # the file still has what was stopped


def save_session(
    path: Path, fallback: Path | None, saved: SavedSession, *, is_outdated: bool
) -> SaveResult:
    """Write a session. Blocks; never raises OSError.

    `is_outdated`: what the file has now must not be restored. It is removed if it cannot be
    replaced, which may also make the space that the new one needs.
    """
    data = escape_json(msgspec.json.format(msgspec.json.encode(saved), indent=1))
    error = _try_write(path, data)
    has_fallback = False
    if error is not None:
        # First of all, so that there is a complete file at any time.
        has_fallback = fallback is not None and _try_write(fallback, data) is None
        if is_outdated and _remove(path):
            is_outdated = False
            error = _try_write(path, data)
    if error is not None:
        return SaveResult(error, has_fallback, is_outdated)
    if fallback is not None:
        with contextlib.suppress(OSError):
            fallback.unlink(missing_ok=True)
    return SaveResult()


def _try_write(path: Path, data: bytes) -> OSError | None:
    try:
        atomic_file.write_atomically(path, data)
    except OSError as error:
        return error
    return None


def _remove(path: Path) -> bool:
    """Remove a file, or empty it if its folder is read-only; return whether nothing is left."""
    try:
        path.unlink(missing_ok=True)
    except NotADirectoryError:
        return True
    except OSError:
        try:
            os.close(open_private_file(path, os.O_WRONLY | os.O_TRUNC))
        except OSError:
            return False
    return True


def move_to_previous(path: Path, fallback: Path | None, saved: SavedSession) -> None:
    """Make the session that was saved last the previous one. Blocks; OSError if that fails."""
    if fallback is None or not os.path.lexists(fallback):
        path.replace(previous_session_file(path))
        return
    data = escape_json(msgspec.json.format(msgspec.json.encode(saved), indent=1))
    atomic_file.write_atomically(previous_session_file(path), data)
    path.unlink(missing_ok=True)
    fallback.unlink()


def discard_session(path: Path) -> None:
    """Delete a file, so that its session is not offered again."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        _log.warning("cannot remove %s: %s", path, error.strerror)


def to_saved(
    forwards: Sequence[Forward], profiles: Iterable[Profile] = (), *, keep_running: bool,
    proxies: Iterable[ProxyInfo] = (),
) -> SavedSession:  # fmt: skip
    """Return a session to save: each forward with the port it has, and the profiles of these.

    What a proxy has opened is not part of it.
    """
    forwards = [one for one in forwards if not one.spec.proxy]
    proxies = tuple(proxies)
    active = {one.spec.profile for one in forwards} | {one.spec.profile for one in proxies}
    return SavedSession(
        keep_running=keep_running,
        forwards=tuple(
            SavedForward(spec_with_bound_port(one), one.paused, one.id) for one in forwards
        ),
        profiles=tuple(
            SavedProfile(one.name, str(one.file), one.team, one.forwards, one.proxy)
            for one in profiles
            if one.id in active
        ),
        proxies=tuple(
            SavedProxy(_proxy_spec_with_bound_port(one), one.id)
            for one in proxies
            if one.listening or one.spec.port
        ),
    )


def _proxy_spec_with_bound_port(proxy: ProxyInfo) -> ProxySpec:
    if not proxy.listening:  # blocked, it waits for the port
        return proxy.spec
    return msgspec.structs.replace(proxy.spec, port=proxy.listening[0].port)


def profiles_of(saved: SavedSession) -> dict[str, Profile]:
    """Return the profiles of a session by id."""
    profiles = (
        Profile(
            name=one.name,
            file=Path(one.file),
            team=one.team,
            forwards=one.forwards,
            proxy=one.proxy,
        )
        for one in saved.profiles
    )
    return {one.id: one for one in profiles}


async def restore(
    session: Session,
    saved: SavedSession,
    start: Callable[[SavedForward], Awaitable[str]] | None = None,
    start_proxy: Callable[[SavedProxy], Awaitable[str]] | None = None,
) -> list[TuiForwardError]:
    """Start what a saved session has; return an error for each part that could not start.

    `start` and `start_proxy` start a forward or a proxy and return its id; the defaults start it as
    a new one.
    """
    errors = []
    for proxy in saved.proxies:
        try:
            await (start_proxy(proxy) if start_proxy else session.start_proxy(proxy.spec))
        except TuiForwardError as error:
            _log.warning("cannot restore the cluster proxy on %d: %s", proxy.spec.port, error)
            errors.append(error)
    for forward in saved.forwards:
        try:
            forward_id = await (start(forward) if start else session.start(forward.spec))
            if forward.paused:
                await session.pause(forward_id)
        except TuiForwardError as error:
            _log.warning("cannot restore %s: %s", forward.spec.target, error)
            errors.append(error)
    return errors
