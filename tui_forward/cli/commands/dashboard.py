"""The dashboard command: an engine process, and the screen in this process."""

from __future__ import annotations

import asyncio
import gc
import os
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from tui_forward.cli import output
from tui_forward.cli.dashboard_runner import DashboardRunner, StartView
from tui_forward.cli.kubeconfig_files import context_choice
from tui_forward.cli.protection import require_permission, require_proxy_permission
from tui_forward.cli.sessions import engine_log_arguments, remote_session, resolve_context
from tui_forward.cli.terminal_watchdog import TerminalWatchdog
from tui_forward.common.garbage import GarbageCollector
from tui_forward.errors import ConfigError, UsageError
from tui_forward.model import NO_CONTEXT, NO_OPTIONS, AccessOptions, CatalogScope, Context
from tui_forward.session import Session
from tui_forward.session.protected_targets import known_contexts
from tui_forward.tui.storage.view_state import ViewStateStore

if TYPE_CHECKING:
    from tui_forward.profiles.profile import Profile
    from tui_forward.tui.controllers.restore_controller import RestoreOffer
    from tui_forward.tui.storage.paths import DashboardPaths

_GET_KUBECONFIG = "Get a kubeconfig for your cluster and set KUBECONFIG or --kubeconfig"


def dashboard(
    kubeconfig: str | None, *, context: str | None, namespace: str | None,
    options: AccessOptions = NO_OPTIONS, restore: bool = False, profile: Profile | None = None,
) -> bool:  # fmt: skip
    """Show the dashboard until the user quits it; UsageError if there is no terminal.

    Return whether the user wants to see the demo next.

    `restore` restores the last session without asking; `profile` is trusted and started first. A
    namespace of None is the context's own, "" all.
    """
    if not output.has_terminal():
        raise UsageError(
            "the dashboard needs a terminal",
            hint="without one, use tui-forward forward TARGET PORT",
        )
    watchdog = TerminalWatchdog()
    with watchdog.watch():
        work = show_dashboard(
            watchdog, kubeconfig, context=context, namespace=namespace, options=options,
            restore=restore, profile=profile,
        )  # fmt: skip
        wants_demo = asyncio.run(watchdog.run(work))
    return bool(wants_demo)


async def show_dashboard(
    watchdog: TerminalWatchdog, kubeconfig: str | None, *, context: str | None,
    namespace: str | None, options: AccessOptions = NO_OPTIONS, restore: bool = False,
    profile: Profile | None = None, temporary: bool = False,
) -> bool:  # fmt: skip
    """Do what `dashboard` does, in a running event loop, until `watchdog` ends it.

    Return whether the user wants to see the demo next.

    `temporary` means that the cluster stops with the dashboard: forwards cannot keep running, and
    the engine's files are placed beside the kubeconfig, which is deleted with the cluster.
    """
    # In parallel, because importing Textual takes as long as starting the engine process.
    importing = asyncio.create_task(asyncio.to_thread(_import_app))
    arguments = [f"--session={kubeconfig}.session", f"--log={kubeconfig}.log"] if temporary else []
    async with remote_session(kubeconfig, arguments=arguments) as session:
        view_state = ViewStateStore(None) if temporary else _view_state_store(kubeconfig)
        start = await _start_view(session, context, namespace, options, view_state, kubeconfig)
        # Starts the engine's lists while the screen is created.
        await session.catalog(start.scope)
        if profile is not None:
            await _start_profile(session, profile)
        await importing
        offer = None if temporary else _restore_offer(session, kubeconfig, restore)
        files = _dashboard_paths(kubeconfig)
        if temporary:
            files = replace(files, log=Path(f"{kubeconfig}.log"))

        async def restart_engine() -> int:
            from tui_forward.daemon.launcher import replace_engine

            again = [*engine_log_arguments(), *arguments]
            return (await replace_engine(kubeconfig, arguments=again)).draining

        # Imported objects are exempt from collections from now on.
        runner = DashboardRunner(
            watchdog, session, start, files, offer, GarbageCollector(),
            can_keep_running=not temporary, restart_engine=restart_engine,
        )  # fmt: skip
        return await runner.run()


