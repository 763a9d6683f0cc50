"""`--allow-protected`, and the question before forwards start in a protected context."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tui_forward.cli.questions import ask, can_ask
from tui_forward.common.formatting import pluralize
from tui_forward.common.printable import one_line
from tui_forward.errors import TuiForwardError
from tui_forward.model import ProxySpec, Target, TargetKind

if TYPE_CHECKING:
    from tui_forward.session import Session

F = TypeVar("F", bound=Callable[..., Any])


def allow_protected_option(command: F) -> F:
    """Add `--allow-protected`."""
    return click.option(
        "--allow-protected",
        is_flag=True,
        help="Start forwards in protected contexts without asking.",
    )(command)


async def require_permission(session: Session, targets: Iterable[Target], *, allowed: bool) -> None:
    """Ask before forwards to targets start in protected contexts, unless that is allowed.

    Raise UsageError without a terminal to ask at, and TuiForwardError if the user declines. The
    question blocks the event loop.
    """
    await _require_permission(session, tuple(targets), "", allowed=allowed)


async def require_proxy_permission(session: Session, spec: ProxySpec, *, allowed: bool) -> None:
    """Ask before a cluster proxy starts for a protected context; see `require_permission`."""
    target = Target(
        context=spec.context,
        options=spec.options,
        namespace=spec.namespace,
        kind=TargetKind.SERVICE,
        name="",
        port="",
    )
    await _require_permission(session, (target,), "the cluster proxy", allowed=allowed)


async def _require_permission(
    session: Session, targets: tuple[Target, ...], what: str, *, allowed: bool
) -> None:
    if allowed:
        return
    # Not when a shell completes the options of a command.
    from tui_forward.session.protected_targets import protected_contexts_of, protected_error

    contexts = await protected_contexts_of(session, targets)
    error = protected_error(contexts, targets, _hint(what))
    if error is None:
        return
    if not can_ask():
        raise error
    shown = ", ".join(map(one_line, contexts.shown_names_of(targets)))
    inside = [one for one in targets if contexts.is_protected(one.context, one.options)]
    described = what or _describe(inside)
    if not ask(f"Start {described} in {shown} (protected)?", default=False):
        raise TuiForwardError("not started", hint="nothing was changed")


def _hint(what: str) -> str:
    return f"add --allow-protected to start {what or 'forwards'} there"


def _describe(targets: Sequence[Target]) -> str:
    return one_line(str(targets[0])) if len(targets) == 1 else pluralize(len(targets), "forward")
