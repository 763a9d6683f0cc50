"""Shell completion of profiles, forwards, contexts, namespaces, targets and ports.

Completers neither fail nor take long: without an answer in time, they offer nothing.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tui_forward.errors import TuiForwardError

if TYPE_CHECKING:
    from tui_forward.model import CatalogView, DeclaredPort
    from tui_forward.session import Session

COMPLETE_VARIABLE = "_TUI_FORWARD_COMPLETE"  # set by completion scripts
# In `Context.meta`: kubectl's options for cluster and user, as `parse_access_options` takes them.
ACCESS_OPTIONS_KEY = "tui_forward.access_options"

_TIMEOUT_S = 2.0
# What does not react to the end of that time (a disk, a plugin) ends with the process.
_GRACE_S = 2.0
_POLL_S = 0.02

T = TypeVar("T")


def is_completing() -> bool:
    """Return whether a completion script started this process."""
    return COMPLETE_VARIABLE in os.environ


def complete_profiles(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Return names of profiles."""
    from tui_forward.cli import profile_lookup
    from tui_forward.profiles.parser import ProfileError

    names = []
    with contextlib.suppress(TuiForwardError, OSError), _time_limit():
        for file in profile_lookup.store().files():
            try:
                names.append(file.read().name)
            except ProfileError:
                names.append(file.path.stem)
    return _matching(names, incomplete)


def complete_forwards(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Return ids and names of active forwards."""

    async def query() -> list[str]:
        from tui_forward.cli.sessions import running_session

        kubeconfig = _option(ctx, "kubeconfig")
        async with running_session(kubeconfig) as session:
            if session is None:
                return []
            snapshot = await session.snapshot()
        names = [word for one in snapshot.forwards for word in (one.id, one.spec.name) if word]
        return [*(one.id for one in snapshot.proxies), *names]

    return _matching(_run_bounded(query, []), incomplete)


def complete_contexts(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Return contexts of the kubeconfig."""

    async def query(session: Session) -> list[str]:
        return [one.name for one in await session.contexts()]

    return _matching(_query_session(ctx, query, []), incomplete)


def complete_clusters(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Return clusters of the kubeconfig."""
    return _matching(_entries(ctx, "clusters"), incomplete)


def complete_users(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Return users of the kubeconfig."""
    return _matching(_entries(ctx, "users"), incomplete)


def _entries(ctx: click.Context, kind: str) -> list[str]:
    from tui_forward.kube.kubeconfig.source import KubeconfigSource

    with contextlib.suppress(TuiForwardError, OSError), _time_limit():
        kubeconfig = KubeconfigSource(_option(ctx, "kubeconfig")).kubeconfig()
        return list(getattr(kubeconfig, kind))
    return []


def complete_namespaces(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Return namespaces of the context."""

    async def query(session: Session) -> list[str]:
        view = await _view(session, ctx, ("namespaces",), all_namespaces=True)
        return [one.name for one in view.namespaces]

    return _matching(_query_session(ctx, query, []), incomplete)


def complete_targets(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Return pods, services and workloads of the namespace."""

    async def query(session: Session) -> list[str]:
        view = await _view(session, ctx, ("pods", "services", "deployments", "statefulsets"))
        found = [f"{one.kind.value}/{one.name}" for one in view.workloads if one.owner is None]
        found += [f"svc/{one.name}" for one in view.services]
        return found + [one.name for one in view.pods] + [f"pod/{one.name}" for one in view.pods]

    return _matching(_query_session(ctx, query, []), incomplete)


def complete_ports(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Return ports that the target declares, by number and by name."""
    from tui_forward.common.arguments import parse_target
    from tui_forward.model import TargetKind

    try:
        kind, name = parse_target(str(ctx.params.get("target") or ""))
    except TuiForwardError:
        return []

    async def query(session: Session) -> list[str]:
        view = await _view(session, ctx, ("pods", "services", "replicasets"))
        declared: list[DeclaredPort] = []
        if kind is TargetKind.SERVICE:
            for service in view.services:
                if service.name == name:
                    declared += service.ports
        else:
            names = {name}
            if kind is not TargetKind.POD:  # pods of a deployment belong to its replica sets
                names |= {w.name for w in view.workloads if w.owner and w.owner.name == name}
            for pod in view.pods:
                owner = pod.owner.name if pod.owner is not None else ""
                if (pod.name if kind is TargetKind.POD else owner) in names:
                    declared += pod.ports
        words = (word for port in declared for word in (str(port.number), port.name) if word)
        return list(dict.fromkeys(words))

    local, colon, remote = incomplete.rpartition(":")
    found = _matching(_query_session(ctx, query, []), remote)
    return [f"{local}{colon}{word}" for word in found]


# Queries ----------------------------------------------------------------------------------


def _query_session(ctx: click.Context, query: Callable[[Session], Awaitable[T]], fallback: T) -> T:
    async def open_and_query() -> T:
        from tui_forward.cli.sessions import local_session

        context = _option(ctx, "context")
        async with local_session(_option(ctx, "kubeconfig"), context=context) as session:
            return await query(session)

    return _run_bounded(open_and_query, fallback)


def _run_bounded(query: Callable[[], Awaitable[T]], fallback: T) -> T:
    import asyncio  # every `--help` imports this module

    async def bounded() -> T:
        async with asyncio.timeout(_TIMEOUT_S):
            return await query()

    # Output on stderr would appear in the middle of the edited command line.
    with Path(os.devnull).open("w") as null, contextlib.redirect_stderr(null), _time_limit():
        try:
            return asyncio.run(bounded())
        except (TuiForwardError, OSError, TimeoutError):
            return fallback


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    """End this process, without a word, if the block is not left in time."""
    import threading

    timer = threading.Timer(_TIMEOUT_S + _GRACE_S, os._exit, (0,))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


async def _view(
    session: Session, ctx: click.Context, resources: Iterable[str], *, all_namespaces: bool = False
) -> CatalogView:
    import asyncio

    from tui_forward.cli.sessions import resolve_context
    from tui_forward.common.access_options import parse_access_options
    from tui_forward.model import CatalogScope

    context = await resolve_context(session, _option(ctx, "context"))
    namespace = _option(ctx, "namespace") or context.namespace
    # What is typed already decides which server is asked, and as whom.
    options = parse_access_options(ctx.meta.get(ACCESS_OPTIONS_KEY, {}))
    scope = CatalogScope(context.name, "" if all_namespaces else namespace, options)
    while True:
        view = await session.catalog(scope)
        done = {one.resource for one in view.resources if one.synced or one.error}
        if done.issuperset(resources):
            return view
        await asyncio.sleep(_POLL_S)


def _option(ctx: click.Context | None, name: str) -> str | None:
    """Return an option of the command or of the group that precedes it."""
    while ctx is not None:
        value: Any = ctx.params.get(name)
        if value:
            return str(value)
        ctx = ctx.parent
    return None


def _matching(words: Iterable[str], incomplete: str) -> list[str]:
    """Return the words that fit; a name with a dash in front would be an option."""
    return sorted(
        word
        for word in dict.fromkeys(words)
        if word.startswith(incomplete) and not word.startswith("-")
    )