async def _start_view(
    session: Session, context: str | None, namespace: str | None, options: AccessOptions,
    view_state: ViewStateStore, kubeconfig: str | None = None,
) -> StartView:  # fmt: skip
    """Return what to show first; ConfigError if there is no context of the name `context`.

    This is the last view, unless the command line names another one or has options, or the
    kubeconfig's current context or namespace has changed since: a user who switched it expects to
    see the new one. Without a usable current context, the user chooses one in the dashboard, also
    if there is none to choose yet.
    """
    contexts: tuple[Context, ...] = ()
    unreadable: ConfigError | None = None
    try:
        contexts = await known_contexts(session, [options] if context is None else [NO_OPTIONS])
    except ConfigError as error:
        if context is not None:
            raise
        unreadable = error
    current = next((one for one in contexts if one.current), None)
    origin = (current.name, current.namespace) if current is not None else ("", "")
    place = view_state.state
    if (
        place is not None
        and not options
        and context is None
        and namespace is None
        and place.origin == origin
        and any(one.name == place.context and not one.problem for one in contexts)
    ):
        scope = CatalogScope(place.context, place.namespace, options)
        return StartView(scope, origin, view_state)
    if context is None and current is None and options.names_server:
        namespace = "default" if namespace is None else namespace
        scope = CatalogScope(NO_CONTEXT, namespace, options)
        return StartView(scope, origin, view_state)
    # Options may replace the user or the cluster that a context lacks.
    if context is None and (current is None or (current.problem and not options)):
        problem, hint = current.problem if current is not None else "", ""
        if unreadable is not None:
            problem, hint = unreadable.message, unreadable.hint
        elif not contexts:
            problem, hint = "the kubeconfig has no contexts", _GET_KUBECONFIG
        elif not problem and (health := (await session.catalog(CatalogScope(""))).health):
            problem = health.error
        reason = problem or "there is no current context"
        choice = await asyncio.to_thread(
            context_choice, reason, namespace, kubeconfig, os.environ, "" if contexts else hint
        )
        return StartView(CatalogScope("", namespace or "", options), origin, view_state, choice)
    resolved = await resolve_context(session, context)
    namespace = resolved.namespace if namespace is None else namespace
    scope = CatalogScope(resolved.name, namespace, options)
    return StartView(scope, origin, view_state)


def _view_state_store(kubeconfig: str | None) -> ViewStateStore:
    from tui_forward.common import paths
    from tui_forward.daemon import unix_socket

    # One per kubeconfig, like the engine.
    return ViewStateStore(
        paths.view_state_file(), unix_socket.default_socket_path(kubeconfig, os.environ).stem
    )


async def _start_profile(session: Session, profile: Profile) -> None:
    from tui_forward.daemon.profile_apply import apply_plan, plan_profile

    plan = await plan_profile(session, profile, with_proxy=True)
    await require_permission(session, [one.spec.target for one in plan.to_start], allowed=False)
    if plan.proxy is not None:
        await require_proxy_permission(session, plan.proxy, allowed=False)
    await apply_plan(session, profile, plan, wait_s=None)


def _restore_offer(session: Session, kubeconfig: str | None, restore: bool) -> RestoreOffer | None:
    """Return the forwards of the last session, if that was lost with any."""
    from tui_forward.daemon import session_store, unix_socket
    from tui_forward.tui.controllers.restore_controller import RestoreOffer

    path = session_store.previous_session_file(
        session_store.session_file(unix_socket.default_socket_path(kubeconfig, os.environ))
    )
    saved = session_store.load_session(path)
    if not saved.forwards:
        return None
    return RestoreOffer(
        specs=[one.spec for one in saved.forwards],
        restore=lambda: session_store.restore(session, saved),
        discard=lambda: session_store.discard_session(path),
        automatic=restore,
    )


def _dashboard_paths(kubeconfig: str | None) -> DashboardPaths:
    from tui_forward.common import paths
    from tui_forward.common.user_folders import working_dir
    from tui_forward.daemon import log, unix_socket
    from tui_forward.tui.storage.paths import DashboardPaths

    return DashboardPaths(
        favorites=paths.favorites_file(),
        settings=paths.settings_file(),
        kubeconfigs=kubeconfig or os.environ.get("KUBECONFIG", ""),
        log=log.log_file(unix_socket.default_socket_path(kubeconfig, os.environ)),
        profiles=paths.profiles_dir(),
        trusted_profiles=paths.trusted_profiles_file(),
        working_dir=working_dir(),
    )


def _import_app() -> None:
    # Textual draws at most 60 times a second by default, so that a key pressed right after an
    # update would wait up to 17 ms for its effect.
    os.environ.setdefault("TEXTUAL_FPS", "240")
    gc.disable()  # imports create no garbage, and collections slow them down
    try:
        import tui_forward.tui.app  # noqa: F401 - imported ahead of its use
    finally:
        gc.enable()
