"""The user's engines for other kubeconfigs, of which there may be one each.

An engine saves its active forwards with its socket and its kubeconfig (see `session_store`), and
holds the lock of the socket as long as it runs. So the files tell which engines run, without a
connection, which would count as a client.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from tui_forward.common import paths
from tui_forward.common.blocking_call import run_in_thread
from tui_forward.common.tasks import spawn
from tui_forward.daemon.engine_record import find_running_engine
from tui_forward.daemon.session_store import SavedSession, is_previous, session_file
from tui_forward.daemon.unix_socket import SocketLock
from tui_forward.model import ForwardSpec, OtherEngine

# Files of kubeconfigs that were used at any time.
_MAX_FILES = 500
_MAX_SIZE = 4 * 1024 * 1024
_MAX_AGE_S = 3.0
_MAX_LISTED = 100  # forwards of an engine


def find_other_engines(socket: Path) -> tuple[OtherEngine, ...]:
    """Return the running engines with forwards, without the one that serves `socket`. Blocks."""
    found = []
    for saved in _saved_sessions():
        other = Path(saved.socket)
        if saved.is_empty or not saved.socket or other == socket:
            continue
        lock = SocketLock(other)
        if lock.is_held():
            listed = (
                *(_in_words(one.spec) for one in saved.forwards),
                *(f"{one.spec.context} cluster proxy {one.spec.port}" for one in saved.proxies),
            )
            found.append(
                OtherEngine(
                    pid=lock.holder, kubeconfig=saved.kubeconfig, forwards=len(listed),
                    listed=listed[:_MAX_LISTED],
                )
            )  # fmt: skip
    return tuple(sorted(found, key=lambda one: one.kubeconfig))


def _in_words(spec: ForwardSpec) -> str:
    port = str(spec.local_port) if spec.local_port else ""
    return " ".join(filter(None, (spec.target.context, str(spec.target), port)))


def _saved_sessions() -> Iterator[SavedSession]:
    try:
        names = sorted(os.listdir(paths.sessions_dir()))  # noqa: PTH208 - no Path for each
    except OSError:
        return
    names = [name for name in names if name.endswith(".json") and not is_previous(name)]
    for name in names[:_MAX_FILES]:
        saved = read_session(paths.sessions_dir() / name)
        if saved is not None:
            yield saved


def read_session(path: Path) -> SavedSession | None:
    """Return the content of another engine's file; None if there is none or it is invalid."""
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(_MAX_SIZE), type=SavedSession)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def running_socket(path: Path) -> Path:
    """Return the socket of the running engine for the kubeconfig that `path` belongs to.

    It is another one than `path` if the engine was started where XDG_RUNTIME_DIR or TMPDIR differ.
    """
    engine = find_running_engine(path)
    if engine is not None:
        return Path(engine.socket)
    saved = read_session(session_file(path))
    if saved is not None and saved.socket:
        other = Path(saved.socket)
        if other != path and other.name == path.name and SocketLock(other).is_held():
            return other
    return path


class OtherEngines:
    """The other engines a few seconds ago; `on_change` is called when there are others."""

    def __init__(self, socket: Path, on_change: Callable[[], None] = lambda: None) -> None:
        self._socket = socket
        self._on_change = on_change
        self._found: tuple[OtherEngine, ...] = ()
        self._updated_at: float | None = None
        self._is_updating = False

    @property
    def current(self) -> tuple[OtherEngine, ...]:
        """The engines at the last update; starts another update if that was a while ago."""
        now = time.monotonic()
        if not self._is_updating and (
            self._updated_at is None or now - self._updated_at > _MAX_AGE_S
        ):
            self._is_updating, self._updated_at = True, now
            self._task = spawn(self._update(), name="other engines")
        return self._found

    async def _update(self) -> None:
        try:
            before = self._found
            self._found = await run_in_thread(
                lambda: find_other_engines(self._socket), name="other engines"
            )
            if self._found != before:
                self._on_change()
        finally:
            self._is_updating = False
