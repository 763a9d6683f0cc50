"""The engine process: `python -m tui_forward.daemon`.

Serves one session on a unix socket until it is told to end (SIGTERM, SIGINT), or until the
last front end has been gone for `--idle-timeout` seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tui_forward.common.logging_levels import LEVELS
from tui_forward.daemon import unix_socket as unix_socket
from tui_forward.daemon import watchdog
from tui_forward.daemon.launcher import ReadyMessage
from tui_forward.errors import TransportError, TuiForwardError

if TYPE_CHECKING:
    from tui_forward.daemon.handover import HandoverState
    from tui_forward.daemon.notices import NoticeLog
    from tui_forward.daemon.session_store import SessionSaver
    from tui_forward.session import Session
    from tui_forward.session.local import LocalSession

_log = logging.getLogger("tui_forward.daemon")

# A front end that started this process connects within moments, or never.
_FIRST_FRONT_END_S = 15.0
# How long the process before may take to let go of the lock.
_LOCK_S = 15.0
# How long connections may go on in a process whose place another one has taken.
STAYING_S = 600.0


def main(argv: list[str] | None = None) -> int:
    """Run the engine process; returns its exit code."""
    options = _parser().parse_args(argv)
    said = _ReadyNotifier()
    if options.detach:
        if not _detach():
            return 0
        said = _ReadyNotifier(watchdog.fork_supervised())
        if said.again:
            options.restore, options.take_over = True, False
    try:
        return _run(options, said)
    except TuiForwardError as error:
        said.failed(error)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tui_forward.daemon", description="The engine process of tui-forward."
    )
    parser.add_argument("--kubeconfig", help="this file and nothing else; default: as kubectl")
    parser.add_argument("--context", default="", help="what counts as the current context")
    parser.add_argument("--socket", type=Path, help="where to listen")
    parser.add_argument(
        "--idle-timeout",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help='how long to go on without front ends; "inf" is for ever (default: 0)',
    )
    parser.add_argument("--session", type=Path, help="where to keep what is on")
    parser.add_argument("--restore", action="store_true", help="bring back what was on before")
    parser.add_argument(
        "--take-over",
        action="store_true",
        help="take the place of the engine that runs, with its ports and what is on",
    )
    parser.add_argument("--log", type=Path, help="log file; default: the system's place for logs")
    parser.add_argument(
        "--log-level", choices=LEVELS, default="info", help="lowest level to log (default: info)"
    )
    parser.add_argument(
        "--detach", action="store_true", help="go into the background, log to a file"
    )
    return parser


def _detach() -> bool:
    """Become a process of nobody's; False in the one that was called."""
    if os.fork():
        return False
    # The caller has made a session of its own already (`start_new_session`), so that no
    # terminal's end reaches this process. It must not keep a folder from being unmounted.
    os.chdir("/")
    return True


class _ReadyNotifier:
    """Tells whoever started this process how it went: once, in one line."""

    def __init__(self, engine: watchdog.SupervisedProcess | None = None) -> None:
        self._engine = engine
        self.again = engine is not None and engine.is_restart

    def ready(self, pid: int, staying: int = 0) -> None:
        """Somebody serves the socket."""
        self._say(ReadyMessage(ready=True, pid=pid, draining=staying))
        if self._engine is not None:
            self._engine.notify_ready()
            null = os.open(os.devnull, os.O_RDWR)
            for standard in (0, 1, 2):
                os.dup2(null, standard)
            os.close(null)

    def failed(self, error: TuiForwardError) -> None:
        """Nobody will."""
        self._say(ReadyMessage(ready=False, error=error.message, hint=error.hint))

    def _say(self, readiness: ReadyMessage) -> None:
        with contextlib.suppress(OSError):  # nobody listens: a person started it by hand
            sys.stdout.write(msgspec.json.encode(readiness).decode() + "\n")
            sys.stdout.flush()


def _run(options: argparse.Namespace, said: _ReadyNotifier) -> int:
    from tui_forward.daemon import log

    path: Path = options.socket or unix_socket.default_socket_path(options.kubeconfig, os.environ)
    unix_socket.ensure_private_dir(path)
    lock = unix_socket.SocketLock(path)
    estate: HandoverState | None = None
    if options.take_over:
        estate = _taken_over(lock, path, options)
    elif not _take(lock, path):
        said.ready(0)
        return 0
    level = LEVELS[options.log_level]
    try:
        if options.detach or options.log:
            options.log = options.log or log.log_file(path)
            try:
                log.log_to_file(options.log, level=level)
            except OSError as error:
                raise TransportError(
                    f"cannot write the log {options.log}: {error.strerror}"
                ) from error
        else:
            log.log_to_stderr(level=level)
        with asyncio.Runner() as runner:
            runner.run(_serve(options, path, lock, said, estate))
    finally:
        lock.release()
    return 0


