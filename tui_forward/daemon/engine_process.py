"""One engine process: takes the lock, serves a session, stops it at the end."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from tui_forward.common import event_loop, paths
from tui_forward.common.blocking_call import run_in_thread
from tui_forward.common.logging_levels import LEVELS
from tui_forward.common.tasks import spawn, spawn_restarting
from tui_forward.daemon import log, rpc, session_store, unix_socket
from tui_forward.daemon.engine_record import EngineRecord, RunningEngine, unreachable_error
from tui_forward.daemon.held_descriptors import LOCK, SERVER
from tui_forward.daemon.lifetime import Lifetime
from tui_forward.daemon.notices import NoticeLog
from tui_forward.daemon.other_engines import OtherEngines
from tui_forward.daemon.parent_link import ParentLink
from tui_forward.daemon.readiness import ReadyNotifier
from tui_forward.daemon.session_saver import SessionSaver
from tui_forward.daemon.socket_guard import SocketGuard
from tui_forward.errors import TransportError
from tui_forward.model import LocalAddress
from tui_forward.session.callers import decode_callers
from tui_forward.settings.parser import Settings, load_settings

if TYPE_CHECKING:
    from tui_forward.daemon.handover import HandoverState
    from tui_forward.daemon.watchdog import SupervisedProcess

_log = logging.getLogger(__name__)

# The client that started this process connects within moments, or never.
_FIRST_CLIENT_S = 15.0
# Clients of the engine that this one replaces reconnect within moments.
_RECONNECT_S = 10.0
# How long to wait for an ending engine to release the lock.
_LOCK_S = 15.0
# How long open connections may continue in a process that was replaced.
DRAIN_S = 600.0
# How long forwards and connections to clusters may take to close; they take a moment.
_CLOSE_S = 12.0


@dataclass
class _InheritedSockets:
    """Listening sockets of the engine that this one replaces."""

    server: socket.socket | None = None
    forwards: dict[LocalAddress, socket.socket] = field(default_factory=dict)

    @classmethod
    def of_killed_engine(cls, held: dict[str, int]) -> _InheritedSockets:
        """Return the sockets that the parent held."""
        inherited = cls()
        for key, descriptor in held.items():
            sock = socket.socket(fileno=descriptor)
            sock.setblocking(False)
            if key == SERVER:
                inherited.server = sock
            else:
                inherited.forwards[LocalAddress(*sock.getsockname()[:2])] = sock
        return inherited


def run(
    options: argparse.Namespace, notifier: ReadyNotifier, process: SupervisedProcess | None = None
) -> int:
    """Run an engine process and return its exit code; TuiForwardError if it cannot serve.

    `process` is set if this one has a parent that starts another engine if this one is killed.
    """
    path: Path = options.socket or unix_socket.default_socket_path(options.kubeconfig, os.environ)
    unix_socket.ensure_private_dir(path)
    lock = unix_socket.SocketLock(path)
    record = EngineRecord(path, has_parent=process is not None)
    handover: HandoverState | None = None
    held = process.held.by_key if process is not None else {}
    if LOCK in held:
        lock.adopt(held.pop(LOCK))
        if not lock.is_in_place:
            lock.acquire()  # its folder was removed, and clients must see that an engine runs
        lock.record_holder()
        record.replace()
    elif options.take_over:
        handover = _take_over(lock, path, options)
    elif not _acquire(lock, path, record):
        notifier.ready(0)
        return 0
    try:
        settings = load_settings(paths.settings_file())
        log_problem = _configure_log(options, path, settings)
        if handover is not None:
            inherited = _InheritedSockets(handover.server_socket, handover.forward_sockets)
        else:
            inherited = _InheritedSockets.of_killed_engine(held)
        parent = ParentLink(process.link if process is not None else None)

        async def serve() -> None:
            engine = EngineProcess(
                options, settings, path, lock, record, handover, inherited, parent
            )
            if log_problem:
                engine.report_problem(log_problem)
            await engine.run(notifier)

        event_loop.run(serve())
    finally:
        record.remove()
        lock.release()
    return 0


def _configure_log(options: argparse.Namespace, path: Path, settings: Settings) -> str:
    """Open the log; return why the default one cannot be written, or "".

    Forwards need no log: the home folder may be read-only, or its disk full. TransportError if a
    file of the command line cannot be written.
    """
    level = options.log_level or settings.log_level.value
    if not (options.detach or options.log):
        log.log_to_stderr(level=LEVELS[level])
        return ""
    is_default = options.log is None
    options.log = options.log or log.log_file(path)
    try:
        log.log_to_file(options.log, level=LEVELS[level])
    except OSError as error:
        cause = (error.strerror or type(error).__name__).lower()
        problem = f"cannot write the log {options.log}: {cause}"
        if not is_default:
            raise TransportError(problem) from error
        log.log_nowhere(level=LEVELS[level])
        return problem
    return ""


def _take_over(
    lock: unix_socket.SocketLock, path: Path, options: argparse.Namespace
) -> HandoverState:
    """Receive the state of the running engine, which continues if this process fails to serve."""
    from tui_forward.daemon.handover import request_handover

    # Imported before the request, because from then until this process serves, no connection is
    # accepted.
    for name in ("daemon.server", "engine.engine", "session.kubernetes_backend", "session.local"):
        import_module(f"tui_forward.{name}")
    handover = request_handover(path)
    lock.adopt(handover.lock_fd)
    offer = handover.offer
    options.context, options.idle_timeout = offer.context, offer.idle_timeout_s
    options.session = options.session or (Path(offer.session_file) if offer.session_file else None)
    options.log = options.log or (Path(offer.log_file) if offer.log_file else None)
    return handover


def _acquire(lock: unix_socket.SocketLock, path: Path, record: EngineRecord) -> bool:
    """Acquire the lock; return False if an engine already serves this socket, or another one.

    Raise TransportError if an engine runs, but neither serves nor ends.
    """
    deadline = time.monotonic() + _LOCK_S
    other: RunningEngine | None = None
    while True:
        if lock.acquire():
            other = record.claim()
            if other is None:
                return True
            lock.release()  # it restores the lock, if that was removed
        if unix_socket.is_served(Path(other.socket) if other is not None else path):
            return False
        if time.monotonic() > deadline:
            if other is not None:
                raise unreachable_error(other)
            raise TransportError(f"another engine holds {path} and is not responding")
        time.sleep(0.02)


class EngineProcess:
    """The parts of an engine process, which live as long as it serves.

    Created inside the event loop. `handover` is set if it replaces an engine that runs, `inherited`
    has the sockets of the one it replaces.
    """

    def __init__(
        self, options: argparse.Namespace, settings: Settings, path: Path,
        lock: unix_socket.SocketLock, record: EngineRecord, handover: HandoverState | None,
        inherited: _InheritedSockets, parent: ParentLink,
    ) -> None:  # fmt: skip
        from tui_forward.daemon.handover import HandoverSender
        from tui_forward.daemon.server import SessionServer
        from tui_forward.session.local import LocalSession

        self._restore = options.restore
        self._path = path
        self._lock = lock
        self._record = record
        self._handover = handover
        self._inherited = inherited
        self._parent = parent
        self._session = LocalSession(
            options.kubeconfig,
            context=options.context,
            socket_holder=parent,
            disk_buffer=settings.disk_buffer,
        )
        session_file = options.session or session_store.session_file(path)
        files = unix_socket.kubeconfig_files(options.kubeconfig, os.environ)
        kubeconfig = os.pathsep.join(map(str, files))
        self._notices = NoticeLog(self._session.changes_signal.notify)
        self._saver = saver = SessionSaver(
            self._session, session_file, socket=str(path), kubeconfig=kubeconfig,
            on_problem=self.report_problem,
        )  # fmt: skip
        replaces_another = handover is not None or inherited.server is not None
        self._lifetime = Lifetime(
            options.idle_timeout,
            first_s=max(options.idle_timeout, _FIRST_CLIENT_S),
            minimum_s=_RECONNECT_S if replaces_another else 0.0,
            is_needed=lambda: saver.keep_running and saver.has_forwards,
        )
        self._signaled = _end_on_signals(self._lifetime)
        self._sender = HandoverSender(
            self._session,
            saver,
            lock,
            _server_socket(path, inherited, is_served=handover is not None),
            rpc.HandoverOffer(
                context=options.context,
                idle_timeout_s=options.idle_timeout,
                session_file=str(session_file),
                log_file=str(options.log or ""),
            ),
            on_handed_over=self._replaced,
        )
        self._server = SessionServer(
            self._session, saver, self._notices, self._sender, kubeconfig=kubeconfig,
            other_engines=OtherEngines(path, self._session.changes_signal.notify),
            on_client_count=self._lifetime.set_client_count, on_request=self._lifetime.set_used,
        )  # fmt: skip
        self._guard = SocketGuard(
            path, lock, on_rebound=self._serve_socket, on_overtaken=self._sender.give_up
        )
        # Until the handover is confirmed, the old engine owns the socket.
        self._owns_socket = handover is None
        self._tasks: list[asyncio.Task[None]] = []

    def report_problem(self, text: str) -> None:
        """Show a problem of the engine itself to all clients."""
        self._notices.add("", text, is_problem=True)

    async def run(self, notifier: ReadyNotifier) -> None:
        """Serve until the end; TransportError if the engine to replace continues."""
        try:
            await self._restore_forwards()
            if self._handover is not None:
                await run_in_thread(self._handover.confirm, name="handover")
                self._lock.record_holder()
                self._record.replace()
                self._owns_socket = True
            await self._serve_socket(self._sender.server_socket)
            self._tasks.append(spawn_restarting(self._guard.run, name="socket guard"))
            _log.info("engine %d serves %s", os.getpid(), self._path)
            self._parent.notify_ready()
            draining = self._handover.offer.connections if self._handover is not None else 0
            notifier.ready(os.getpid(), draining)
            self._tasks.append(spawn_restarting(self._watch_profiles, name="profiles"))
            reason = await self._lifetime.wait()
            _log.info("engine %d ends: %s", os.getpid(), reason)
        finally:
            await self._close()

    async def _restore_forwards(self) -> None:
        if self._inherited.forwards:
            self._session.inherit(self._inherited.forwards)
        saver, handover = self._saver, self._handover
        if handover is not None:
            self._session.inherit_callers(decode_callers(handover.offer.callers))
            self._session.adopt_secrets(handover.offer.secrets)
            self._session.adopt_logins(handover.offer.logins)
            await saver.open(restore=True, handed_over=handover.session)
            # A client of another version cannot reconnect, which must not stop its forwards.
            saver.keep_requested |= handover.offer.version != rpc.VERSION
            self._notices.profiles_changed.set()
        elif await saver.open(restore=self._restore):
            self._notices.profiles_changed.set()

    async def _serve_socket(self, listening: socket.socket) -> None:
        """Serve a socket at the path, which this engine owns."""
        # Not before it owns the path: if this engine is killed, its parent must not start a second
        # one that has the lock.
        self._parent.hold(self._lock.fileno())
        self._parent.hold(listening.fileno())
        self._sender.server_socket = listening
        await self._server.start(listening)

    def _replaced(self, reason: str) -> None:
        # At once, because the other engine may close a port at any time.
        self._parent.release_all()
        self._lifetime.end(reason)

    async def _close(self) -> None:
        for task in self._tasks:
            task.cancel()
        is_replaced = self._sender.is_done
        owns_socket = self._owns_socket and not is_replaced
        # Removed before anything is closed: a client that comes now starts a new engine, which
        # waits for the lock.
        self._record.remove()
        if owns_socket and self._guard.is_in_place:
            unix_socket.unlink_socket(self._path)
        await self._server.close()
        self._sender.server_socket.close()
        if not is_replaced:
            self._parent.release_server()
        # Before the forwards stop, because the next engine may restore what is active now.
        await self._saver.close(write=owns_socket)
        if is_replaced:
            self._lock.release()
            await self._drain()
        # What hangs must not keep the lock, for which the next engine waits.
        force_exit = threading.Timer(_CLOSE_S, _exit_although_hanging)
        force_exit.daemon = True
        force_exit.start()
        await self._session.close()
        self._parent.close()

    async def _drain(self) -> None:
        """Wait until the open connections have ended, or a signal arrives."""
        tasks: list[asyncio.Task[object]] = [
            spawn(self._session.drain(DRAIN_S), name="drain"),
            spawn(self._signaled.wait(), name="signal"),
        ]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()

    async def _watch_profiles(self) -> None:
        """Apply edits of active profiles' files."""
        # Wait for the first profile, because importing the YAML library takes a while. In a
        # thread, because restored forwards connect meanwhile.
        await self._notices.profiles_changed.wait()
        for name in ("daemon.profile_watcher", "profiles.store", "profiles.trust"):
            await run_in_thread(partial(import_module, f"tui_forward.{name}"), name="import")
        from tui_forward.daemon.profile_watcher import ProfileWatcher
        from tui_forward.profiles.store import ProfileStore
        from tui_forward.profiles.trust import TrustStore

        store = ProfileStore(paths.profiles_dir(), Path("/"))
        trust = TrustStore(paths.trusted_profiles_file())
        await ProfileWatcher(self._session, store, trust, self._notices, self._saver).run()


def _server_socket(path: Path, inherited: _InheritedSockets, *, is_served: bool) -> socket.socket:
    """Return the inherited socket, or a new one if there is none or its path was removed.

    If another engine serves it still, that one is responsible for its path.
    """
    if inherited.server is not None:
        if is_served or path.exists():
            return inherited.server
        inherited.server.close()
    return unix_socket.bind_socket(path)


def _exit_although_hanging() -> None:
    _log.error("the engine has not closed its connections within %g s: exiting", _CLOSE_S)
    os._exit(1)


def _end_on_signals(lifetime: Lifetime) -> asyncio.Event:
    """End the lifetime on SIGTERM and SIGINT; return the event that these also set."""
    signaled = asyncio.Event()

    def on_signal(number: signal.Signals) -> None:
        signaled.set()
        lifetime.end(number.name)

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal, number)
    return signaled
