"""One engine process: takes the lock, serves a session, stops it at the end."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from tui_forward.common import paths
from tui_forward.common.blocking_call import run_in_thread
from tui_forward.common.logging_levels import LEVELS
from tui_forward.common.tasks import spawn, spawn_restarting
from tui_forward.daemon import log, rpc, session_store, unix_socket
from tui_forward.daemon.held_descriptors import LOCK, SERVER
from tui_forward.daemon.notices import NoticeLog
from tui_forward.daemon.other_engines import OtherEngines
from tui_forward.daemon.parent_link import ParentLink
from tui_forward.daemon.readiness import ReadyNotifier
from tui_forward.daemon.session_saver import SessionSaver
from tui_forward.daemon.socket_guard import SocketGuard
from tui_forward.errors import TransportError
from tui_forward.model import LocalAddress
from tui_forward.settings.parser import load_settings

if TYPE_CHECKING:
    from tui_forward.daemon.handover import HandoverState
    from tui_forward.daemon.watchdog import SupervisedProcess
    from tui_forward.session.local import LocalSession

_log = logging.getLogger(__name__)

# The client that started this process connects within moments, or never.
_FIRST_CLIENT_S = 15.0
# How long to wait for an ending engine to release the lock.
_LOCK_S = 15.0
# How long open connections may continue in a process that was replaced.
DRAIN_S = 600.0
# Interval to check whether forwards that keep running without clients have stopped.
_CHECK_S = 1.0


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
    handover: HandoverState | None = None
    held = process.held.by_key if process is not None else {}
    if LOCK in held:
        lock.adopt(held.pop(LOCK))
        lock.record_holder()
    elif options.take_over:
        handover = _take_over(lock, path, options)
    elif not _acquire(lock, path):
        notifier.ready(0)
        return 0
    try:
        _configure_log(options, path)
        if handover is not None:
            inherited = _InheritedSockets(handover.server_socket, handover.forward_sockets)
        else:
            inherited = _InheritedSockets.of_killed_engine(held)
        parent = ParentLink(process.link if process is not None else None)
        with asyncio.Runner() as runner:
            runner.run(_serve(options, path, lock, notifier, handover, inherited, parent))
    finally:
        lock.release()
    return 0


def _configure_log(options: argparse.Namespace, path: Path) -> None:
    level = options.log_level or load_settings(paths.settings_file()).log_level.value
    if not (options.detach or options.log):
        log.log_to_stderr(level=LEVELS[level])
        return
    options.log = options.log or log.log_file(path)
    try:
        log.log_to_file(options.log, level=LEVELS[level])
    except OSError as error:
        raise TransportError(f"cannot write the log {options.log}: {error.strerror}") from error


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


def _acquire(lock: unix_socket.SocketLock, path: Path) -> bool:
    """Acquire the lock; return False if an engine already serves the socket.

    Raise TransportError if an engine holds the lock, but neither serves nor ends.
    """
    deadline = time.monotonic() + _LOCK_S
    while not lock.acquire():
        if unix_socket.is_served(path):
            return False
        if time.monotonic() > deadline:
            raise TransportError(f"another engine holds {path} and is not responding")
        time.sleep(0.02)
    return True


async def _serve(
    options: argparse.Namespace,
    path: Path,
    lock: unix_socket.SocketLock,
    notifier: ReadyNotifier,
    handover: HandoverState | None,
    inherited: _InheritedSockets,
    parent: ParentLink,
) -> None:
    from tui_forward.daemon.handover import HandoverSender
    from tui_forward.daemon.server import SessionServer
    from tui_forward.session.local import LocalSession

    session = LocalSession(
        options.kubeconfig,
        context=options.context,
        socket_holder=parent,
        disk_buffer=load_settings(paths.settings_file()).disk_buffer,
    )
    session_file = options.session or session_store.session_file(path)
    kubeconfig = os.pathsep.join(
        map(str, unix_socket.kubeconfig_files(options.kubeconfig, os.environ))
    )
    saver = SessionSaver(session, session_file, socket=str(path), kubeconfig=kubeconfig)
    notices = NoticeLog()
    watching = spawn_restarting(lambda: _watch_profiles(session, notices, saver), name="profiles")
    lifetime = Lifetime(
        options.idle_timeout,
        first_s=max(options.idle_timeout, _FIRST_CLIENT_S),
        # Clients of the replaced engine reconnect within moments.
        minimum_s=_FIRST_CLIENT_S if handover is not None else 0.0,
        is_needed=lambda: saver.keep_running and saver.has_forwards,
    )
    signaled = _end_on_signals(lifetime)

    def on_replaced(reason: str) -> None:
        # At once, because the other engine may close a port at any time.
        parent.release_all()
        lifetime.end(reason)

    server_socket = _server_socket(path, inherited, is_served=handover is not None)
    if handover is None:
        parent.hold(lock.fileno())
        parent.hold(server_socket.fileno())
    sender = HandoverSender(
        session,
        saver,
        lock,
        server_socket,
        rpc.HandoverOffer(
            context=options.context,
            idle_timeout_s=options.idle_timeout,
            session_file=str(session_file),
            log_file=str(options.log or ""),
        ),
        on_handed_over=on_replaced,
    )
    server = SessionServer(
        session, saver, notices, sender, kubeconfig=kubeconfig, other_engines=OtherEngines(path),
        on_client_count=lifetime.set_client_count,
    )  # fmt: skip

    async def on_rebound(listening: socket.socket) -> None:
        parent.hold(listening.fileno())
        parent.hold(lock.fileno())
        sender.server_socket = listening
        await server.start(listening)

    guard = SocketGuard(path, lock, on_rebound=on_rebound, on_overtaken=sender.give_up)
    owns_socket = handover is None  # until the handover is confirmed, the old engine does
    guarding: asyncio.Task[None] | None = None
    try:
        if inherited.forwards:
            session.inherit(inherited.forwards)
        if handover is not None:
            await saver.open(restore=True, handed_over=handover.session)
            # A client of another version cannot reconnect, which must not stop its forwards.
            saver.keep_requested |= handover.offer.version != rpc.VERSION
            notices.profile_started.set()
        elif await saver.open(restore=options.restore):
            notices.profile_started.set()
        if handover is not None:
            await run_in_thread(handover.confirm, name="handover")
            lock.record_holder()
            owns_socket = True
            # Not before: the parent must not start a second engine if this one is killed.
            parent.hold(lock.fileno())
            parent.hold(server_socket.fileno())
        await server.start(server_socket)
        guarding = spawn_restarting(guard.run, name="socket guard")
        _log.info("engine %d serves %s", os.getpid(), path)
        parent.notify_ready()
        notifier.ready(os.getpid(), handover.offer.connections if handover is not None else 0)
        reason = await lifetime.wait()
        _log.info("engine %d ends: %s", os.getpid(), reason)
    finally:
        watching.cancel()
        # Removed before anything is closed: a client that comes now starts a new engine, which
        # waits for the lock.
        if guarding is not None:
            guarding.cancel()
        owns_socket = owns_socket and not sender.is_done
        if owns_socket and guard.is_in_place:
            unix_socket.unlink_socket(path)
        await server.close()
        sender.server_socket.close()
        if not sender.is_done:
            parent.release_server()
        # Before the forwards stop, because the next engine may restore what is active now.
        await saver.close(write=owns_socket)
        if sender.is_done:
            lock.release()
            await _drain(session, signaled)
        await session.close()
        parent.close()


def _server_socket(path: Path, inherited: _InheritedSockets, *, is_served: bool) -> socket.socket:
    """Return the inherited socket, or a new one if there is none or its path was removed.

    If another engine serves it still, that one is responsible for its path.
    """
    if inherited.server is not None:
        if is_served or path.exists():
            return inherited.server
        inherited.server.close()
    return unix_socket.bind_socket(path)


def _end_on_signals(lifetime: Lifetime) -> asyncio.Event:
    """End the lifetime on SIGTERM and SIGINT; return the event that these also set."""
    signaled = asyncio.Event()

    def on_signal(number: signal.Signals) -> None:
        signaled.set()
        lifetime.end(number.name)

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal, number)
    return signaled


async def _drain(session: LocalSession, signaled: asyncio.Event) -> None:
    """Wait until the open connections have ended, or a signal arrives."""
    tasks = [spawn(session.drain(DRAIN_S), name="drain"), spawn(signaled.wait(), name="signal")]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()


async def _watch_profiles(session: LocalSession, notices: NoticeLog, saver: SessionSaver) -> None:
    """Apply edits of active profiles' files."""
    # Wait for the first profile, because importing the YAML library takes a while.
    await notices.profile_started.wait()
    from tui_forward.daemon.profile_watcher import ProfileWatcher
    from tui_forward.profiles.store import ProfileStore
    from tui_forward.profiles.trust import TrustStore

    store = ProfileStore(paths.profiles_dir(), Path("/"))
    await ProfileWatcher(
        session, store, TrustStore(paths.trusted_profiles_file()), notices, saver
    ).run()


