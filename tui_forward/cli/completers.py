"""What a shell offers behind the cursor: profiles, forwards, contexts, namespaces, targets, ports.

Nothing here may fail, or take long: a shell that cannot complete is silent.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tui_forward.errors import TuiForwardError

if TYPE_CHECKING:
    from tui_forward.model import CatalogView, DeclaredPort
    from tui_forward.session import Session

_PATIENCE_S = 2.0
_LOOK_S = 0.02

T = TypeVar("T")


def complete_profiles(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Names of profiles."""
    from tui_forward.cli import profile_lookup as profile_lookup
    from tui_forward.profiles.parser import ProfileError

    names = []
    with contextlib.suppress(TuiForwardError, OSError):
        for file in profile_lookup.store().files():
            try:
                names.append(file.read().name)
            except ProfileError:
                names.append(file.path.stem)
    return _beginning(names, incomplete)


def complete_forwards(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Ids and names of forwards that are on."""

    async def ask() -> list[str]:
        from tui_forward.cli.sessions import attached_session

        async with attached_session(_given(ctx, "kubeconfig"), asks=False) as session:
            on = (await session.snapshot()).forwards if session is not None else ()
        return [word for one in on for word in (one.id, one.spec.name) if word]

    return _beginning(_asked(ask, []), incomplete)


def complete_contexts(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Contexts of the kubeconfig."""

    async def ask(session: Session) -> list[str]:
        return [one.name for one in await session.contexts()]

    return _beginning(_in_session(ctx, ask, []), incomplete)


def complete_namespaces(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Namespaces of the context."""

    async def ask(session: Session) -> list[str]:
        view = await _view(session, ctx, ("namespaces",), all_namespaces=True)
        return [one.name for one in view.namespaces]

    return _beginning(_in_session(ctx, ask, []), incomplete)


def complete_targets(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Pods, services and workloads of the namespace."""

    async def ask(session: Session) -> list[str]:
        view = await _view(session, ctx, ("pods", "services", "deployments", "statefulsets"))
        found = [f"{one.kind.value}/{one.name}" for one in view.workloads if one.owner is None]
        found += [f"svc/{one.name}" for one in view.services]
        return found + [one.name for one in view.pods] + [f"pod/{one.name}" for one in view.pods]

    return _beginning(_in_session(ctx, ask, []), incomplete)


def complete_ports(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Ports that the target declares, by number and by name."""
    target = str(ctx.params.get("target") or "")
    kind, _, name = target.rpartition("/")

    async def ask(session: Session) -> list[str]:
        view = await _view(session, ctx, ("pods", "services"))
        declared: list[DeclaredPort] = []
        if kind in ("svc", "service", "services"):
            for service in view.services:
                if service.name == name:
                    declared += service.ports
        else:
            for pod in view.pods:
                owner = pod.owner.name if pod.owner is not None else ""
                if name in (pod.name, owner):
                    declared += pod.ports
        words = (word for port in declared for word in (str(port.number), port.name) if word)
        return list(dict.fromkeys(words))

    local, colon, remote = incomplete.rpartition(":")
    found = _beginning(_in_session(ctx, ask, []), remote)
    return [f"{local}{colon}{word}" for word in found]


# How it is found out ----------------------------------------------------------------------


def _in_session(ctx: click.Context, ask: Callable[[Session], Awaitable[T]], nothing: T) -> T:
    async def opened() -> T:
        from tui_forward.cli.sessions import local_session

        context = _given(ctx, "context")
        async with local_session(_given(ctx, "kubeconfig"), context=context) as session:
            return await ask(session)

    return _asked(opened, nothing)


def _asked(ask: Callable[[], Awaitable[T]], nothing: T) -> T:
    import asyncio  # every `--help` imports this module

    async def bounded() -> T:
        async with asyncio.timeout(_PATIENCE_S):
            return await ask()

    # What would be said here would be drawn into the middle of the command line.
    with Path(os.devnull).open("w") as null, contextlib.redirect_stderr(null):
        try:
            return asyncio.run(bounded())
        except (TuiForwardError, OSError, TimeoutError):
            return nothing


async def _view(
    session: Session, ctx: click.Context, wanted: Iterable[str], *, all_namespaces: bool = False
) -> CatalogView:
    import asyncio

    from tui_forward.cli.sessions import resolve_context
    from tui_forward.model import CatalogScope

    context = await resolve_context(session, _given(ctx, "context"))
    namespace = _given(ctx, "namespace") or context.namespace
    scope = CatalogScope(context.name, "" if all_namespaces else namespace)
    while True:
        view = await session.catalog(scope)
        done = {one.resource for one in view.resources if one.synced or one.error}
        if done.issuperset(wanted):
            return view
        await asyncio.sleep(_LOOK_S)


def _given(ctx: click.Context | None, name: str) -> str | None:
    """An option of the command, or of the one before it."""
    while ctx is not None:
        value: Any = ctx.params.get(name)
        if value:
            return str(value)
        ctx = ctx.parent
    return None


def _beginning(words: Iterable[str], incomplete: str) -> list[str]:
    return sorted(word for word in dict.fromkeys(words) if word.startswith(incomplete))
