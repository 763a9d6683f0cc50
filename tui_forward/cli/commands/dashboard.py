"""The dashboard: an engine process, and the screen over it in this one."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import sys
import threading
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tui_forward.cli.exit_codes import ExitCode
from tui_forward.cli.sessions import call_on_signals, remote_session, resolve_context, run_async
from tui_forward.errors import TuiForwardError, UsageError
from tui_forward.model import CatalogScope
from tui_forward.session import Session
from tui_forward.tui.storage.view_state import ViewStateStore

if TYPE_CHECKING:
    from tui_forward.profiles.profile import Profile
    from tui_forward.tui.app import TuiForwardApp
    from tui_forward.tui.controllers.forward_controller import RestoreOffer
    from tui_forward.tui.storage.paths import DashboardPaths


# A dashboard that fails sooner than this, and this often in a row, is of no use.
_AT_ONCE_S = 5.0
_ATTEMPTS = 3
_ANSWER_S = 5.0
# What the engine knows already is in the first picture; for more than this, that does not wait.
_FIRST_S = 0.2
# A dashboard that was told to end has this long to do so.
_ENDS_S = 5.0


@dataclass(frozen=True, slots=True)
class _StartView:
    """Where a dashboard begins.

    Attributes:
        scope: What it shows.
        origin: What the kubeconfig itself would have shown.
        last: Where the person was last.
    """

    scope: CatalogScope
    origin: tuple[str, str]
    last: ViewStateStore


def has_terminal() -> bool:
    """Whether there is a screen to draw on and a keyboard to listen to."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def dashboard(
    kubeconfig: str | None,
    *,
    context: str | None,
    namespace: str | None,
    resume: bool = False,
    profile: Profile | None = None,
) -> None:
    """Show the dashboard until the person leaves it.

    Args:
        kubeconfig: File to use instead of the usual ones.
        context: None for the current one.
        namespace: None for the context's own, "" for all.
        resume: Bring back what was on before a crash or a reboot, unasked.
        profile: Is switched on first; agreed to already.

    Raises:
        UsageError: There is no terminal.
        TuiForwardError: The engine cannot be started or the kubeconfig cannot be used.
    """
    if not has_terminal():
        raise UsageError(
            "the dashboard needs a terminal",
            hint="without one, use tui-forward forward TARGET PORT",
        )
    run_async(
        show_dashboard(
            kubeconfig, context=context, namespace=namespace, resume=resume, profile=profile
        )
    )


async def show_dashboard(
    kubeconfig: str | None,
    *,
    context: str | None,
    namespace: str | None,
    resume: bool = False,
    profile: Profile | None = None,
    passing: bool = False,
) -> None:
    """As `dashboard`, in a running event loop.

    `passing` says that the cluster ends with the dashboard: forwards cannot go on without it,
    and what is kept of them lies beside the kubeconfig and ends with that.
    """
    # Importing Textual takes as long as starting the engine process.
    importing = asyncio.create_task(asyncio.to_thread(_import_app))
    beside = [f"--session={kubeconfig}.session", f"--log={kubeconfig}.log"] if passing else []
    async with remote_session(kubeconfig, arguments=beside) as session:
        last = ViewStateStore(None) if passing else _last_place(kubeconfig)
        here = await _where(session, context, namespace, last)
        # The engine lists while the screen is made.
        await session.catalog(here.scope)
        if profile is not None:
            await _switch_on(session, profile)
        await importing
        _freeze_gc()
        offer = None if passing else _restore_offer(session, kubeconfig, resume)
        files = _files(kubeconfig)
        if passing:
            files = replace(files, log=Path(f"{kubeconfig}.log"))
        await _show_until_left(session, here, files, offer, may_stay=not passing)


async def _where(
    session: Session, context: str | None, namespace: str | None, last: ViewStateStore
) -> _StartView:
    """What to show first.

    Where the person was last, unless something is asked for, or the kubeconfig says something else
    than it did then: who has switched it means it.

    Raises:
        ConfigError: There is no such context.
    """
    contexts = await session.contexts()
    origin = next(((one.name, one.namespace) for one in contexts if one.current), ("", ""))
    place = last.place
    if (
        place is not None
        and context is None
        and namespace is None
        and place.origin == origin
        and any(one.name == place.context for one in contexts)
    ):
        return _StartView(CatalogScope(place.context, place.namespace), origin, last)
    chosen = await resolve_context(session, context)
    shown = chosen.namespace if namespace is None else namespace
    return _StartView(CatalogScope(chosen.name, shown), origin, last)


def _last_place(kubeconfig: str | None) -> ViewStateStore:
    from tui_forward.common import paths as paths
    from tui_forward.daemon import unix_socket as unix_socket

    # Like its engine: one for each kubeconfig.
    return ViewStateStore(
        paths.view_state_file(), unix_socket.default_socket_path(kubeconfig, os.environ).stem
    )


async def _switch_on(session: Session, profile: Profile) -> None:
    from tui_forward.daemon.profile_apply import apply_plan, plan_profile

    await apply_plan(session, profile, await plan_profile(session, profile), wait_s=None)


