"""Which targets are in protected contexts, for front ends without a view of the contexts."""

from __future__ import annotations

from collections.abc import Iterable

from tui_forward.common import paths
from tui_forward.common.printable import one_line
from tui_forward.errors import ConfigError, UsageError
from tui_forward.model import AccessOptions, Context, Target
from tui_forward.session import Session
from tui_forward.settings.parser import load_settings
from tui_forward.settings.protected_contexts import ProtectedContexts, protected_contexts


async def known_contexts(session: Session, options: Iterable[AccessOptions]) -> tuple[Context, ...]:
    """Return the contexts; none without a kubeconfig that each of `options` makes superfluous."""
    try:
        return await session.contexts()
    except ConfigError:
        if not all(one.names_server for one in options):
            raise
        return ()


async def protected_contexts_of(session: Session, targets: Iterable[Target]) -> ProtectedContexts:
    """Return the protected contexts, by the user's settings; ConfigError without a kubeconfig.

    The kubeconfig is not read if nothing is protected.
    """
    settings = load_settings(paths.settings_file())
    if not (settings.protected_contexts or settings.problems):
        return ProtectedContexts()
    known = await known_contexts(session, [one.options for one in targets])
    return protected_contexts(settings, known)


def protected_error(
    contexts: ProtectedContexts, targets: Iterable[Target], hint: str
) -> UsageError | None:
    """Return the error of a start in protected contexts without permission; None outside them."""
    names = contexts.shown_names_of(targets)
    if not names:
        return None
    shown = ", ".join(map(one_line, names))
    return UsageError(f"{shown} {'is' if len(names) == 1 else 'are'} protected", hint=hint)