class Lifetime:
    """Ends on request, or when there was no client for a while.

    It lasts `idle_timeout_s` without clients (infinity is forever), `first_s` until the first
    client, `minimum_s` in any case, and as long as `is_needed` returns True.
    """

    def __init__(
        self, idle_timeout_s: float, *, first_s: float, minimum_s: float = 0.0,
        is_needed: Callable[[], bool] = lambda: False,
    ) -> None:  # fmt: skip
        self._is_needed = is_needed
        self._idle_timeout_s = idle_timeout_s
        self._earliest_end = asyncio.get_running_loop().time() + minimum_s
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._end_after(first_s, "no client connected")

    def set_client_count(self, count: int) -> None:
        """Report how many clients are connected."""
        self._cancel_timer()
        if not count:
            left = self._earliest_end - asyncio.get_running_loop().time()
            self._end_after(max(self._idle_timeout_s, left), "the last client disconnected")

    def end(self, reason: str) -> None:
        """End now. Idempotent."""
        self._cancel_timer()
        if not self._ended.done():
            self._ended.set_result(reason)

    async def wait(self) -> str:
        """Wait for the end and return its reason."""
        return await self._ended

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end_after(self, seconds: float, reason: str) -> None:
        if seconds <= 0:
            self._end_unless_needed(reason)
        elif seconds != float("inf"):
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(seconds, self._end_unless_needed, reason)

    def _end_unless_needed(self, reason: str) -> None:
        if self._is_needed():
            self._end_after(_CHECK_S, reason)
        else:
            self.end(reason)