def _restore_offer(session: Session, kubeconfig: str | None, resume: bool) -> RestoreOffer | None:
    """What was on when the engine before was lost, if anything."""
    from tui_forward.daemon import session_store as session_store
    from tui_forward.daemon import unix_socket as unix_socket
    from tui_forward.tui.controllers.forward_controller import RestoreOffer

    path = session_store.previous_session_file(
        session_store.session_file(unix_socket.default_socket_path(kubeconfig, os.environ))
    )
    before = session_store.load_session(path)
    if not before.forwards:
        return None
    return RestoreOffer(
        specs=[one.spec for one in before.forwards],
        restore=lambda: session_store.restore(session, before),
        forget=lambda: session_store.discard_session(path),
        unasked=resume,
    )


async def _show_until_left(
    session: Session,
    here: _StartView,
    files: DashboardPaths,
    offer: RestoreOffer | None,
    *,
    may_stay: bool,
) -> None:
    """Show dashboards until the person leaves one.

    A bug closes a dashboard, but no forward: those live in the engine, so another one is
    opened in its place. Where that does not help, or the dashboard is told to end or loses its
    terminal, they go on without one, unless the person's settings forbid it.

    Raises:
        TuiForwardError: Every dashboard failed at once.
    """
    from tui_forward.common.traffic_history import TrafficHistories
    from tui_forward.tui.app import TuiForwardApp

    histories, at_once, news, scope = TrafficHistories(), 0, "", here.scope
    while True:
        app = TuiForwardApp(
            session, context=scope.context, namespace=scope.namespace, files=files,
            histories=histories, news=news, offer=offer if not news else None,
            may_stay=may_stay, last=here.last, origin=here.origin,
        )  # fmt: skip
        begun = time.monotonic()
        # The terminal must be put in order, whoever ends the program.
        impatient = threading.Timer(_ENDS_S, os._exit, (ExitCode.FAILED,))
        impatient.daemon = True
        outliving = asyncio.create_task(
            app.sync_keep_running()
        )  # the picture need not wait for that
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_S):
                await app.sample()
        told = asyncio.Event()
        with call_on_signals(partial(_end, app, impatient, told)):
            await app.run_async()
        await outliving
        impatient.cancel()
        # It is no bug that there is nothing to draw on any more.
        if app.crash is None or not has_terminal():
            app.keep_place()
            farewell = app.farewell
            if not told.is_set() and app.crash is None:
                await _disable_keep_running_if_lost(session)
            elif app.keeps_running_if_lost:
                farewell = await _going_on(session)
            with contextlib.suppress(OSError):  # there may be nobody to read it
                sys.stderr.write(f"{farewell}\n" if farewell else "")
            return
        scope, report = app.cluster_state.scope, _keep(app.crash)
        here.last.place = None  # it may have been a row or a filter that it failed at
        at_once = at_once + 1 if time.monotonic() - begun < _AT_ONCE_S else 0
        if at_once == _ATTEMPTS:
            break
        news = f"A bug closed this screen; here it is again, and no forward was touched.\n{report}"
    on = await _going_on(session) if app.keeps_running_if_lost else ""
    raise TuiForwardError(
        f"the dashboard had to close because of a bug{f'; {on}' if on else ''}", hint=report
    )


def _end(app: TuiForwardApp, impatient: threading.Timer, told: asyncio.Event) -> None:
    """Leave in order; or else, for Textual waits for ever to write to a terminal that is gone."""
    told.set()
    impatient.start()
    app.exit()


async def _going_on(session: Session) -> str:
    """What the person is told of forwards that go on without a dashboard; empty if none do."""
    from tui_forward.tui.controllers.forward_controller import still_running_message

    try:
        async with asyncio.timeout(_ANSWER_S):
            return still_running_message(len((await session.snapshot()).forwards))
    except (TuiForwardError, TimeoutError):
        return ""


async def _disable_keep_running_if_lost(session: Session) -> None:
    """The person has left, and has been asked: nothing goes on because a screen was lost."""
    with contextlib.suppress(TuiForwardError, TimeoutError):
        async with asyncio.timeout(_ANSWER_S):
            await session.set_keep_running_if_lost(False)


def _freeze_gc() -> None:
    """No key is to wait for the garbage collector.

    What was imported stays, and is not looked at again; all the rest is looked at about once
    an hour, for it takes as long as drawing a frame. Nearly nothing of it is in cycles.
    """
    gc.freeze()
    gc.set_threshold(2_000, 20, 500)


def _import_app() -> None:
    # What is drawn is drawn a few times a second: a key that comes right after need not wait
    # for Textual's sixtieth of a second.
    os.environ.setdefault("TEXTUAL_FPS", "240")
    gc.disable()  # nothing of what is imported is garbage, and looking for it takes a while
    try:
        import tui_forward.tui.app  # noqa: F401 - for its side effect: it is loaded
    finally:
        gc.enable()


def _files(kubeconfig: str | None) -> DashboardPaths:
    from tui_forward.common import paths as paths
    from tui_forward.daemon import log
    from tui_forward.daemon import unix_socket as unix_socket
    from tui_forward.tui.storage.paths import DashboardPaths

    return DashboardPaths(
        memory=paths.favorites_file(),
        settings=paths.settings_file(),
        log=log.log_file(unix_socket.default_socket_path(kubeconfig, os.environ)),
        profiles=paths.profiles_dir(),
        trusted=paths.trusted_profiles_file(),
        working=Path.cwd(),
    )


def _keep(crash: str) -> str:
    """Write the traceback where a person can find it, since the screen must not show it.

    Returns:
        What is to be done with it, in words.
    """
    from tui_forward.common import paths as paths

    path = paths.crash_report_file()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(crash)
    except OSError as error:
        return f"The details could not be written to {path}: {error.strerror}"
    return f"Please report it with {path}"