def _taken_over(
    lock: unix_socket.SocketLock, path: Path, options: argparse.Namespace
) -> HandoverState:
    """Have everything the engine that runs has; it goes on if this process ends before it serves.

    Raises:
        TuiForwardError: None runs, or it does not hand over.
    """
    from importlib import import_module

    from tui_forward.daemon.handover import request_handover

    # While nobody waits: nothing is accepted from when it is asked until this one serves.
    for name in ("daemon.server", "engine.engine", "session.kubernetes_backend", "session.local"):
        import_module(f"tui_forward.{name}")
    estate = request_handover(path)
    lock.adopt(estate.lock)
    handed = estate.handed
    options.context, options.idle_timeout = handed.context, handed.idle_timeout_s
    options.session = options.session or (
        Path(handed.session_file) if handed.session_file else None
    )
    options.log = options.log or (Path(handed.log_file) if handed.log_file else None)
    return estate


def _take(lock: unix_socket.SocketLock, path: Path) -> bool:
    """Take the lock; False when an engine serves the socket already.

    Raises:
        TransportError: An engine holds the lock, but does not serve and does not end.
    """
    deadline = time.monotonic() + _LOCK_S
    while not lock.acquire():
        if _served(path):
            return False
        if time.monotonic() > deadline:
            raise TransportError(f"another engine holds {path} and does not answer")
        time.sleep(0.02)
    return True


def _served(path: Path) -> bool:
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(path))
        except OSError:
            return False
    return True


async def _serve(
    options: argparse.Namespace,
    path: Path,
    lock: unix_socket.SocketLock,
    said: _ReadyNotifier,
    estate: HandoverState | None,
) -> None:
    from tui_forward.common.tasks import spawn_restarting
    from tui_forward.daemon import rpc as rpc
    from tui_forward.daemon import session_store as session_store
    from tui_forward.daemon.handover import HandoverSender
    from tui_forward.daemon.lifetime import Lifetime
    from tui_forward.daemon.notices import NoticeLog
    from tui_forward.daemon.server import SessionServer
    from tui_forward.daemon.session_store import SessionSaver
    from tui_forward.session.local import LocalSession

    loop = asyncio.get_running_loop()
    session = LocalSession(options.kubeconfig, context=options.context)
    session_file = options.session or session_store.session_file(path)
    keeper = SessionSaver(session, session_file)
    notices = NoticeLog()
    following = spawn_restarting(
        lambda: _follow_profiles(session, notices, keeper), name="profiles"
    )
    lifetime = Lifetime(
        options.idle_timeout,
        first_s=max(options.idle_timeout, _FIRST_FRONT_END_S),
        # Those of the engine before come back within moments.
        least_s=_FIRST_FRONT_END_S if estate is not None else 0.0,
        needed=lambda: keeper.keep_running and keeper.has_forwards,
    )
    told = asyncio.Event()

    def tell(number: signal.Signals) -> None:
        told.set()
        lifetime.end(number.name)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, tell, number)
    listening = estate.serving if estate is not None else unix_socket.bind_socket(path)
    handed = rpc.HandoverOffer(
        context=options.context,
        idle_timeout_s=options.idle_timeout,
        session_file=str(session_file),
        log_file=str(options.log or ""),
    )
    giver = HandoverSender(session, keeper, lock, listening, handed, on_given=lifetime.end)
    server = SessionServer(
        session,
        keeper,
        notices,
        giver,
        kubeconfig=options.kubeconfig or "",
        on_front_ends=lifetime.set_client_count,
    )
    ours = estate is None  # the path: until it is taken, it is that of the engine before
    try:
        if estate is not None:
            session.inherit(estate.listening)
            await keeper.open(resume=True, handed=estate.session)
            # A front end of another version cannot come back; what is on must not end for that.
            keeper.keep_requested |= estate.handed.version != rpc.VERSION
            notices.began.set()
        elif await keeper.open(resume=options.restore):
            notices.began.set()
        await server.start(listening)
        if estate is not None:
            estate.confirm()
            ours = True
        _log.info("engine %d serves %s", os.getpid(), path)
        said.ready(os.getpid(), estate.handed.connections if estate is not None else 0)
        reason = await lifetime.wait()
        _log.info("engine %d ends: %s", os.getpid(), reason)
    finally:
        following.cancel()
        # First out of sight, then closed: whoever comes now starts an engine of its own, which
        # waits for the lock.
        if ours and not giver.given:
            unix_socket.unlink_socket(path)
        await server.close()
        listening.close()
        # Before the forwards end: what was on is what the next one may bring back.
        await keeper.close(write=ours and not giver.given)
        if giver.given:
            lock.release()
            await _stay(session, told)
        await session.close()


async def _stay(session: LocalSession, told: asyncio.Event) -> None:
    """Go on for the connections there are, until they end or this process is told to."""
    ways = [asyncio.create_task(session.drain(STAYING_S)), asyncio.create_task(told.wait())]
    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    for way in ways:
        way.cancel()


async def _follow_profiles(session: Session, notices: NoticeLog, keeper: SessionSaver) -> None:
    """Let profiles that are on follow their files."""
    # Not before there is something: reading them takes a library that takes a while to load.
    await notices.began.wait()
    from tui_forward.common import paths as paths
    from tui_forward.daemon.profile_watcher import ProfileWatcher
    from tui_forward.profiles.store import ProfileStore
    from tui_forward.profiles.trust import TrustStore

    store = ProfileStore(paths.profiles_dir(), Path("/"))
    await ProfileWatcher(
        session, store, TrustStore(paths.trusted_profiles_file()), notices, keeper
    ).run()


if __name__ == "__main__":
    sys.exit(main())
